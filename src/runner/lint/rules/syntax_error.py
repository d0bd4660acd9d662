"""A statement that PostgreSQL cannot parse fails, and the revision with it.

It is read with the grammar of PostgreSQL 18. Where the server is newer, the statement may be right all the same, but no
other rule has judged it. https://www.postgresql.org/docs/current/sql-commands.html
"""

from collections.abc import Iterator

import postgast

from runner.lint import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.statement import Revision

GRAMMAR = 18
"""PostgreSQL's major version of the parser."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that the parser does not accept."""
    newer = int(revision.database.version.partition(".")[0]) > GRAMMAR
    for statement in revision.statements:
        if statement.node is not None:
            continue
        remedy = "Correct the statement. psql's own commands, such as `\\d` or COPY's data lines, are no SQL."
        message = f"It fails: {_reason(statement.text)}."
        if newer:
            remedy = f"Read it: the parser is PostgreSQL {GRAMMAR}'s, and the server is newer."
            message = f"No rule has judged it: {_reason(statement.text)}."
        yield Violation("warning" if newer else "error", message, remedy, statement)


def _reason(text: str) -> str:
    try:
        parse_tree.parse(text)
    except postgast.PgQueryError as error:
        return error.message
    except ValueError:
        return "it has a character that PostgreSQL does not accept"
    return "it is empty"


RULE = Rule(
    id="syntax-error",
    levels="An error; a warning where the server is newer than PostgreSQL 18.",
    find=find,
    bad=('op.execute("alter tabel items add x int")', 'op.execute("create table made (id int) with oids")'),
    safe=('op.execute("create table made (id int)")',),
)
