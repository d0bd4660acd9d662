"""TRUNCATE … CASCADE also empties each table with a foreign key to the table, and those that reference these.

It does so for every row, not only for those that reference one that is removed. Without CASCADE it fails instead.
https://www.postgresql.org/docs/current/sql-truncate.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import cascade
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown

REMEDY = "Delete the rows that are meant in batches, outside the migration; or name each table that is to be emptied."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each TRUNCATE … CASCADE of a table that the database has, in either direction."""
    for statement in revision.statements:
        match statement.node:
            case nodes.TruncateStmt(behavior=pb.DROP_CASCADE):
                yield from _find(revision, statement)


def _find(revision: Revision, statement: Statement) -> Iterator[Violation]:
    tables = list(cascade.truncated(statement))
    if not tables:
        return
    what = " and ".join(f"`{shown(table.name)}`" for table in tables)
    emptied = cascade.referencing(revision, statement, tables)
    if emptied is None:
        message = (
            f"It empties {what} and each table that references it; which these are was not read from the database."
        )
        yield Violation("error", message, REMEDY, statement, tables[0])
    elif emptied:
        named = ", ".join(f"`{shown(one.name)}` ({revision.database.size(one)})" for one in emptied)
        message = f"CASCADE empties with {what} the tables that reference it: {named}."
        has_rows = any(revision.database.rows(one) != 0 for one in (*tables, *emptied))
        yield Violation("error" if has_rows else "warning", message, REMEDY, statement, tables[0])
    else:
        message = f"CASCADE empties with {what} no table today, but each that references it when it runs."
        yield Violation("warning", message, "Leave CASCADE out.", statement, tables[0])


RULE = Rule(
    id="ban-truncate-cascade",
    levels="An error, also in a downgrade; a warning where no table references it today, or none of them has rows.",
    find=find,
    bad=(
        'op.execute("truncate visits cascade")',
        'op.execute("TRUNCATE TABLE public.\\"accounts\\", visits RESTART IDENTITY CASCADE")',
        'op.execute("do $$ begin truncate accounts cascade; end $$")',
    ),
    safe=('op.execute("create table drafts (n bigint)")\nop.execute("truncate drafts cascade")',),
)
