"""One runner at a time: a session-level advisory lock."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from runner.deadline import Deadline
from runner.errors import LockHeld

TRY = text("select pg_try_advisory_lock(:key)")
RELEASE = text("select pg_advisory_unlock(:key)")
# A bigint key stands in pg_locks as two halves: https://www.postgresql.org/docs/current/view-pg-locks.html
HOLDER = text("""
    select coalesce(nullif(a.application_name, ''), 'an unnamed application') as application, a.pid,
           to_char(a.backend_start at time zone 'UTC', 'HH24:MI:SS') as since
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and ((l.classid::bigint << 32) | l.objid::bigint) = :key
""")


def key(version_table: str) -> int:
    """Return the lock's key for a version table; PostgreSQL itself keeps databases apart."""
    digest = hashlib.sha256(f"migrate {version_table}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextmanager
def hold(
    engine: Engine, version_table: str, deadline: Deadline, waiting: Callable[[str], None]
) -> Iterator[Connection]:
    """Hold the migration lock on a connection of its own and yield that connection, in AUTOCOMMIT.

    On the migration's connection the lock would break Alembic's autocommit block, and inside a
    transaction it would block `CREATE INDEX CONCURRENTLY`. It is tried and polled, never waited for in
    the server: a backend that waits there holds a snapshot, which hangs the holder's concurrent index build.
    `waiting` is told once who holds it. Raises `LockHeld` when `deadline` leaves no time for another try.
    """
    number = key(version_table)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _acquire(connection, number, deadline, waiting)
        try:
            yield connection
        finally:
            if not connection.invalidated:
                connection.execute(RELEASE, {"key": number})


def _acquire(connection: Connection, number: int, deadline: Deadline, waiting: Callable[[str], None]) -> None:
    started = time.monotonic()
    pauses = deadline.pauses(first_s=0.1, longest_s=1)
    told = False
    while not connection.execute(TRY, {"key": number}).scalar_one():
        holder = _holder(connection, number)
        if not told:
            waiting(holder)
            told = True
        if next(pauses, None) is None:
            database = connection.exec_driver_sql("select current_database()").scalar_one()
            raise LockHeld(database, holder, time.monotonic() - started)


def _holder(connection: Connection, number: int) -> str:
    row = connection.execute(HOLDER, {"key": number}).one_or_none()
    return f"{row.application}, pid {row.pid}, connected since {row.since} UTC" if row else "it has just ended"
