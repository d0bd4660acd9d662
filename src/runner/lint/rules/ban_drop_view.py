"""A version of the application that still runs, or to which a deployment returns, does not find a dropped view.

A view that the same transaction makes again is found at every moment: others see only the new one.
https://www.postgresql.org/docs/current/sql-dropview.html
"""

from collections.abc import Iterator

from runner.lint.effects import removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each view and materialized view of the database that a revision drops and does not make again."""
    for statement, one in removal.dropped(revision, "view", "materialized view"):
        name = shown(one.name)
        message = f"Dropping the {one.kind} `{name}` breaks {removal.USERS}, where that reads it."
        remedy = (
            f"Make `{name}` again in the same revision, which replaces it in one transaction; or deploy a version that "
            "does not read it first, and drop it in a later revision."
        )
        yield Violation("error", message, remedy, statement, statement.before.find(one.name))


RULE = Rule(
    id="ban-drop-view",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("drop view cheapest_items")',
        'op.execute("DROP VIEW IF EXISTS public.\\"cheapest_items\\"")',
        'op.execute("drop materialized view account_totals")',
        'op.execute("do $$ begin drop view cheapest_items; end $$")',
        'op.execute("drop view cheapest_items, cheap_items; create view cheap_items as select id, price from items")',
        'op.execute("create or replace view cheapest_items as select id, name from cheap_items; '
        'drop view cheapest_items")',
        'op.execute("drop view cheapest_items; create view archive.cheapest_items as select id from items")',
        'op.execute("drop view cheapest_items; create view cheapest_items as select 1 as id")\n'
        'op.execute("drop view cheapest_items")',
        'op.execute("drop view cheapest_items; create function cheapest_items() returns int language sql '
        "as 'select 1'\")",
        'op.execute("drop materialized view account_totals; create view archive.account_totals as select 1")',
    ),
    safe=(
        'op.execute("drop view cheapest_items")\n'
        'op.execute("create or replace view cheapest_items as select id, name, price from cheap_items")',
        'op.execute("drop view if exists cheapest_items, cheap_items; '
        'create view cheap_items as select id, name, price, note from items where price < 10")\n'
        'op.execute("create view cheapest_items as select id, name from cheap_items where price < 2")',
        'op.execute("drop materialized view account_totals; '
        'create view account_totals as select account_id, count(*) as items from items group by account_id")',
        'op.execute("create view dear_items as select id from items where price > 90")\n'
        'op.execute("drop view dear_items")',
        'op.execute("drop view if exists absent")',
        'op.execute("create temporary table drafts (n bigint)")\n'
        'op.execute("create view cheapest_items as select * from drafts")\nop.execute("drop view cheapest_items")',
    ),
)
