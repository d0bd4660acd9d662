"""An EXCLUDE constraint builds its index while it is added, and blocks the table's reads and writes meanwhile.

PostgreSQL has no other way: an EXCLUDE is neither added NOT VALID nor with an index that was built before. So what is
left is a time without the application, or a new table that has it from the start.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-CONSTRAINT
"""

from collections.abc import Iterator

from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each EXCLUDE that is added to a table of the database."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        for one in statement.constraints("exclude"):
            if table is None:
                continue
            owner = shown(table.name)
            message = (
                f"The EXCLUDE `{one.name}` blocks reads and writes of `{owner}` while its index is built from "
                f"{database.count(table)}, which are then checked with it."
            )
            remedy = (
                f"Add it while the application does not use `{owner}`; or make a new table with it, which a trigger on "
                f"`{owner}` fills too, copy the rows in batches, and rename both."
            )
            yield Violation(database.by_rows(table), message, remedy, statement, table)


RULE = Rule(
    id="adding-exclusion-constraint",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.create_exclude_constraint("items_during", "items", ("during", "&&"), using="gist")',
        'op.execute("ALTER TABLE ONLY Items ADD EXCLUDE (code WITH =)")',
        'op.execute("do $$ begin alter table archive.items add constraint x exclude (id with =); end $$")',
    ),
    safe=(
        'op.create_table("hours", sa.Column("during", sa.dialects.postgresql.TSTZRANGE()))\n'
        'op.create_exclude_constraint("hours_during", "hours", ("during", "&&"), using="gist")',
    ),
)
