"""A thread that watches a revision from the lock's connection: its blocker, the deadline, and Ctrl-C."""

import threading
from dataclasses import dataclass, field

from sqlalchemy import text

from runner.deadline import Deadline
from runner.postgres import sqlstate
from runner.postgres.advisory_lock import GONE, MigrationLock, awaits_standby, cancel_statement, end_session
from runner.postgres.timeouts import Timeouts

POLL_INTERVAL_S = 0.2
GRACE_S = 0.3
"""From the deadline to the session's end: `statement_timeout` ends statements, but neither COMMIT nor Python code."""
SLACK_MS = 100
"""From the end of `lock_timeout`, with which the server ends a wait itself, to the end of a wait by the watchdog."""

# Sessions that wait ahead in the queue block too; the oldest transaction is most likely the one they all wait for.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
BLOCKERS = text("""
    select coalesce(regexp_replace(w.relation::regclass::text, '^public[.]', ''), w.locktype) as wanted, b.pid,
           a.application_name as application,
           extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.backend_start)) as age_s,
           extract(epoch from clock_timestamp() - w.waitstart) * 1000 as waited_ms
    from unnest(pg_blocking_pids(:pid)) as b(pid)
    left join pg_stat_activity a on a.pid = b.pid
    left join pg_locks w on w.pid = :pid and not w.granted
    order by age_s desc nulls last limit 1
""")


@dataclass
class Watchdog:
    """A thread that polls the session `pid` every 200 ms, on the lock's connection."""

    lock: MigrationLock
    pid: int
    deadline: Deadline
    interrupted: threading.Event
    timeouts: Timeouts
    blocker: str = ""
    """The session that was last seen to block the step, in words."""
    waited_ms: float = 0.0
    """The time in which the step was seen blocked, in steps of the poll's interval."""
    ended_backend: bool = False
    """Whether the session was ended at the deadline."""
    ended_wait: bool = False
    """Whether a statement was cancelled because it waited longer than its time-out allows."""
    unconfirmed: bool = False
    """Whether a commit stopped waiting for its standby, so that it is only known to be done on this server."""
    lost: bool = False
    """Whether the lock's connection is lost, and the lock with it."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to poll, in a thread."""
        # a daemon: a thread that waits for a lost server must not keep the process alive
        self._thread = threading.Thread(target=self._poll, name="watchdog", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Forget the waits of the step before."""
        self.waited_ms, self.blocker, self.ended_wait = 0.0, "", False

    def stop(self) -> None:
        """Stop polling, and return when the last poll has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(POLL_INTERVAL_S):
            try:
                self._poll_once()
            except GONE as error:
                # any other error, such as a statement time-out, leaves the next poll to work
                if sqlstate.is_lost(error):
                    # not raised in this thread: the run checks it before its next step
                    self.lost = True
                    return

    def _poll_once(self) -> None:
        with self.lock.turn() as connection:
            late = self.deadline.passed_s >= GRACE_S
            if (late or self.interrupted.is_set()) and awaits_standby(connection, self.pid):
                # the commit is done here; a cancel ends the wait, and the end of the session would end the answer too
                self.unconfirmed = cancel_statement(connection, self.pid)
                return
            if late:
                self.ended_backend = True
                end_session(connection, self.pid)
                self._stop.set()
                return
            if self.interrupted.is_set():
                # at each poll: a cancel between two statements has no effect
                cancel_statement(connection, self.pid)
                return
            row = connection.execute(BLOCKERS, {"pid": self.pid}).first()
            # the revision has raised or removed `lock_timeout` where it could not be set back in time
            if row is not None and float(row.waited_ms or 0) > self.timeouts.lock_ceiling_ms + SLACK_MS:
                self.ended_wait = True
                cancel_statement(connection, self.pid)
        if row is not None:
            self.waited_ms += POLL_INTERVAL_S * 1000
            name = f" ({row.application})" if row.application else ""
            age = f" for {_age(float(row.age_s))}" if row.age_s is not None else ""
            self.blocker = f"`{row.wanted}`, held by pid {row.pid}{name}{age}"


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
