"""The columns and constraints that a statement adds to a table."""

from collections.abc import Iterator
from functools import partial

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import clauses, parse_tree
from runner.lint.state.chosen_names import unused
from runner.lint.state.tables import KINDS, Constraint, Table

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
ATTRIBUTES: dict[int, dict[str, bool]] = {
    pb.CONSTR_ATTR_DEFERRABLE: {"deferrable": True},
    pb.CONSTR_ATTR_NOT_DEFERRABLE: {},
    pb.CONSTR_ATTR_DEFERRED: {"deferrable": True, "initdeferred": True},
    pb.CONSTR_ATTR_IMMEDIATE: {},
    pb.CONSTR_ATTR_ENFORCED: {},
    pb.CONSTR_ATTR_NOT_ENFORCED: {"is_enforced": False, "skip_validation": True},
}
"""What stands behind a constraint of a column, and what it sets."""


def added_columns(node: AstNode | None, table: Table | None) -> Iterator[nodes.ColumnDef]:
    """Yield the columns that an ALTER TABLE adds to a table, not those that IF NOT EXISTS finds there."""
    # columns are dropped before others are added
    dropped = {one.name for one in parse_tree.commands(node, pb.AT_DropColumn)}
    there = {*(table.columns if table is not None else ())} - dropped
    for command in parse_tree.commands(node, pb.AT_AddColumn):
        column = command.def_
        if isinstance(column, nodes.ColumnDef) and not (command.missing_ok and column.colname in there):
            there.add(column.colname)
            yield column


def added_constraints(node: AstNode | None, table: Table | None) -> Iterator[Constraint]:
    """Yield the constraints that an ALTER TABLE adds to a table, those of its new columns included."""
    owner = table.name[1] if table is not None else ""
    for command in parse_tree.commands(node, pb.AT_AddConstraint):
        if isinstance(command.def_, nodes.Constraint):
            yield from constraint(command.def_, owner, None, table)
    for column in added_columns(node, table):
        yield from of_column(column, table)


def of_column(column: nodes.ColumnDef, table: Table | None) -> Iterator[Constraint]:
    """Yield the constraints in the definition of a column."""
    owner = table.name[1] if table is not None else ""
    for one in _whole(column):
        yield from constraint(one, owner, column.colname, table)


def _whole(column: nodes.ColumnDef) -> list[nodes.Constraint]:
    """Return the constraints of a column, each with DEFERRABLE and so on, which are nodes of their own in the tree."""
    found: list[nodes.Constraint] = []
    for one in column.constraints:
        if isinstance(one, nodes.Constraint):
            attributes = ATTRIBUTES.get(one.contype)
            if attributes is None:
                found.append(one)
            elif found:
                changed = pb.Constraint()
                changed.CopyFrom(parse_tree.message(found[-1]))
                for name, value in attributes.items():
                    setattr(changed, name, value)
                found[-1] = nodes.Constraint(changed)
    return found


def constraint(node: nodes.Constraint, owner: str, column: str | None, table: Table | None) -> Iterator[Constraint]:
    if node.contype not in KINDS:
        return
    kind = KINDS[node.contype]
    columns = clauses.constrained(node) or ((column,) if column else ())
    if node.indexname and table is not None and node.indexname in table.indexes:
        columns = table.indexes[node.indexname].columns
    # PostgreSQL names a CHECK after its column only where it has one
    named = () if kind == "primary key" or (kind == "check" and len(columns) != 1) else columns
    if kind in ("exclude", "unique"):
        named += tuple(parse_tree.words(node.including))
    # USING INDEX gives it the name of the index
    name = node.conname or node.indexname or unused(partial(is_taken, table), owner, *named, ENDINGS[kind])
    yield Constraint(name, kind, columns, node, not node.skip_validation, is_made=True, column=column)


def is_taken(table: Table | None, name: str) -> bool:
    return table is not None and (name in table.constraints or name in table.indexes)
