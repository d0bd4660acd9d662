"""One invocation of a run at a time: a second one waits, and finds what is left to decide."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from runner.postgres.connect import MigrationError

TRY = text("select pg_try_advisory_lock(:key)")
BOUND = text("select set_config('statement_timeout', :limit, false), set_config('lock_timeout', :limit, false)")
RELEASE = text("select pg_advisory_unlock(:key)")
LOOK_EVERY_S = 0.2


@dataclass(eq=False)
class RunBusy(MigrationError):
    run_id: str
    code = "run-busy"
    what = "Another invocation of the run `{run_id}` is at work."
    left = "Nothing was recorded by this one."
    hint = "Repeat when it has ended."


@contextmanager
def take(connection: Connection, run_id: str, remaining_s: Callable[[], float]) -> Iterator[None]:
    """Hold the run for as long as the block lasts, on a session of its own in AUTOCOMMIT.

    It is polled and not waited for in the server: a session that waits there holds a snapshot, which hangs
    concurrent index builds. Raises `RunBusy` when no time is left. A session that ends gives the run back.
    """
    key = int.from_bytes(hashlib.sha256(f"dispatch {run_id}".encode()).digest()[:8], "big", signed=True)
    while not connection.execute(TRY, {"key": key}).scalar_one():
        if remaining_s() <= 0:
            raise RunBusy(run_id)
        time.sleep(LOOK_EVERY_S)
    try:
        yield
    finally:
        # with its session the server has given it back already, and what the block came to stands
        with suppress(DBAPIError, PendingRollbackError):
            connection.execute(RELEASE, {"key": key})


def bound(connection: Connection, seconds: float) -> None:
    """Let no later statement of `connection` run or wait for a lock for longer than `seconds`."""
    connection.execute(BOUND, {"limit": f"{max(1, int(seconds * 1000))}ms"})
