"""A thread that watches a revision from the lock's connection: its blocker and progress, the deadline, Ctrl-C."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.answer import Progress
from runner.deadline import Deadline
from runner.postgres import blocker, sqlstate
from runner.postgres.advisory_lock import GONE, MigrationLock, awaits_standby, cancel_statement, end_session
from runner.postgres.blocker import Blocker
from runner.postgres.timeouts import Timeouts

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.2
PROGRESS_INTERVAL_S = 1.0
GRACE_S = 0.3
"""From the deadline to the session's end: `statement_timeout` ends statements, but neither COMMIT nor Python code."""
SLACK_MS = 100
"""From the end of `lock_timeout`, with which the server ends a wait itself, to the end of a wait by the watchdog."""


@dataclass
class Watchdog:
    """A thread that polls the session `pid` every 200 ms, on the lock's connection."""

    lock: MigrationLock
    pid: int
    deadline: Deadline
    interrupted: threading.Event
    timeouts: Timeouts
    report: Callable[[Progress | None, Blocker | None], None]
    """Called about once a second in the watchdog's thread: how far a long command is, and what it waits for."""
    blocker: Blocker | None = None
    """The session that was last seen to block the step."""
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
    _looked: float = field(default_factory=time.monotonic)
    """When the step began, or its command's progress was last looked for, on the monotonic clock."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to poll, in a thread."""
        # a daemon: a thread that waits for a lost server must not keep the process alive
        self._thread = threading.Thread(target=self._poll, name="watchdog", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Forget the waits of the step before."""
        self.waited_ms, self.blocker, self.ended_wait = 0.0, None, False
        self._looked = time.monotonic()

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
            found = blocker.find(connection, self.pid)
            # the revision has raised or removed `lock_timeout` where it could not be set back in time
            if found is not None and found.waited_ms > self.timeouts.lock_ceiling_ms + SLACK_MS:
                self.ended_wait = True
                cancel_statement(connection, self.pid)
            is_due = self._is_time_to_look()
            progress = blocker.progress(connection, self.pid) if is_due else None
        if found is not None:
            self.waited_ms += POLL_INTERVAL_S * 1000
            self.blocker = found
        if is_due and (progress or found):
            self._report(progress, found)

    def _report(self, progress: Progress | None, found: Blocker | None) -> None:
        """Report progress; what fails in that, such as a terminal that is gone, must not end the watching."""
        try:
            self.report(progress, found)
        except Exception as error:  # noqa: BLE001 - whatever a door's output raises
            logger.warning("The progress could not be shown (%s).", type(error).__name__)

    def _is_time_to_look(self) -> bool:
        """Return whether the step has worked for a second since its beginning, or since this was last true."""
        due = time.monotonic() - self._looked >= PROGRESS_INTERVAL_S
        if due:
            self._looked = time.monotonic()
        return due
