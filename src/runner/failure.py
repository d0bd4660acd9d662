"""Turn an exception of a revision into data that may leave the house.

PostgreSQL's message and DETAIL can hold rows, and so can an exception's text or a literal in a
statement. What is told is the SQLSTATE, the names of the objects, the line, and the statement with
its literals masked.
"""

import re
import traceback
from pathlib import Path
from typing import Any

import psycopg2
from alembic.script.revision import RevisionError
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from runner.errors import InvalidSettings, MigrationError, RevisionFailed, UnknownRevision

# https://www.postgresql.org/docs/current/errcodes-appendix.html
READ_ONLY = "25006"
INSUFFICIENT_PRIVILEGE = "42501"
CANCELLED = "57014"
CONTENTION = ("55P03", "40P01", "40001")
LOST = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006")
STATEMENT_LENGTH = 300

# Tokens in which a quote or a digit means something else come first, so that none hides a literal.
TOKENS = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<identifier>"(?:[^"]|"")*")
      | (?P<type>\b(?:varchar|varying|char|character|numeric|decimal|bit|timestamp|timestamptz|time|timetz|interval)
         \s*\(\s*\d+\s*(?:,\s*\d+\s*)?\))
      | (?P<literal>(?<!\w)[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z)
         | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
      | (?P<number>(?<![\w$])\d+(?:\.\d+)?)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def of_revision(error: BaseException, revision: str, path: str | None) -> MigrationError:
    """Describe what a revision's `upgrade()` or `downgrade()` raised, or what its commit did."""
    if isinstance(error, DBAPIError):
        return _of_sql(error, revision, path)
    return RevisionFailed(revision, _name(path), _line(error, path), type(error).__name__)


def of_import(error: Exception, project: Path) -> MigrationError:
    """Describe why the revisions could not be read; the last frame in the project is where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(project / "alembic")]
    file, line = (inside[-1].filename, inside[-1].lineno) if inside else (None, None)
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    if file is None and isinstance(error, RevisionError | KeyError | UserWarning):
        return UnknownRevision(
            f"The revisions do not fit together: {error}.",
            "Correct the `down_revision` that names what is not there, then run the command again.",
        )
    if file is None:
        # the text of the error may quote a line of the file
        return InvalidSettings(
            f"`alembic.ini` does not lead to any revisions ({type(error).__name__}).",
            "Correct it: `script_location` names the folder that has `env.py` and `versions/`.",
        )
    return _not_imported(error, file, line)


def of_file(error: Exception, path: str) -> RevisionFailed:
    """Describe why a revision's file does not import."""
    here = isinstance(error, SyntaxError) and error.filename == path
    line = error.lineno if here and isinstance(error, SyntaxError) else _line(error, path)
    return _not_imported(error, path, line)


def _not_imported(error: Exception, path: str, line: int | None) -> RevisionFailed:
    return RevisionFailed(Path(path).stem, Path(path).name, line, f"it does not import, {type(error).__name__}")


def template(statement: str) -> str:
    """Return a statement on one line, its literals masked, cut to 300 characters."""

    if any("/*" in token["comment"][2:] for token in TOKENS.finditer(statement) if token["comment"]):
        # comments nest, and what follows them is a regular expression's blind spot
        return "…"

    def mask(token: re.Match[str]) -> str:
        match token.lastgroup:
            case "comment":
                return " "
            case "identifier" | "type":
                return token[0]
        return "…" if token["number"] else "'…'"

    flat = " ".join(TOKENS.sub(mask, statement).split())
    return flat if len(flat) <= STATEMENT_LENGTH else flat[:STATEMENT_LENGTH] + " …"


def _of_sql(error: DBAPIError, revision: str, path: str | None) -> MigrationError:
    diagnosis: Any = getattr(error.orig, "diag", None)
    code = sqlstate(error)
    names = [
        f"{kind} `{name}`"
        for kind in ("constraint", "column", "datatype", "table")
        if (name := getattr(diagnosis, f"{kind}_name", None))
    ]
    reason = type(error.orig).__name__ + (f" ({code})" if code else "")
    if names:
        reason += " on " + " of ".join(names)
    statement = template(error.statement) if error.statement else None
    return RevisionFailed(revision, _name(path), _line(error, path), reason, code, statement)


def is_read_only(error: BaseException) -> bool:
    """Tell whether the server refused to write at all."""
    return sqlstate(error) == READ_ONLY


def is_cancelled(error: BaseException) -> bool:
    """Tell whether a statement was cancelled, by a time-out or by somebody."""
    return sqlstate(error) == CANCELLED


def is_contention(error: BaseException) -> bool:
    """Tell whether the same revision may well succeed a little later: a lock, a deadlock, a serialization."""
    return sqlstate(error) in CONTENTION


def names_constraint(error: BaseException, name: str) -> bool:
    """Tell whether the server blames the constraint of that name."""
    diagnosis = getattr(error.orig, "diag", None) if isinstance(error, DBAPIError) else None
    return getattr(diagnosis, "constraint_name", None) == name


def primary_message(error: BaseException) -> str:
    """Return the server's own sentence, which may hold row data and so is never told."""
    diagnosis = getattr(error.orig, "diag", None) if isinstance(error, DBAPIError) else None
    return getattr(diagnosis, "message_primary", None) or ""


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection is gone: closed by the server, by somebody, or by the network."""
    if isinstance(error, PendingRollbackError):
        # what SQLAlchemy says of every statement after the one that found it out
        return True
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return error.pgcode is None or error.pgcode in LOST
    return isinstance(error, DBAPIError) and (error.connection_invalidated or sqlstate(error) in LOST)


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of the server, None for any other."""
    told = error.orig if isinstance(error, DBAPIError) else error
    return told.pgcode if isinstance(told, psycopg2.Error) else None


def of_privilege(error: BaseException) -> MigrationError | None:
    """Describe what the role may not do outside a revision, such as making the version table."""
    if sqlstate(error) != INSUFFICIENT_PRIVILEGE:
        return None
    return InvalidSettings(
        f"The role may not do what is needed: `{template(_statement(error))}` ({INSUFFICIENT_PRIVILEGE}).",
        "Grant it that right, or set `DB_ROLE` to the owner of the objects.",
    )


def _statement(error: BaseException) -> str:
    if isinstance(error, DBAPIError):
        return error.statement or ""
    cursor = getattr(error, "cursor", None)
    return cursor.query.decode(errors="replace") if cursor is not None and cursor.query else ""


def frames(error: BaseException) -> list[str]:
    """Return where an exception came from, innermost last, without the text of any exception."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


def _line(error: BaseException, path: str | None) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else None


def _name(path: str | None) -> str:
    return Path(path).name if path else "the revision"
