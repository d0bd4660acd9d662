"""A version of the application that still runs, or to which a deployment returns, names a dropped type and fails.

Drivers send casts such as `$1::mood` with their parameters, and look up the type when they connect. A type that the
same transaction makes again is found at every moment. Dropping a cast or an operator breaks the queries that use it.
https://www.postgresql.org/docs/current/sql-droptype.html
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
    """Yield each type, cast and operator of the database that a revision drops and does not make again."""
    for statement, one in removal.dropped(revision, "type", "cast", "operator"):
        message = f"Dropping the {one.kind} `{shown(one.name)}` breaks {removal.USERS}, where that names it."
        yield Violation("error", message, REMEDY, statement)


RULE = Rule(
    id="ban-drop-type",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("drop type colour")',
        'op.execute("DROP TYPE IF EXISTS public.\\"colour\\", absent")',
        'op.execute("do $$ begin drop type colour; end $$")',
        'op.execute("drop type size; create type archive.size as (width integer)")',
        'op.execute("drop cast if exists (bigint as colour)")',
        'sa.Enum(name="colour").drop(op.get_bind(), checkfirst=False)',
    ),
    safe=(
        "op.execute(\"drop type colour; create type colour as enum ('blue')\")",
        'op.execute("drop type size; create domain size as integer")',
        'op.execute("alter type colour rename to colour_old")\n'
        "op.execute(\"create type colour as enum ('red', 'blue')\")\n"
        'op.execute("drop type colour_old")',
        'op.execute("create type taste as enum (\'sweet\')")\nop.execute("drop type taste")',
        'op.execute("drop type if exists absent")',
    ),
)
