"""A statement that PostgreSQL cannot parse fails, and the revision with it.

It is read with the grammar of PostgreSQL 18. Where the server is newer, the statement may be right all the same, but no
other rule has judged it. Neither has one judged a statement with some 50 operators, calls or UNIONs in each other.
https://www.postgresql.org/docs/current/sql-commands.html
"""

from collections.abc import Iterator

import postgast

from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision

GRAMMAR = 18
"""PostgreSQL's major version of the parser."""
DEEP = "Read it, and rehearse it on a clone; or write it with fewer operators or calls in each other."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that the parser does not accept."""
    newer = revision.database.major_version > GRAMMAR
    for statement in revision.statements:
        if statement.node is not None:
            continue
        reason, deep = _reason(statement.text)
        if deep:
            yield Violation("warning", f"No rule has judged it: {reason}.", DEEP, statement)
        elif newer:
            remedy = f"Read it: the parser is PostgreSQL {GRAMMAR}'s, and the server is newer."
            yield Violation("warning", f"No rule has judged it: {reason}.", remedy, statement)
        else:
            remedy = "Correct the statement. psql's own commands, such as `\\d` or COPY's data lines, are no SQL."
            yield Violation("error", f"It fails: {reason}.", remedy, statement)


def _reason(text: str) -> tuple[str, bool]:
    """Return why a text has no tree, and whether that is its depth alone."""
    try:
        parse_tree.parse(text)
    except postgast.PgQueryError as error:
        return error.message, False
    except parse_tree.TooDeep:
        return "it is nested too deeply for the lint", True
    except ValueError:
        return "it has a character that PostgreSQL does not accept", False
    return "it is empty", False


RULE = Rule(
    id="syntax-error",
    levels="An error; a warning where the server is newer than PostgreSQL 18, and for what is nested too deeply.",
    find=find,
    bad=('op.execute("alter tabel items add x int")', 'op.execute("create table made (id int) with oids")'),
    safe=('op.execute("create table made (id int)")',),
)
