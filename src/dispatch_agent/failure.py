"""What an exception means to whoever asked; its text may hold anything and goes no further."""

import traceback
from dataclasses import dataclass

import psycopg2
from sqlalchemy.exc import DBAPIError

from runner.postgres.connect import MigrationError

# https://www.postgresql.org/docs/current/errcodes-appendix.html
LACKING = ("42P01", "42703")
LOCKED = ("55P03", "40P01")
NOT_ALLOWED = "42501"
CANCELLED = "57014"
READ_ONLY = "25006"


@dataclass(eq=False)
class Interrupted(MigrationError):
    code = "interrupted"
    what = "The command was interrupted."
    hint = "Run the same command again to go on."


@dataclass(eq=False)
class InvalidSettings(MigrationError):
    reason: str
    code = "settings"
    what = "{reason}"
    hint = "Correct the function's environment, then repeat."


@dataclass(eq=False)
class SchemaBehind(MigrationError):
    code = "schema-behind"
    what = "The database lacks a table or a column that the agent needs."
    hint = "Run `migrate upgrade`, then repeat."


@dataclass(eq=False)
class Locked(MigrationError):
    code = "lock-timeout"
    what = "A table is locked by another session, perhaps by a migration (`migrate current` tells)."
    hint = "Repeat when that has ended."


@dataclass(eq=False)
class OutOfTime(MigrationError):
    code = "deadline"
    what = "The time ran out while the database was at work or a table was locked."
    hint = "Repeat with the same run id, or with the cursor."


@dataclass(eq=False)
class NotAllowed(MigrationError):
    sqlstate: str
    code = "settings"
    what = "The database's role may not do this (SQLSTATE {sqlstate})."
    hint = "Have it granted, or connect as a role that may."


@dataclass(eq=False)
class ReadOnly(MigrationError):
    code = "read-only-database"
    what = "The database is read-only."
    hint = "Use the cluster's writer endpoint, then repeat."


@dataclass(eq=False)
class ConnectionLost(MigrationError):
    code = "database-unreachable"
    what = "The connection to the database was lost."
    hint = "Run the same command again when the server is back."


@dataclass(eq=False)
class DatabaseFailed(MigrationError):
    sqlstate: str
    code = "database-failed"
    what = "The database refused a statement (SQLSTATE {sqlstate})."
    hint = "Repeat; with `--debug` the frames tell where it was."


@dataclass(eq=False)
class InternalError(MigrationError):
    """A bug of ours."""

    type: str
    code = "internal-error"
    what = "The agent itself failed with {type}."
    hint = "Repeat with `--debug`, and report the frames as a bug."


def explain(error: BaseException) -> MigrationError:
    """Return what any exception means."""
    if isinstance(error, MigrationError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    # COPY is psycopg2's own, whose errors SQLAlchemy does not wrap
    of_database = isinstance(error, DBAPIError | psycopg2.Error)
    return _of_database(error) if of_database else InternalError(type(error).__name__)


def frames(error: BaseException) -> list[str]:
    """Return where it happened, the innermost first."""
    found = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(found)]


def _of_database(error: BaseException) -> MigrationError:
    driver = getattr(error, "orig", error)
    sqlstate = getattr(driver, "pgcode", None) or ""
    broken = isinstance(driver, psycopg2.OperationalError | psycopg2.InterfaceError) and not sqlstate
    # the server's own ending of a session has a state of class 57P, a broken one has none
    if broken or getattr(error, "connection_invalidated", False) or sqlstate.startswith(("57P", "08")):
        return ConnectionLost()
    if sqlstate == CANCELLED:
        return OutOfTime()
    if sqlstate in LACKING:
        return SchemaBehind()
    if sqlstate in LOCKED:
        return Locked()
    if sqlstate == NOT_ALLOWED:
        return NotAllowed(sqlstate)
    return ReadOnly() if sqlstate == READ_ONLY else DatabaseFailed(sqlstate or "unknown")
