"""A version of the application that still runs, or to which a deployment returns, names a renamed column and fails.

No moment is right for both versions: the old one needs the old name until its last process has ended, the new one needs
the new name from its first. With both columns there, each finds what it names.
https://www.postgresql.org/docs/current/ddl-alter.html#DDL-ALTER-RENAMING-COLUMN
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.effects.removal import Thing
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column of a table or view, and each attribute of a type, that the database has and that is renamed."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        match statement.node:
            case nodes.RenameStmt(
                rename_type=pb.OBJECT_COLUMN | pb.OBJECT_ATTRIBUTE as kind, relation=nodes.RangeVar() as relation
            ):
                one = Thing("type" if kind == pb.OBJECT_ATTRIBUTE else "table", parse_tree.name(relation))
                yield from _find(revision, statement, one)


def _find(revision: Revision, statement: Statement, one: Thing) -> Iterator[Violation]:
    assert isinstance(statement.node, nodes.RenameStmt)  # noqa: S101 - as above
    old, new, name = statement.node.subname, statement.node.newname, shown(one.name)
    table = removal.users_table(statement, one.name) if one.kind == "table" else None
    if _has(revision, table, old) if table is not None else _is_other(one, revision, statement):
        message = f"Renaming `{old}` of `{name}` to `{new}` breaks {removal.USERS}, where that names it."
        yield Violation("error", message, _remedy(old, new, name, table), statement, table)


def _has(revision: Revision, table: Table, column: str) -> bool:
    """Return whether a table has the column in the database, not only since an earlier statement of the plan."""
    assert table.origin is not None  # noqa: S101 - of a table of the database
    there = revision.database.tables.load(table.origin)
    # the columns of a view are in its query only
    if table.kind != "table" or there is None or there.is_known:
        return table.kind != "table" or (there is not None and column in there.columns)
    return column not in table.columns or not table.columns[column].is_made


def _is_other(one: Thing, revision: Revision, statement: Statement) -> bool:
    # what the plan makes is in `before`; a type or a foreign table is not
    return removal.relation(statement, one) is None and removal.is_there(one, revision, statement)


def _remedy(old: str, new: str, name: str, table: Table | None) -> str:
    if table is None or table.kind != "table":
        return f"Make `{name}` again with both names, `{old}` and `{new}`, and without the old one in a later revision."
    return (
        f"Add `{new}` beside `{old}`, deploy a version that writes both, copy the old rows in batches, and deploy one "
        f"that reads `{new}` only. Then drop `{old}` in a later revision."
    )


RULE = Rule(
    id="renaming-column",
    levels="An error.",
    find=find,
    bad=(
        'op.alter_column("items", "note", new_column_name="remark")',
        'op.alter_column("items", "price", new_column_name="cost", schema="archive")',
        'op.execute("ALTER TABLE ONLY public.items RENAME \\"note\\" TO remark")',
        'op.execute("alter view cheap_items rename column price to cost")',
        'op.execute("alter materialized view account_totals rename total to amount")',
        'op.execute("alter type size rename attribute width to breadth")',
        'op.execute("do $$ begin alter table items rename note to remark; end $$")',
    ),
    safe=(
        'op.add_column("items", sa.Column("remark", sa.Text()))',
        'op.add_column("items", sa.Column("remark", sa.Text()))\n'
        'op.alter_column("items", "remark", new_column_name="comment")',
        'op.create_table("drafts", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("text", sa.Text()))\n'
        'op.alter_column("drafts", "text", new_column_name="body")',
        'op.execute("create view dear_items as select id, price from items")\n'
        'op.execute("alter view dear_items rename price to cost")',
    ),
)
