"""Follow from a second connection which locks a backend holds and since when, and end it when it is too long."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from runner.errors import MigrationError
from runner.postgres.advisory_lock import GONE, MigrationLock, end_session
from runner.results import HeldLock

LOOK_EVERY_S = 0.01
# The strongest first, and what each keeps waiting: https://www.postgresql.org/docs/current/explicit-locking.html
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

# The guard's connection does not see what the other one has not committed, which so keeps nobody waiting. A lock
# on an index is one on its table.
HELD = text("""
    select distinct coalesce(x.indrelid, c.oid)::regclass::text as name, l.mode
    from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
    left join pg_index x on x.indexrelid = c.oid
    where l.pid = :pid and l.granted and l.locktype = 'relation'
      and l.database = (select oid from pg_database where datname = current_database())
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
""")
ALIVE = text("select exists (select from pg_stat_activity where pid = :pid)")


@dataclass
class LockMonitor:
    """Look at the locks of the backend `pid` every 10 ms, on the guard's connection."""

    lock: MigrationLock
    pid: int
    max_hold_ms: int
    reopen: Callable[[], Connection]
    """Gives another connection, to end the backend by when the guard's is lost."""
    exceeded: HeldLock | None = None
    """The lock for which the backend was ended."""
    lost: bool = False
    """Whether the guard's connection broke, so that nobody could look any more and the backend was ended."""
    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    _looked_at: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        self._thread = threading.Thread(target=self._look, name="holds", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when the last look is over."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def longest(self) -> HeldLock | None:
        """Return the lock that has kept the application waiting for longest."""
        now = time.monotonic()
        strong = [self.of(name, mode, 0, now) for name, mode in [*self._since] if MODES[mode]]
        return max(strong, key=lambda held: (held.held_ms, held.mode == STRENGTH[0]), default=None)

    def of(self, table: str, mode: str, not_before: float, now: float) -> HeldLock:
        """Return how long a lock has been held at most; looks are 10 ms apart.

        `not_before` is the moment, on the monotonic clock, before which it cannot have been taken.
        """
        since = max(not_before, self._since.get((table, mode), self._looked_at))
        return HeldLock(table, mode, round((now - since) * 1000, 1), MODES[mode])

    def held(self) -> dict[str, str]:
        """Look now, and return the strongest mode that the backend holds on each table that others can see."""
        with self.lock.turn() as connection:
            found = self._note(connection)
        strongest: dict[str, str] = {}
        for table, mode in sorted(found, key=lambda lock: STRENGTH.index(lock[1])):
            strongest.setdefault(table, mode)
        return strongest

    def wait_for_end(self) -> None:
        """Return when the backend that was ended has given back its locks."""
        with contextlib.suppress(*GONE, MigrationError), self.reopen() as connection:
            while connection.execute(ALIVE, {"pid": self.pid}).scalar_one():
                time.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self._look_once()
            except GONE:
                self.lost = True
                # where no other connection can be had either, the server is gone and the backend with it
                with contextlib.suppress(*GONE, MigrationError), self.reopen() as connection:
                    end_session(connection, self.pid)
                return

    def _look_once(self) -> None:
        with self.lock.turn() as connection:
            self._note(connection)
            longest = self.longest()
            if longest is not None and longest.held_ms >= self.max_hold_ms:
                self.exceeded = longest
                end_session(connection, self.pid)
                self._stop.set()

    def _note(self, connection: Connection) -> list[tuple[str, str]]:
        seen_at = time.monotonic()
        found = [(row.name, row.mode) for row in connection.execute(HELD, {"pid": self.pid})]
        for lock in found:
            # it was taken after the look before, so it may be reported as held a little too long
            self._since.setdefault(lock, self._looked_at)
        self._looked_at = seen_at
        return found
