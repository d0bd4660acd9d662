"""One runner at a time: a session-level advisory lock.

Such a lock is tried and polled, never waited for in the server: a backend that waits there holds a snapshot, which
hangs the holder's concurrent index build.
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
"""What a statement raises on a connection that is lost, the first time and after that."""

# Nobody should lock the ledger; who does must not hold up a run past its deadline.
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
    """Hold the lock on a connection of its own, which the run and its watchdog take in turns."""

    connection: Connection
    key: int
    pid: int
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """Yield the lock's connection, in AUTOCOMMIT, to one thread at a time."""
        with self._mutex:
            yield self.connection

    def is_held(self) -> bool:
        """Tell whether the lock is still ours; a terminated connection looks open until it is asked."""
        try:
            with self.turn() as connection:
                return bool(connection.exec_driver_sql(STILL_HELD, {"key": self.key}).scalar_one())
        except GONE:
            return False

    def is_held_as_seen_by(self, other: Connection) -> bool:
        """Tell the same, asked on another connection to the same database."""
        return bool(other.exec_driver_sql(HELD_BY, {"key": self.key, "pid": self.pid}).scalar_one())

    def refuse_pooler(self, other: Connection) -> None:
        """Raise `PooledConnection` when the lock's session or the migration's wanders between servers.

        Behind a transaction pooler two idle connections are given the same server, or one is given two.
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
    """Hold the migration lock on a connection of its own.

    On the migration's connection the lock would break Alembic's autocommit block, and inside a
    transaction it would block `CREATE INDEX CONCURRENTLY`. `waiting` is told once who holds it.
    Raises `LockHeld` when `deadline` leaves no time for another try.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        number = key(version_table)
        connection.exec_driver_sql(BOUNDS)
        _acquire(connection, number, deadline, waiting)
        lock = MigrationLock(connection, number, connection.execute(PID).scalar_one())
        try:
            yield lock
        finally:
            with lock.turn():
                give_back(connection, number)


def end_session(connection: Connection, pid: int) -> bool:
    """End a session of our own, as the user who logged in, whatever role the sessions have taken on.

    The owner that `DB_ROLE` names need not be allowed to signal those who act for it.
    https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
    """
    return _signal(connection, "select pg_terminate_backend(:pid)", pid)


def cancel_statement(connection: Connection, pid: int) -> bool:
    """Cancel what a session of our own is doing; see `end_session`."""
    return _signal(connection, "select pg_cancel_backend(:pid)", pid)


def _signal(connection: Connection, call: str, pid: int) -> bool:
    role = connection.execute(ROLE).scalar_one()
    connection.execute(SET_ROLE, {"role": "none"})
    try:
        return bool(connection.execute(text(call), {"pid": pid}).scalar_one())
    finally:
        connection.execute(SET_ROLE, {"role": role})


def take(connection: Connection, number: int, seconds: float, waiting: Callable[[], None] = lambda: None) -> bool:
    """Take the lock of that key, trying for `seconds` where another session has it; tell whether it is ours now.

    `connection` is in AUTOCOMMIT. `waiting` is called once, where the first try has failed.
    """
    deadline = Deadline.after(seconds)
    if _try(connection, number):
        return True
    waiting()
    return any(_try(connection, number) for _ in deadline.pauses(first_s=0.1, longest_s=1))


def give_back(connection: Connection, number: int) -> None:
    """Give the lock back; where the connection is lost, the server has done so already."""
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
    """Say who holds the migration lock, None where nobody does."""
    return _describe(connection, key(version_table))


def _holder(connection: Connection, number: int) -> str:
    return _describe(connection, number) or "it has just ended"


def _describe(connection: Connection, number: int) -> str | None:
    return describe(connection.exec_driver_sql(HOLDER, {"key": number}).first())
