"""DETACH PARTITION takes `ACCESS EXCLUSIVE` on the partitioned table: reads and writes of all partitions wait for it.

With CONCURRENTLY they go on; it runs outside of a transaction, and needs that the table has no DEFAULT partition.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DETACH-PARTITION
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building
from runner.lint.rule import Rule, Violation
from runner.lint.state.database import Database
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name

FIRST_VERSION = 14
"""The first version that has CONCURRENTLY here."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each partition that is detached from a table of the database while others wait."""
    for statement in revision.statements:
        table = statement.table
        if table is None or table.origin is None:
            continue
        for one in parse_tree.commands(statement.node, pb.AT_DetachPartition):
            match one.def_:
                case nodes.PartitionCmd(concurrent=False, name=nodes.RangeVar() as part):
                    yield _violation(parse_tree.name(part), table, statement, revision.database)


def _violation(part: Name, table: Table, statement: Statement, database: Database) -> Violation:
    name = shown(table.name)
    message = (
        f"Detaching `{shown(part)}` waits for each transaction that uses `{name}`. Meanwhile, and until the commit, it "
        f"blocks reads and writes of `{name}`."
    )
    default = statement.before.default_partition(table.name)
    if default is not None:
        remedy = f"Run it at a quiet time: `{name}` has the DEFAULT partition `{shown(default.name)}`, so there is no "
        return Violation("note", message, f"{remedy}CONCURRENTLY.", statement, table)
    if database.major_version < FIRST_VERSION or not isinstance(statement.node, nodes.AlterTableStmt):
        return Violation("note", message, "Run it at a quiet time.", statement, table)
    remedy = "Detach it concurrently, in an autocommit block of a revision of its own."
    return Violation("warning", message, remedy, statement, table, (building.detached(statement.node),))


RULE = Rule(
    id="require-concurrent-partition-detach",
    levels="A warning; a note where CONCURRENTLY is not possible.",
    find=find,
    bad=(
        'op.execute("alter table events detach partition events_2025")',
        'op.execute("ALTER TABLE public.events DETACH PARTITION \\"events_2025\\"")',
        'op.execute("do $$ begin alter table events detach partition events_2025; end $$")',
    ),
    safe=(
        "with op.get_context().autocommit_block():\n"
        '    op.execute("alter table events detach partition events_2025 concurrently")\n'
        "# lint-allow prefer-robust-stmts: DETACH PARTITION has no IF EXISTS",
    ),
)
