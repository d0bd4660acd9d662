"""Without their triggers, foreign keys are not enforced: rows that break them are written, and stay unchecked.

`session_replication_role = replica` turns the triggers of all tables off, DISABLE TRIGGER ALL those of one table. A
constraint stays valid in the catalog. Rows that are written in an order that keeps the foreign keys, or with the
constraint DEFERRABLE, need neither.
https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import code, parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name

SETTING = "session_replication_role"
SYSTEM = "RI_ConstraintTrigger_"
"""How PostgreSQL begins the names of the triggers of foreign keys."""
ENABLING = (
    pb.AT_EnableTrig, pb.AT_EnableTrigAll, pb.AT_EnableTrigUser, pb.AT_EnableAlwaysTrig,
)  # fmt: skip


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that turns triggers off."""
    enabled = _enabled(revision)
    for place, statement in enumerate(revision.statements):
        node = statement.node
        if node is None:
            continue
        # the statements of a block are read with the block
        if not statement.in_block and any(_is_replica(tree) for tree in (node, *code.trees(node))):
            message = "It turns off all triggers, so foreign keys are not enforced for the rows that are written then."
            yield Violation("error", message, "Write the rows in the order of their foreign keys.", statement)
        table = statement.table
        if table is not None and table.origin is not None:
            is_enabled_again = statement.in_transaction and enabled.get(table.origin, 0) > place
            yield from _disabled(node, table, statement, is_enabled_again=is_enabled_again)


def _is_replica(tree: AstNode) -> bool:
    for one in parse_tree.walk(tree, nodes.VariableSetStmt):
        if one.name.lower() == SETTING and one.args and (parse_tree.string(one.args[0]) or "").lower() == "replica":
            return True
    for call in parse_tree.walk(tree, nodes.FuncCall):
        if parse_tree.words(call.funcname)[-1:] == ["set_config"] and len(call.args) == 3:
            name, value = (parse_tree.string(one) or "" for one in call.args[:2])
            if (name.lower(), value.lower()) == (SETTING, "replica"):
                return True
    return False


def _disabled(node: AstNode, table: Table, statement: Statement, *, is_enabled_again: bool) -> Iterator[Violation]:
    name = shown(table.name)
    for one in parse_tree.commands(node, pb.AT_DisableTrig, pb.AT_DisableTrigAll, pb.AT_DisableTrigUser):
        if one.subtype == pb.AT_DisableTrigAll or one.name.startswith(SYSTEM):
            message = f"Foreign keys of and to `{name}` are not enforced for the rows that are written from now on."
            remedy = "Write the rows in the order of their foreign keys, or disable the triggers of `USER` only."
            yield Violation("error", message, remedy, statement, table)
        elif not is_enabled_again:
            what = f"the trigger `{one.name}`" if one.name else "each trigger"
            message = f"After the commit, the application writes to `{name}` without {what}."
            yield Violation("warning", message, "Enable it again in the same revision.", statement, table)


def _enabled(revision: Revision) -> dict[Name, int]:
    """Return where the triggers of each table of the database are enabled last.

    Nobody else sees them off before: until its commit, a transaction that disables them blocks writes.
    """
    return {
        one.table.origin: place
        for place, one in enumerate(revision.statements)
        if one.table is not None and one.table.origin is not None and any(parse_tree.commands(one.node, *ENABLING))
    }


RULE = Rule(
    id="replication-role",
    levels="An error; a warning for triggers of the project's own that stay off.",
    find=find,
    bad=(
        'op.execute("set session_replication_role = replica")',
        "op.execute(\"SET LOCAL Session_Replication_Role TO 'replica'\")",
        "op.execute(\"select set_config('session_replication_role', 'replica', true)\")",
        'op.execute("do $$ begin set session_replication_role = replica; end $$")',
        'op.execute("alter role current_user set session_replication_role = replica")',
        'op.execute("alter table items disable trigger all")',
        'op.execute("alter table items disable trigger all; alter table items enable trigger all")',
        'op.execute("ALTER TABLE ONLY items DISABLE TRIGGER USER")',
        'op.execute("alter table items disable trigger items_touch")',
    ),
    safe=(
        'op.execute("set local session_replication_role = origin")',
        'op.execute("alter table items disable trigger items_touch")\n'
        "op.execute(\"update items set note = 'x' where id = 1\")\n"
        'op.execute("alter table items enable trigger items_touch")',
        'op.execute("create table fresh (n int)")\nop.execute("alter table fresh disable trigger all")',
    ),
)
