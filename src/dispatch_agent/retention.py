"""Old decisions deleted from `dry_run_log`, a batch at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from models import DryRunLog

AGE = re.compile(r"([0-9]{1,5})([dh])")
LOCK_TIMEOUT_MS = 2_000
"""A migration waits for us, so we do not wait for it: whoever queues for a table queues everybody behind."""

# Each tenant is found through the first column of `idx_dry_run_tenant`, since DISTINCT would read all rows:
# https://wiki.postgresql.org/wiki/Loose_indexscan
TENANTS = text("""
    with recursive known as (
        (select tenant_id from dry_run_log order by tenant_id limit 1)
        union all
        select (select tenant_id from dry_run_log where tenant_id > known.tenant_id order by tenant_id limit 1)
        from known where known.tenant_id is not null
    )
    select tenant_id from known where tenant_id is not null
""")
# An array of addresses is always looked up one by one; a join could become a scan of the whole table.
# Each batch begins where the one before it ended, else it would first step over all that is deleted already.
# What was found and not deleted, another purge deleted first.
BATCH = text("""
    with old as materialized (
        select ctid, created_at from dry_run_log
        where tenant_id = :tenant and created_at < :before and created_at >= :begin
        order by created_at limit :rows
    ), gone as (
        delete from dry_run_log where ctid = any (array(select ctid from old)) returning 1
    )
    select (select count(*) from gone), (select count(*) from old), (select max(created_at) from old)
""")


@dataclass(frozen=True)
class Purge:
    """Say which rows go: those made before `before`, of one tenant or of all."""

    before: datetime
    tenant: UUID | None
    batch: int = 5_000


def age(words: str) -> timedelta:
    """Read an age such as `90d` or `36h`. Raises `ValueError`."""
    found = AGE.fullmatch(words)
    if found is None:
        raise ValueError(f"`{words}` is no age")
    number = int(found[1])
    return timedelta(days=number) if found[2] == "d" else timedelta(hours=number)


def moment(connection: Connection, older_than: timedelta) -> datetime:
    """Return the moment before which rows are that old.

    `created_at` has no zone. The agent's `now()` was written in the zone of its session, which is the database's
    own; this session has the same unless `PGTZ` or its role sets another. Rows without the time never grow old.
    """
    return connection.execute(select(func.localtimestamp())).scalar_one() - older_than


def delete(connection: Connection, purge: Purge) -> Iterator[int]:
    """Delete batch after batch, the oldest first, and yield after each commit how many rows it had.

    Whoever stops asking for the next batch has whole batches deleted. Rows that come in meanwhile are kept.
    """
    for tenant in [purge.tenant] if purge.tenant else _tenants(connection):
        begin = datetime.min
        while True:
            with connection.begin():
                _be_brief(connection)
                gone, found, last = connection.execute(BATCH, _of(purge, tenant, begin)).one()
            if gone:
                yield gone
            if found < purge.batch:
                break
            begin = last


def left(connection: Connection, tenant: UUID | None) -> int:
    """Count the rows that are left, of one tenant or of all."""
    rows = select(func.count()).select_from(DryRunLog)
    return connection.scalar(rows if tenant is None else rows.where(DryRunLog.tenant_id == tenant)) or 0


def _tenants(connection: Connection) -> list[UUID]:
    with connection.begin():
        return list(connection.scalars(TENANTS))


def _of(purge: Purge, tenant: UUID, begin: datetime) -> dict[str, object]:
    return {"tenant": tenant, "before": purge.before, "begin": begin, "rows": purge.batch}


def _be_brief(connection: Connection) -> None:
    connection.execute(text("select set_config('lock_timeout', :ms, true)"), {"ms": str(LOCK_TIMEOUT_MS)})
