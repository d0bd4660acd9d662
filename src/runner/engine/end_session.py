"""End a session that blocks, once, only that one, and with the name of who asked for it in the ledger."""

from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.exc import DBAPIError

from runner import payloads
from runner.answer import Draft
from runner.engine import ledger
from runner.errors import ConfirmNeeded, SessionKept, UntrustedObject, translating
from runner.invocation import Invocation
from runner.postgres import blocker, sqlstate
from runner.project import quote
from runner.results import EndSessionResult

WAIT_MS = 5000
"""How long the server waits for the session's end; one within a system call takes its time."""


def end(connection: Connection, invocation: Invocation, payload: payloads.EndSession, draft: Draft) -> None:
    """End the session that `payload` names, and conclude `draft` with what became of it.

    `connection` is in AUTOCOMMIT. Raises `SessionKept` for a session that may not be ended, `ConfirmNeeded` without
    the session's id or with that of another one.
    """
    # the signal is sent as the role that logged in: `DB_ROLE` owns objects, and no session is its own
    connection.exec_driver_sql("set role none")
    target = {"pid": payload.pid}
    found = connection.exec_driver_sql(blocker.query("target"), target).one_or_none()
    if found is None:
        told = f"Nothing to do: there is no session with pid {payload.pid} any more."
        draft.conclude(told, EndSessionResult(ended=False, recorded=False))
        return
    named = _named(found)
    _require(connection, found, named, payload.confirm)
    with translating(DBAPIError, lambda error: _denied(error, connection, found, named)):
        wait_ms = min(WAIT_MS, invocation.deadline.remaining_ms)
        ending = {**target, "session": payload.confirm, "wait_ms": wait_ms}
        ended = connection.exec_driver_sql(blocker.query("end"), ending).scalar_one_or_none()
    if ended is None:
        # between the two statements it has ended, or changed
        raise SessionKept(named, "it has changed meanwhile", "List the sessions with `migrate activity`.")
    # the signal is sent in either case, so the ledger gets who had it sent
    unrecorded = _record(connection, invocation, payload, f"{found.login} {found.application} {payload.confirm}")
    lacking = f" It was not recorded: {unrecorded}." if unrecorded else ""
    if not ended:
        raise SessionKept(
            named,
            f"it has not ended within {wait_ms / 1000:.0f} s",
            "Look again with `migrate activity`.",
            f"The signal to end was sent, and the session obeys when its system call returns.{lacking}",
        )
    draft.conclude(f"Ended the session of {named}.{lacking}", EndSessionResult(ended=True, recorded=unrecorded is None))


def _named(found: Row[Any]) -> str:
    """Return a session in words: pid, application, login and what it does."""
    application = f"`{found.application}`, " if found.application else ""
    return f"pid {found.pid} ({application}login `{found.login}`, {blocker.say(found.state, found.state_s)})"


def _require(connection: Connection, found: Row[Any], named: str, confirm: str | None) -> None:
    """Raise an error unless the session may be ended and `confirm` names it."""
    if found.obstacle is not None:
        advice = "Look for another one that blocks with `migrate activity`, or ask who runs this one to end it."
        raise SessionKept(named, found.obstacle, advice)
    if found.session is None:
        raise SessionKept(
            named,
            "this login does not see since when it is connected",
            f"Let a superuser run `GRANT pg_monitor, pg_signal_backend TO {_login(connection)}`, then repeat.",
        )
    if confirm is None:
        raise ConfirmNeeded(f"To end the session of {named} requires its id as confirmation", found.session)
    if confirm != found.session:
        raise ConfirmNeeded(f"`{confirm}` is not the session that has this pid now, {named}", found.session)


def _login(connection: Connection) -> str:
    return quote(connection.exec_driver_sql(blocker.query("login")).one().login)


def _denied(error: DBAPIError, connection: Connection, found: Row[Any], named: str) -> SessionKept | None:
    if sqlstate.sqlstate(error) != sqlstate.INSUFFICIENT_PRIVILEGE:
        return None
    return SessionKept(
        named,
        f"this login may not end sessions of `{found.login}`",
        f"Let a superuser run `GRANT pg_signal_backend TO {_login(connection)}`, then repeat.",
    )


def _record(connection: Connection, invocation: Invocation, payload: payloads.EndSession, target: str) -> str | None:
    """Write who ended which session into the ledger; return why that was not possible, None where it was."""
    role = invocation.settings.db_role
    try:
        if role:
            connection.exec_driver_sql("select set_config('role', %(role)s, false)", {"role": role})
        written = ledger.record_ended_session(connection, invocation, payload.actor, target)
    except (DBAPIError, UntrustedObject) as error:
        reason = getattr(error, "sentence", None) or f"the server refused the row (SQLSTATE {sqlstate.sqlstate(error)})"
        return str(reason).rstrip(".")
    return None if written else "this database has no ledger yet"
