"""A time-out of 0 lets a statement wait for a lock for any time, and the application's statements queue behind it.

The runner sets `lock_timeout` and `statement_timeout` for each statement. It keeps a lower value that a revision sets,
and sets a higher one back after the statement; inside a DO block or a function, the value counts until its end.
https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT
"""

import re
from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import code, parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision
from runner.results import Level

TIMEOUTS = ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "transaction_timeout")
BOUNDED = ("lock_timeout", "statement_timeout")
"""The time-outs that the runner sets itself."""
ZERO = re.compile(r"[+-]?0+(?:\.0*)?\s*[a-z]*", re.IGNORECASE)
RESET = (pb.VAR_RESET, pb.VAR_SET_DEFAULT)
REMEDY = "Leave it out: the runner sets both time-outs itself, and keeps a lower value only."
Value = str | None
"""The text of a value, `default` where it is reset, None where it is not a constant."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each time-out that a statement sets, also in the code of a block or function."""
    for statement in revision.statements:
        node = statement.node
        # the statements of a block are read with the block, of which they are a part
        if node is None or statement.in_block:
            continue
        trees = (node, *code.trees(node))
        settings = dict.fromkeys(found for tree in trees for found in _settings(tree))
        for name, value in settings:
            remedy = REMEDY if name in BOUNDED and _is_of_session(node) else "Leave the time-out as it is."
            yield Violation(_level(value), _message(name, value, _whose(node)), remedy, statement)


def _settings(tree: AstNode) -> Iterator[tuple[str, Value]]:
    for one in parse_tree.walk(tree, nodes.VariableSetStmt):
        if one.kind == pb.VAR_RESET_ALL:
            yield from ((name, "default") for name in BOUNDED)
        elif one.name.lower() in TIMEOUTS:
            yield one.name.lower(), "default" if one.kind in RESET else _constant(one.args[0] if one.args else None)
    for call in parse_tree.walk(tree, nodes.FuncCall):
        if parse_tree.words(call.funcname)[-1:] == ["set_config"] and len(call.args) == 3:
            name = (parse_tree.string(call.args[0]) or "").lower()
            if name in TIMEOUTS:
                yield name, _constant(call.args[1])


def _constant(node: AstNode | None) -> Value:
    match node:
        case nodes.TypeCast(arg=inner):
            return _constant(inner)
        case nodes.A_Const(val=nodes.Float(fval=value)):
            return str(value)
    number = parse_tree.integer(node)
    return parse_tree.string(node) if number is None else str(number)


def _level(value: Value) -> Level:
    if value is None or value == "default":
        return "warning"
    return "error" if ZERO.fullmatch(value.strip()) else "note"


def _is_of_session(node: AstNode) -> bool:
    return not isinstance(node, nodes.AlterRoleSetStmt | nodes.AlterDatabaseSetStmt | nodes.AlterSystemStmt)


def _whose(node: AstNode) -> str:
    match node:
        case nodes.AlterRoleSetStmt(role=nodes.RoleSpec(rolename=role)) if role:
            return f" for each new session of the role `{role}`"
        case nodes.AlterRoleSetStmt():
            return " for each new session of every role"
        case nodes.AlterDatabaseSetStmt(dbname=database):
            return f" for each new session in the database `{database}`"
        case nodes.AlterSystemStmt():
            return " for the whole server"
        case nodes.CreateFunctionStmt() | nodes.AlterFunctionStmt():
            return " for each call of the function"
        case nodes.DoStmt():
            return " for the rest of the block"
    return ""


def _message(name: str, value: Value, whose: str) -> str:
    if value is None:
        return f"It sets `{name}`{whose} to a value that is not known beforehand."
    if value == "default":
        return f"It sets `{name}`{whose} back to the default, which is no time-out unless the server is configured."
    if _level(value) == "error":
        return f"It removes `{name}`{whose}: nothing ends what waits or runs too long, and others queue behind it."
    return f"It sets `{name}`{whose} to `{value}`."


RULE = Rule(
    id="sets-timeout",
    levels="An error for 0, a warning for a reset and for a value that is not known, a note for a finite one.",
    find=find,
    bad=(
        'op.execute("set lock_timeout = 0")',
        "op.execute(\"SET LOCAL statement_timeout TO '0s'\")",
        "op.execute(\"select pg_catalog.set_config('LOCK_timeout', 0::text, false)\")",
        'op.execute("do $$ begin set lock_timeout = 0; end $$")',
        "op.execute(\"do $$ declare t text; begin t := set_config('lock_timeout', '0', true); end $$\")",
        "op.execute(\"do $$ begin execute 'set statement_timeout = 0'; end $$\")",
        "op.execute(\"create function f() returns text language sql as 'select set_config(''lock_timeout'', ''0'', "
        "true)'\")",
        "op.execute(\"create function f() returns int language sql set statement_timeout = 0 as 'select 1'\")",
        "op.execute(\"alter function rank_of(bigint) set lock_timeout to '0ms'\")",
        'op.execute("alter role current_user set idle_in_transaction_session_timeout = 0")',
        'op.execute("reset lock_timeout")',
        'op.execute("reset all")',
    ),
    safe=(
        "op.execute(\"set local lock_timeout = '1s'\")",
        'op.execute("set session statement_timeout = 60000")',
        "op.execute(\"select 'set lock_timeout = 0'\")",
        "op.execute(\"comment on table items is 'select set_config(''lock_timeout'', ''0'', false)'\")",
        "op.execute(\"set local work_mem = '64MB'\")",
    ),
)
