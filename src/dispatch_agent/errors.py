"""What can go wrong, as codes and sentences; neither holds a value of the event or of a row."""

from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy.exc import DBAPIError, PendingRollbackError

from runner.database import MigrationError

INSUFFICIENT_PRIVILEGE = "42501"


class AgentError(Exception):
    """Carry a sentence that may leave the house."""

    code: ClassVar[str]


class InvalidRequest(AgentError):
    """The event is not what the agent takes."""

    code = "invalid-request"


class InvalidSettings(AgentError):
    """The environment says something that cannot be meant."""

    code = "settings"


class UnknownTenant(AgentError):
    """No tenant, or no lead of it, answers to the name that was given."""

    code = "unknown-tenant"


class RunBusy(AgentError):
    """Another invocation of the same run is at work until the time is up."""

    code = "run-busy"


@dataclass(frozen=True)
class Problem:
    """Say what happened: a stable code and a sentence."""

    code: str
    sentence: str


def explain(error: Exception) -> Problem:
    """Return what any exception means to the caller; the text of one that is not ours may hold anything."""
    if isinstance(error, AgentError):
        return Problem(error.code, str(error))
    if isinstance(error, MigrationError):
        return Problem(error.code, f"{error.sentence} {error.advice}")
    if isinstance(error, PendingRollbackError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Problem("database-unreachable", "The connection to the database was lost. Repeat with the same run id.")
    sqlstate = getattr(getattr(error, "orig", None), "pgcode", None)
    if sqlstate == INSUFFICIENT_PRIVILEGE:
        return Problem("settings", "The role may not read leads or append to the log: grant it `dispatch_agent`.")
    return Problem(
        "internal-error", f"The agent itself failed with {type(error).__name__} ({sqlstate or 'no SQLSTATE'})."
    )
