"""Who is connected to a database: what each session does, holds, waits for and blocks, without its data."""

from sqlalchemy import Connection, RowMapping

from runner.answer import Progress
from runner.errors import count
from runner.postgres import blocker, connect, redact
from runner.postgres.version_table import key
from runner.project import quote
from runner.results import ActivityResult, PreparedTransaction, Session
from runner.settings import Settings


def read(connection: Connection, settings: Settings) -> ActivityResult:
    """Return the sessions of the database but this one, and its prepared transactions.

    Those that block others come first, then those whose transaction is the oldest. A login without the rights of
    `pg_read_all_stats` sees of another role's sessions neither state nor statement.
    """
    rows = list(
        connection.exec_driver_sql(blocker.query("read"), {"key": key(connect.version_table(connection))}).mappings()
    )
    blocks: dict[int, list[int]] = {}
    for row in rows:
        for pid in row["blocked_by"]:
            blocks.setdefault(pid, []).append(row["pid"])
    sessions = [_session(row, tuple(blocks.get(row["pid"], ())), settings) for row in rows]
    prepared = [PreparedTransaction(**row) for row in connection.exec_driver_sql(blocker.query("prepared")).mappings()]
    return ActivityResult(tuple(sorted(sessions, key=_order)), tuple(prepared), grant_to_see(connection, sessions))


def grant_to_see(connection: Connection, sessions: list[Session]) -> str | None:
    """Return the GRANT without which the login does not see what these sessions do, None where it sees all."""
    login = connection.exec_driver_sql(blocker.query("login")).one()
    hidden = any(one.kind is None for one in sessions)
    return f"GRANT pg_monitor TO {quote(login.login)}" if hidden and not login.sees else None


def summary(activity: ActivityResult, database: str) -> str:
    """Return a sentence with the number of sessions, and one for each that blocks others."""
    told = [f"`{database}` has {count(len(activity.sessions), 'other session')}{_by_state(activity.sessions)}."]
    told += [
        f"Pid {one.pid} ({one.application or one.login}, {one.doing}) blocks {count(len(one.blocks), 'other')}."
        for one in activity.sessions
        if one.blocks
    ]
    if activity.prepared:
        told.append(f"{count(len(activity.prepared), 'prepared transaction')} may hold locks.")
    if activity.grant:
        told.append(f"This login does not see what other roles do; a superuser runs `{activity.grant}`.")
    return " ".join(told)


def _by_state(sessions: tuple[Session, ...]) -> str:
    states = [one.state for one in sessions if one.state]
    counted = [f"{states.count(state)} {state}" for state in sorted(set(states), key=states.index)]
    return f": {', '.join(counted)}" if counted else ""


def _session(row: RowMapping, blocks: tuple[int, ...], settings: Settings) -> Session:
    seen = row["kind"] is not None
    # a server process has no state
    state = row["state"] or (row["kind"] if seen else None)
    progress = None
    if row["phase"] is not None:
        progress = Progress(row["command"], row["phase"], row["progress_table"], row["done"], row["total"])
    return Session(
        pid=row["pid"],
        session=row["session"],
        login=row["login"] or "",
        application=row["application"] or "",
        kind=row["kind"],
        state=row["state"],
        doing=blocker.say(state, row["state_s"] if row["state"] else row["connected_s"]),
        transaction_s=_rounded(row["transaction_s"]),
        connected_s=_rounded(row["connected_s"]),
        statement=redact.template(row["query"]) if seen and row["query"] else None,
        waits_for=row["waits_for"],
        # 0 is a prepared transaction
        blocked_by=tuple(row["blocked_by"]),
        blocks=blocks,
        locks=dict(row["locks"]),
        holds_migration_lock=row["holds_migration_lock"],
        progress=progress,
        hint=_hint(row, settings) if blocks else None,
    )


def _hint(row: RowMapping, settings: Settings) -> str | None:
    application = row["application"] or ""
    return blocker.ending(row["pid"], row["session"], application, settings, is_superuser=row["superuser"])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _order(one: Session) -> tuple[int, int, float]:
    return (-len(one.blocks), one.state == "idle", -(one.transaction_s or 0))
