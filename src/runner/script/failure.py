"""The errors for exceptions of a revision, without any data of the database.

They have the SQLSTATE, the names of objects, the line of the file, and the statement with its literals masked.
PostgreSQL's own message and DETAIL are left out, since both may quote a row.
"""

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic.script.revision import RevisionError
from sqlalchemy.exc import DBAPIError

from runner.errors import InvalidSettings, MigrationError, RevisionFailed, TransactionEnded, UnknownRevision
from runner.postgres import redact, sql
from runner.postgres.sqlstate import ACTIVE_SQL_TRANSACTION, sqlstate
from runner.postgres.transaction import CLOSING, EndsTransaction

OUTSIDE = (
    "Move the statement into an autocommit block (`with op.get_context().autocommit_block():`) of a revision of its "
    "own, then run the same command again."
)


def of_revision(error: BaseException, revision: str, path: str | None) -> MigrationError:
    """Return the error for an exception of a revision's `upgrade()` or `downgrade()`, or of its commit."""
    if isinstance(error, DBAPIError):
        return _of_sql(error, revision, path)
    return RevisionFailed(revision, _name(path), _line(error, path), type(error).__name__)


def of_ended_transaction(
    error: EndsTransaction, revision: str, path: str | None, sent: Sequence[str]
) -> TransactionEnded:
    """Return the error for a revision that ends its own transaction, or that has ended it.

    `sent` are its statements so far.
    """
    lines = [frame.lineno for frame in error.stack if frame.filename == path]
    line = lines[-1] if lines and error.how else None
    remaining = tuple(redact.template(one) for one in sent if not sql.only_ends_transaction(one)) if error.late else ()
    return TransactionEnded(revision, _name(path), line, redact.template(error.how), remaining, error.late)


def of_released_lock(revision: str, path: str | None) -> RevisionFailed:
    """Return the error for a revision that releases the advisory lock of its session."""
    remedy = "Remove what releases it, for example `pg_advisory_unlock_all()`, from `{file}`, then run it again."
    return RevisionFailed(revision, _name(path), None, "it released the runner's advisory lock", remedy=remedy)


def of_losses(revision: str, path: str | None, tries: int) -> RevisionFailed:
    """Return the error for a revision that has lost a connection in each of its tries."""
    remedy = "If the server is well, remove from `{file}` what ends sessions, then run the same command again."
    return RevisionFailed(revision, _name(path), None, f"a connection was lost in each of {tries} tries", remedy=remedy)


def of_unrun(revision: str, path: str | None, line: int) -> RevisionFailed:
    """Return the error for a function that is a generator or a coroutine."""
    reason = "the function is a generator or a coroutine, of which Alembic runs nothing"
    return RevisionFailed(revision, _name(path), line, reason)


def of_import(error: Exception, project: Path) -> MigrationError | None:
    """Return the error for an exception while the revisions were read; None for a `MigrationError`.

    The last frame inside the project's `alembic/` says which file and line failed.
    """
    if isinstance(error, MigrationError):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(project / "alembic")]
    file, line = (inside[-1].filename, inside[-1].lineno) if inside else (None, None)
    # a file that does not compile never runs, so it has no frame
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    # no file failed, so the graph did: Alembic raises these for a `down_revision` that no file has
    if file is None and isinstance(error, RevisionError | KeyError | UserWarning):
        return UnknownRevision(
            f"The revisions do not fit together: {error}.",
            "Correct the `down_revision` that names a missing revision, then run the command again.",
        )
    if file is None:
        # only its type: the text of the exception may quote a line of the file
        return InvalidSettings(
            f"`alembic.ini` does not lead to any revisions ({type(error).__name__}).",
            "Correct it: `script_location` names the folder that has `env.py` and `versions/`.",
        )
    return _not_imported(error, file, line)


def of_file(error: Exception, path: str) -> RevisionFailed:
    """Return the error for an exception while a revision's file was imported."""
    # a file that does not compile has no frame; a syntax error of a file that this one imports is that file's
    if isinstance(error, SyntaxError) and error.filename == path:
        return _not_imported(error, path, error.lineno)
    return _not_imported(error, path, _line(error, path))


def _not_imported(error: Exception, path: str, line: int | None) -> RevisionFailed:
    return RevisionFailed(Path(path).stem, Path(path).name, line, f"its import raised {type(error).__name__}")


def _of_sql(error: DBAPIError, revision: str, path: str | None) -> MigrationError:
    # the fields of a diagnosis are names, unlike its message and detail
    # https://www.postgresql.org/docs/current/protocol-error-fields.html
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
    # the message that ends a revision is ours, and begins with the deferred work of the revision
    shown = CLOSING if error.statement and error.statement.startswith(CLOSING) else error.statement
    statement = redact.template(shown) if shown else None
    failed = RevisionFailed(revision, _name(path), _line(error, path), reason, code, statement)
    return replace(failed, remedy=OUTSIDE) if code == ACTIVE_SQL_TRANSACTION else failed


def _line(error: BaseException, path: str | None) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else None


def _name(path: str | None) -> str:
    return Path(path).name if path else "the revision"
