"""Which rows a statement reads or writes: few, which its text names, those of a condition, or all."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint import below, parse_tree
from runner.lint.report import LARGE_ROWS
from runner.lint.tables import Table, Tables

Write = nodes.DeleteStmt | nodes.InsertStmt | nodes.MergeStmt | nodes.UpdateStmt
"""A statement, or a part of WITH, that writes rows."""
Named = Mapping[str, AstNode | None]
"""The parts of WITH by their names."""
EQUAL = (pb.AEXPR_OP, pb.AEXPR_IN, pb.AEXPR_OP_ANY)
CTID = "ctid"
"""The column of each table that has the place of the row: https://www.postgresql.org/docs/current/ddl-system-columns.html"""


def writes(node: AstNode | None) -> Iterator[Write]:
    """Yield the writes of rows in a statement, those in its WITH included."""
    match node:
        case (
            nodes.DeleteStmt() | nodes.InsertStmt() | nodes.MergeStmt() | nodes.UpdateStmt() | nodes.SelectStmt()
            | nodes.CreateTableAsStmt() | nodes.ExplainStmt()
        ):  # fmt: skip
            found = parse_tree.walk(node, nodes.DeleteStmt, nodes.InsertStmt, nodes.MergeStmt, nodes.UpdateStmt)
            yield from (one for one in found if isinstance(one, Write))


def target(write: Write, tables: Tables) -> Table | None:
    """Return the table of a write, None where nothing is known of it."""
    relation = write.relation
    return below.reached(relation, tables) if isinstance(relation, nodes.RangeVar) else None


def sources(write: Write, tables: Tables) -> list[Table]:
    """Return the tables of the database that a write reads, its target only where it is read again."""
    named = {one.ctename for one in parse_tree.walk(write, nodes.CommonTableExpr)}
    relations = (one for one in parse_tree.walk(write, nodes.RangeVar) if one != write.relation)
    names = (parse_tree.name(one) for one in relations if one.schemaname or one.relname not in named)
    return [one for one in below.read(tuple(dict.fromkeys(names)), write, tables) if one.origin is not None]


def is_of_all(condition: AstNode | None, table: Table) -> bool:
    """Return whether a condition is true for each row of a table."""
    match condition:
        case nodes.NullTest(nulltesttype=pb.IS_NOT_NULL, arg=nodes.ColumnRef(fields=fields)):
            return parse_tree.words(fields)[-1] in table.proven
        case nodes.BoolExpr(boolop=pb.OR_EXPR, args=args):
            return any(is_of_all(one, table) for one in args)
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            return all(is_of_all(one, table) for one in args)
        case nodes.A_Expr(
            kind=pb.AEXPR_OP, lexpr=nodes.ColumnRef(fields=fields) as left, rexpr=nodes.ColumnRef() as right
        ):
            is_itself = parse_tree.words(condition.name) == ["="] and parse_tree.same(left, right)
            return is_itself and parse_tree.words(fields)[-1] in table.proven
    return parse_tree.is_always_true(condition)


def are_few(node: AstNode, tables: Tables) -> bool:
    """Return whether the text of a statement bounds its rows: by values or a range of a key, LIMIT or VALUES."""
    named = {one.ctename: one.ctequery for one in parse_tree.walk(node, nodes.CommonTableExpr)}
    return _are_few(node, tables, named)


def _are_few(node: AstNode, tables: Tables, named: Named) -> bool:
    match node:
        case (
            nodes.UpdateStmt(where_clause=condition, from_clause=others)
            | nodes.DeleteStmt(where_clause=condition, using_clause=others)
        ):
            table = target(node, tables)
            return table is not None and _names_keys(condition, table, node.relation, others)
        case nodes.InsertStmt(select_stmt=nodes.SelectStmt() as query):
            return _are_few(query, tables, named)
        case nodes.MergeStmt(source_relation=source) if source is not None:
            has_all = any(
                one.match_kind == pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
                for one in node.merge_when_clauses
                if isinstance(one, nodes.MergeWhenClause)
            )
            is_short = isinstance(source, nodes.RangeSubselect) and (
                source.subquery is not None and _are_few(source.subquery, tables, named)
            )
            return (is_short or _is_written(source)) and not has_all
        case nodes.SelectStmt(values_lists=values, limit_count=limit, larg=left, rarg=right):
            if left is not None and right is not None:
                return _are_few(left, tables, named) and _are_few(right, tables, named)
            return bool(values) or _is_short(limit) or _reads_few(node, tables, named)
    return False


def _reads_few(query: nodes.SelectStmt, tables: Tables, named: Named) -> bool:
    match query.from_clause:
        case [nodes.RangeVar(schemaname="", relname=name)] if name in named:
            part = named[name]
            # within itself, its name is that of a table, or it is recursive and may have any number of rows
            others_named = {key: one for key, one in named.items() if key != name}
            return part is not None and _are_few(part, tables, others_named)
        case [nodes.RangeVar() as relation, *others]:
            table = tables.find(parse_tree.name(relation))
            return table is not None and _names_keys(query.where_clause, table, relation, others)
    return all(map(_is_written, query.from_clause))


def _names_keys(
    condition: AstNode | None, table: Table, relation: nodes.RangeVar | None, others: Sequence[AstNode]
) -> bool:
    """Return whether a condition gives values for a key of a table, which are in the text or from a list in it."""
    names = {table.name[1], relation.alias.aliasname if relation is not None and relation.alias is not None else ""}
    is_alone = all(map(_is_written, others))

    def is_value(node: AstNode) -> bool:
        # a column of nobody is a variable of a block
        own = any(_column(one, names) in table.columns for one in parse_tree.walk(node, nodes.ColumnRef))
        return _is_fixed(node) or (is_alone and not own)

    given = {column for one in _conjuncts(condition) for column in _given(one, names, is_value)}
    keys = (set(one.columns) for one in table.indexes.values() if one.unique and not one.partial and one.columns)
    is_current = any(isinstance(one, nodes.CurrentOfExpr) for one in _conjuncts(condition))
    ranged = _ranged(condition, names)
    return is_current or CTID in given or any("" not in key and (key <= given or key <= ranged) for key in keys)


def _ranged(condition: AstNode | None, names: set[str]) -> set[str]:
    """Return the columns that a condition keeps between two numbers, of which a key has few values."""
    lows: dict[str, int] = {}
    highs: dict[str, int] = {}
    for one in _conjuncts(condition):
        for column, operator, number in _compared(one, names):
            ends = lows if operator.startswith(">") else highs
            ends[column] = number
    return {column for column in lows.keys() & highs.keys() if highs[column] - lows[column] < LARGE_ROWS}


def _compared(one: AstNode, names: set[str]) -> Iterator[tuple[str, str, int]]:
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
        column, number = _column(side, names), parse_tree.integer(other)
        if column is not None and number is not None and operator in (">", ">=", "<", "<="):
            yield column, operator, number


def _conjuncts(condition: AstNode | None) -> Iterator[AstNode]:
    match condition:
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            for one in args:
                yield from _conjuncts(one)
        case None:
            return
        case _:
            yield condition


def _given(one: AstNode, names: set[str], is_value: Callable[[AstNode], bool]) -> Iterator[str]:
    """Yield the columns of the table for which a condition gives values."""
    match one:
        case nodes.A_Expr(kind=kind, lexpr=left, rexpr=right) if kind in EQUAL and parse_tree.words(one.name) == ["="]:
            for side, other in ((left, right), (right, left)):
                column = _column(side, names)
                if column is not None and other is not None and is_value(other):
                    yield column
        case nodes.SubLink(sub_link_type=pb.ANY_SUBLINK, testexpr=side, subselect=nodes.SelectStmt() as query):
            column = _column(side, names)
            if column is not None and (_is_short(query.limit_count) or bool(query.values_lists)):
                yield column


def _column(node: AstNode | None, names: set[str]) -> str | None:
    match node:
        case nodes.ColumnRef(fields=fields):
            texts = parse_tree.words(fields)
            return texts[-1] if len(texts) == 1 or texts[-2] in names else None
    return None


def _is_fixed(node: AstNode) -> bool:
    """Return whether an expression has no column outside of a subquery for one value, or for a short list of them."""
    match node:
        case nodes.SubLink(sub_link_type=pb.EXPR_SUBLINK):
            return True
        case nodes.SubLink(subselect=nodes.SelectStmt(limit_count=limit)):
            return _is_short(limit)
        case nodes.List(items=items):
            return all(map(_is_fixed, items))
        case nodes.TypeCast(arg=inner) if inner is not None:
            return _is_fixed(inner)
    return not any(parse_tree.walk(node, nodes.ColumnRef)) and not any(parse_tree.walk(node, nodes.SubLink))


def _is_short(limit: AstNode | None) -> bool:
    number = parse_tree.integer(limit)
    return number is not None and number < LARGE_ROWS


def _is_written(source: AstNode) -> bool:
    """Return whether the rows of an item of FROM are in the text."""
    match source:
        case nodes.RangeSubselect(subquery=nodes.SelectStmt() as query):
            return bool(query.values_lists) or (not query.from_clause and query.larg is None)
    return False
