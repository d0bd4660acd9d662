"""What another type of a column makes PostgreSQL do: nothing, build indexes and check rows again, or rewrite the table.

https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from postgast import nodes
from postgast.nodes import AstNode

from runner.lint.parsing import clauses, parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.state import domains
from runner.lint.state.domains import Domain
from runner.lint.state.tables import Column, Index, Table
from runner.postgres.sql import Name

TEXTS = frozenset({"text", "varchar"})
# The types whose values are of the same bytes: what both have an index for in one way, and what not.
ALIKE = (
    frozenset({"text", "varchar"}),
    frozenset({"cidr", "inet"}),
    frozenset({"oid", "regclass", "regproc", "regtype"}),
)
ONE_WAY = frozenset({
    ("bit", "varbit"), ("cidr", "inet"), ("citext", "text"), ("text", "bpchar"), ("text", "citext"),
    ("varchar", "bpchar"), ("xml", "text"),
})  # fmt: skip
OBJECT_IDS = frozenset({"int4", "oid", "regclass", "regproc", "regtype"})
TIMES = frozenset({"time", "timetz", "timestamp", "timestamptz"})
# under UTC, which is the time zone of a run, their values are of the same bytes
ZONED = frozenset({"timestamp", "timestamptz"})
MOST_DIGITS = 6
"""Of a second, in a time."""
FULL_RANGE = 32767
"""The first modifier of an interval with all its fields, as the grammar writes it."""


@dataclass(frozen=True)
class Effect:
    """What a change of a column's type does to its table."""

    rewrites: bool = False
    indexes: tuple[str, ...] = ()
    """The indexes that are built again although the table stays as it is."""
    checks: tuple[str, ...] = ()
    """The constraints for which all rows are read again."""
    takes_zone: bool = False
    """Whether the time zone of the session says what the values become."""


def effect(column: Column, definition: nodes.ColumnDef, table: Table, known: Mapping[Name, Domain]) -> Effect:
    """Return what an ALTER COLUMN TYPE does to a table."""
    new = parse_tree.read_type(definition.type_name)
    steps = _steps(column, definition.raw_default)
    if steps is None or not column.type.name:
        return Effect(rewrites=True)
    types = [column.type, *steps, new]
    if not all(keeps(old, later, known) for old, later in pairwise(types)):
        return Effect(rewrites=True)
    collation = parse_tree.words(definition.coll_clause.collname)[-1] if definition.coll_clause is not None else ""
    same = collation == column.collation and _is_indexed_alike(base(column.type, known), base(new, known))
    indexes = (one.name for one in table.indexes.values() if _is_built_again(one, column.name, same=same))
    checks = (
        one.name
        for one in table.constraints.values()
        if one.kind == "check" and one.valid and column.name in clauses.constrained(one.node)
    )
    zoned = any(frozenset(base(one, known).name for one in pair) == ZONED for pair in pairwise(types))
    return Effect(indexes=tuple(indexes), checks=tuple(checks), takes_zone=zoned)


def _steps(column: Column, using: AstNode | None) -> list[Type] | None:
    """Return the types to which USING casts the column one after another, None where it does something else."""
    match using:
        case None:
            return []
        case nodes.ColumnRef(fields=fields) if parse_tree.words(fields)[-1:] == [column.name]:
            return []
        case nodes.TypeCast(arg=inner, type_name=kind):
            before = _steps(column, inner)
            return [*before, parse_tree.read_type(kind)] if before is not None else None
    return None


def _is_built_again(index: Index, column: str, *, same: bool) -> bool:
    node = index.node
    within = [one for one in (*_expressions(node), node.where_clause) if one is not None] if node is not None else []
    used = {*index.columns, *_included(node)}.union(*map(_columns, within))
    # one with an expression or a WHERE is built again whatever the types are
    return column in used if within else not same and column in index.columns


def _expressions(node: nodes.IndexStmt) -> Iterator[AstNode | None]:
    return (one.expr for one in node.index_params if isinstance(one, nodes.IndexElem))


def _included(node: nodes.IndexStmt | None) -> Iterator[str]:
    parts = node.index_including_params if node is not None else ()
    return (one.name for one in parts if isinstance(one, nodes.IndexElem))


def _columns(expression: AstNode) -> set[str]:
    found = parse_tree.walk(expression, nodes.ColumnRef)
    return {name for one in found for name in parse_tree.words(one.fields)[-1:]}


def base(found: Type, known: Mapping[Name, Domain]) -> Type:
    """Return the type under a domain, or the type itself."""
    domain = known.get(domains.named(found)) if not found.is_array else None
    return base(domain.base, known) if domain is not None else found


def keeps(old: Type, new: Type, known: Mapping[Name, Domain]) -> bool:
    """Return whether each value of a type is one of another as it is, so that no row is written."""
    if domains.named(old) == domains.named(new) and (old.modifiers, old.is_array) == (new.modifiers, new.is_array):
        return True
    if is_checked(new, known):
        return False
    plain, wider = base(old, known), base(new, known)
    if old != plain and wider.modifiers:
        # PostgreSQL forgets the length of a domain, and cuts the values anew
        return False
    if plain.is_array or wider.is_array or plain.schema or wider.schema:
        return plain == wider
    return _keeps(plain, wider)


def is_checked(found: Type, known: Mapping[Name, Domain]) -> bool:
    domain = known.get(domains.named(found)) if not found.is_array else None
    return domain is not None and (domain.not_null or bool(domain.checks) or is_checked(domain.base, known))


def _keeps(old: Type, new: Type) -> bool:
    pair = old.name, new.name
    if set(pair) <= OBJECT_IDS:
        return True
    if set(pair) <= TEXTS or pair == ("varbit", "varbit"):
        return not new.modifiers or (bool(old.modifiers) and new.modifiers[0] >= old.modifiers[0])
    if pair == ("numeric", "numeric"):
        return not new.modifiers or (bool(old.modifiers) and _has_more_digits(old.modifiers, new.modifiers))
    if set(pair) <= ZONED or (old.name == new.name and old.name in TIMES):
        return _digits(new.modifiers) >= _digits(old.modifiers)
    if pair == ("interval", "interval"):
        return _fields(new.modifiers) == FULL_RANGE and _digits(new.modifiers[1:]) >= _digits(old.modifiers[1:])
    return (pair in ONE_WAY and not new.modifiers) or (old.name == new.name and old.modifiers == new.modifiers)


def _has_more_digits(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    scales = [one[1] if len(one) > 1 else 0 for one in (old, new)]
    return scales[0] == scales[1] and new[0] >= old[0]


def _digits(modifiers: tuple[int, ...]) -> int:
    return min(modifiers[0], MOST_DIGITS) if modifiers else MOST_DIGITS


def _fields(modifiers: tuple[int, ...]) -> int:
    return modifiers[0] if modifiers else FULL_RANGE


def _is_indexed_alike(old: Type, new: Type) -> bool:
    return old.name == new.name or any({old.name, new.name} <= kinds for kinds in ALIKE)
