"""A version of the application that still runs, or to which a deployment returns, calls a dropped function and fails.

This holds for functions, procedures and aggregates. One that the same transaction makes again is found if it accepts
the old arguments; what it has beyond them must have defaults. Functions of triggers are called by no query.
https://www.postgresql.org/docs/current/sql-dropfunction.html
"""

from collections.abc import Iterator

from runner.lint.effects import removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each routine of the database that a revision drops and does not make again."""
    for statement, one in removal.dropped(revision, *sorted(removal.ROUTINES)):
        # without a snapshot nobody knows the arguments that the statement leaves out
        called = f"({', '.join(map(str, one.arguments))})" if one.arguments is not None else ""
        name = f"{shown(one.name)}{called}"
        message = f"Dropping the {one.kind} `{name}` breaks {removal.USERS}, where that calls it."
        remedy = (
            f"Make it again in the same revision, so that it can be called as `{name}`; or deploy a version that does "
            "not call it first, and drop it in a later revision."
        )
        yield Violation("error", message, remedy, statement)


RULE = Rule(
    id="ban-drop-function",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("drop function rank_of(bigint)")',
        'op.execute("DROP FUNCTION IF EXISTS public.rank_of")',
        'op.execute("drop routine rank_of(n int8)")',
        'op.execute("do $$ begin drop function rank_of(bigint); end $$")',
        'op.execute("drop function rank_of; create function rank_of(n text) returns int return 1")',
        'op.execute("drop function rank_of; create function rank_of(n bigint, more text) returns int language sql '
        "as 'select 1'\")",
        "op.execute(\"drop function rank_of; create function rank_of_all() returns int language sql as 'select 1'\")",
        "op.execute(\"drop function rank_of(bigint); create procedure rank_of(n bigint) language sql as 'select 1'\")",
    ),
    safe=(
        "op.execute(\"drop function rank_of(bigint); create function rank_of(n int8, more text default '') "
        "returns int language sql as 'select 1'\")",
        'op.execute("drop function rank_of; create function rank_of(n bigint) returns int return 1")',
        "op.execute(\"create function once() returns int language sql as 'select 1'\")\n"
        'op.execute("select once(); drop function once()")',
        "op.execute(\"create function rank_of(n text) returns int language sql as 'select 1'\")\n"
        'op.execute("drop function rank_of(text)")',
        'op.execute("drop trigger items_touch on items")\nop.execute("drop function touch()")',
        'op.execute("drop function if exists rank_of(text)")',
    ),
)
