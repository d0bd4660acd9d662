"""A version of the application that still runs, or to which a deployment returns, names a dropped column and fails.

SQLAlchemy lists every mapped column in each SELECT and INSERT, so one column is enough for all of them. The values are
lost as well: a downgrade makes the column again, but empty. Once no version uses the column, the drop takes a moment.
https://www.postgresql.org/docs/current/ddl-alter.html#DDL-ALTER-REMOVING-A-COLUMN
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.effects.removal import Thing
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column of a table, or attribute of a type, that the database has and a revision drops."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        for command in parse_tree.commands(statement.node, pb.AT_DropColumn):
            yield from _find(revision, statement, command.name)


def _find(revision: Revision, statement: Statement, column: str) -> Iterator[Violation]:
    assert isinstance(statement.node, nodes.AlterTableStmt)  # noqa: S101 - of an action of it
    assert statement.node.relation is not None  # noqa: S101 - required by the grammar
    name = parse_tree.name(statement.node.relation)
    if statement.node.objtype == pb.OBJECT_TYPE:
        if removal.is_there(Thing("type", name), revision, statement):
            message = f"Dropping `{column}` of the type `{shown(name)}` breaks {removal.USERS}."
            yield Violation("error", message, _remedy(column), statement)
        return
    table = removal.users_table(statement, name)
    if table is not None and column in table.columns and not table.columns[column].is_made:
        rows = revision.database.count(table)
        message = (
            f"Dropping `{column}` of `{shown(name)}` breaks {removal.USERS}, where that names it, "
            f"and the values in {rows} are lost."
        )
        yield Violation("error", message, _remedy(column), statement, table)


def _remedy(column: str) -> str:
    return (
        f"Deploy a version without `{column}` first. When no other version runs, drop it in a later revision, with "
        "`# lint-allow ban-drop-column: reason`."
    )


RULE = Rule(
    id="ban-drop-column",
    levels="An error.",
    find=find,
    bad=(
        'op.drop_column("items", "note")',
        'op.drop_column("items", "price", schema="archive")',
        'op.execute("ALTER TABLE ONLY public.items DROP IF EXISTS note, ADD COLUMN more text")',
        'op.execute("alter table items drop column note restrict")',
        'op.execute("do $$ begin alter table items drop note; end $$")',
        'op.execute("alter type size drop attribute height")',
        'op.rename_table("items", "things")  # lint-allow renaming-table: an example\nop.drop_column("things", "note")',
    ),
    safe=(
        'op.alter_column("items", "note", comment="unused since 2026-09")',
        'op.add_column("items", sa.Column("extra", sa.Text()))\nop.drop_column("items", "extra")',
        'op.create_table("drafts", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("text", sa.Text()))\n'
        'op.drop_column("drafts", "text")',
        'op.execute("alter table items drop column if exists absent")',
    ),
)
