"""One runner at a time: a session-level advisory lock.

The lock is polled with `pg_try_advisory_lock`. A backend that waits in `pg_advisory_lock` holds a snapshot, and the
lock holder's CREATE INDEX CONCURRENTLY waits for all older snapshots, so the two would wait for each other.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from runner.deadline import Deadline
from runner.errors import LockHeld, PooledConnection
from runner.postgres import connect
from runner.postgres.timeouts import send
from runner.postgres.version_table import HELD, HOLDER, Holder, key, read_holder, work_key
from runner.project import VersionTable

ENDED = "a session that has just ended"
GONE = (DBAPIError, PendingRollbackError)
"""The errors of a statement on a lost connection: of the first one, and of those after it."""

# The lock's connection writes the ledger, which nobody else should lock; a session that does must not delay a run
# past its deadline, and neither should a standby: the COMMIT of a revision waits for that, on the work's connection.
# https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT
BOUNDS = "set lock_timeout = '500ms'; set statement_timeout = '5s'; set synchronous_commit = local"
TRY = text("select pg_try_advisory_lock(:key)")
TRY_SHARED = text("select pg_try_advisory_lock_shared(:key)")
RELEASE = text("select pg_advisory_unlock(:key)")
ROLE = text("select current_setting('role')")
SET_ROLE = text("select set_config('role', :role, false)")
PID = "select pg_backend_pid()"
ALIVE = text("select pg_backend_pid(), pg_advisory_lock(:alive)")
# Twice, so that `held` below can release it once and take it again without a moment in which it is free.
TRY_WORK = "select case when pg_try_advisory_lock(%(key)s) then pg_try_advisory_lock(%(key)s) else false end"
STILL_HELD = f"select exists (select {HELD} and l.pid = pg_backend_pid()), pg_backend_pid(), current_database()"


@dataclass(frozen=True)
class MigrationLock:
    """The migration lock, held on a connection of its own, which the run and its watchdog use in turns."""

    connection: Connection
    key: int
    pid: int
    """The backend that took the lock."""
    work_key: int
    """The key of the second lock, which the work's own session holds."""
    alive_key: int
    """The key of a lock of this session that nobody else knows, so that nobody else takes it."""
    # psycopg2 connections are thread-safe, those of SQLAlchemy are not
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """Yield the lock's connection, in AUTOCOMMIT, to one thread at a time."""
        with self._mutex:
            yield self.connection

    def hold_work(self, connection: Connection, deadline: Deadline, waiting: Callable[[str], None]) -> None:
        """Take the second lock on the work's own session, which the death of the lock's session does not release.

        `connection` has no transaction yet. Raises `LockHeld`. Whoever is refused closes both connections, so that two
        runs never wait for each other.
        """
        attempt = partial(_try_work, connection, self.work_key)
        with self.turn() as lock_connection, _autocommit(connection):
            _poll(lock_connection, self.work_key, attempt, deadline, waiting)

    @property
    def held(self) -> tuple[str, str]:
        """Return two expressions for the work's session: whether this lock is held, and whether the second one is.

        Neither reads `pg_locks`, which would lock the server's lock manager for each revision. The first tries a lock
        that this session has; the second releases the work's lock once and takes it again.
        """
        alive = f"not pg_catalog.pg_try_advisory_xact_lock_shared({self.alive_key})"
        work = (
            f"case when pg_catalog.pg_advisory_unlock({self.work_key}) "
            f"then pg_catalog.pg_try_advisory_lock({self.work_key}) else false end"
        )
        return alive, work

    def refuse_pooler(self, other: Connection) -> None:
        """Raise `PooledConnection` where a pooler moves the lock's session or that of `other` between backends.

        Behind a pooler in transaction mode two idle connections can share a backend, and one connection can have
        another backend for its next statement: https://www.pgbouncer.org/features.html
        """
        with _autocommit(other):
            theirs = send(other, PID)[0]
        with self.turn() as connection:
            held, ours, database = connection.exec_driver_sql(STILL_HELD, {"key": self.key}).one()
        if ours != self.pid or theirs == self.pid or not held:
            raise PooledConnection(database)


@contextmanager
def acquire(
    engine: Engine, table: VersionTable, deadline: Deadline, waiting: Callable[[str], None]
) -> Iterator[MigrationLock]:
    """Hold the migration lock of a version table on a connection of its own while the block runs.

    `waiting` is called once with a description of the lock's holder, where there is one. Raises `LockHeld` when
    `deadline` leaves no time for another try.
    """
    # On the migration's connection the lock would break Alembic's autocommit block; in a transaction, which has a
    # snapshot, it would block CREATE INDEX CONCURRENTLY.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        number = key(table)
        connection.exec_driver_sql(BOUNDS)
        _poll(connection, number, lambda: _try(connection, number), deadline, waiting)
        alive = secrets.randbits(63)
        pid = connection.execute(ALIVE, {"alive": alive}).one()[0]
        lock = MigrationLock(connection, number, pid, work_key(table), alive)
        try:
            yield lock
        finally:
            # closing the connection would release it too, but only when the backend has ended, a moment later
            with lock.turn():
                release(connection, number)


@contextmanager
def _autocommit(connection: Connection) -> Iterator[None]:
    """Send what the block sends in no transaction, whose beginning and end would be messages of their own."""
    driver: Any = connection.connection.dbapi_connection
    driver.autocommit = True
    yield
    driver.autocommit = False


def end_session(connection: Connection, pid: int) -> bool:
    """Terminate the backend `pid`, which must be one of our sessions; return whether it got the signal.

    A role may signal only the sessions of roles whose privileges it has, and a session belongs to the role that logged
    in. So the signal is sent as that role, not as `DB_ROLE`:
    https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
    """
    return bool(_ask(connection, "select pg_terminate_backend(:pid)", pid))


def cancel_statement(connection: Connection, pid: int) -> bool:
    """Cancel the statement of the backend `pid`, which must be one of our sessions; see `end_session`."""
    return bool(_ask(connection, "select pg_cancel_backend(:pid)", pid))


def awaits_standby(connection: Connection, pid: int) -> bool:
    """Return whether the backend `pid`, one of our sessions, has committed and waits for a synchronous standby.

    https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
    """
    return bool(_ask(connection, "select wait_event = 'SyncRep' from pg_stat_activity where pid = :pid", pid))


def _ask(connection: Connection, query: str, pid: int) -> Any:
    """Return what a query about one of our sessions returns to the role that logged in."""
    role = connection.execute(ROLE).scalar_one()
    # `none` is the role that logged in: https://www.postgresql.org/docs/current/sql-set-role.html
    connection.execute(SET_ROLE, {"role": "none"})
    try:
        return connection.execute(text(query), {"pid": pid}).scalar_one_or_none()
    finally:
        connection.execute(SET_ROLE, {"role": role})


def take(connection: Connection, number: int, seconds: float, *, shared: bool = False) -> bool:
    """Take the advisory lock with the key `number` and return whether it is ours; try for at most `seconds`.

    `connection` must be in AUTOCOMMIT. Several sessions can have a `shared` lock; its session's end releases it.
    """
    query = TRY_SHARED if shared else TRY
    pauses = Deadline.after(seconds).pauses(first_s=0.1, longest_s=1)
    return _try(connection, number, query) or any(_try(connection, number, query) for _ in pauses)


def release(connection: Connection, number: int) -> None:
    """Release the advisory lock with the key `number`."""
    # with a lost connection the server has released its session's locks already
    with contextlib.suppress(*GONE):
        connection.execute(RELEASE, {"key": number})


def _try(connection: Connection, number: int, query: TextClause = TRY) -> bool:
    return bool(connection.execute(query, {"key": number}).scalar_one())


def _try_work(connection: Connection, number: int) -> bool:
    return bool(send(connection, TRY_WORK, {"key": number})[0])


def _poll(
    connection: Connection, number: int, attempt: Callable[[], bool], deadline: Deadline, waiting: Callable[[str], None]
) -> None:
    """Call `attempt` until it returns true; describe the holder of the key `number` after the first failure."""
    started = time.monotonic()
    if attempt():
        return
    # between the failed try and this query the holder may have released the lock
    waiting(str(_find_holder(connection, number) or ENDED))
    if not any(attempt() for _ in deadline.pauses(first_s=0.1, longest_s=1)):
        database = connection.exec_driver_sql("select current_database()").scalar_one()
        holder = _find_holder(connection, number)
        ending = None if holder is None or holder.is_migration else holder.ending
        raise LockHeld(database, str(holder or ENDED), time.monotonic() - started, ending)


def holder(connection: Connection) -> Holder | None:
    """Return the migration lock's holder, None where nobody holds it."""
    return _find_holder(connection, key(connect.version_table(connection)))


def _find_holder(connection: Connection, number: int) -> Holder | None:
    return read_holder(connection.exec_driver_sql(HOLDER, {"key": number}).first())
