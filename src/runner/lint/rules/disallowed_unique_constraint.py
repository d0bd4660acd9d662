"""A UNIQUE constraint that is added without an index at hand builds one, and blocks the table's reads and writes.

The index can be built before, while the application reads and writes, and the constraint added with USING INDEX, which
takes a moment. So can that of a new column, which is null in every row.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-ADD-TABLE-CONSTRAINT-USING-INDEX
"""

from collections.abc import Iterator

from runner.lint.remedies import made_again, made_safe, new_columns
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Constraint, Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each UNIQUE constraint whose index is built while it is added to a table of the database."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        for one in statement.constraints("unique"):
            if table is None or one.node.indexname or (statement.is_only and table.is_partitioned):
                continue
            message = (
                f"The UNIQUE `{one.name}` blocks reads and writes of `{shown(table.name)}` while its index is built "
                f"from {database.count(table)}."
            )
            remedy = "Build the index with `create_index_concurrently`, then `add_key_using_index`."
            if table.is_partitioned:
                remedy = made_safe.KEY_OF_PARTS
            instead = _instead(one, table, revision, statement)
            yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


def _instead(one: Constraint, table: Table, revision: Revision, statement: Statement) -> tuple[str, ...]:
    column = next((column for column in statement.columns() if column.colname == one.column), None)
    if column is not None:
        return () if table.is_partitioned else new_columns.safely(column, revision, statement)
    columns = new_columns.before(revision, statement, one.columns)
    dropping = made_again.dropping_constraint(one.name, table, revision, statement)
    steps = made_safe.key(one, table, statement.before, dropping)
    return ("\n".join(columns), *steps) if columns and steps else steps


RULE = Rule(
    id="disallowed-unique-constraint",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.drop_constraint("parcels_reference_key", "parcels")\n'
        'op.execute("alter table parcels add constraint parcels_reference_key unique (reference) include (weight)")',
        'op.create_unique_constraint("items_number_key", "items", ["number"])',
        'op.execute("ALTER TABLE ONLY Items ADD UNIQUE (code, \\"number\\")")',
        'op.execute("alter table archive.items add constraint \\"Once\\" unique (account_id) '
        'deferrable initially deferred")',
        'op.execute("do $$ begin alter table items add unique (code) include (name); end $$")',
        "op.execute(\"alter table items add label text unique check (label <> '')\")",
        'op.add_column("items", sa.Column("label", sa.Text(), unique=True))\n'
        'op.create_unique_constraint("items_label_key", "items", ["label"])',
        'op.execute("alter table events add unique (id, at)")',
    ),
    safe=(
        'create_index_concurrently("items_number_key", "items", ["number"], unique=True)\n'
        "---\n"
        'add_key_using_index("items_number_key", "items", "items_number_key")',
        'add_key_using_index("items_code_key", "items", "items_code")',
        'op.create_table("notes", sa.Column("n", sa.BigInteger()))\nop.create_unique_constraint("k", "notes", ["n"])',
    ),
)
