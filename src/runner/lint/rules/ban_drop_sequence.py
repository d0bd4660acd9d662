"""A version of the application that still runs, or to which a deployment returns, asks a dropped sequence for a number.

`nextval('tickets')` fails from that moment on. A sequence that the same transaction makes again is found, and begins
anew unless its START says otherwise. https://www.postgresql.org/docs/current/sql-dropsequence.html
"""

from collections.abc import Iterator

from runner.lint.effects import removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each sequence of the database that a revision drops and does not make again."""
    for statement, one in removal.dropped(revision, "sequence"):
        name = shown(one.name)
        message = f"Dropping the sequence `{name}` breaks {removal.USERS}, where that takes numbers from it."
        remedy = f"Deploy a version that does not use `{name}` first, and drop it in a later revision."
        yield Violation("error", message, remedy, statement)


RULE = Rule(
    id="ban-drop-sequence",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("drop sequence tickets")',
        'op.execute(sa.schema.DropSequence(sa.Sequence("tickets")))',
        'op.execute("DROP SEQUENCE IF EXISTS public.\\"tickets\\", absent")',
        'op.execute("do $$ begin drop sequence tickets; end $$")',
    ),
    safe=(
        'op.execute("drop sequence tickets; create sequence tickets as bigint start 1000000")',
        'op.execute("create sequence numbers")\nop.execute("drop sequence numbers")',
        'op.execute("drop sequence if exists absent")',
        'op.execute("create temporary sequence tickets")\nop.execute("drop sequence tickets")',
    ),
)
