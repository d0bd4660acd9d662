"""The errors for exceptions of a revision, without any data of the database.

They have the SQLSTATE, the names of objects, the line of the file, and the statement with its literals masked.
PostgreSQL's own message and DETAIL are left out, since both may quote a row, but for what `postgres/refusal.py` knows
to be names. Of Python's exceptions they have what `python_error` knows to be code.
"""

import traceback
from dataclasses import replace
from pathlib import Path

import psycopg2
from alembic.script.revision import RevisionError
from sqlalchemy.exc import DBAPIError

from runner.errors import (
    EnvironmentFailed,
    InvalidSettings,
    MigrationError,
    RevisionFailed,
    SessionEnded,
    TransactionEnded,
    UnknownRevision,
)
from runner.invocation import Invocation
from runner.postgres import catalog_lookup, redact, refusal, sql, sqlstate
from runner.postgres.sent import Sent
from runner.postgres.sqlstate import ACTIVE_SQL_TRANSACTION
from runner.postgres.transaction import CLOSING, EndsTransaction
from runner.script import python_error

RUNNER = Path(__file__).parents[1]
RAISED = (Exception, SystemExit)
"""What the code of a project may raise; SystemExit would end the process without an answer, or with its own."""
OUTSIDE = (
    "Move the statement into an autocommit block (`with op.get_context().autocommit_block():`) of a revision of its "
    "own, then run the same command again."
)


def of_revision(
    error: BaseException, revision: str, path: str | None, invocation: Invocation | None = None
) -> MigrationError:
    """Return the error for an exception of a revision's `upgrade()` or `downgrade()`, or of its commit.

    With the `invocation` of the run, the database is asked for the names that the error lacks.
    """
    if isinstance(error, DBAPIError | psycopg2.Error):
        return _of_sql(error, revision, path, invocation)
    return RevisionFailed(
        revision, _name(path), line_of(error, path), python_error.describe(error) + _elsewhere(error, path)
    )


def of_ended_transaction(error: EndsTransaction, revision: str, path: str | None, sent: Sent) -> TransactionEnded:
    """Return the error for a revision that ends its own transaction, or that has ended it.

    `sent` are its statements so far.
    """
    lines = [frame.lineno for frame in error.stack if frame.filename == path]
    line = lines[-1] if lines and error.how else None
    how = redact.template(error.how)
    if not error.late:
        return TransactionEnded(revision, _name(path), line, how)
    remaining = tuple(redact.template(one) for one in sent.first if not sql.only_ends_transaction(one))
    return TransactionEnded(revision, _name(path), line, how, remaining, sent.more, late=True)


def of_released_lock(revision: str, path: str | None) -> RevisionFailed:
    """Return the error for a revision that releases the advisory lock of its session."""
    remedy = (
        "Remove what releases it, for example `pg_advisory_unlock_all()`, from `{file}`, then run the same command "
        "again."
    )
    return RevisionFailed(revision, _name(path), None, "it released the runner's advisory lock", remedy=remedy)


def of_losses(revision: str, path: str | None, tries: int, last: MigrationError) -> RevisionFailed:
    """Return the error for a revision that has lost a connection in each of its tries, `last` in the last one."""
    remedy = "If the server is well, remove from `{file}` what ends sessions, then run the same command again."
    lost = "the server closed a session" if isinstance(last, SessionEnded) else "a connection was lost"
    return RevisionFailed(revision, _name(path), None, f"{lost} in each of {tries} tries", remedy=remedy)


def of_unrun(revision: str, path: str | None, line: int) -> RevisionFailed:
    """Return the error for a function that is a generator or a coroutine."""
    reason = "the function is a generator or a coroutine, of which Alembic runs nothing"
    return RevisionFailed(revision, _name(path), line, reason)


def of_import(error: BaseException, project: Path) -> MigrationError | None:
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
            "Correct the `revision` or the `down_revision` that it is about, then run the same command again.",
        )
    if file is None:
        return InvalidSettings(
            f"`alembic.ini` does not lead to any revisions ({python_error.describe(error)}).",
            "Correct it: `script_location` names the folder that has `env.py` and `versions/`.",
        )
    return _not_imported(error, file, line)


def of_file(error: BaseException, path: str) -> MigrationError:
    """Return the error for an exception while a revision's file was imported."""
    if isinstance(error, MigrationError):
        return error
    if isinstance(error, DBAPIError | psycopg2.Error):
        return _of_sql(error, Path(path).stem, path, None)
    # a file that does not compile has no frame; a syntax error of a file that this one imports is that file's
    if isinstance(error, SyntaxError) and error.filename == path:
        return _not_imported(error, path, error.lineno)
    return _not_imported(error, path, line_of(error, path))


def of_environment(error: BaseException, path: str) -> EnvironmentFailed | None:
    """Return the error for an exception of the project's `env.py`, whose path is given, or of what it calls.

    None for an error of the runner, which it calls in its turn.
    """
    if isinstance(error, MigrationError):
        return None
    # a file that does not compile never runs, so it has no frame
    if isinstance(error, SyntaxError) and error.filename == path:
        return EnvironmentFailed(Path(path).name, error.lineno, python_error.describe(error))
    frames = traceback.extract_tb(error.__traceback__)
    last = max((at for at, frame in enumerate(frames) if frame.filename == path), default=None)
    # what the runner is called for ends in a frame of the runner, but for the models, which `env.py` loads for it
    if last is None or any(Path(frame.filename).is_relative_to(RUNNER) for frame in frames[last:]):
        return None
    reason = python_error.describe(error) + _elsewhere(error, path)
    return EnvironmentFailed(Path(path).name, frames[last].lineno, reason)


def of_unreached(path: str) -> EnvironmentFailed:
    """Return the error for an `env.py` that runs nothing of ours."""
    return EnvironmentFailed(Path(path).name, None, "it does not call `environment.run`, so nothing ran")


def mistake(error: BaseException, path: str) -> str | None:
    """Return an exception of the code itself as a sentence, with its line in the file `path`; None for any other."""
    if not python_error.is_mistake(error):
        return None
    line = line_of(error, path)
    place = f" in line {line}" if line is not None else ""
    return f"Its code fails{place}: {python_error.describe(error)}."


def _not_imported(error: BaseException, path: str, line: int | None) -> RevisionFailed:
    reason = f"its import raised {python_error.describe(error)}{_elsewhere(error, path)}"
    return RevisionFailed(Path(path).stem, Path(path).name, line, reason)


def _elsewhere(error: BaseException, path: str | None) -> str:
    """Return the place of a syntax error in another file than the one at `path`, empty for any other error."""
    place = python_error.syntax_error_place(error)
    return f", in line {place[1]} of `{Path(place[0]).name}`" if place is not None and place[0] != path else ""


def _of_sql(
    error: DBAPIError | psycopg2.Error, revision: str, path: str | None, invocation: Invocation | None
) -> RevisionFailed:
    # the fields of a diagnosis are names, unlike its message and detail
    # https://www.postgresql.org/docs/current/protocol-error-fields.html
    code = sqlstate.sqlstate(error)
    names = [
        f"{kind} `{name}`"
        for kind in ("constraint", "column", "datatype", "table")
        if (name := sqlstate.diagnosis(error, f"{kind}_name"))
    ]
    reason = type(sqlstate.driver_error(error)).__name__ + (f" ({code})" if code else "")
    if names:
        reason += " on " + " of ".join(names)
    refused = refusal.explain(error, catalog_lookup.of(invocation) if invocation else catalog_lookup.nowhere)
    if refused.reason:
        reason += f": {refused.reason}"
    # the message that ends a revision is ours, and begins with the deferred work of the revision
    sent = sqlstate.statement(error)
    statement = redact.template(CLOSING if sent.startswith(CLOSING) else sent) if sent else None
    failed = RevisionFailed(revision, _name(path), line_of(error, path), reason, code, statement)
    remedy = OUTSIDE if code == ACTIVE_SQL_TRANSACTION else refused.remedy
    return replace(failed, remedy=remedy) if remedy else failed


def line_of(error: BaseException, path: str | None) -> int | None:
    """Return the line of the file `path` at which an exception was raised, None where that file did not raise it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else None


def _name(path: str | None) -> str:
    return Path(path).name if path else "the revision"
