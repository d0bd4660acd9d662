"""DROP INDEX takes `ACCESS EXCLUSIVE` on the index's table: reads and writes wait for it, and it for those that run.

With CONCURRENTLY it waits for them without blocking others; it runs outside of a transaction. Neither is possible for
the index of a constraint; for one of a partitioned table there is only the first.
https://www.postgresql.org/docs/current/sql-dropindex.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation, call
from runner.lint.state.statement import Revision, Statement, shown
from runner.postgres.sql import Name


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each index of a table of the database that is dropped while others wait."""
    for statement in revision.statements:
        match statement.node:
            case nodes.DropStmt(remove_type=pb.OBJECT_INDEX, concurrent=False) as node:
                for index in parse_tree.dropped(node):
                    yield from _find(index, statement)
                    if removal.may_have_index(index, revision, statement):
                        yield _unknown(index, statement)


def _unknown(index: Name, statement: Statement) -> Violation:
    message = (
        f"Dropping `{shown(index)}` waits for each transaction that uses its table. Meanwhile, and until the commit, "
        "it blocks reads and writes of the table."
    )
    instead = (call("drop_index_concurrently", index[1], schema=index[0]),)
    return Violation("warning", message, "Drop it concurrently, in a revision of its own.", statement, None, instead)


def _find(index: Name, statement: Statement) -> Iterator[Violation]:
    table = statement.before.with_index(index)
    if table is None or table.origin is None or table.is_partitioned:
        return
    there = table.indexes.get(index[1])
    if there is not None and there.is_made and index[1] not in table.constraints:
        # no query uses it yet
        return
    name = shown(table.name)
    if index[1] in table.constraints:
        message = f"It fails: `{index[1]}` is the index of a constraint of `{name}`."
        yield Violation("error", message, "Drop the constraint.", statement, table)
        return
    message = (
        f"Dropping `{index[1]}` waits for each transaction that uses `{name}`. Meanwhile, and until the commit, it "
        f"blocks reads and writes of `{name}`."
    )
    instead = (call("drop_index_concurrently", index[1], schema=index[0]),)
    remedy = "Drop it concurrently, in a revision of its own."
    yield Violation("warning", message, remedy, statement, table, instead)


RULE = Rule(
    id="require-concurrent-index-deletion",
    levels="A warning; an error for the index of a constraint, which cannot be dropped.",
    find=find,
    bad=(
        'op.drop_index("items_name", "items")',
        'op.drop_index("items_name", if_exists=True)',
        'op.execute("DROP INDEX items_name, \\"public\\".\\"accounts_email\\" RESTRICT")',
        'op.execute("drop index events_2026_kind")',
        'op.execute("drop index account_totals_account")',
        'op.execute("do $$ begin drop index items_name; end $$")',
        'op.execute("drop index archive.items_pkey")',
    ),
    safe=(
        'drop_index_concurrently("items_name")',
        'op.create_table("fresh", sa.Column("id", sa.BigInteger(), index=True))\nop.drop_index("ix_fresh_id", "fresh")',
        'op.drop_index("no_such_index", if_exists=True)',
        'create_index_on_only("events_item", "events", ["item_id"])\n---\nop.drop_index("events_item", "events")',
    ),
)
