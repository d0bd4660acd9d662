"""The errors of the agent, made from any exception, whose own text may contain anything and is dropped.

Where the runner has the same error, the agent's is a subclass with sentences of its own.
"""

from dataclasses import dataclass

import psycopg2
from sqlalchemy.exc import DBAPIError

from runner import errors
from runner.errors import InvalidSettings, MigrationError
from runner.postgres import sqlstate


class Interrupted(errors.Interrupted):
    what = "The command was interrupted."


class Locked(errors.Blocked):
    what = "A table is locked by another session, perhaps by a run of migrations (see `migrate current`)."


class OutOfTime(errors.DeadlinePassed):
    what = "The time ran out while a statement was running or waiting for a lock."
    hint = "Repeat with the same run id, or with the cursor."


class TimeTooShort(errors.DeadlinePassed):
    what = "The time ran out before the first decision was recorded."
    left = "Nothing was recorded."
    hint = (
        "A repetition would end the same way: look for what holds the database up, or give it more time; on a command "
        "line, with `--timeout`."
    )


@dataclass(eq=False)
class BlocklistTooLong(errors.DeadlinePassed):
    done: int
    what = "The time ran out while the blocklist was read for the first time; {done:,} of its rows are kept."
    hint = "Repeat with the same run id: the next run reads the other rows."


@dataclass(eq=False)
class RunBusy(MigrationError):
    reason: str
    code = "run-busy"
    what = "{reason}"
    hint = "Repeat when it has ended."


class SimulationTooLong(errors.DeadlinePassed):
    what = "The time ran out before the simulation had read all leads."
    left = "It records nothing."
    hint = "Repeat with more time; on a command line, with `--timeout`."


class ConnectionLost(errors.ConnectionLost):
    what = "The connection to the database was lost."
    hint = "Run the same command again when the server is back."


class InternalError(errors.InternalError):
    what = "The agent itself failed with {type}."
    left = ""
    hint = "Repeat with `--debug`, and report the frames as a bug."


class SchemaBehind(MigrationError):
    code = "schema-behind"
    what = "The database lacks a table or a column that the agent needs."
    hint = "Run `migrate upgrade`, then repeat."


class ReadOnly(MigrationError):
    code = "read-only-database"
    what = "The database is read-only."
    hint = "Use the cluster's writer endpoint, then repeat."


class DatabaseFailed(errors.DatabaseFailed):
    what = "The database refused a statement (SQLSTATE {sqlstate})."
    hint = "Repeat with `--debug` to see where it failed."


MEANINGS: dict[str | None, type[MigrationError]] = {
    sqlstate.CANCELLED: OutOfTime,
    sqlstate.DEADLOCK: Locked,
    sqlstate.LOCK_NOT_AVAILABLE: Locked,
    sqlstate.READ_ONLY: ReadOnly,
    sqlstate.UNDEFINED_COLUMN: SchemaBehind,
    sqlstate.UNDEFINED_TABLE: SchemaBehind,
}


def explain(error: BaseException) -> MigrationError:
    """Return the error of ours for any exception."""
    if isinstance(error, MigrationError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    # COPY runs through psycopg2 directly, whose errors SQLAlchemy does not wrap
    of_database = isinstance(error, DBAPIError | psycopg2.Error)
    return _of_database(error) if of_database else InternalError(type(error).__name__, frames(error))


def frames(error: BaseException) -> list[str]:
    """Return the frames of an exception, the innermost first."""
    from runner.postgres import redact

    return redact.frames(error, whole_paths=True)[::-1]


def _of_database(error: BaseException) -> MigrationError:
    code = sqlstate.sqlstate(error)
    # a pooler that ends a session reports one of its own SQLSTATEs of class 08
    if sqlstate.is_lost(error) or (code or "").startswith("08"):
        return ConnectionLost()
    if code == sqlstate.INSUFFICIENT_PRIVILEGE:
        return InvalidSettings(
            f"The database role lacks a required privilege (SQLSTATE {code}).",
            "Have the privilege granted, or connect as a role that has it.",
        )
    known = MEANINGS.get(code)
    return known() if known else DatabaseFailed(code or "unknown")
