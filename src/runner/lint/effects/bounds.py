"""Which rows a statement reads or writes: few, which its text names, those of a condition, or all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.effects import joins
from runner.lint.effects.joins import Source
from runner.lint.parsing import clauses, parse_tree
from runner.lint.report import LARGE_ROWS
from runner.lint.state import below
from runner.lint.state.tables import Table, Tables

Write = nodes.DeleteStmt | nodes.InsertStmt | nodes.MergeStmt | nodes.UpdateStmt
"""A statement, or a part of WITH, that writes rows."""
Named = Mapping[str, AstNode | None]
"""The parts of WITH by their names."""
Count = Callable[[Table], int | None]
"""Returns the rows of a table of the database, None where they are not known."""
# what makes a row of each part of one argument
LISTING = frozenset({
    "json_array_elements", "json_array_elements_text", "json_to_recordset", "jsonb_array_elements",
    "jsonb_array_elements_text", "jsonb_to_recordset", "regexp_split_to_table", "string_to_table", "unnest",
})  # fmt: skip
WRITTEN = (pb.CMD_DELETE, pb.CMD_UPDATE)


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
            is_itself = parse_tree.words(condition.name) == ["="] and clauses.same(left, right)
            return is_itself and parse_tree.words(fields)[-1] in table.proven
    return clauses.is_always_true(condition)


def are_few(node: AstNode, tables: Tables, count: Count = lambda _: None) -> bool:
    """Return whether the text of a statement bounds its rows: by values or a range of a key, LIMIT or VALUES.

    So does a join by a key with rows that are bounded, or with a table that has few by `count`.
    """
    named = {one.ctename: one.ctequery for one in parse_tree.walk(node, nodes.CommonTableExpr)}
    return _Bounds(tables, named, count).are_few(node)


@dataclass(frozen=True)
class _Bounds:
    """What the parts of a statement are judged by."""

    tables: Tables
    named: Named
    count: Count

    def are_few(self, node: AstNode | None) -> bool:
        match node:
            case (
                nodes.UpdateStmt(where_clause=condition, from_clause=others)
                | nodes.DeleteStmt(where_clause=condition, using_clause=others)
            ):
                return node.relation is not None and self._is_reached(node.relation, others, condition)
            case nodes.InsertStmt(select_stmt=nodes.SelectStmt() as query):
                return self.are_few(query)
            case nodes.MergeStmt():
                return self._merges_few(node)
            case nodes.SelectStmt(values_lists=values, limit_count=limit, larg=left, rarg=right):
                if left is not None and right is not None:
                    return self.are_few(left) and self.are_few(right)
                return bool(values) or joins.is_short(limit) or self._reads_few(node)
        return False

    def _merges_few(self, node: nodes.MergeStmt) -> bool:
        """Return whether a MERGE writes few rows: by a key those that match, and of few rows those that do not."""
        clauses = [one for one in node.merge_when_clauses if isinstance(one, nodes.MergeWhenClause)]
        if node.relation is None or node.source_relation is None:
            return False
        if any(one.match_kind == pb.MERGE_WHEN_NOT_MATCHED_BY_SOURCE for one in clauses):
            return False
        writes_matched = any(one.command_type in WRITTEN for one in clauses)
        inserts = any(one.command_type == pb.CMD_INSERT for one in clauses)
        return (not inserts or self._have_few([node.source_relation], None)) and (
            not writes_matched or self._is_reached(node.relation, [node.source_relation], node.join_condition)
        )

    def _is_reached(self, relation: nodes.RangeVar, others: Sequence[AstNode], condition: AstNode | None) -> bool:
        """Return whether a condition gives a key of the table that is written, from the text or from few rows."""
        sources, parts = self._joined(others, condition)
        target = replace(self._of_table(relation), is_few=False)
        if 0 in joins.few([target, *sources], parts, self.are_few):
            return True
        # of those for which another row exists
        for one in parts:
            match one:
                case nodes.SubLink(
                    sub_link_type=pb.EXISTS_SUBLINK,
                    subselect=nodes.SelectStmt(from_clause=inner, where_clause=where),
                ):
                    more, within = self._joined(inner, where)
                    qualified = [part for part in within if _is_qualified(part)]
                    names = target.names.union(*(source.names for source in sources))
                    is_apart = all(names.isdisjoint(source.names) for source in more)
                    if is_apart and 0 in joins.few([target, *sources, *more], [*parts, *qualified], self.are_few):
                        return True
        return False

    def _reads_few(self, query: nodes.SelectStmt) -> bool:
        return self._have_few(query.from_clause, query.where_clause)

    def _have_few(self, items: Sequence[AstNode], condition: AstNode | None) -> bool:
        sources, parts = self._joined(items, condition)
        return len(joins.few(sources, parts, self.are_few)) == len(sources)

    def _joined(self, items: Sequence[AstNode], condition: AstNode | None) -> tuple[list[Source], list[AstNode]]:
        """Return the sources of a FROM, and the parts of its condition with those of its joins."""
        sources: list[Source] = []
        parts = list(joins.conjuncts(condition))
        for item in items:
            self._flatten(item, sources, parts)
        # a join of several small tables may have any number of rows
        small = [one for one in sources if one.is_few and one.table is not None]
        many = prod(self.count(one.table) or 1 for one in small if one.table is not None) >= LARGE_ROWS
        return [replace(one, is_few=False) if many and one in small else one for one in sources], parts

    def _flatten(self, item: AstNode, sources: list[Source], parts: list[AstNode]) -> None:
        match item:
            case nodes.JoinExpr(jointype=pb.JOIN_INNER, is_natural=False, using_clause=[], alias=None) if (
                item.larg is not None and item.rarg is not None
            ):
                self._flatten(item.larg, sources, parts)
                self._flatten(item.rarg, sources, parts)
                parts += joins.conjuncts(item.quals)
            case nodes.RangeVar():
                sources.append(self._of_table(item))
            case _:
                names = (one.aliasname for one in parse_tree.walk(item, nodes.Alias))
                tables = (one.relname for one in parse_tree.walk(item, nodes.RangeVar))
                sources.append(Source(frozenset((*names, *tables)), None, self._is_bounded(item)))

    def _of_table(self, relation: nodes.RangeVar) -> Source:
        names = frozenset((relation.relname, relation.alias.aliasname if relation.alias is not None else ""))
        if not relation.schemaname and relation.relname in self.named:
            # within itself, its name is that of a table, or it is recursive and may have any number of rows
            others = {key: one for key, one in self.named.items() if key != relation.relname}
            return Source(names, None, replace(self, named=others).are_few(self.named[relation.relname]))
        table = below.reached(relation, self.tables)
        # a view may have many more rows than the tables below it
        is_counted = table is not None and table.origin is not None and table.kind != "view"
        rows = self.count(table) if table is not None and is_counted else None
        return Source(names, table, rows is not None and rows < LARGE_ROWS)

    def _is_bounded(self, item: AstNode) -> bool:
        match item:
            case nodes.RangeSubselect(subquery=nodes.SelectStmt() as query):
                return self.are_few(query)
            case nodes.RangeFunction():
                calls = list(parse_tree.walk(item, nodes.FuncCall))
                return bool(calls) and all(map(_is_short_list, calls))
        return False


def _is_short_list(call: nodes.FuncCall) -> bool:
    """Return whether a function makes rows of a list that is in the text, or of few numbers."""
    name = parse_tree.words(call.funcname)[-1]
    if name == "generate_series":
        numbers = [parse_tree.integer(one) for one in call.args]
        low, high = numbers[:2] if len(numbers) > 1 else (None, None)
        return low is not None and high is not None and high - low < LARGE_ROWS
    return name in LISTING and not any(parse_tree.walk(call, nodes.ColumnRef, nodes.SubLink))


def _is_qualified(condition: AstNode) -> bool:
    """Return whether each column has the name of its table: without one, it is that of the innermost query."""
    return all(len(one.fields) > 1 for one in parse_tree.walk(condition, nodes.ColumnRef))
