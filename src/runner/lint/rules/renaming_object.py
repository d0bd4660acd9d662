"""A version of the application that still runs, or to which a deployment returns, looks up an object by its old name.

This holds for types, the values of an enum, schemas, views, sequences, routines and roles. Nobody looks up an index, a
constraint, a trigger, a policy or a rule by its name, so renaming these is safe. What the same transaction makes again
under the old name is found at every moment. https://www.postgresql.org/docs/current/sql-altertype.html
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.effects import old_name, removal
from runner.lint.effects.removal import Thing
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation, call
from runner.lint.state.statement import Revision, Statement, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each object but tables that the database has and that a revision renames."""
    for statement, one in removal.missed(revision, nodes.RenameStmt):
        table = removal.relation(statement, one)
        kind = table.kind if table is not None else one.kind
        assert isinstance(statement.node, nodes.RenameStmt)  # noqa: S101 - as asked for
        # ALTER TABLE renames views and sequences too
        if kind != "table" or (table is None and not removal.is_own(one, revision.database)):
            new, kind = statement.node.newname, "sequence" if kind == "table" else kind
            message = f"Renaming the {kind} `{shown(one.name)}` to `{new}` breaks {removal.USERS}."
            yield Violation("error", message, _remedy(kind, one, new), statement, table, _instead(kind, one, new))
    if revision.rendered.direction == "upgrade":
        for statement in revision.statements:
            yield from _values(revision, statement)


def _remedy(kind: str, one: Thing, new: str) -> str:
    if kind == "view":
        return (
            f"Make a view `{new}` of it instead, grant on that what the application needs, and drop "
            f"`{shown(one.name)}` when nobody reads it."
        )
    return (
        f"Make `{new}` beside `{shown(one.name)}`, deploy a version that uses the new one, and drop the old one in a "
        "later revision."
    )


def _instead(kind: str, one: Thing, new: str) -> tuple[str, ...]:
    if kind != "view":
        return ()
    # the old one keeps its privileges and options; a view that reads it, without more, can be written as it can
    return (call("op.execute", old_name.view_of(one.name, (one.name[0], new))),)


def _values(revision: Revision, statement: Statement) -> Iterator[Violation]:
    match statement.node:
        case nodes.AlterEnumStmt(type_name=names, old_val=old, new_val=new) if old:
            one = Thing("type", parse_tree.parts_name(names))
            if removal.is_there(one, revision, statement):
                message = f"Renaming the value `{old}` of `{shown(one.name)}` to `{new}` breaks {removal.USERS}."
                remedy = (
                    f"Add `{new}` as a further value, and deploy a version that reads both and writes the new one. "
                    f"`{old}` may stay: PostgreSQL cannot drop a value."
                )
                yield Violation("error", message, remedy, statement)


RULE = Rule(
    id="renaming-object",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("alter type colour rename to shade")',
        "op.execute(\"ALTER TYPE public.\\\"mood\\\" RENAME VALUE 'new' TO 'fresh'\")",
        'op.execute("alter schema archive rename to attic")',
        'op.execute("alter view cheap_items rename to bargains")',
        'op.execute("alter table cheap_items rename to bargains")',
        'op.execute("alter materialized view account_totals rename to totals")',
        'op.execute("alter sequence tickets rename to numbers")',
        'op.execute("alter function rank_of(bigint) rename to place_of")',
        'op.execute("alter domain positive rename to above_zero")',
        'op.execute("do $$ begin alter type colour rename to shade; end $$")',
        'op.execute("alter role reporting rename to reports")',
    ),
    safe=(
        'op.execute("alter view cheap_items rename to bargains")\n'
        'op.execute("create view cheap_items as select * from bargains")',
        'op.execute("alter type colour rename to colour_old")\n'
        "op.execute(\"create type colour as enum ('red', 'blue')\")\n"
        'op.execute("drop type colour_old")',
        "op.execute(\"alter type mood add value 'fresh' before 'old'\")",
        'op.execute("alter index items_name rename to items_by_name")\n'
        'op.execute("alter table items_code rename to items_by_code")\n'
        'op.execute("alter table items rename constraint items_price_check to items_price_positive")\n'
        'op.execute("alter trigger items_touch on items rename to touch_items")\n'
        'op.execute("alter function touch() rename to touched")\n'
        'op.execute("alter domain positive rename constraint positive_check to positive_is")',
    ),
)
