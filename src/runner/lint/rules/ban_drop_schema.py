"""A version of the application that still runs, or to which a deployment returns, fails without a dropped schema.

With CASCADE all tables in it are dropped with their rows. A downgrade may drop the schema that its upgrade made, but
not with CASCADE, since the rows in it are not counted. https://www.postgresql.org/docs/current/sql-dropschema.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.effects.removal import Thing
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown

REMEDY = (
    "Deploy a version that does not use it first. When it is empty, drop it without CASCADE in a later revision, with "
    "`# lint-allow ban-drop-schema: reason`."
)


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each schema of the database that a revision drops and does not make again."""
    for statement in revision.statements:
        match statement.node:
            case nodes.DropStmt(remove_type=pb.OBJECT_SCHEMA, behavior=behavior):
                is_cascading = behavior == pb.DROP_CASCADE
                if is_cascading or revision.rendered.direction == "upgrade":
                    for one in removal.removed(statement.node):
                        yield from _find(one, revision, statement, is_cascading=is_cascading)


def _find(one: Thing, revision: Revision, statement: Statement, *, is_cascading: bool) -> Iterator[Violation]:
    is_kept = not is_cascading and removal.is_made_again(one, revision, statement)
    if removal.is_there(one, revision, statement) and not is_kept:
        rows = ", and all rows in it are lost" if is_cascading else ""
        message = f"Dropping the schema `{shown(one.name)}` breaks {removal.USERS}{rows}."
        if removal.is_own(one, revision.database):
            message = f"The schema `{shown(one.name)}` {removal.OWN}"
        yield Violation("error", message, REMEDY, statement)


RULE = Rule(
    id="ban-drop-schema",
    levels="An error; in a downgrade only with CASCADE.",
    find=find,
    bad=(
        'op.execute("drop schema archive cascade")',
        'op.execute("DROP SCHEMA IF EXISTS \\"archive\\" RESTRICT")',
        'op.execute(sa.schema.DropSchema("archive"))',
        'op.execute("do $$ begin drop schema archive; end $$")',
        'op.execute("drop schema archive cascade; create schema archive")',
    ),
    safe=(
        "op.execute(\"comment on schema archive is 'unused'\")",
        'op.execute("create schema drafts")\nop.execute("drop schema drafts")',
        'op.execute("drop schema if exists absent cascade")',
    ),
)
