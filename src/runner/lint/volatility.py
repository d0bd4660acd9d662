"""What gives a new column another value in each row, so that the rows that are there are written."""

from collections.abc import Callable, Iterable

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint import code, domains, parse_tree
from runner.lint.statement import Database, Revision, Statement
from runner.postgres.sql import Name

# pg_proc.provolatile = 'v', of what can stand in a default
BUILT_IN = frozenset({
    "array_sample", "array_shuffle", "clock_timestamp", "current_query", "currval", "gen_random_uuid", "lastval",
    "nextval", "random", "random_normal", "set_config", "setval", "timeofday", "uuidv4", "uuidv7",
})  # fmt: skip
# pgcrypto, uuid-ossp, pg_uuidv7 and their like; the functions of extensions are not in the catalog
OF_EXTENSIONS = frozenset({
    "gen_random_bytes", "gen_salt", "gen_ulid", "nanoid", "ulid_generate", "uuid_generate_v1", "uuid_generate_v1mc",
    "uuid_generate_v4", "uuid_generate_v7", "uuid_v7", "uuidv7_sub_ms",
})  # fmt: skip
Define = Callable[[Name], nodes.CreateFunctionStmt | None]
VIRTUAL = "v"


def cause(column: nodes.ColumnDef, revision: Revision, statement: Statement) -> str | None:
    """Return what makes PostgreSQL write each row, None where nothing does."""
    parts = {one.contype: one for one in column.constraints if isinstance(one, nodes.Constraint)}
    if pb.CONSTR_IDENTITY in parts:
        return "an identity"
    if pb.CONSTR_GENERATED in parts:
        return None if parts[pb.CONSTR_GENERATED].generated_kind == VIRTUAL else "a generated value that is stored"
    default = parts[pb.CONSTR_DEFAULT].raw_expr if pb.CONSTR_DEFAULT in parts else None
    if default is None and pb.CONSTR_DEFAULT not in parts:
        domain = revision.domains(statement).get(domains.named(parse_tree.read_type(column.type_name)))
        default = domain.default if domain is not None else None
    if default is not None and is_volatile(default, revision.database, statement.defined):
        return f"the volatile default `{parse_tree.expression_text(default)}`"
    return None


def is_volatile(expression: AstNode, database: Database, before: Iterable[AstNode | None]) -> bool:
    """Return whether an expression calls a volatile function; `before` are the plan's statements before it."""
    made = {parse_tree.parts_name(one.funcname): one for one in before if isinstance(one, nodes.CreateFunctionStmt)}

    def define(name: Name) -> nodes.CreateFunctionStmt | None:
        return made.get(name) or _definition(database.functions.get(name))

    return _calls_volatile(expression, define, frozenset())


def _calls_volatile(expression: AstNode, define: Define, callers: frozenset[Name]) -> bool:
    called = (parse_tree.words(one.funcname) for one in parse_tree.walk(expression, nodes.FuncCall))
    return any(_is_volatile(words, define, callers) for words in called)


def _is_volatile(words: list[str], define: Define, callers: frozenset[Name]) -> bool:
    schema = words[-2] if len(words) > 1 else ""
    name = schema or "public", words[-1]
    node = define(name) if schema != "pg_catalog" else None
    if node is None:
        return words[-1] in BUILT_IN | OF_EXTENSIONS
    option = parse_tree.option(node.options, "volatility")
    declared = parse_tree.words([option.arg]) if option is not None and option.arg is not None else ["volatile"]
    if declared != ["volatile"]:
        return False
    query = _inlined(node)
    # PostgreSQL does not inline a function into itself
    return query is None or name in callers or _calls_volatile(query, define, callers | {name})


def _definition(text: str | None) -> nodes.CreateFunctionStmt | None:
    try:
        (node,) = parse_tree.parse(text) if text else (None,)
    except (postgast.PgQueryError, ValueError):
        return None
    return node if isinstance(node, nodes.CreateFunctionStmt) else None


def _inlined(node: nodes.CreateFunctionStmt) -> AstNode | None:
    """Return the value of a function in SQL that is one SELECT, with which PostgreSQL replaces the call."""
    written = code.body(node)
    if written is None or written[0] != "sql":
        return None
    try:
        found = parse_tree.parse(written[1])
    except (postgast.PgQueryError, ValueError):
        return None
    match found:
        case (nodes.SelectStmt(target_list=[nodes.ResTarget(val=value)], from_clause=[]),):
            return value
    return None
