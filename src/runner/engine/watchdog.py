"""Watch a revision from the lock's connection: who blocks it, whether the time is up or somebody pressed Ctrl-C."""

import threading
from dataclasses import dataclass, field

from sqlalchemy import text

from runner.deadline import Deadline
from runner.postgres import sqlstate
from runner.postgres.advisory_lock import GONE, MigrationLock, cancel_statement, end_session

LOOK_EVERY_S = 0.2
GRACE_S = 0.3
"""`statement_timeout` ends a statement at the deadline; only what is no statement lives past it."""

# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
BLOCKERS = text("""
    select coalesce(w.relation::regclass::text, w.locktype) as wanted, b.pid, a.application_name as application,
           extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.backend_start)) as age_s
    from unnest(pg_blocking_pids(:pid)) as b(pid)
    left join pg_stat_activity a on a.pid = b.pid
    left join pg_locks w on w.pid = :pid and not w.granted
    order by age_s desc nulls last limit 1
""")


@dataclass
class Watchdog:
    """Look at the backend `pid` every 200 ms, on the guard's connection."""

    lock: MigrationLock
    pid: int
    deadline: Deadline
    interrupted: threading.Event
    blocker: str = ""
    waited_ms: float = 0.0
    ended_backend: bool = False
    lost: bool = False
    """Whether the guard's connection is gone, and the lock with it."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Begin to count anew, for another step."""
        self.waited_ms, self.blocker = 0.0, ""

    def stop(self) -> None:
        """Look no more; returns when the last look is over."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                self._look_once()
            except GONE as error:
                if sqlstate.is_lost(error):
                    # the run notices before its next revision
                    self.lost = True
                    return

    def _look_once(self) -> None:
        with self.lock.turn() as connection:
            if self.deadline.passed_s >= GRACE_S:
                self.ended_backend = end_session(connection, self.pid)
                self._stop.set()
                return
            if self.interrupted.is_set():
                cancel_statement(connection, self.pid)
                return
            row = connection.execute(BLOCKERS, {"pid": self.pid}).first()
        if row is not None:
            self.waited_ms += LOOK_EVERY_S * 1000
            name = f" ({row.application})" if row.application else ""
            age = f" for {_age(float(row.age_s))}" if row.age_s is not None else ""
            self.blocker = f"`{row.wanted}`, held by pid {row.pid}{name}{age}"


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
