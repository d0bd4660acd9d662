"""Which tables of a join have few rows in it: those whose key is given, by the text or by another that has few."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.report import LARGE_ROWS
from runner.lint.state.tables import Table

EQUAL = (pb.AEXPR_OP, pb.AEXPR_IN, pb.AEXPR_OP_ANY)
CTID = "ctid"
"""The column of each table that has the place of the row: https://www.postgresql.org/docs/current/ddl-system-columns.html"""
IsFew = Callable[[nodes.SelectStmt], bool]
"""Returns whether a query has few rows."""


@dataclass(frozen=True)
class Source:
    """A table or a query in a join."""

    names: frozenset[str]
    """Those that a column of it may be qualified with."""
    table: Table | None
    """None for a query."""
    is_few: bool
    """Whether it has few rows by itself."""


def few(sources: Sequence[Source], condition: Sequence[AstNode], is_few: IsFew) -> frozenset[int]:
    """Return the places of the sources that have few rows where all parts of a condition are true."""
    found = {place for place, one in enumerate(sources) if one.is_few}
    while True:
        others = [one for place, one in enumerate(sources) if place not in found]
        more = {
            place
            for place, one in enumerate(sources)
            if place not in found and one.table is not None and _is_keyed(one, one.table, others, condition, is_few)
        }
        if not more:
            return frozenset(found)
        found |= more


def conjuncts(condition: AstNode | None) -> Iterator[AstNode]:
    """Yield the parts of a condition that all have to be true."""
    match condition:
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            for one in args:
                yield from conjuncts(one)
        case None:
            return
        case _:
            yield condition


def _is_keyed(source: Source, table: Table, others: Sequence[Source], parts: Sequence[AstNode], is_few: IsFew) -> bool:
    """Return whether a condition gives values for a key of a table; `others` have any number of rows."""
    keys = [set(one.columns) for one in table.indexes.values() if one.unique and not one.partial and one.columns]
    given = {column for one in parts for column in _given(one, source, others, is_few)}
    ranged = _ranged(parts, source)
    is_current = any(isinstance(one, nodes.CurrentOfExpr) for one in parts)
    if is_current or CTID in given or any("" not in key and (key <= given or key <= ranged) for key in keys):
        return True
    # each branch of one OR, with what is beside it; of several, each by itself
    either = [one for one in parts if isinstance(one, nodes.BoolExpr) and one.boolop == pb.OR_EXPR]
    beside = [one for one in parts if one not in either]
    return any(
        all(_is_keyed(source, table, others, [*beside, *conjuncts(branch)], is_few) for branch in one.args)
        for one in either
    )


def _given(one: AstNode, source: Source, others: Sequence[Source], is_few: IsFew) -> Iterator[str]:
    """Yield the columns of a source for which a condition gives a value, or a list of them."""
    match one:
        case nodes.A_Expr(kind=kind, lexpr=left, rexpr=right) if kind in EQUAL and parse_tree.words(one.name) == ["="]:
            for side, other in ((left, right), (right, left)):
                for column, values in _pairs(side, other, source):
                    if all(_is_value(value, others) for value in values):
                        yield column
        case nodes.SubLink(sub_link_type=pb.ANY_SUBLINK, testexpr=side, subselect=nodes.SelectStmt() as query):
            if is_few(query):
                tested = side.args if isinstance(side, nodes.RowExpr) else (side,)
                yield from filter(None, (_column(part, source) for part in tested))


def _pairs(side: AstNode | None, other: AstNode | None, source: Source) -> Iterator[tuple[str, Sequence[AstNode]]]:
    """Yield the columns of a source at a side of a comparison, each with what it is compared with."""
    compared = other.items if isinstance(other, nodes.List) else [other] if other is not None else []
    if isinstance(side, nodes.RowExpr):
        rows = [one.args for one in compared if isinstance(one, nodes.RowExpr)]
        if len(rows) == len(compared):
            for place, part in enumerate(side.args):
                column = _column(part, source)
                if column is not None:
                    yield column, [row[place] for row in rows if place < len(row)]
    elif (column := _column(side, source)) is not None and compared:
        yield column, compared


def _is_value(node: AstNode, others: Sequence[Source]) -> bool:
    """Return whether an expression has one value for each row of the sources with few rows, or a short list."""
    return is_fixed(node) or not any(_is_of(one, others) for one in parse_tree.walk(node, nodes.ColumnRef))


def _is_of(reference: nodes.ColumnRef, sources: Sequence[Source]) -> bool:
    """Return whether a column may be one of these sources; one of nobody is a variable of a block."""
    texts = parse_tree.words(reference.fields)
    if len(texts) != 1 or len(reference.fields) != 1:
        return any(not one.names.isdisjoint(texts[:-1] or texts) for one in sources)
    (name,) = texts
    return any(one.table is None or name in one.table.columns or name in {*one.names, CTID} for one in sources)


def _column(node: AstNode | None, source: Source) -> str | None:
    match node:
        case nodes.ColumnRef(fields=fields):
            texts = parse_tree.words(fields)
            is_its = texts[-2] in source.names if len(texts) > 1 else _is_of(node, [source])
            return texts[-1] if is_its else None
    return None


def _ranged(parts: Sequence[AstNode], source: Source) -> set[str]:
    """Return the columns that a condition keeps between two numbers, of which a key has few values."""
    lows: dict[str, int] = {}
    highs: dict[str, int] = {}
    for one in parts:
        for column, operator, number in _compared(one, source):
            ends = lows if operator.startswith(">") else highs
            ends[column] = number
    return {column for column in lows.keys() & highs.keys() if highs[column] - lows[column] < LARGE_ROWS}


def _compared(one: AstNode, source: Source) -> Iterator[tuple[str, str, int]]:
    """Yield the column, the operator and the number of a comparison, two for BETWEEN."""
    compared: list[tuple[AstNode | None, str, AstNode | None]]
    match one:
        case nodes.A_Expr(kind=pb.AEXPR_BETWEEN, lexpr=side, rexpr=nodes.List(items=[low, high])):
            compared = [(side, ">=", low), (side, "<=", high)]
        case nodes.A_Expr(kind=pb.AEXPR_OP, name=name, lexpr=side, rexpr=other):
            compared = [(side, parse_tree.words(name)[-1], other)]
        case _:
            return
    for side, operator, other in compared:
        column, number = _column(side, source), parse_tree.integer(other)
        if column is not None and number is not None and operator in (">", ">=", "<", "<="):
            yield column, operator, number


def is_fixed(node: AstNode) -> bool:
    """Return whether an expression has no column outside of a subquery for one value, or for a short list of them."""
    match node:
        case nodes.SubLink(sub_link_type=pb.EXPR_SUBLINK):
            return True
        case nodes.SubLink(subselect=nodes.SelectStmt(limit_count=limit)):
            return is_short(limit)
        case nodes.List(items=items):
            return all(map(is_fixed, items))
        case nodes.TypeCast(arg=inner) if inner is not None:
            return is_fixed(inner)
    return not any(parse_tree.walk(node, nodes.ColumnRef, nodes.SubLink))


def is_short(limit: AstNode | None) -> bool:
    """Return whether a LIMIT is a small number."""
    number = parse_tree.integer(limit)
    return number is not None and number < LARGE_ROWS
