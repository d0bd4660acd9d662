"""The code of a DO block or a function: its language, and the statements in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import postgast
from postgast import nodes
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree

STATEMENTS = frozenset({"PLpgSQL_stmt_execsql", "PLpgSQL_stmt_perform", "PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_fors"})
LOOPS = frozenset({
    "PLpgSQL_stmt_dynfors", "PLpgSQL_stmt_foreach_a", "PLpgSQL_stmt_forc", "PLpgSQL_stmt_fori", "PLpgSQL_stmt_fors",
    "PLpgSQL_stmt_loop", "PLpgSQL_stmt_while",
})  # fmt: skip
ENDS = {"PLpgSQL_stmt_commit": "commit", "PLpgSQL_stmt_rollback": "rollback"}


def body(node: AstNode) -> tuple[str, str] | None:
    """Return the language and the text of a DO block's or a function's code.

    None for any other statement, and for a function whose body is SQL in its tree (RETURN, BEGIN ATOMIC).
    """
    match node:
        case nodes.DoStmt(args=options) | nodes.CreateFunctionStmt(options=options):
            code, language = parse_tree.option(options, "as"), parse_tree.option(options, "language")
            if code is None or code.arg is None:
                return None
            texts = parse_tree.words([code.arg])
            named = parse_tree.words([language.arg]) if language is not None and language.arg is not None else []
            # the default of DO: https://www.postgresql.org/docs/current/sql-do.html
            return (named[0].lower() if named else "plpgsql"), (texts[0] if texts else "")
    return None


@dataclass(frozen=True)
class Body:
    """The statements in a block of PL/pgSQL."""

    statements: tuple[str, ...]
    is_whole: bool
    """Whether these are all: not where EXECUTE runs a text that is put together."""
    loops: bool
    """Whether some of them may run several times."""


def read(written: str) -> Body:
    """Return the statements of a DO block's PL/pgSQL, COMMIT and ROLLBACK included.

    Raises `postgast.PgQueryError`, `ValueError` and `parse_tree.TooDeep`.
    """
    found: list[str] = []
    whole, loops = True, False
    # by itself: the text that it stands in may have other blocks, and functions that libpg_query aborts at
    for kind, part in _parts(_plpgsql(f"do {_quoted(written)}")):
        loops = loops or kind in LOOPS
        if kind in ENDS:
            found.append(ENDS[kind])
        query = part.get("sqlstmt") or part.get("expr") or part.get("query")
        sent = query["PLpgSQL_expr"]["query"] if isinstance(query, dict) and "PLpgSQL_expr" in query else None
        if sent is None:
            continue
        if kind == "PLpgSQL_stmt_dynexecute":
            constant = _constant(sent)
            whole = whole and constant is not None
            sent = constant
        if sent is not None and kind in STATEMENTS:
            found.append(sent)
    return Body(tuple(found), whole, loops)


def trees(node: AstNode) -> Iterator[AstNode]:
    """Yield the trees of all SQL in a DO block or a function, expressions included; nothing of what cannot be read.

    What is a part of the statement's own tree is left out.
    """
    found = body(node)
    if found is None:
        return
    language, written = found
    queries = [written] if language == "sql" else []
    if language == "plpgsql":
        queries = [str(part["query"]) for kind, part in _parts(_read_plpgsql(node, written)) if kind == "PLpgSQL_expr"]
    for query in queries:
        yield from _trees(query)


def statements(node: nodes.CreateFunctionStmt) -> tuple[AstNode, ...]:
    """Return the statements of a function in SQL, whether they are a text or a part of its tree; none of others."""
    match node.sql_body:
        case nodes.List(items=[nodes.List(items=items)]):
            return tuple(items)
        case nodes.ReturnStmt() as result:
            return (result,)
    found = body(node)
    if found is None or found[0] != "sql":
        return ()
    try:
        return parse_tree.parse(found[1])
    except (postgast.PgQueryError, ValueError):
        return ()


def _plpgsql(text: str) -> Any:
    """Return the tree of the PL/pgSQL in a text. Raises `postgast.PgQueryError` and `ValueError`."""
    try:
        return postgast.parse_plpgsql(text)
    except RecursionError as error:
        raise parse_tree.TooDeep from error


def _quoted(written: str) -> str:
    tag = next(tag for number in count() if (tag := f"$runner{number}$") not in written)
    return f"{tag}{written}{tag}"


def _read_plpgsql(node: AstNode, written: str) -> Any:
    """Return the tree of a block or a function, or of a function with the same code; empty where neither is read."""
    # the code of a trigger's function is not read as such, nor that of one with a type in a schema
    other = f"create function f(new record, old record) returns record language plpgsql as {_quoted(written)}"
    for text in (
        f"do {_quoted(written)}" if isinstance(node, nodes.DoStmt) else parse_tree.statement_text(node),
        other,
    ):
        try:
            return _plpgsql(text)
        except (postgast.PgQueryError, ValueError):
            continue
    return []


def _trees(query: str) -> Iterator[AstNode]:
    """Yield the trees of a statement or an expression, and of the statement that a constant text is."""
    # an assignment has its variable before the expression
    for text in (query, f"select {query}", f"select {query.partition(':=')[2]}"):
        try:
            trees = parse_tree.parse(text)
        except (postgast.PgQueryError, ValueError):
            continue
        yield from trees
        constant = _constant(query) if text != query else None
        if constant is not None:
            yield from _trees(constant)
        return


def _parts(tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts of PL/pgSQL's tree, which is nested dictionaries of one key, its kind."""
    # without recursion, which ends before the depth that JSON may have
    left: list[tuple[str, Any]] = [("", tree)]
    while left:
        kind, part = left.pop()
        if kind and isinstance(part, dict):
            yield kind, part
        match part:
            case list():
                left.extend(("", one) for one in reversed(part))
            case dict():
                left.extend(reversed(part.items()))


def _constant(expression: str) -> str | None:
    """Return the text that an expression is, None where it is put together."""
    try:
        (tree,) = parse_tree.parse(f"select {expression}")
    except (postgast.PgQueryError, ValueError):
        return None
    target = next(parse_tree.walk(tree, nodes.ResTarget), None)
    return parse_tree.string(target.val) if target is not None else None
