"""A new column with a CHECK of its own looks harmless, and reads every row, with or without a default.

PostgreSQL does not see that all rows have the same value in it, and blocks the table's reads and writes meanwhile. The
column alone takes a moment, and so does the CHECK with NOT VALID; a later revision validates it, while the application
reads and writes. https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator

from runner.lint.remedies import new_columns
from runner.lint.rule import Rule, Violation
from runner.lint.state import added
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column with a CHECK that is added to a table of the database."""
    database = revision.database
    for statement in revision.statements:
        table = statement.reached
        for column in statement.columns():
            checks = [one.name for one in added.of_column(column, table) if one.kind == "check" and one.valid]
            if table is None or not checks:
                continue
            named = ", ".join(f"`{name}`" for name in checks)
            message = (
                f"The CHECK {named} of the new column `{column.colname}` blocks reads and writes of "
                f"`{shown(table.name)}` while {database.count(table)} are checked."
            )
            remedy = "Add the column without it, the CHECK NOT VALID, and validate it in the next revision."
            instead = new_columns.safely(column, revision, statement)
            yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


RULE = Rule(
    id="adding-checked-column",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("alter table items add weight bigint check (weight > 0)")',
        'op.execute("ALTER TABLE ONLY Items ADD w bigint NOT NULL DEFAULT 5 CONSTRAINT \\"W\\" CHECK (w > 0)")',
        'op.execute("alter table archive.items add weight bigint unique check (weight > 0)")',
        'op.execute("do $$ begin alter table events add weight bigint check (weight > 0), add n bigint; end $$")',
        'op.execute("alter table items add owner bigint check (owner > 0) references accounts on delete cascade")',
        'op.execute("alter table items add k uuid default gen_random_uuid() check (length(k::text) > 9) no inherit")',
    ),
    safe=(
        'op.add_column("items", sa.Column("weight", sa.BigInteger(), server_default="5"))\n'
        'add_check_not_valid("items_weight_check", "items", "weight > 0")\n'
        "---\n"
        'validate_constraint("items_weight_check", "items")',
        'op.execute("alter table items add weight bigint, add constraint weighed check (weight > 0) not valid")',
        'op.execute("alter table items add column if not exists code bigint check (code > 0)")',
        'op.execute("create table notes (n bigint check (n > 0)); alter table notes add m bigint check (m > 0)")',
    ),
)
