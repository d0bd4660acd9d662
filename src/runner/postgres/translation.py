"""The translation of any exception into an error of ours."""

import logging
from typing import TYPE_CHECKING

from runner.errors import (
    Blocked,
    ConnectionLost,
    DatabaseFailed,
    DeadlinePassed,
    InternalError,
    Interrupted,
    InvalidSettings,
    MigrationError,
    SessionEnded,
)

if TYPE_CHECKING:
    from runner.invocation import Invocation

CANCEL_MARGIN_S = 0.25
"""The longest time before the deadline at which a `statement_timeout` of ours ends a statement."""

logger = logging.getLogger(__name__)


def explain(error: BaseException, invocation: "Invocation | None" = None) -> MigrationError:
    """Return the error of ours for any exception; it has nothing of the text of a foreign one.

    With the `invocation` that failed, the database is asked for the names that the error lacks. Within a run
    `engine.migrate.translate` comes first, so contention here is that of a reading command.
    """
    if isinstance(error, MigrationError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    # SQLAlchemy and the driver take 0.2 s to import, which the answer for an error of ours does without
    from runner.postgres import redact, sqlstate

    if isinstance(error, Exception) and sqlstate.is_lost(error):
        return of_loss(error)
    if sqlstate.is_contention(error):
        return Blocked()
    if sqlstate.sqlstate(error) == sqlstate.CHARACTER_NOT_IN_REPERTOIRE:
        return InvalidSettings(
            "The database has a name or a text that is not UTF-8; only the encoding `SQL_ASCII` lets that in.",
            "Make a database with the encoding `UTF8`, and restore a dump of this one with its true encoding.",
        )
    in_time = invocation is not None and invocation.deadline.remaining_s > CANCEL_MARGIN_S
    if sqlstate.is_cancelled(error) and not in_time:
        return DeadlinePassed()
    problem = of_database(error, invocation)
    if problem is None:
        problem = InternalError(type(error).__name__, redact.frames(error))
        logger.error("Internal error: %s at %s", problem.type, " < ".join(reversed(problem.frames)))
    return problem


def of_loss(error: BaseException) -> ConnectionLost:
    """Return the error for a lost connection."""
    from runner.postgres import sqlstate

    return SessionEnded() if sqlstate.is_closed_by_server(error) else ConnectionLost()


def of_database(error: BaseException, invocation: "Invocation | None" = None) -> MigrationError | None:
    """Return the error for a statement of ours that the server refused, None for an error without a SQLSTATE."""
    from runner.postgres import catalog_lookup, redact, refusal, sqlstate

    code = sqlstate.sqlstate(error)
    if code is None:
        return None
    look_up = catalog_lookup.of(invocation) if invocation else catalog_lookup.nowhere
    refused = refusal.explain(error, look_up)
    statement = redact.template(sqlstate.statement(error))
    if code == sqlstate.INSUFFICIENT_PRIVILEGE:
        return _of_privilege(refused.reason, refused.remedy, statement)
    remedies = (refused.remedy,) if refused.remedy else ()
    return DatabaseFailed(code, statement, refused.reason, *remedies)


def _of_privilege(reason: str, remedy: str, statement: str) -> InvalidSettings:
    said = f"{reason[0].upper()}{reason[1:]}" if reason else "The role lacks a privilege"
    return InvalidSettings(
        f"{said}, for `{statement}` (SQLSTATE 42501).",
        remedy or "Grant the privilege to the role, or set `DB_ROLE` to the owner of the objects.",
    )
