"""A version of the application that still runs, or to which a deployment returns, does not find a renamed table.

A view with the old name, made in the same transaction, serves it: PostgreSQL writes through a view that selects the
columns of one table. RETURNING and ON CONFLICT with columns work, TRUNCATE and COPY FROM do not, and the view has
privileges of its own. https://www.postgresql.org/docs/current/sql-createview.html#SQL-CREATEVIEW-UPDATABLE-VIEWS
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.effects import old_name
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each table of the database that a revision renames."""
    yield from old_name.moved(revision, nodes.RenameStmt)


RULE = Rule(
    id="renaming-table",
    levels=(
        "An error; a warning for a partition and where another table gets the old name, a note where a view of all "
        "columns does."
    ),
    find=find,
    bad=(
        'op.rename_table("visits", "calls")',
        'op.rename_table("items", "things", schema="archive")',
        'op.execute("ALTER TABLE IF EXISTS public.\\"visits\\" RENAME TO \\"Calls\\"")',
        'op.execute("do $$ begin alter table visits rename to calls; end $$")',
        'op.rename_table("visits", "calls")\n'
        'op.execute("create view visits as select visit_id, count(*) from calls group by 1")',
        'op.rename_table("visits", "calls")\nop.execute("create view visits as select visit_id, at from calls")',
        'op.rename_table("visits", "calls")\nop.execute("create table visits (like calls including all)")',
    ),
    safe=(
        'op.rename_table("visits", "calls")\nop.execute("create view visits as select * from calls")',
        'op.rename_table("visits", "calls")\n'
        'op.execute("create view visits as select c.visit_id, c.account_id, c.item_id, c.at, c.mood from calls c")',
        'op.create_table("drafts", sa.Column("id", sa.BigInteger(), primary_key=True))\n'
        'op.rename_table("drafts", "sketches")',
    ),
)
