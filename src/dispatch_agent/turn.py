"""The lock that admits one invocation of a tenant's run at a time: a second one waits, then decides on what remains.

Other tenants, and other runs of the tenant, have locks of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from uuid import UUID

from sqlalchemy import Connection, text

from dispatch_agent.failure import RunBusy
from runner.postgres import advisory_lock
from runner.postgres.version_table import lock_key

BOUND = text("select set_config('statement_timeout', :limit, false), set_config('lock_timeout', :limit, false)")


@contextmanager
def take(connection: Connection, tenant_id: UUID, run_id: str, seconds: float) -> Iterator[None]:
    """Hold the lock of the tenant's run for the duration of the block, on a session of its own in AUTOCOMMIT.

    Raises `RunBusy` if the lock was not free within `seconds`. The end of the session releases the lock.
    """
    ends_at = monotonic() + seconds
    number = lock_key(f"dispatch {tenant_id} {run_id}")
    busy = RunBusy(f"Another invocation of the run `{run_id}` is in progress. This one recorded nothing.")
    if not advisory_lock.take(connection, number, seconds):
        raise busy
    try:
        # earlier versions lock the run id alone; the shared lock excludes them, and no other tenant
        if not advisory_lock.take(connection, lock_key(f"dispatch {run_id}"), ends_at - monotonic(), shared=True):
            raise busy
        yield
    finally:
        advisory_lock.release(connection, number)


def bound(connection: Connection, seconds: float) -> None:
    """Set the time-outs of later statements of `connection`, also for locks, to `seconds`."""
    connection.execute(BOUND, {"limit": f"{max(1, int(seconds * 1000))}ms"})
