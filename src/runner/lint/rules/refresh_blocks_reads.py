"""REFRESH MATERIALIZED VIEW blocks the reads of the view until its query has run again, and until the commit.

With CONCURRENTLY they go on, with the old rows. That needs a unique index of columns, without a condition, and a view
that has been filled before. https://www.postgresql.org/docs/current/sql-refreshmaterializedview.html
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.remedies import refreshing
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each refresh in a transaction of a view that has rows."""
    for statement in revision.statements:
        match statement.node:
            case nodes.RefreshMatViewStmt() as node if statement.in_transaction:
                found = refreshing.violation(node, statement, revision.database)
                if found is not None:
                    yield found


RULE = Rule(
    id="refresh-blocks-reads",
    levels="An error from 10,000 rows of the view on, else a warning; without data an error.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("refresh materialized view account_totals")',
        'op.execute("REFRESH MATERIALIZED VIEW \\"public\\".\\"account_totals\\" WITH DATA")',
        'op.execute("refresh materialized view item_prices")',
        'op.execute("refresh materialized view account_totals with no data")',
        'op.execute("do $$ begin refresh materialized view account_totals; end $$")',
    ),
    safe=(
        'op.execute("refresh materialized view concurrently account_totals")',
        'op.execute("refresh materialized view later_totals")',
        'op.execute("create materialized view fresh as select 1 as n")\nop.execute("refresh materialized view fresh")',
    ),
)
