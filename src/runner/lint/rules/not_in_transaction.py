"""What PostgreSQL cannot roll back, or what commits in the middle, fails in a transaction: nothing is applied.

In an autocommit block of a revision of its own it runs by itself. A block of code is always a transaction. What
concerns the whole server or database belongs to who administers it, not to a migration.
https://www.postgresql.org/docs/current/sql-vacuum.html, and the notes of each of the other commands
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building, instead
from runner.lint.rule import Rule, Violation, call
from runner.lint.state.statement import Revision, Statement

REINDEX = {
    pb.REINDEX_OBJECT_DATABASE: "REINDEX DATABASE", pb.REINDEX_OBJECT_SCHEMA: "REINDEX SCHEMA",
    pb.REINDEX_OBJECT_SYSTEM: "REINDEX SYSTEM",
}  # fmt: skip
SUBSCRIPTIONS = {
    pb.ALTER_SUBSCRIPTION_REFRESH, pb.ALTER_SUBSCRIPTION_SET_PUBLICATION, pb.ALTER_SUBSCRIPTION_ADD_PUBLICATION,
    pb.ALTER_SUBSCRIPTION_DROP_PUBLICATION,
}  # fmt: skip
ALONE = "Run it in an autocommit block of a revision of its own."
BY_HAND = "Leave it out of the migrations: whoever administers the server runs it."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that fails in the transaction in which it runs."""
    for statement in revision.statements:
        if not statement.in_transaction or statement.node is None:
            continue
        what = _refused(statement.node, statement, revision.database.major_version)
        if statement.in_block and revision.rendered.transactional:
            what = what or _ended(statement.node)
        if what is None:
            continue
        is_ours = not isinstance(statement.node, BY_OTHERS)
        where = "a block of code that runs in a transaction" if statement.in_block else "a transaction"
        message = f"`{what}` fails: it cannot run in {where}."
        yield Violation("error", message, ALONE if is_ours else BY_HAND, statement, None, _instead(statement, is_ours))


BY_OTHERS = (
    nodes.AlterSystemStmt, nodes.CreatedbStmt, nodes.DropdbStmt, nodes.CreateTableSpaceStmt, nodes.DropTableSpaceStmt,
    nodes.AlterDatabaseStmt, nodes.CreateSubscriptionStmt, nodes.DropSubscriptionStmt, nodes.AlterSubscriptionStmt,
    nodes.DiscardStmt,
)  # fmt: skip


def _refused(node: AstNode, statement: Statement, version: int) -> str | None:  # noqa: C901 - a case for each command
    """Return the command that PostgreSQL refuses in a transaction, None for one that it accepts."""
    match node:
        case nodes.DropStmt(concurrent=True):
            # of a partitioned table it fails anywhere, which another rule says
            owners = [statement.before.with_index(name) for name in parse_tree.dropped(node)]
            is_whole = any(one is not None and one.is_partitioned for one in owners)
            return None if is_whole else "DROP INDEX CONCURRENTLY"
        case nodes.ReindexStmt(kind=kind, params=params):
            if parse_tree.is_on(params, "concurrently"):
                return "REINDEX CONCURRENTLY"
            return REINDEX.get(kind) or ("REINDEX" if _is_partitioned(node.relation, statement) else None)
        case nodes.AlterTableStmt():
            detached = (one.def_ for one in parse_tree.commands(node, pb.AT_DetachPartition))
            is_concurrent = any(isinstance(one, nodes.PartitionCmd) and one.concurrent for one in detached)
            return "DETACH PARTITION CONCURRENTLY" if is_concurrent else None
        case nodes.VacuumStmt(is_vacuumcmd=True):
            return "VACUUM FULL" if parse_tree.is_on(node.options, "full") else "VACUUM"
        case nodes.ClusterStmt(relation=relation):
            is_many = relation is None or _is_partitioned(relation, statement)
            return "CLUSTER" if is_many else None
        case nodes.CreatedbStmt():
            return "CREATE DATABASE"
        case nodes.DropdbStmt():
            return "DROP DATABASE"
        case nodes.AlterDatabaseStmt(options=options) if parse_tree.option(options, "tablespace") is not None:
            return "ALTER DATABASE SET TABLESPACE"
        case nodes.AlterSystemStmt():
            return "ALTER SYSTEM"
        case nodes.CreateTableSpaceStmt():
            return "CREATE TABLESPACE"
        case nodes.DropTableSpaceStmt():
            return "DROP TABLESPACE"
        case nodes.CreateSubscriptionStmt(options=options):
            # without a connection no slot is made either
            off = (one for one in ("connect", "create_slot") if parse_tree.option(options, one) is not None)
            return None if any(not parse_tree.is_on(options, one) for one in off) else "CREATE SUBSCRIPTION"
        case nodes.AlterSubscriptionStmt(kind=kind, options=options) if kind in SUBSCRIPTIONS:
            is_refreshed = parse_tree.option(options, "refresh") is None or parse_tree.is_on(options, "refresh")
            return "ALTER SUBSCRIPTION with a refresh" if is_refreshed else None
        case nodes.DropSubscriptionStmt(missing_ok=False):
            return "DROP SUBSCRIPTION"
        case nodes.AlterEnumStmt(old_val="", new_val=value) if value and version < 12:
            return "ALTER TYPE ADD VALUE"
        case nodes.DiscardStmt(target=pb.DISCARD_ALL):
            return "DISCARD ALL"
        case nodes.TransactionStmt(kind=pb.TRANS_STMT_COMMIT_PREPARED):
            return "COMMIT PREPARED"
        case nodes.TransactionStmt(kind=pb.TRANS_STMT_ROLLBACK_PREPARED):
            return "ROLLBACK PREPARED"
    return None


def _ended(node: AstNode) -> str | None:
    """Return what ends a transaction, which a block may only do that is a transaction of its own."""
    match node:
        case nodes.TransactionStmt(kind=pb.TRANS_STMT_COMMIT):
            return "COMMIT"
        case nodes.TransactionStmt(kind=pb.TRANS_STMT_ROLLBACK):
            return "ROLLBACK"
    return None


def _is_partitioned(relation: nodes.RangeVar | None, statement: Statement) -> bool:
    if relation is None:
        return False
    name = parse_tree.name(relation)
    table = statement.before.find(name) or statement.before.with_index(name)
    return table is not None and table.is_partitioned


def _instead(statement: Statement, is_ours: bool) -> tuple[str, ...]:
    node = statement.node
    match node:
        case nodes.DropStmt():
            schema, name = parse_tree.dropped(node)[0]
            return (call("drop_index_concurrently", name, schema=schema),)
        # what rewrites a table blocks it there as well
        case nodes.VacuumStmt(options=options) if parse_tree.is_on(options, "full"):
            return ()
        case nodes.ReindexStmt(kind=kind) if kind != pb.REINDEX_OBJECT_SYSTEM:
            return (building.reindexed(node),)
        case nodes.AlterTableStmt():
            return (building.detached(node),)
        case nodes.VacuumStmt():
            return (instead.committed_each(instead.executed(parse_tree.statement_text(node))),)
    return ()


RULE = Rule(
    id="not-in-transaction",
    levels="An error.",
    find=find,
    bad=(
        'op.drop_index("items_name", "items", postgresql_concurrently=True)',
        'op.execute("drop index concurrently if exists \\"items_name\\"")',
        'op.execute("REINDEX (CONCURRENTLY) TABLE items")',
        'op.execute("reindex index concurrently items_name")',
        'op.execute("reindex schema archive")',
        'op.execute("reindex table events")',
        'op.execute("alter table events detach partition events_2025 concurrently")',
        'op.execute("vacuum items")',
        'op.execute("vacuum (full, analyze) items")',
        'op.execute("cluster")',
        'op.execute("create database other")',
        'op.execute("drop database if exists other")',
        "op.execute(\"alter system set work_mem = '8MB'\")",
        "op.execute(\"create tablespace fast location '/fast'\")",
        "op.execute(\"create subscription s connection 'host=x' publication p\")",
        'op.execute("drop subscription s")',
        'op.execute("discard all")',
        "op.execute(\"do $$ begin execute 'vacuum items'; end $$\")",
        'op.execute("do $$ begin perform 1; commit; end $$")',
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"do $$ begin execute 'drop index concurrently items_name'; end $$\")",
    ),
    safe=(
        'drop_index_concurrently("items_name")',
        'with op.get_context().autocommit_block():\n    op.execute("vacuum items")',
        'with op.get_context().autocommit_block():\n    op.execute("reindex table concurrently items")',
        'with op.get_context().autocommit_block():\n    op.execute("do $$ begin perform 1; commit; end $$")',
        'op.execute("analyze items")',
        "op.execute(\"alter type mood add value 'worn'\")",
        'op.execute("discard plans")',
    ),
)
