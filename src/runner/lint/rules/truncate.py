"""TRUNCATE removes every row of a table, and blocks reads and writes of it until the transaction ends.

It locks the table also against those that only read, and nothing brings the rows back.
https://www.postgresql.org/docs/current/sql-truncate.html
"""

from collections.abc import Iterator

from runner.lint.effects import cascade
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each table of the database that a revision truncates; a downgrade may."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        for table in cascade.truncated(statement):
            rows, count = revision.database.rows(table), revision.database.count(table)
            message = (
                f"TRUNCATE removes {count} of `{shown(table.name)}`, and blocks reads and writes until the commit."
            )
            remedy = "Delete the rows that are meant in batches, outside the migration."
            yield Violation("warning" if rows == 0 else "error", message, remedy, statement, table)


RULE = Rule(
    id="truncate",
    levels="An error; a warning for a table without rows.",
    find=find,
    bad=(
        'op.execute("truncate visits")',
        'op.execute("TRUNCATE TABLE ONLY public.\\"visits\\", archive.items RESTART IDENTITY")',
        'op.execute("do $$ begin truncate visits; end $$")',
    ),
    safe=(
        'op.execute("create table drafts (n bigint)")\nop.execute("insert into drafts values (1); truncate drafts")',
        'op.execute("create temporary table visits (n bigint)")\nop.execute("truncate pg_temp.visits")',
    ),
)
