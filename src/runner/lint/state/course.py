"""What the statements of a plan do to its tables: what they add to one, and the tables afterwards."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial, reduce

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import clauses, parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.state import added, partitions, renames
from runner.lint.state.chosen_names import unused
from runner.lint.state.tables import TEMPORARY, Column, Constraint, Index, Table, Tables, read_index
from runner.postgres.sql import Name

GENERATED = {"s": "stored", "v": "virtual"}
DROPS = frozenset({pb.AT_DropColumn, pb.AT_DropConstraint})
INHERITED = frozenset({
    pb.AT_AddColumn, pb.AT_AlterColumnType, pb.AT_ColumnDefault, pb.AT_DropColumn, pb.AT_DropNotNull, pb.AT_SetNotNull,
})  # fmt: skip
"""The actions on columns that are done to the partitions of a table, and to what inherits from it, too."""
LIKE_DEFAULTS = 0b111000
"""The bits of INCLUDING DEFAULTS, GENERATED and IDENTITY, as `TableLikeOption` in PostgreSQL's `parsenodes.h`."""


def is_there_already(node: AstNode | None, tables: Tables) -> bool:
    """Return whether a statement does nothing, since what it makes IF NOT EXISTS is there before it."""
    match node:
        case (
            nodes.CreateStmt(relation=nodes.RangeVar() as relation, if_not_exists=True)
            | nodes.CreateTableAsStmt(into=nodes.IntoClause(rel=nodes.RangeVar() as relation), if_not_exists=True)
        ):
            return tables.has(parse_tree.name(relation))
        case nodes.IndexStmt(relation=nodes.RangeVar() as relation, if_not_exists=True, idxname=name):
            return tables.has((parse_tree.name(relation)[0], name))
    return False


def after(tables: Tables, node: AstNode | None) -> Tables:  # noqa: C901 - a case for each statement
    """Return the tables after a statement."""
    match node:
        case nodes.CreateStmt(relation=nodes.RangeVar() as relation):
            return _create(tables, node, parse_tree.name(relation))
        case nodes.CreateTableAsStmt(into=nodes.IntoClause(rel=nodes.RangeVar() as relation), objtype=kind):
            name = parse_tree.name(relation)
            made = Table(name, None, "materialized view" if kind == pb.OBJECT_MATVIEW else "table")
            return tables if node.if_not_exists and tables.find(name) is not None else tables.having(made)
        case nodes.SelectStmt(into_clause=nodes.IntoClause(rel=nodes.RangeVar() as relation)):
            return tables.having(Table(parse_tree.name(relation), None))
        case nodes.CreateSeqStmt(sequence=nodes.RangeVar(schemaname="pg_temp") as relation):
            # it hides a sequence of the database
            return tables.having(Table(parse_tree.name(relation), None))
        case nodes.ViewStmt(view=nodes.RangeVar() as relation):
            name = parse_tree.name(relation)
            # a view that is replaced stays the same for who uses it
            view = (tables.find(name) if node.replace else None) or Table(name, None)
            return tables.having(replace(view, kind="view", reads=_origins(node, tables)))
        case nodes.DropStmt():
            return _drop(tables, node)
        case nodes.RenameStmt():
            return renames.renamed(tables, node)
        case nodes.AlterObjectSchemaStmt(relation=nodes.RangeVar() as relation, newschema=schema):
            return renames.moved(tables, parse_tree.name(relation), (schema, relation.relname))
        case nodes.IndexStmt(relation=nodes.RangeVar() as relation, idxname=index):
            table = tables.find(parse_tree.name(relation))
            if table is None:
                return tables
            made_index = read_index(index, node, is_made=True)
            if not index:
                columns = clauses.index_columns(node)
                index = unused(partial(added.is_taken, table), table.name[1], *columns, "idx")
                made_index = replace(made_index, name=index)
            return tables.having(replace(table, indexes={**table.indexes, index: made_index}))
        case nodes.CreatePolicyStmt(table=nodes.RangeVar() as relation, policy_name=policy, permissive=permissive):
            table = tables.find(parse_tree.name(relation))
            policies = {**table.policies, policy: permissive} if table is not None else {}
            return tables if table is None else tables.having(replace(table, policies=policies))
        case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation):
            return _alter(tables, node, parse_tree.name(relation))
    return tables


def _origins(node: nodes.ViewStmt, tables: Tables) -> tuple[Name, ...]:
    """Return the relations that a view reads by their names in the database, if they have one."""
    query = node.query
    found = {parse_tree.name(one) for one in parse_tree.walk(query, nodes.RangeVar)} if query is not None else set()
    known = ((tables.find(name), name) for name in sorted(found))
    return tuple((table.origin if table is not None else None) or name for table, name in known)


def _create(tables: Tables, node: nodes.CreateStmt, name: Name) -> Tables:
    if node.if_not_exists and tables.find(name) is not None:
        return tables
    parents = tuple(parse_tree.name(one) for one in node.inh_relations if isinstance(one, nodes.RangeVar))
    columns = {key: one for parent in parents if (found := tables.find(parent)) for key, one in found.columns.items()}
    bound = "DEFAULT" if node.partbound is not None and node.partbound.is_default else ""
    table = Table(name, None, columns=columns, is_partitioned=node.partspec is not None, parents=parents, bound=bound)
    if node.partspec is not None:
        table = replace(table, partition_key=partitions.key_text(node.partspec))
    for element in (*node.table_elts, *node.constraints):
        match element:
            case nodes.ColumnDef():
                table = with_column(table, element)
                table = _with_constraints(table, added.of_column(element, table))
            case nodes.TableLikeClause(relation=nodes.RangeVar() as relation, options=options):
                like = tables.find(parse_tree.name(relation))
                keeps = bool(options & LIKE_DEFAULTS)
                copied = (like.columns if like is not None else {}).values()
                new = {one.name: replace(one, has_default=keeps and one.has_default) for one in copied}
                table = replace(table, columns={**table.columns, **new})
            case nodes.Constraint() as constraint:
                table = _with_constraints(table, added.constraint(constraint, name[1], None, table))
    return tables.having(table)


def _collation(node: nodes.ColumnDef) -> str:
    return parse_tree.words(node.coll_clause.collname)[-1] if node.coll_clause is not None else ""


def with_column(table: Table, node: nodes.ColumnDef) -> Table:
    """Return a table with a column more, without the constraints that are in its definition."""
    found = parse_tree.read_type(node.type_name)
    parts = [one for one in node.constraints if isinstance(one, nodes.Constraint)]
    kinds = {one.contype for one in parts}
    is_serial = found.name in added.SERIAL and not found.schema
    column = Column(
        node.colname,
        Type(added.SERIAL[found.name]) if is_serial else found,
        is_serial or bool(kinds & {pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY, pb.CONSTR_IDENTITY}),
        is_serial or bool(kinds & {pb.CONSTR_DEFAULT, pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED}),
        is_made=True,
        generated=next((GENERATED[one.generated_kind] for one in parts if one.contype == pb.CONSTR_GENERATED), ""),
        collation=_collation(node),
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
        if one.kind == "primary key" or (one.kind == "not null" and one.valid):
            table = _changed(table, one.columns, not_null=True)
    return table


def _changed(table: Table, names: Iterable[str], **change: object) -> Table:
    columns = dict(table.columns)
    for name in names:
        columns[name] = replace(columns.get(name, Column(name, Type(""))), **change)  # type: ignore[arg-type] # fields of Column
    return replace(table, columns=columns)


def _without_column(table: Table, name: str) -> Table:
    """Return a table without a column, and without the constraints and indexes over it, which are dropped with it."""
    return replace(
        table,
        columns={key: one for key, one in table.columns.items() if key != name},
        constraints={key: one for key, one in table.constraints.items() if name not in one.columns},
        indexes={key: one for key, one in table.indexes.items() if name not in one.columns},
    )


def _drop(tables: Tables, node: nodes.DropStmt) -> Tables:
    names = parse_tree.dropped(node)
    match node.remove_type:
        case pb.OBJECT_TABLE | pb.OBJECT_VIEW | pb.OBJECT_MATVIEW:
            return tables.without(*names)
        case pb.OBJECT_SEQUENCE:
            return tables.without(*(one for one in names if one[0] == TEMPORARY))
        case pb.OBJECT_POLICY:
            dropped = {parse_tree.words([one])[-1] for one in node.objects}
            for one in filter(None, map(tables.find, names)):
                left = {name: permissive for name, permissive in one.policies.items() if name not in dropped}
                tables = tables.having(replace(one, policies=left))
        case pb.OBJECT_INDEX:
            for index in names:
                table = tables.with_index(index)
                if table is not None:
                    others = {name: one for name, one in table.indexes.items() if name != index[1]}
                    tables = tables.having(replace(table, indexes=others))
    return tables


def _alter(tables: Tables, node: nodes.AlterTableStmt, name: Name) -> Tables:
    table = tables.find(name)
    if table is None:
        return tables
    # PostgreSQL drops before it does the rest
    actions = sorted(parse_tree.commands(node), key=lambda one: one.subtype not in DROPS)
    altered = reduce(_apply, actions, table)
    tables = tables.having(altered)
    if node.relation is not None and node.relation.inh:
        inherited = [one for one in actions if _is_inherited(one, table)]
        tables = _inherit(tables, name, inherited, name) if inherited else tables
    for command in parse_tree.commands(node, pb.AT_AttachPartition, pb.AT_DetachPartition):
        match command.def_:
            case nodes.PartitionCmd(name=nodes.RangeVar() as relation, bound=spec):
                child = tables.find(parse_tree.name(relation))
                if child is not None:
                    parents = (name,) if command.subtype == pb.AT_AttachPartition else ()
                    bound = "DEFAULT" if spec is not None and spec.is_default else ""
                    tables = tables.having(replace(child, parents=parents, bound=bound))
    return tables


def _enforced(one: Constraint, *, is_enforced: bool) -> Constraint:
    """Return a constraint that is enforced from now on, and so valid, or that is neither."""
    node = pb.Constraint()
    node.CopyFrom(parse_tree.message(one.node))
    node.is_enforced, node.skip_validation = is_enforced, not is_enforced
    return replace(one, valid=is_enforced, node=nodes.Constraint(node))


def _is_inherited(command: nodes.AlterTableCmd, table: Table) -> bool:
    """Return whether an action is done to the partitions, and to what inherits from a table, in the same words."""
    match command.subtype, command.def_:
        case pb.AT_AddConstraint, nodes.Constraint(contype=kind, is_no_inherit=alone):
            return kind == pb.CONSTR_CHECK and not alone
        case ((pb.AT_DropConstraint | pb.AT_ValidateConstraint), _):
            one = table.constraints.get(command.name)
            return one is not None and one.kind == "check"
    return command.subtype in INHERITED


def _inherit(tables: Tables, name: Name, actions: Sequence[nodes.AlterTableCmd], top: Name) -> Tables:
    for child in map(tables.find, tables.partitions(name)):
        if child is not None:
            # a CHECK without a name gets the same one as that of the table
            changed = replace(child, name=top)
            for command in actions:
                column = command.def_
                if command.subtype == pb.AT_AddColumn and isinstance(column, nodes.ColumnDef):
                    # a column that it has already is kept; of the constraints it gets the CHECKs
                    made = with_column(changed, column) if column.colname not in changed.columns else changed
                    checks = (one for one in added.of_column(column, made) if one.kind in ("check", "not null"))
                    changed = _with_constraints(made, checks)
                else:
                    changed = _apply(changed, command)
            tables = _inherit(tables.having(replace(changed, name=child.name)), child.name, actions, top)
    return tables


def _apply(table: Table, command: nodes.AlterTableCmd) -> Table:  # noqa: C901 - a case for each action
    """Return a table after one action of an ALTER TABLE."""
    match command.subtype, command.def_:
        case pb.AT_AddColumn, nodes.ColumnDef() as column:
            if command.missing_ok and column.colname in table.columns:
                return table
            made = with_column(table, column)
            return _with_constraints(made, added.of_column(column, made))
        case pb.AT_DropColumn, _:
            return _without_column(table, command.name)
        case pb.AT_ColumnDefault, default:
            return _changed(table, [command.name], has_default=default is not None)
        case pb.AT_SetNotNull, _:
            return _changed(table, [command.name], not_null=True)
        case pb.AT_DropNotNull, _:
            return _changed(table, [command.name], not_null=False)
        case pb.AT_AlterColumnType, nodes.ColumnDef(type_name=kind):
            return _changed(table, [command.name], type=parse_tree.read_type(kind), collation=_collation(command.def_))
        case pb.AT_AddConstraint, nodes.Constraint() as constraint:
            return _with_constraints(table, added.constraint(constraint, table.name[1], None, table))
        case pb.AT_ValidateConstraint, _ if command.name in table.constraints:
            valid = replace(table.constraints[command.name], valid=True)
            if valid.kind == "not null":
                table = _changed(table, valid.columns, not_null=True)
            return replace(table, constraints={**table.constraints, command.name: valid})
        case pb.AT_DropConstraint, _:
            return replace(
                table,
                constraints={key: one for key, one in table.constraints.items() if key != command.name},
                indexes={key: one for key, one in table.indexes.items() if key != command.name},
            )
        case ((pb.AT_SetLogged | pb.AT_SetUnLogged), _):
            return replace(table, is_unlogged=command.subtype == pb.AT_SetUnLogged)
        case pb.AT_AlterConstraint, nodes.ATAlterConstraint(alter_enforceability=True) as altered:
            one = table.constraints.get(altered.conname)
            enforced = {} if one is None else {one.name: _enforced(one, is_enforced=altered.is_enforced)}
            return replace(table, constraints={**table.constraints, **enforced})
        case pb.AT_DropExpression, _:
            return _changed(table, [command.name], has_default=False, generated="")
        case pb.AT_SetTableSpace, _:
            return replace(table, tablespace=command.name)
        case pb.AT_SetAccessMethod, _:
            return replace(table, access_method=command.name or "heap")
        case pb.AT_EnableRowSecurity, _:
            return replace(table, row_security=True)
        case pb.AT_DisableRowSecurity, _:
            return replace(table, row_security=False)
    return table
