"""DROP DATABASE removes a whole database with all rows, and nothing brings them back.

It also cannot run inside a transaction, and never removes the database that the revision is connected to.
https://www.postgresql.org/docs/current/sql-dropdatabase.html
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each database that a revision drops, in either direction."""
    for statement in revision.statements:
        match statement.node:
            case nodes.DropdbStmt(dbname=name):
                message = f"It drops the database `{name}` with all rows in it."
                yield Violation("error", message, "Leave databases to who runs the server.", statement)


RULE = Rule(
    id="ban-drop-database",
    levels="An error, also in a downgrade.",
    find=find,
    bad=(
        'with op.get_context().autocommit_block():\n    op.execute("drop database reporting")',
        'op.execute("DROP DATABASE IF EXISTS \\"reporting\\" WITH (FORCE)")',
    ),
    safe=("op.execute(\"comment on schema archive is 'moved to another database'\")",),
)
