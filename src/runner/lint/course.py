"""What the statements of a plan do to its tables: what they add to one, and the tables afterwards."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import reduce

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint import parse_tree
from runner.lint.parse_tree import Type
from runner.lint.tables import KINDS, Column, Constraint, Index, Table, Tables, read_index
from runner.postgres.sql import Name

ENDINGS = {
    "check": "check", "exclude": "excl", "foreign key": "fkey", "not null": "not_null", "primary key": "pkey",
    "unique": "key",
}  # fmt: skip
"""How PostgreSQL ends the name of a constraint that has none."""
SERIAL = {
    "bigserial": "int8", "serial": "int4", "serial2": "int2", "serial4": "int4", "serial8": "int8",
    "smallserial": "int2",
}  # fmt: skip
"""The types of the columns that PostgreSQL makes of these words."""
LIKE_DEFAULTS = 0b111000
"""The bits of INCLUDING DEFAULTS, GENERATED and IDENTITY, as `TableLikeOption` in PostgreSQL's `parsenodes.h`."""


def added_columns(node: AstNode | None) -> Iterator[nodes.ColumnDef]:
    """Yield the columns that an ALTER TABLE adds."""
    for command in parse_tree.commands(node, pb.AT_AddColumn):
        if isinstance(command.def_, nodes.ColumnDef):
            yield command.def_


def added_constraints(node: AstNode | None, table: Table | None) -> Iterator[Constraint]:
    """Yield the constraints that an ALTER TABLE adds to a table, those of its new columns included."""
    owner = table.name[1] if table is not None else ""
    for command in parse_tree.commands(node, pb.AT_AddConstraint, pb.AT_AddColumn):
        match command.def_:
            case nodes.Constraint() as constraint:
                yield from _constraint(constraint, owner, None, table)
            case nodes.ColumnDef(colname=column, constraints=constraints):
                for one in constraints:
                    if isinstance(one, nodes.Constraint):
                        yield from _constraint(one, owner, column, table)


def _constraint(node: nodes.Constraint, owner: str, column: str | None, table: Table | None) -> Iterator[Constraint]:
    if node.contype not in KINDS:
        return
    kind = KINDS[node.contype]
    columns = parse_tree.constrained(node) or ((column,) if column else ())
    if node.indexname and table is not None and node.indexname in table.indexes:
        columns = table.indexes[node.indexname].columns
    # PostgreSQL names a CHECK after its column only where it has one
    named = () if kind == "primary key" or (kind == "check" and len(columns) != 1) else columns
    name = node.conname or "_".join((owner, *named, ENDINGS[kind]))
    yield Constraint(name, kind, columns, node, not node.skip_validation, is_made=True, column=column)


def after(tables: Tables, node: AstNode | None) -> Tables:  # noqa: C901 - a case for each statement
    """Return the tables after a statement."""
    match node:
        case nodes.CreateStmt(relation=nodes.RangeVar() as relation):
            return _create(tables, node, parse_tree.name(relation))
        case nodes.CreateTableAsStmt(into=nodes.IntoClause(rel=nodes.RangeVar() as relation), objtype=kind):
            name = parse_tree.name(relation)
            made = Table(name, None, "materialized view" if kind == pb.OBJECT_MATVIEW else "table")
            return tables.having(made) if tables.find(name) is None else tables
        case nodes.ViewStmt(view=nodes.RangeVar() as relation):
            name = parse_tree.name(relation)
            return tables.having(Table(name, None, "view")) if tables.find(name) is None else tables
        case nodes.DropStmt():
            return _drop(tables, node)
        case nodes.RenameStmt(relation=nodes.RangeVar() as relation):
            return _rename(tables, node, parse_tree.name(relation))
        case nodes.AlterObjectSchemaStmt(relation=nodes.RangeVar() as relation, newschema=schema):
            return _move(tables, parse_tree.name(relation), (schema, relation.relname))
        case nodes.IndexStmt(relation=nodes.RangeVar() as relation, idxname=index):
            table = tables.find(parse_tree.name(relation))
            if table is None:
                return tables
            made_index = read_index(index, node, is_made=True)
            if not index:
                index = "_".join((table.name[1], *(one or "expr" for one in made_index.columns), "idx"))
                made_index = replace(made_index, name=index)
            return tables.having(replace(table, indexes={**table.indexes, index: made_index}))
        case nodes.CreatePolicyStmt(table=nodes.RangeVar() as relation, policy_name=policy):
            table = tables.find(parse_tree.name(relation))
            return tables if table is None else tables.having(replace(table, policies=table.policies | {policy}))
        case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation):
            return _alter(tables, node, parse_tree.name(relation))
    return tables


def _create(tables: Tables, node: nodes.CreateStmt, name: Name) -> Tables:
    if node.if_not_exists and tables.find(name) is not None:
        return tables
    parents = tuple(parse_tree.name(one) for one in node.inh_relations if isinstance(one, nodes.RangeVar))
    columns = {key: one for parent in parents if (found := tables.find(parent)) for key, one in found.columns.items()}
    table = Table(name, None, columns=columns, is_partitioned=node.partspec is not None, parents=parents)
    for element in (*node.table_elts, *node.constraints):
        match element:
            case nodes.ColumnDef():
                table = _with_column(table, element)
                for one in element.constraints:
                    if isinstance(one, nodes.Constraint):
                        table = _with_constraints(table, _constraint(one, name[1], element.colname, table))
            case nodes.TableLikeClause(relation=nodes.RangeVar() as relation, options=options):
                like = tables.find(parse_tree.name(relation))
                keeps = bool(options & LIKE_DEFAULTS)
                copied = (like.columns if like is not None else {}).values()
                new = {one.name: replace(one, has_default=keeps and one.has_default) for one in copied}
                table = replace(table, columns={**table.columns, **new})
            case nodes.Constraint() as constraint:
                table = _with_constraints(table, _constraint(constraint, name[1], None, table))
    return tables.having(table)


def _with_column(table: Table, node: nodes.ColumnDef) -> Table:
    found = parse_tree.read_type(node.type_name)
    kinds = {one.contype for one in node.constraints if isinstance(one, nodes.Constraint)}
    is_serial = found.name in SERIAL and not found.schema
    column = Column(
        node.colname,
        Type(SERIAL[found.name]) if is_serial else found,
        is_serial or bool(kinds & {pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY, pb.CONSTR_IDENTITY}),
        is_serial or bool(kinds & {pb.CONSTR_DEFAULT, pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED}),
        is_made=True,
    )
    return replace(table, columns={**table.columns, column.name: column})


def _with_constraints(table: Table, added: Iterable[Constraint]) -> Table:
    for one in added:
        table = replace(table, constraints={**table.constraints, one.name: one})
        if one.kind in ("primary key", "unique"):
            index = Index(one.name, one.columns, unique=True, partial=False, is_made=True)
            # USING INDEX renames the index to the constraint
            others = {name: other for name, other in table.indexes.items() if name != one.node.indexname}
            table = replace(table, indexes={**others, one.name: index})
        if one.kind in ("primary key", "not null"):
            table = _changed(table, one.columns, not_null=True)
    return table


def _changed(table: Table, names: Iterable[str], **change: object) -> Table:
    columns = dict(table.columns)
    for name in names:
        columns[name] = replace(columns.get(name, Column(name, Type(""))), **change)  # type: ignore[arg-type] # fields of Column
    return replace(table, columns=columns)


def _drop(tables: Tables, node: nodes.DropStmt) -> Tables:
    names = parse_tree.dropped(node)
    match node.remove_type:
        case pb.OBJECT_TABLE | pb.OBJECT_VIEW | pb.OBJECT_MATVIEW:
            return tables.without(*names)
        case pb.OBJECT_INDEX:
            for index in names:
                table = tables.with_index(index)
                if table is not None:
                    left = {name: one for name, one in table.indexes.items() if name != index[1]}
                    tables = tables.having(replace(table, indexes=left))
    return tables


def _move(tables: Tables, old: Name, new: Name) -> Tables:
    table = tables.find(old)
    return tables if table is None else tables.without(old).having(replace(table, name=new))


def _rename(tables: Tables, node: nodes.RenameStmt, name: Name) -> Tables:
    match node.rename_type:
        case pb.OBJECT_TABLE | pb.OBJECT_VIEW | pb.OBJECT_MATVIEW:
            return _move(tables, name, (name[0], node.newname))
        case pb.OBJECT_COLUMN:
            table = tables.find(name)
            if table is None or node.subname not in table.columns:
                return tables
            columns = {one.name: one for one in table.columns.values() if one.name != node.subname}
            columns[node.newname] = replace(table.columns[node.subname], name=node.newname)
            return tables.having(replace(table, columns=columns))
        case pb.OBJECT_TABCONSTRAINT:
            table = tables.find(name)
            if table is None or node.subname not in table.constraints:
                return tables
            left = {key: one for key, one in table.constraints.items() if key != node.subname}
            left[node.newname] = replace(table.constraints[node.subname], name=node.newname)
            return tables.having(replace(table, constraints=left))
        case pb.OBJECT_INDEX:
            table = tables.with_index(name)
            if table is None or name[1] not in table.indexes:
                return tables
            indexes = {key: one for key, one in table.indexes.items() if key != name[1]}
            indexes[node.newname] = replace(table.indexes[name[1]], name=node.newname)
            return tables.having(replace(table, indexes=indexes))
    return tables


def _alter(tables: Tables, node: nodes.AlterTableStmt, name: Name) -> Tables:
    table = tables.find(name)
    if table is None:
        return tables
    altered = reduce(_apply, parse_tree.commands(node), table)
    tables = tables.having(altered)
    for command in parse_tree.commands(node, pb.AT_AttachPartition, pb.AT_DetachPartition):
        match command.def_:
            case nodes.PartitionCmd(name=nodes.RangeVar() as relation):
                child = tables.find(parse_tree.name(relation))
                if child is not None:
                    parents = (name,) if command.subtype == pb.AT_AttachPartition else ()
                    tables = tables.having(replace(child, parents=parents))
    return tables


def _apply(table: Table, command: nodes.AlterTableCmd) -> Table:  # noqa: C901 - a case for each action
    """Return a table after one action of an ALTER TABLE."""
    match command.subtype, command.def_:
        case pb.AT_AddColumn, nodes.ColumnDef() as column:
            if command.missing_ok and column.colname in table.columns:
                return table
            made = _with_column(table, column)
            inline = (one for one in column.constraints if isinstance(one, nodes.Constraint))
            return _with_constraints(
                made, (found for one in inline for found in _constraint(one, table.name[1], column.colname, made))
            )
        case pb.AT_DropColumn, _:
            return replace(table, columns={key: one for key, one in table.columns.items() if key != command.name})
        case pb.AT_ColumnDefault, default:
            return _changed(table, [command.name], has_default=default is not None)
        case pb.AT_SetNotNull, _:
            return _changed(table, [command.name], not_null=True)
        case pb.AT_DropNotNull, _:
            return _changed(table, [command.name], not_null=False)
        case pb.AT_AlterColumnType, nodes.ColumnDef(type_name=kind):
            return _changed(table, [command.name], type=parse_tree.read_type(kind))
        case pb.AT_AddConstraint, nodes.Constraint() as constraint:
            return _with_constraints(table, _constraint(constraint, table.name[1], None, table))
        case pb.AT_ValidateConstraint, _ if command.name in table.constraints:
            valid = replace(table.constraints[command.name], valid=True)
            return replace(table, constraints={**table.constraints, command.name: valid})
        case pb.AT_DropConstraint, _:
            return replace(
                table,
                constraints={key: one for key, one in table.constraints.items() if key != command.name},
                indexes={key: one for key, one in table.indexes.items() if key != command.name},
            )
        case ((pb.AT_EnableRowSecurity | pb.AT_ForceRowSecurity), _):
            return replace(table, row_security=True)
        case pb.AT_DisableRowSecurity, _:
            return replace(table, row_security=False)
    return table
