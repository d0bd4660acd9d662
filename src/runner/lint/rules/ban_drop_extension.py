"""A version of the application that still runs, or to which a deployment returns, fails without a dropped extension.

Its functions, operators and types are dropped with it. One that the same transaction makes again is found at every
moment; to change its version, ALTER EXTENSION … UPDATE keeps what depends on it.
https://www.postgresql.org/docs/current/sql-dropextension.html
"""

from collections.abc import Iterator

from runner.lint.effects import removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each extension of the database that a revision drops and does not make again."""
    for statement, one in removal.dropped(revision, "extension"):
        name = one.name[1]
        message = (
            f"Dropping the extension `{name}` drops its functions, operators and types, and breaks {removal.USERS}."
        )
        remedy = (
            f"Deploy a version that does not use `{name}` first, and drop it in a later revision. For another version "
            "of the extension, use ALTER EXTENSION … UPDATE."
        )
        yield Violation("error", message, remedy, statement)


RULE = Rule(
    id="ban-drop-extension",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("drop extension pg_trgm")',
        'op.execute("DROP EXTENSION IF EXISTS \\"pg_trgm\\", absent")',
        'op.execute("do $$ begin drop extension pg_trgm; end $$")',
    ),
    safe=(
        'op.execute("drop extension pg_trgm; create extension pg_trgm")',
        'op.execute("alter extension pg_trgm update")',
        'op.execute("drop extension if exists absent")',
    ),
)
