"""CREATE INDEX CONCURRENTLY fails in a transaction, so the revision does: nothing of it is applied.

It waits for other transactions in the middle, which it could not do with locks of its own. In an autocommit block of a
revision of its own, as `create_index_concurrently` opens one, it runs by itself.
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.remedies import building
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each CREATE INDEX CONCURRENTLY that runs in a transaction."""
    for statement in revision.statements:
        match statement.node:
            case nodes.IndexStmt(concurrent=True, relation=nodes.RangeVar()) as node if statement.in_transaction:
                table = statement.table
                # on a partitioned table it fails anywhere, which another rule says
                if table is not None and table.is_partitioned:
                    continue
                name = shown(building.table_name(node))
                message = f"`CREATE INDEX CONCURRENTLY` on `{name}` fails: it cannot run in a transaction."
                remedy = "Build the index in a revision of its own."
                instead = (building.concurrently(node),)
                yield Violation("error", message, remedy, statement, table, instead)


RULE = Rule(
    id="ban-concurrent-index-creation-in-transaction",
    levels="An error.",
    find=find,
    bad=(
        'op.create_index("items_price", "items", ["price"], postgresql_concurrently=True)',
        'op.execute("CREATE UNIQUE INDEX CONCURRENTLY x ON archive.items USING btree (id DESC) INCLUDE (price)")',
        'op.execute("do $$ begin create index concurrently x on items (price); end $$")',
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"do $$ begin execute 'create index concurrently x on items (price)'; end $$\")",
    ),
    safe=(
        'create_index_concurrently("items_price", "items", ["price"])',
        'create_index_concurrently("items_code_2", "items", ["code"], unique=True, where="price > 1")',
    ),
)
