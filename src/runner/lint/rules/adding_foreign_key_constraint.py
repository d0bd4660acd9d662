"""A foreign key that is checked while it is added blocks the writes of both tables until every row is read.

With NOT VALID it is enforced for new rows only, which takes a moment. A later revision validates it: meanwhile the
application reads and writes. https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator

from runner.lint.rule import Rule, Violation, call
from runner.lint.statement import Revision, shown
from runner.lint.tables import Constraint, Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each foreign key that is added to a table of the database with a check of its rows."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        for one in statement.constraints("foreign key"):
            # a new column without a default is null in every row, which a foreign key does not read
            if table is None or not one.valid or one.referred is None or table.is_partitioned:
                continue
            referred = shown(one.referred)
            message = (
                f"The foreign key `{one.name}` blocks writes to `{shown(table.name)}` and `{referred}` while "
                f"{database.count(table)} of `{shown(table.name)}` are checked."
            )
            remedy = "Add it NOT VALID, and validate it in the next revision."
            yield Violation(database.by_rows(table), message, remedy, statement, table, _instead(one, table))


def _instead(one: Constraint, table: Table) -> tuple[str, ...]:
    schema, name = table.name
    assert one.referred is not None  # noqa: S101 - of a foreign key
    referred = list(one.referred_columns)
    adding = call(
        "add_foreign_key_not_valid", one.name, name, one.referred[1], list(one.columns), referred, schema=schema
    )
    return adding, call("validate_constraint", one.name, name, schema=schema)


RULE = Rule(
    id="adding-foreign-key-constraint",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    bad=('op.create_foreign_key("items_account_fk", "items", "accounts", ["account_id"], ["id"])',),
    safe=(
        'add_foreign_key_not_valid("items_account_fk", "items", "accounts", ["account_id"], ["id"])\n'
        "---\n"
        'validate_constraint("items_account_fk", "items")',
    ),
)
