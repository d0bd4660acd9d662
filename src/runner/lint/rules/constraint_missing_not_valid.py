"""A CHECK that is added with a look at every row blocks the application's reads and writes of the table meanwhile.

With NOT VALID it is enforced for new rows only, which takes a moment. A later revision validates it: meanwhile the
application reads and writes. A CHECK that is NOT ENFORCED (PostgreSQL 18) reads no row either.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator

from runner.lint.remedies import made_again, made_safe, new_columns
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each CHECK that is added to a table of the database with a check of its rows."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        for one in statement.constraints("check"):
            # that of a new column has a rule of its own
            if table is None or not one.valid or one.column is not None:
                continue
            # none of those that inherit has a CHECK that is NO INHERIT
            table = table if one.node.is_no_inherit else statement.reached
            assert table is not None  # noqa: S101 - as above
            message = (
                f"The CHECK `{one.name}` blocks reads and writes of `{shown(table.name)}` while "
                f"{database.count(table)} are checked."
            )
            remedy = "Add it NOT VALID, and validate it in the next revision."
            adding, validating = made_safe.check(one, table)
            dropping = made_again.dropping_constraint(one.name, table, revision, statement)
            adding = "\n".join((*new_columns.before(revision, statement, one.columns), *dropping, adding))
            yield Violation(database.by_rows(table), message, remedy, statement, table, (adding, validating))


RULE = Rule(
    id="constraint-missing-not-valid",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.create_check_constraint("items_code_check", "items", "code > 0")',
        'op.execute("ALTER TABLE ONLY Items ADD CHECK (quantity > 0)")',
        'op.execute("alter table items add constraint \\"Priced\\" check (price > -1) no inherit, '
        'alter quantity set default 2")',
        'op.execute("alter table if exists archive.items add constraint c check (price > 0 and id > 0)")',
        "op.execute(\"do $$ begin alter table items add check (name <> 'a:b'); end $$\")\n"
        'op.create_table_comment("items", "sold")',
        "op.execute(\"alter table events add constraint kinds check (kind in ('k', 'l'))\")",
        'op.drop_constraint("items_price_check", "items")\n'
        'op.create_check_constraint("items_price_check", "items", "price > -1")',
        'op.execute("alter table items add constraint items_price_check check (price > -1), '
        'drop constraint if exists items_price_check")',
        'op.add_column("items", sa.Column("weight", sa.BigInteger()))\n'
        'op.create_check_constraint("items_weight_check", "items", "weight > 0")',
    ),
    safe=(
        'add_check_not_valid("items_code_check", "items", "code > 0")\n'
        "---\n"
        'validate_constraint("items_code_check", "items")',
        'op.create_table("notes", sa.Column("n", sa.BigInteger()))\nop.create_check_constraint("c", "notes", "n > 0")',
        'op.execute("alter table items add constraint c check (code > 0) no inherit not valid")\n'
        "---\n"
        'op.execute("alter table items validate constraint c")',
        'validate_constraint("items_number_check", "items")',
        "op.execute(\"alter table events add check (kind = 'k') not valid\")\n"
        "---\n"
        'op.execute("alter table events validate constraint events_kind_check")',
    ),
)
