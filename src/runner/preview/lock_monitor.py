"""A thread that watches, from the lock's connection, the locks of a session, and ends it if it holds one too long."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from runner.errors import MigrationError
from runner.postgres.advisory_lock import GONE, MigrationLock, end_session
from runner.results import HeldLock

POLL_INTERVAL_S = 0.01
"""A measured time is too long by at most this and one query."""
# The strongest first, and what each blocks: https://www.postgresql.org/docs/current/explicit-locking.html
MODES = {
    "AccessExclusiveLock": "reads and writes",
    "ExclusiveLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ShareLock": "writes",
    "ShareUpdateExclusiveLock": None,
    "RowExclusiveLock": None,
    "RowShareLock": None,
    "AccessShareLock": None,
}
STRENGTH = list(MODES)

# The lock's connection does not see a table that the other transaction created, and nobody waits for such a table.
# A lock on an index counts as one on its table.
HELD = text("""
    select distinct regexp_replace(coalesce(x.indrelid, c.oid)::regclass::text, '^public[.]', '') as name, l.mode
    from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
    left join pg_index x on x.indexrelid = c.oid
    where l.pid = :pid and l.granted and l.locktype = 'relation'
      and l.database = (select oid from pg_database where datname = current_database())
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
""")
ALIVE = text("select exists (select from pg_stat_activity where pid = :pid)")


@dataclass
class LockMonitor:
    """A thread that polls the locks of session `pid` every 10 ms, on the migration lock's connection."""

    lock: MigrationLock
    pid: int
    max_hold_ms: int
    reopen: Callable[[], Connection]
    """Returns another connection, which ends the session if the lock's connection is lost."""
    exceeded: HeldLock | None = None
    """The lock for which the session was ended."""
    lost: bool = False
    """Whether the lock's connection was lost; the session is then ended, since its locks cannot be watched."""
    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    """The earliest moment at which each lock may have been taken, by table and mode, on the monotonic clock."""
    _polled_at: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to poll, in a thread."""
        # a daemon: a thread that waits for a lost server must not keep the process alive
        self._thread = threading.Thread(target=self._poll, name="lock-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling, and return when the last poll has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def longest(self) -> HeldLock | None:
        """Return the lock that has blocked the application for the longest time."""
        now = time.monotonic()
        # a copy: the thread may add a lock meanwhile
        strong = [self.of(name, mode, 0, now) for name, mode in [*self._since] if MODES[mode]]
        return max(strong, key=lambda held: (held.held_ms, held.mode == STRENGTH[0]), default=None)

    def of(self, table: str, mode: str, not_before: float, now: float) -> HeldLock:
        """Return a lock with the longest time for which it can have been held, up to `now`.

        `not_before` is a moment at which it was not held yet. Both are on the monotonic clock, in seconds.
        """
        since = max(not_before, self._since.get((table, mode), self._polled_at))
        return HeldLock(table, mode, round((now - since) * 1000, 1), MODES[mode])

    def held(self) -> dict[str, str]:
        """Poll now, and return the strongest mode that the session holds on each table that others can see."""
        with self.lock.turn() as connection:
            locks = self._read_locks(connection)
        strongest: dict[str, str] = {}
        for table, mode in sorted(locks, key=lambda lock: STRENGTH.index(lock[1])):
            strongest.setdefault(table, mode)
        return strongest

    def wait_for_end(self) -> None:
        """Return when the session that was ended has released its locks."""
        # a terminated backend first rolls back, and holds its locks until then
        with contextlib.suppress(*GONE, MigrationError), self.reopen() as connection:
            while connection.execute(ALIVE, {"pid": self.pid}).scalar_one():
                time.sleep(POLL_INTERVAL_S)

    def _poll(self) -> None:
        while not self._stop.wait(POLL_INTERVAL_S):
            try:
                self._poll_once()
            except GONE:
                self.lost = True
                # if no other connection can be opened either, the server is down, and the session with it
                with contextlib.suppress(*GONE, MigrationError), self.reopen() as connection:
                    end_session(connection, self.pid)
                return

    def _poll_once(self) -> None:
        with self.lock.turn() as connection:
            self._read_locks(connection)
            longest = self.longest()
            if longest is not None and longest.held_ms >= self.max_hold_ms:
                self.exceeded = longest
                # not only its statement: between two statements Python may run, which no cancel reaches
                end_session(connection, self.pid)
                self._stop.set()

    def _read_locks(self, connection: Connection) -> list[tuple[str, str]]:
        polled_at = time.monotonic()
        locks = [(row.name, row.mode) for row in connection.execute(HELD, {"pid": self.pid})]
        for lock in locks:
            # taken at any moment since the previous poll: the time is rather too long than too short
            self._since.setdefault(lock, self._polled_at)
        self._polled_at = polled_at
        return locks
