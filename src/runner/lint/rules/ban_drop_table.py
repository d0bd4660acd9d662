"""A version of the application that still runs, or to which a deployment returns, does not find a dropped table.

Its rows are lost: a downgrade makes the table again, but empty. Dropping it also locks the tables that its foreign keys
reference. Once no version uses the table, the drop takes a moment.
https://www.postgresql.org/docs/current/sql-droptable.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown

REMEDY = (
    "Deploy a version that does not use it first. When no other version runs, drop it in a later revision, with "
    "`# lint-allow ban-drop-table: reason`."
)


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each table of the database that a revision drops, also one that it makes again: the rows are lost."""
    if revision.rendered.direction == "upgrade":
        for statement in revision.statements:
            match statement.node:
                case nodes.DropStmt(remove_type=pb.OBJECT_TABLE | pb.OBJECT_FOREIGN_TABLE):
                    yield from _find(revision, statement)


def _find(revision: Revision, statement: Statement) -> Iterator[Violation]:
    for one in removal.removed(statement.node):
        table, name = removal.users_table(statement, one.name), shown(one.name)
        if table is not None:
            message = f"Dropping `{name}` breaks {removal.USERS}, and {revision.database.count(table)} are lost."
            yield Violation("error", message, REMEDY, statement, table)
        elif removal.is_there(one, revision, statement):
            # one that the plan made in place of the database's, or a foreign table
            message = f"Dropping the {one.kind} `{name}` breaks {removal.USERS}."
            if removal.is_own(one, revision.database):
                message = f"`{name}` {removal.OWN}"
            yield Violation("error", message, REMEDY, statement, statement.before.find(one.name))


RULE = Rule(
    id="ban-drop-table",
    levels="An error.",
    find=find,
    bad=(
        'op.drop_table("visits")',
        'op.drop_table("items", schema="archive")',
        'op.drop_table("visits", if_exists=True)',
        'op.execute("DROP TABLE IF EXISTS public.\\"visits\\", drafts")',
        'op.execute("do $$ begin drop table visits; end $$")',
        'op.execute("drop table events_2025")',
        'op.drop_table("visits")\nop.create_table("visits", sa.Column("id", sa.BigInteger(), primary_key=True))',
        'op.execute("create temporary table visits (n bigint)")\nop.execute("drop table visits")\n'
        'op.drop_table("visits")',
        'op.execute("create temporary table visits (n bigint)")\nop.drop_table("visits", schema="public")',
        'op.execute("create temporary table visits (n bigint)")\n---\nop.drop_table("visits")',
        'op.drop_table("visits")\nif op.get_bind().execute(sa.text("select 1")).scalar(): pass',
    ),
    safe=(
        'op.create_table_comment("visits", "unused since 2026-09")',
        'op.create_table("drafts", sa.Column("id", sa.BigInteger(), primary_key=True))\nop.drop_table("drafts")',
        'op.create_table("drafts", sa.Column("id", sa.BigInteger(), primary_key=True))\n'
        'op.rename_table("drafts", "sketches")\nop.drop_table("sketches")',
        'op.execute("drop table if exists absent")',
        # it hides the database's table of that name until it is dropped
        'op.execute("create temporary table visits (n bigint)")\nop.execute("drop table visits")',
        'op.execute("create temporary table visits on commit drop as select 1 as n")\n'
        'op.execute("alter table visits rename to drafts")\nop.execute("drop table drafts")',
    ),
)
