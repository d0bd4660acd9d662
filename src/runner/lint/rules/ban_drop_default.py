"""A default that is dropped is missed by the application that runs meanwhile, where its INSERT leaves the column out.

Its new rows are null there instead, or the INSERT fails where the column is NOT NULL. So first deploy the application
that gives the value. A default that the plan itself gave to a new column is missed by nobody: it was for the rows that
were there. https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-DEFAULT
"""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Column, Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each default of a column of the database that an upgrade drops and does not set again."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        for table, column in _dropped(statement):
            last = revision.statements[-1].after.of_origin(table.origin or table.name)
            left = last.columns.get(column.name) if last is not None else None
            # dropped with its column, which has a rule of its own, or set again
            if left is None or left.has_default:
                continue
            harm = "fails" if left.not_null else "makes it null"
            message = (
                f"Without its default, an INSERT into `{shown(table.name)}` that leaves `{column.name}` out {harm}, "
                "such as one of the running application."
            )
            remedy = "Deploy the application that gives a value first, then drop the default in a later revision."
            yield Violation("warning", message, remedy, statement, table)


def _dropped(statement: Statement) -> Iterator[tuple[Table, Column]]:
    table = statement.table
    for command in parse_tree.commands(statement.node, pb.AT_ColumnDefault):
        column = table.columns.get(command.name) if table is not None and table.origin is not None else None
        is_dropped = command.def_ is None and column is not None and column.has_default and not column.is_made
        if table is not None and column is not None and is_dropped:
            yield table, column


RULE = Rule(
    id="ban-drop-default",
    levels="A warning.",
    find=find,
    bad=(
        'op.alter_column("items", "quantity", server_default=None)',
        'op.execute("ALTER TABLE ONLY Items ALTER COLUMN at DROP DEFAULT, ALTER code SET DEFAULT 1")',
        'op.execute("do $$ begin alter table archive.items alter rating drop default; end $$")',
    ),
    safe=(
        'op.add_column("items", sa.Column("weight", sa.BigInteger(), nullable=False, server_default="0"))\n'
        'op.alter_column("items", "weight", server_default=None)',
        'op.alter_column("items", "quantity", server_default=None)\n'
        'op.alter_column("items", "quantity", server_default="2")',
        'op.alter_column("items", "number", server_default=None)',
    ),
)
