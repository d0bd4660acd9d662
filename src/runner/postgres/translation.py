"""The translation of any exception into an error of ours."""

import logging

from runner.errors import (
    Blocked,
    ConnectionLost,
    DeadlinePassed,
    InternalError,
    Interrupted,
    InvalidSettings,
    MigrationError,
)

logger = logging.getLogger(__name__)


def explain(error: BaseException) -> MigrationError:
    """Return the error of ours for any exception; it has nothing of the text of a foreign one.

    Within a run `engine.migrate.translate` comes first, so contention here is that of a reading command.
    """
    if isinstance(error, MigrationError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    # SQLAlchemy and the driver take 0.2 s to import, which the answer for an error of ours does without
    from runner.postgres import redact, sqlstate

    if isinstance(error, Exception) and sqlstate.is_lost(error):
        return ConnectionLost()
    if sqlstate.is_contention(error):
        return Blocked()
    if sqlstate.sqlstate(error) == sqlstate.CHARACTER_NOT_IN_REPERTOIRE:
        return InvalidSettings(
            "The database has a name or a text that is not UTF-8; only the encoding `SQL_ASCII` lets that in.",
            "Make a database with the encoding `UTF8`, and restore a dump of this one with its true encoding.",
        )
    if sqlstate.is_cancelled(error):
        return DeadlinePassed()
    problem = of_privilege(error)
    if problem is None:
        problem = InternalError(type(error).__name__, redact.frames(error))
        logger.error("Internal error: %s at %s", problem.type, " < ".join(reversed(problem.frames)))
    return problem


def of_privilege(error: BaseException) -> MigrationError | None:
    """Return the error for a privilege that the role lacks outside of a revision, None for other errors."""
    from runner.postgres import redact, sqlstate

    if sqlstate.sqlstate(error) != sqlstate.INSUFFICIENT_PRIVILEGE:
        return None
    statement = redact.template(_statement(error))
    return InvalidSettings(
        f"The role lacks the privilege for `{statement}` (SQLSTATE {sqlstate.INSUFFICIENT_PRIVILEGE}).",
        "Grant the privilege to the role, or set `DB_ROLE` to the owner of the objects.",
    )


def _statement(error: BaseException) -> str:
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        return error.statement or ""
    # an error of psycopg2 itself has the cursor, and that the query as it was sent
    cursor = getattr(error, "cursor", None)
    return cursor.query.decode(errors="replace") if cursor is not None and cursor.query else ""
