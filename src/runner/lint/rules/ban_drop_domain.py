"""A version of the application that still runs, or to which a deployment returns, names a dropped domain and fails.

Its casts name the domain as they name a type. One that the same transaction makes again is found at every moment.
https://www.postgresql.org/docs/current/sql-dropdomain.html
"""

from collections.abc import Iterator

from runner.lint.effects import removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown

REMEDY = (
    "Make it again in the same revision; or deploy a version that does not use it first, and drop it in a later "
    "revision."
)


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each domain of the database that a revision drops and does not make again."""
    for statement, one in removal.dropped(revision, "domain"):
        message = f"Dropping the domain `{shown(one.name)}` breaks {removal.USERS}, where that names it."
        yield Violation("error", message, REMEDY, statement)


RULE = Rule(
    id="ban-drop-domain",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("drop domain positive")',
        'op.execute("DROP DOMAIN IF EXISTS public.\\"positive\\", absent")',
        'op.execute("do $$ begin drop domain positive; end $$")',
        'op.execute("drop domain positive; create domain archive.positive as bigint")',
    ),
    safe=(
        'op.execute("drop domain positive; create domain positive as bigint")',
        'op.execute("create domain share as numeric")\nop.execute("drop domain share")',
        'op.execute("drop domain if exists absent")',
    ),
)
