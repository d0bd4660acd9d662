"""A primary key USING INDEX on a column that may be null makes it NOT NULL, and so reads every row under its lock.

Then it does not take the moment that USING INDEX is meant to take. When the columns are NOT NULL already, or a valid
CHECK says so, no row is read. A key whose index is not there yet is found by `adding-serial-primary-key-field`.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-CONSTRAINT-USING-INDEX
"""

from collections.abc import Iterator

from runner.lint.remedies import made_again, made_safe
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import below
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each primary key by an index on columns of a table of the database that may be null."""
    database = revision.database
    for statement in revision.statements:
        table = statement.reached
        for one in statement.constraints("primary key"):
            # one whose index is built by the same statement has a rule of its own
            if table is None or one.column is not None or not one.node.indexname:
                continue
            there = [column for column in one.columns if column in table.columns or not table.is_known]
            nullable = [column for column in there if not below.has_no_null(table, column, statement.before)]
            if not nullable and (one.columns or table.is_known):
                continue
            columns = ", ".join(f"`{column}`" for column in nullable) or "its columns"
            message = (
                f"The primary key `{one.name}` makes {columns} NOT NULL: it blocks reads and writes of "
                f"`{shown(table.name)}` while {database.count(table)} are read for nulls, and fails if there is one."
            )
            first = call("set_not_null_safely", table.name[1], (nullable or ["column"])[0], schema=table.name[0])
            remedy = f"Make it NOT NULL before, with `{first}` in a revision of its own."
            dropping = made_again.dropping_constraint(one.name, table, revision, statement)
            instead = made_safe.key(one, table, statement.before, dropping) if nullable else ()
            yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


RULE = Rule(
    id="key-on-nullable",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("create unique index v on visits (account_id)")\n'
        'op.execute("alter table visits add constraint visits_pkey primary key using index v")',
        'create_index_concurrently("visits_account", "visits", ["account_id", "visit_id"], unique=True)\n'
        "---\n"
        'add_key_using_index("visits_pkey", "visits", "visits_account", primary=True)',
        'op.execute("create unique index v on visits (visit_id, at)")\n'
        'op.execute("do $$ begin alter table only visits add primary key using index v; end $$")',
    ),
    safe=(
        'set_not_null_safely("visits", "account_id")\n'
        "---\n"
        'create_index_concurrently("visits_account", "visits", ["account_id"], unique=True)\n'
        "---\n"
        'add_key_using_index("visits_pkey", "visits", "visits_account", primary=True)',
        'op.execute("alter table visits add constraint there check (account_id is not null) not valid")\n'
        "---\n"
        'validate_constraint("there", "visits")\n'
        "---\n"
        'create_index_concurrently("visits_account", "visits", ["account_id"], unique=True)\n'
        "---\n"
        'add_key_using_index("visits_pkey", "visits", "visits_account", primary=True)',
    ),
)
