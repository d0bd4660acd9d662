"""Without its unique key, a version that still runs cannot INSERT … ON CONFLICT, and equal rows can be written.

The key's index is dropped too, so that searches by these columns read every row. A foreign key that references the
columns needs the key: without CASCADE the statement fails, with it that foreign key is dropped too. What a CHECK or a
foreign key refused can be written from then on, and with ON DELETE CASCADE rows are left behind that were deleted.
https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT
"""

from collections.abc import Iterator
from itertools import chain

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import cascade, removal
from runner.lint.parsing import clauses, parse_tree
from runner.lint.remedies import foreign_keys
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Constraint, Table, Tables

KEYS = ("primary key", "unique")
RESTRICTS = ("", "a", "r")
"""The actions of a foreign key that change no row: none, NO ACTION and RESTRICT."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each constraint of the database that a revision drops and does not replace in the same transaction."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        table = statement.table
        for command in parse_tree.commands(statement.node, pb.AT_DropConstraint):
            one = table.constraints.get(command.name) if table is not None and table.origin is not None else None
            is_unknown = table is not None and table.origin is not None and one is None and not table.is_known
            if table is not None and is_unknown and not _is_added(command.name, revision, statement, table):
                yield _unknown(statement, table, command.name)
            if table is not None and one is not None and not one.is_made:
                yield from _find(revision, statement, table, one, is_cascading=command.behavior == pb.DROP_CASCADE)


def _is_added(constraint: str, revision: Revision, statement: Statement, table: Table) -> bool:
    """Return whether the same transaction adds a constraint of that name after it is dropped."""
    then = (revision.statements[-1] if statement.in_transaction else statement).after.of_origin(
        table.origin or table.name
    )
    return then is not None and constraint in then.constraints


def _unknown(statement: Statement, table: Table, constraint: str) -> Violation:
    message = (
        f"Without a snapshot nobody knows what `{constraint}` of `{shown(table.name)}` is: without a key "
        f"{removal.USERS} fails where it inserts with ON CONFLICT, "
        "and without any constraint rows can be written that it refused."
    )
    remedy = f"Keep it until no version needs it, or replace `{constraint}` in the same revision."
    return Violation("warning", message, remedy, statement, table)


def _find(
    revision: Revision, statement: Statement, table: Table, one: Constraint, *, is_cascading: bool
) -> Iterator[Violation]:
    then = (revision.statements[-1] if statement.in_transaction else statement).after
    left = then.of_origin(table.origin or table.name)
    if left is None:
        # the table is dropped
        return
    if one.kind in KEYS:
        yield from _key(revision, statement, table, one, left, is_cascading=is_cascading)
    elif not any(_replaces(other, one, then) for other in left.constraints.values()) and not _is_idle(one, left):
        yield _other(statement, table, one)


def _key(
    revision: Revision, statement: Statement, table: Table, one: Constraint, left: Table, *, is_cascading: bool
) -> Iterator[Violation]:
    name, columns = shown(table.name), ", ".join(f"`{column}`" for column in one.columns)
    needing = [str(other) for other in cascade.of_constraint(revision, statement, table, one.name)]
    if needing and not is_cascading:
        message = f"Dropping `{one.name}` of `{name}` fails, because it is needed by the {', the '.join(needing)}."
        yield Violation("error", message, "Drop these, or let them reference another key, first.", statement, table)
    elif needing:
        message = f"Dropping `{one.name}` of `{name}` with CASCADE drops the {', the '.join(needing)} too."
        remedy = "Drop these, or let them reference another key, by statements of their own, and leave CASCADE out."
        yield Violation("error", message, remedy, statement, table)
    elif not any(
        index.unique and not index.partial and {*index.columns} == {*one.columns} for index in left.indexes.values()
    ):
        searched = any(index.columns[:1] == one.columns[:1] for index in left.indexes.values())
        reads = "" if searched else f", and a search by {columns} reads {revision.database.count(table)}"
        message = (
            f"Dropping `{one.name}` of `{name}` breaks {removal.USERS}, where that inserts with ON CONFLICT; rows with "
            f"equal {columns} can be written{reads}."
        )
        remedy = (
            f"Keep a unique index on {columns} until no version needs it: build it with `create_index_concurrently` "
            "in an earlier revision."
        )
        yield Violation("error", message, remedy, statement, table)


def _replaces(new: Constraint, old: Constraint, tables: Tables) -> bool:
    if new.kind != old.kind or not (new.is_made or new.name != old.name):
        return False
    if old.kind == "foreign key":
        actions = [(one.node.fk_del_action, one.node.fk_upd_action) for one in (new, old)]
        referred = [table.name if table is not None else None for table in map(tables.referred, (new, old))]
        same = new.columns == old.columns and referred[0] == referred[1]
        return same and (actions[0] == actions[1] or {*chain(*actions)} <= {*RESTRICTS})
    return new.name == old.name or (old.kind == "exclude" and new.columns == old.columns)


def _is_idle(one: Constraint, table: Table) -> bool:
    """Return whether a CHECK says of a column what its NOT NULL says too."""
    named = clauses.not_null_columns(one.node.raw_expr)
    declared = {column.name for column in table.columns.values() if column.not_null}
    return isinstance(one.node.raw_expr, nodes.NullTest) and bool(named) and named <= declared


def _other(statement: Statement, table: Table, one: Constraint) -> Violation:
    name = shown(table.name)
    action = one.node.fk_del_action
    if one.kind == "foreign key" and one.referred is not None and action not in RESTRICTS:
        message = (
            f"Without `{one.name}`, rows of `{name}` stay as they are when the row of `{shown(one.referred)}` is "
            f"deleted that they belong to: its ON DELETE {foreign_keys.ACTIONS[action]} goes with it."
        )
        remedy = f"Deploy a version that does this itself, or replace `{one.name}` in the same revision."
        return Violation("warning", message, remedy, statement, table)
    kind = {"check": "CHECK", "exclude": "EXCLUDE constraint"}.get(one.kind, one.kind)
    message = f"Without the {kind} `{one.name}`, rows can be written to `{name}` that it refused until now."
    return Violation("note", message, f"Make sure that {removal.USERS} can read such rows.", statement, table)


RULE = Rule(
    id="ban-drop-constraint",
    levels=(
        "An error for a key; a warning for a foreign key with ON DELETE CASCADE or SET NULL, a note for what only "
        "refuses rows."
    ),
    find=find,
    bad=(
        'op.drop_constraint("items_pkey", "items")',
        'op.drop_constraint("items_pkey", "items", schema="archive", type_="primary")',
        'op.execute("ALTER TABLE ONLY public.accounts DROP CONSTRAINT IF EXISTS \\"accounts_pkey\\" CASCADE")',
        'op.execute("alter table items drop constraint items_pkey, add column more text")',
        'op.execute("do $$ begin alter table items drop constraint items_pkey; end $$")',
        # only a note
        'op.execute("alter table items drop constraint items_price_check")',
    ),
    safe=(
        'op.execute("alter table items drop constraint items_price_check, '
        'add constraint items_price_check check (price >= -10) not valid")',
        'op.execute("alter table items drop constraint items_number_check")',
        'op.execute("alter table items drop constraint if exists absent cascade")',
        'op.execute("alter table visits add constraint seen check (at is not null) not valid")\n'
        'op.drop_constraint("seen", "visits")',
    ),
)
