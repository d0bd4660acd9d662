"""CASCADE drops whatever depends on the object, without naming it, and with the rows in it.

What it is depends on the database: a view or a foreign key that somebody made by hand goes too. Without CASCADE the
statement fails instead, and nothing is lost. https://www.postgresql.org/docs/current/ddl-depend.html
"""

from collections.abc import Iterator, Sequence

from runner.lint.effects import cascade
from runner.lint.effects.cascade import Cascade
from runner.lint.rule import Rule, Violation
from runner.lint.state.dependent import Dependent
from runner.lint.state.statement import Revision, Statement

NAMED = 20
"""The most objects that a message names."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield what each statement drops with CASCADE, in either direction."""
    for statement in revision.statements:
        for one in cascade.cascades(revision, statement):
            yield _violation(revision, statement, one)


def _violation(revision: Revision, statement: Statement, one: Cascade) -> Violation:
    what = f"{one.kind} {' and '.join(f'`{name}`' for name in one.names)}"
    is_owner = one.kind == "role"
    does = f"It drops whatever is owned by the {what}" if is_owner else f"CASCADE drops what depends on the {what}"
    found = cascade.going(revision, statement, one)
    if found is None:
        message = f"{does}; what that is was not read from the database."
        return Violation("error", message, _remedy(what), statement, one.table)
    lost = [depends for depends in found if not cascade.is_made_again(depends, revision, statement)]
    if lost:
        return Violation("error", f"{does}: {_listed(lost)}.", _remedy(what), statement, one.table)
    if found:
        message = f"{does}, which this revision makes again: {_listed(found)}; and whatever else does when it runs."
        remedy = "Drop these by statements of their own, and leave CASCADE out."
        return Violation("warning", message, remedy, statement, one.table)
    message = f"{does}: nothing today, but what does when it runs."
    remedy = "Leave CASCADE out: then the statement does the same, or fails and names what depends on it."
    return Violation("warning", message, _remedy(what) if is_owner else remedy, statement, one.table)


def _listed(found: Sequence[Dependent]) -> str:
    shown = [str(one) for one in found[:NAMED]]
    more = len(found) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _remedy(what: str) -> str:
    if what.startswith("role "):
        return "Use REASSIGN OWNED, or drop what is no longer needed by statements of its own."
    return f"Drop or change what is no longer needed by statements of its own, then drop the {what} without CASCADE."


RULE = Rule(
    id="cascade-drops",
    levels="An error, also in a downgrade; a warning where nothing depends on it today, or all of it is made again.",
    find=find,
    bad=(
        'op.execute("drop table items cascade")',
        'op.execute("DROP TABLE IF EXISTS public.\\"items\\" CASCADE")',
        'op.execute("drop view cheap_items cascade")',
        'op.execute("drop type mood cascade")',
        'op.execute("drop domain if exists grade cascade")',
        'op.execute("drop function touch() cascade")',
        'op.execute("drop extension pg_trgm cascade")',
        'op.execute("drop schema archive cascade")',
        'op.execute("drop sequence tickets cascade")',
        'op.execute("alter table items drop column price cascade")',
        'op.execute("alter table items drop constraint items_pkey cascade")',
        'op.execute("drop owned by current_user cascade")',
        'op.execute("do $$ begin drop view cheap_items cascade; end $$")',
    ),
    safe=(
        'op.execute("create table drafts (n bigint); create view texts as select n from drafts")\n'
        'op.execute("drop table drafts cascade")',
        'op.execute("drop view cheapest_items, cheap_items")\n'
        'op.execute("create view cheap_items as select id, name, price, note from items")\n'
        'op.execute("create view cheapest_items as select id, name from cheap_items")',
        'op.execute("drop table if exists absent cascade")',
    ),
)
