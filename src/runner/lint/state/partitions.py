"""The bounds of partitions: the condition that the rows of one fulfil, and whether a table's constraints prove it."""

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from decimal import Decimal, InvalidOperation

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import clauses, parse_tree
from runner.lint.state.tables import Table

STRATEGIES = {
    pb.PARTITION_STRATEGY_LIST: "LIST", pb.PARTITION_STRATEGY_RANGE: "RANGE", pb.PARTITION_STRATEGY_HASH: "HASH",
}  # fmt: skip
INFINITE = ("minvalue", "maxvalue")
Fact = tuple[str, str, tuple[str, ...]]
"""An expression, an operator and the values to its right."""
# at midnight, a timestamp is written with or without the time of day
MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T]00:00(?::00)?)?(?:[+-]\d\d(?::?\d\d)?)?")
ISO = re.compile(r"\d{4}-\d\d-\d\d")


def key_text(node: nodes.PartitionSpec) -> str:
    """Return the strategy and the columns of a partitioned table as PostgreSQL's catalog writes them."""
    return f"{STRATEGIES[node.strategy]} ({', '.join(_key(node))})"


def _key(node: nodes.PartitionSpec) -> list[str]:
    elements = (one for one in node.part_params if isinstance(one, nodes.PartitionElem))
    return [
        f"({parse_tree.expression_text(one.expr)})" if one.expr else parse_tree.identifier(one.name) for one in elements
    ]


def condition(parent: Table, bound: nodes.PartitionBoundSpec) -> str | None:
    """Return the condition that a bound means for the rows of a partition, None for DEFAULT or an unknown key.

    None also for one that has more or fewer values than the key has columns, which PostgreSQL refuses.
    """
    try:
        (made,) = parse_tree.parse(f"create table t () partition by {parent.partition_key}")
    except (postgast.PgQueryError, ValueError):
        return None
    if bound.is_default or not isinstance(made, nodes.CreateStmt) or made.partspec is None:
        return None
    columns = _key(made.partspec)
    match bound.strategy:
        case "l":
            return _of_list(columns[0], bound.listdatums)
        case "r" if len(columns) == len(bound.lowerdatums) == len(bound.upperdatums):
            known = [f"{one} IS NOT NULL" for one in columns]
            return " AND ".join((*known, *_of_range(columns, bound.lowerdatums, bound.upperdatums)))
        case "h":
            name = parse_tree.identifier(*parent.name).replace("'", "''")
            part = f"{bound.modulus}, {bound.remainder}, {', '.join(columns)}"
            # the function in the partition's own constraint
            return f"satisfies_hash_partition('{name}'::regclass, {part})"
    return None


def _of_list(column: str, values: Iterable[AstNode]) -> str:
    texts = [parse_tree.expression_text(one) for one in values if not _is_null(one)]
    has_null = any(map(_is_null, values))
    listed = f"{column} IN ({', '.join(texts)})"
    if not texts:
        return f"{column} IS NULL"
    return f"({column} IS NULL OR {listed})" if has_null else f"{column} IS NOT NULL AND {listed}"


def _is_null(node: AstNode) -> bool:
    return isinstance(node, nodes.A_Const) and node.isnull


def _of_range(columns: Sequence[str], lower: Sequence[AstNode], upper: Sequence[AstNode]) -> Iterator[str]:
    """Yield what two bounds mean, as PostgreSQL writes it, which compares the texts of such conditions."""
    is_equal = len(columns) > 1 and not _infinity(lower[0]) and clauses.same(lower[0], upper[0])
    if is_equal:
        yield f"{columns[0]} = {parse_tree.expression_text(lower[0])}"
        yield from _of_range(columns[1:], lower[1:], upper[1:])
    else:
        yield from _of_bound(columns, lower, ">", ">=")
        yield from _of_bound(columns, upper, "<", "<")


def _of_bound(columns: Sequence[str], values: Sequence[AstNode], operator: str, last: str) -> Iterator[str]:
    """Yield the comparison with one bound: of the first column, or of the next ones where the ones before are equal."""
    parts, equal = [], ""
    for place, (column, value) in enumerate(zip(columns, values, strict=True)):
        if _infinity(value):
            break
        text, after = parse_tree.expression_text(value), [_infinity(one) for one in values[place + 1 : place + 2]]
        sign = last if not after else operator
        if after in (["minvalue"], ["maxvalue"]):
            # all values of the next column are within the bound, or none
            sign = f"{operator}=" if (operator == "<") == (after == ["maxvalue"]) else operator
        parts.append(f"{equal}{column} {sign} {text}")
        equal = f"{equal}{column} = {text} AND "
    if parts:
        yield parts[0] if len(parts) == 1 else f"({' OR '.join(f'({one})' for one in parts)})"


def _infinity(node: AstNode) -> str:
    """Return `minvalue` or `maxvalue`, an empty text for a value."""
    match node:
        case nodes.ColumnRef(fields=fields) if (text := parse_tree.words(fields)[-1].lower()) in INFINITE:
            return text
    return ""


def is_proven(table: Table, wanted: str) -> bool:
    """Return whether the valid constraints of a table imply a condition, so that none of its rows is read."""
    facts = {one for check in _checks(table) for one in _facts(check)}
    facts |= {(column, "is not null", ()) for column in table.proven}
    return all(any(_implies(known, one) for known in facts) for one in _facts(_parsed(wanted)))


def is_excluded(table: Table, unwanted: str) -> bool:
    """Return whether a valid constraint of a table says that no row of it fulfils a condition."""
    wanted = set(_facts(_parsed(unwanted)))
    return any(_contradicts(check, wanted) for check in _checks(table))


def _contradicts(known: AstNode, wanted: Set[Fact]) -> bool:
    """Return whether a condition that is true leaves no row for which all of `wanted` is true as well."""
    match known:
        case nodes.BoolExpr(boolop=pb.NOT_EXPR, args=[inner]):
            return all(any(_implies(one, fact) for one in wanted) for fact in _facts(inner))
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            return any(_contradicts(one, wanted) for one in args)
        case nodes.BoolExpr(boolop=pb.OR_EXPR, args=args):
            return all(_contradicts(one, wanted) for one in args)
    return any(_excludes(fact, one) for fact in _facts(known) for one in wanted)


def _excludes(known: Fact, wanted: Fact) -> bool:
    """Return whether two comparisons of one expression cannot both be true."""
    (left, operator, values), (other, needed, bounds) = known, wanted
    if left != other or len(values) != 1 or len(bounds) != 1:
        return False
    less, equal = _compare(values[0], bounds[0])
    match operator, needed:
        case "<", ">=":
            return bool(less or equal)
        case "<=", ">=":
            return bool(less)
        case ">=" | ">", "<":
            return less is False
    return False


def _checks(table: Table) -> Iterator[AstNode]:
    for one in table.constraints.values():
        if one.kind == "check" and one.valid and one.node.raw_expr is not None:
            yield one.node.raw_expr


def _parsed(condition: str) -> AstNode:
    constraint = parse_tree.definition(f"CHECK ({condition})")
    assert constraint is not None and constraint.raw_expr is not None  # noqa: S101, PT018 - it was made of parsed parts
    return constraint.raw_expr


def _facts(node: AstNode) -> Iterator[Fact]:
    """Yield what an expression says, part by part of its AND."""
    match node:
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            for one in args:
                yield from _facts(one)
        case nodes.NullTest(nulltesttype=kind, arg=arg) if arg is not None:
            yield _text(arg), "is not null" if kind == pb.IS_NOT_NULL else "is null", ()
        case nodes.A_Expr(kind=pb.AEXPR_OP, lexpr=left, rexpr=right) if left is not None and right is not None:
            yield _text(left), parse_tree.words(node.name)[-1], (_text(right),)
        case nodes.A_Expr(kind=pb.AEXPR_IN | pb.AEXPR_OP_ANY, lexpr=left, rexpr=right) if left and right:
            yield _text(left), "=", tuple(sorted(map(_text, _elements(right))))
        case nodes.FuncCall(funcname=name, args=args) if parse_tree.words(name)[-1] == "satisfies_hash_partition":
            # not the table, which has several spellings
            yield "hash", "=", tuple(map(_text, args[1:]))
        case _:
            yield parse_tree.expression_text(node), "true", ()


def _elements(node: AstNode) -> Sequence[AstNode]:
    match node:
        case nodes.List(items=items):
            return items
        case nodes.A_ArrayExpr(elements=elements):
            return elements
        case nodes.TypeCast(arg=inner) if inner is not None:
            return _elements(inner)
    return [node]


def _text(node: AstNode) -> str:
    """Return an expression without casts, and a constant as all its spellings are compared."""
    match node:
        case nodes.TypeCast(arg=inner) | nodes.RelabelType(arg=inner) if inner is not None:
            return _text(inner)
        case nodes.ColumnRef(fields=fields):
            return parse_tree.words(fields)[-1]
    constant = parse_tree.string(node)
    if constant is not None:
        midnight = MIDNIGHT.fullmatch(constant)
        return midnight[1] if midnight else constant
    return parse_tree.expression_text(node)


def _implies(known: Fact, wanted: Fact) -> bool:
    if known == wanted:
        return True
    (left, operator, values), (other, needed, bounds) = known, wanted
    if left != other or not values or not bounds:
        return False
    if needed == "=":
        return operator == "=" and set(values) <= set(bounds)
    less, equal = _compare(values[0], bounds[0])
    match operator, needed:
        case ">=" | ">", ">=":
            return less is False
        case "<", "<":
            return bool(less or equal)
        case "<=", "<":
            return bool(less)
        case "=", ">=":
            return all(_compare(one, bounds[0])[0] is False for one in values)
        case "=", "<":
            return all(_compare(one, bounds[0])[0] is True for one in values)
    return False


def _compare(one: str, other: str) -> tuple[bool | None, bool]:
    """Return whether a constant is less than another, None where it is not known, and whether they are the same."""
    if one == other:
        return False, True
    try:
        return Decimal(one) < Decimal(other), Decimal(one) == Decimal(other)
    except InvalidOperation:
        both = ISO.fullmatch(one) and ISO.fullmatch(other)
        return (one < other if both else None), False
