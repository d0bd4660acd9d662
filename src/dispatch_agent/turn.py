"""One invocation of a run at a time: a second one waits, and finds what is left to decide."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from runner.errors import MigrationError
from runner.postgres import advisory_lock
from runner.postgres.version_table import lock_key

BOUND = text("select set_config('statement_timeout', :limit, false), set_config('lock_timeout', :limit, false)")


@dataclass(eq=False)
class RunBusy(MigrationError):
    run_id: str
    code = "run-busy"
    what = "Another invocation of the run `{run_id}` is at work."
    left = "Nothing was recorded by this one."
    hint = "Repeat when it has ended."


@contextmanager
def take(connection: Connection, run_id: str, seconds: float) -> Iterator[None]:
    """Hold the run for as long as the block lasts, on a session of its own in AUTOCOMMIT.

    Raises `RunBusy` when it was not free within `seconds`. A session that ends gives the run back.
    """
    number = lock_key(f"dispatch {run_id}")
    if not advisory_lock.take(connection, number, seconds):
        raise RunBusy(run_id)
    try:
        yield
    finally:
        advisory_lock.release(connection, number)


def bound(connection: Connection, seconds: float) -> None:
    """Let no later statement of `connection` run or wait for a lock for longer than `seconds`."""
    connection.execute(BOUND, {"limit": f"{max(1, int(seconds * 1000))}ms"})
