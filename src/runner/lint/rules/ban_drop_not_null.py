"""Once a column accepts NULL, a version of the application that expects a value in every row may read one without.

It is safe when no such version runs any more, and none to which a deployment returns.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
"""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column of the database that is NOT NULL and accepts NULL afterwards."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        table = statement.table
        if table is not None and table.origin is not None:
            for column in _columns(statement, table):
                if table.columns[column].not_null and not table.columns[column].is_made:
                    name = shown(table.name)
                    message = f"`{column}` of `{name}` accepts NULL from then on, and {removal.USERS} may read it."
                    remedy = f"Deploy a version that reads NULL in `{column}` first, and write none before."
                    yield Violation("warning", message, remedy, statement, table)


def _columns(statement: Statement, table: Table) -> Iterator[str]:
    for command in parse_tree.commands(statement.node, pb.AT_DropNotNull, pb.AT_DropConstraint):
        if command.subtype == pb.AT_DropNotNull and command.name in table.columns:
            yield command.name
        # the names of these constraints, which exist since PostgreSQL 18, are not read
        elif command.subtype == pb.AT_DropConstraint and command.name not in table.constraints:
            yield from (column for column in table.columns if command.name == f"{table.name[1]}_{column}_not_null")


RULE = Rule(
    id="ban-drop-not-null",
    levels="A warning.",
    find=find,
    bad=(
        'op.alter_column("items", "code", nullable=True)',
        'op.alter_column("items", "price", nullable=True, schema="archive")',
        'op.execute("ALTER TABLE ONLY public.items ALTER \\"code\\" DROP NOT NULL, ADD COLUMN more text")',
        'op.execute("do $$ begin alter table items alter column code drop not null; end $$")',
    ),
    safe=(
        'op.alter_column("items", "code", server_default="0")',
        'op.execute("alter table items alter note drop not null")',
        'op.add_column("items", sa.Column("more", sa.Text(), nullable=False, server_default=""))\n'
        'op.alter_column("items", "more", nullable=True)',
    ),
)
