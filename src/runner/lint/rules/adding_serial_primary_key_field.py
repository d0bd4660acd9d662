"""A primary key that is added without an index at hand builds one, and blocks the table's reads and writes meanwhile.

The index can be built before, while the application reads and writes, and the key added with USING INDEX, which takes a
moment. Its columns must be NOT NULL by then, else PostgreSQL reads all rows for it.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-CONSTRAINT-USING-INDEX
"""

from collections.abc import Iterator

from runner.lint.remedies import made_again, made_safe
from runner.lint.rule import Rule, Violation
from runner.lint.state import below
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Constraint, Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each primary key whose index is built while it is added to a table of the database."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        for one in statement.constraints("primary key"):
            if table is None or one.node.indexname or (statement.is_only and table.is_partitioned):
                continue
            reached, nullable = statement.reached or table, _nullable(one, table, statement)
            read = f" and {database.count(reached)} are read for nulls in {', '.join(nullable)}" if nullable else ""
            message = (
                f"The primary key `{one.name}` blocks reads and writes of `{shown(table.name)}` while its index is "
                f"built from {database.count(table)}{read}."
            )
            table = reached if nullable else table
            dropping = made_again.dropping_constraint(one.name, table, revision, statement)
            remedy, instead = _advice(one, table, statement, dropping)
            yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


def _nullable(one: Constraint, table: Table, statement: Statement) -> list[str]:
    """Return the columns that the key makes NOT NULL, which PostgreSQL checks in each row."""
    there = [column for column in one.columns if column in table.columns and one.column is None]
    return [f"`{column}`" for column in there if not below.has_no_null(table, column, statement.before)]


def _advice(
    one: Constraint, table: Table, statement: Statement, dropping: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    how = "build the index with `create_index_concurrently`, and make it the key with `add_key_using_index`"
    if one.column is not None:
        return f"Add the column alone, and fill it in batches; make it NOT NULL with `set_not_null_safely`; {how}.", ()
    if table.is_partitioned:
        return made_safe.KEY_OF_PARTS, made_safe.key(one, table, statement.before, dropping)
    instead = made_safe.key(one, table, statement.before, dropping)
    return (f"{how[0].upper()}{how[1:]}, each in a revision of its own.", instead)


RULE = Rule(
    id="adding-serial-primary-key-field",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.create_primary_key("visits_pkey", "visits", ["visit_id"])',
        'op.create_primary_key("visits_pkey", "visits", ["account_id"])',
        'op.execute("do $$ begin alter table visits add primary key (visit_id, at); end $$")',
        'op.execute("ALTER TABLE ONLY Visits ADD PRIMARY KEY (account_id, visit_id)")',
        'op.execute("do $$ begin alter table events_2024 add constraint \\"Key\\" primary key (id, at); end $$")',
        'op.execute("alter table visits add column id bigint generated always as identity primary key, add x text")',
        'op.create_primary_key("events_pkey", "events", ["id", "at"])',
    ),
    safe=(
        'add_key_using_index("visits_pkey", "visits", "visits_id", primary=True)',
        'create_index_concurrently("events_2024_key", "events_2024", ["id"], unique=True)\n'
        "---\n"
        'add_key_using_index("events_2024_pkey", "events_2024", "events_2024_key", primary=True)',
        'op.create_table("notes", sa.Column("n", sa.BigInteger()))\nop.create_primary_key("k", "notes", ["n"])',
    ),
)
