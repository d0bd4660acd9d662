"""One runner at a time: a session-level advisory lock.

The lock is polled with `pg_try_advisory_lock`. A backend that waits in `pg_advisory_lock` holds a snapshot, and the
lock holder's CREATE INDEX CONCURRENTLY waits for all older snapshots, so the two would wait for each other.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from runner.deadline import Deadline
from runner.errors import LockHeld, PooledConnection
from runner.postgres.version_table import HELD, HOLDER, describe, key

GONE = (DBAPIError, PendingRollbackError)
"""The errors of a statement on a lost connection: of the first one, and of those after it."""

# The lock's connection writes the ledger, which nobody else should lock; a session that does must not delay a run
# past its deadline.
BOUNDS = "set lock_timeout = '500ms'; set statement_timeout = '5s'"
TRY = text("select pg_try_advisory_lock(:key)")
RELEASE = text("select pg_advisory_unlock(:key)")
ROLE = text("select current_setting('role')")
SET_ROLE = text("select set_config('role', :role, false)")
PID = text("select pg_backend_pid()")
STILL_HELD = f"select exists (select {HELD} and l.pid = pg_backend_pid())"
HELD_BY = f"select exists (select {HELD} and l.pid = %(pid)s)"


@dataclass(frozen=True)
class MigrationLock:
    """The migration lock, held on a connection of its own, which the run and its watchdog use in turns."""

    connection: Connection
    key: int
    pid: int
    """The backend that took the lock."""
    # psycopg2 connections are thread-safe, those of SQLAlchemy are not
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """Yield the lock's connection, in AUTOCOMMIT, to one thread at a time."""
        with self._mutex:
            yield self.connection

    def is_held(self) -> bool:
        """Return whether the lock is still ours."""
        # asks the server: on the client's side a terminated connection still counts as open
        try:
            with self.turn() as connection:
                return bool(connection.exec_driver_sql(STILL_HELD, {"key": self.key}).scalar_one())
        except GONE:
            return False

    def is_held_as_seen_by(self, other: Connection) -> bool:
        """Return whether the lock is still ours, as seen by another connection to the same database."""
        return bool(other.exec_driver_sql(HELD_BY, {"key": self.key, "pid": self.pid}).scalar_one())

    def refuse_pooler(self, other: Connection) -> None:
        """Raise `PooledConnection` where a pooler moves the lock's session or that of `other` between backends.

        Behind a pooler in transaction mode two idle connections can share a backend, and one connection can have
        another backend for its next statement: https://www.pgbouncer.org/features.html
        """
        theirs = other.execute(PID).scalar_one()
        with self.turn() as connection:
            ours = connection.execute(PID).scalar_one()
            database = str(connection.exec_driver_sql("select current_database()").scalar_one())
        if ours != self.pid or theirs == self.pid or not self.is_held():
            raise PooledConnection(database)


@contextmanager
def acquire(
    engine: Engine, version_table: str, deadline: Deadline, waiting: Callable[[str], None]
) -> Iterator[MigrationLock]:
    """Hold the migration lock on a connection of its own while the block runs.

    `waiting` is called once with a description of the lock's holder, where there is one. Raises `LockHeld` when
    `deadline` leaves no time for another try.
    """
    # On the migration's connection the lock would break Alembic's autocommit block; in a transaction, which has a
    # snapshot, it would block CREATE INDEX CONCURRENTLY.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        number = key(version_table)
        connection.exec_driver_sql(BOUNDS)
        _acquire(connection, number, deadline, waiting)
        lock = MigrationLock(connection, number, connection.execute(PID).scalar_one())
        try:
            yield lock
        finally:
            # closing the connection would release it too, but only when the backend has ended, a moment later
            with lock.turn():
                release(connection, number)


def end_session(connection: Connection, pid: int) -> bool:
    """Terminate the backend `pid`, which must be one of our sessions; return whether it got the signal.

    A role may signal only the sessions of roles whose privileges it has, and a session belongs to the role that logged
    in. So the signal is sent as that role, not as `DB_ROLE`:
    https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
    """
    return _signal(connection, "select pg_terminate_backend(:pid)", pid)


def cancel_statement(connection: Connection, pid: int) -> bool:
    """Cancel the statement of the backend `pid`, which must be one of our sessions; see `end_session`."""
    return _signal(connection, "select pg_cancel_backend(:pid)", pid)


def _signal(connection: Connection, call: str, pid: int) -> bool:
    role = connection.execute(ROLE).scalar_one()
    # `none` is the role that logged in: https://www.postgresql.org/docs/current/sql-set-role.html
    connection.execute(SET_ROLE, {"role": "none"})
    try:
        return bool(connection.execute(text(call), {"pid": pid}).scalar_one())
    finally:
        connection.execute(SET_ROLE, {"role": role})


def take(connection: Connection, number: int, seconds: float, waiting: Callable[[], None] = lambda: None) -> bool:
    """Take the advisory lock with the key `number` and return whether it is ours; try for at most `seconds`.

    `connection` must be in AUTOCOMMIT. `waiting` is called once, after the first try has failed.
    """
    deadline = Deadline.after(seconds)
    if _try(connection, number):
        return True
    waiting()
    return any(_try(connection, number) for _ in deadline.pauses(first_s=0.1, longest_s=1))


def release(connection: Connection, number: int) -> None:
    """Release the advisory lock with the key `number`."""
    # with a lost connection the server has released its session's locks already
    with contextlib.suppress(*GONE):
        connection.execute(RELEASE, {"key": number})


def _try(connection: Connection, number: int) -> bool:
    return bool(connection.execute(TRY, {"key": number}).scalar_one())


def _acquire(connection: Connection, number: int, deadline: Deadline, waiting: Callable[[str], None]) -> None:
    started = time.monotonic()
    if not take(connection, number, deadline.remaining_s, lambda: waiting(_holder(connection, number))):
        database = connection.exec_driver_sql("select current_database()").scalar_one()
        raise LockHeld(database, _holder(connection, number), time.monotonic() - started)


def holder(connection: Connection, version_table: str) -> str | None:
    """Return a description of the migration lock's holder, None where nobody holds it."""
    return _describe(connection, key(version_table))


def _holder(connection: Connection, number: int) -> str:
    # between the failed try and this query the holder may have released the lock
    return _describe(connection, number) or "a session that has just ended"


def _describe(connection: Connection, number: int) -> str | None:
    return describe(connection.exec_driver_sql(HOLDER, {"key": number}).first())
