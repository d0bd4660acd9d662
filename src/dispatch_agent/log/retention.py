"""Deletion of old decisions from `dry_run_log`, in batches."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from models import DryRunLog

AGE = re.compile(r"([0-9]{1,5})([dh])")
LOCK_TIMEOUT_MS = 2_000
"""Kept short: a session that waits for a table lock makes every later session wait behind it."""

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
# An array of ctids is always fetched one by one; a join could become a scan of the whole table.
# Each batch begins where the previous one ended, else it would first scan all rows that are deleted already.
# A row that was found and not deleted was deleted by another purge.
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
    """The rows to delete: those created before `before`, of one tenant or of all."""

    before: datetime
    tenant: UUID | None
    batch: int = 5_000


def age(words: str) -> timedelta:
    """Read an age such as `90d` or `36h`. Raises `ValueError`."""
    found = AGE.fullmatch(words)
    if found is None:
        raise ValueError(f"`{words}` is not an age")
    number = int(found[1])
    return timedelta(days=number) if found[2] == "d" else timedelta(hours=number)


A_DAY = age("1d")


def moment(connection: Connection, older_than: timedelta) -> datetime:
    """Return the moment before which rows have that age.

    `created_at` has no zone. The agent wrote `now()` in the zone of its session, which is the database's; this
    session has the same zone unless `PGTZ` or its role sets another. Rows without a timestamp are never deleted.
    """
    return connection.execute(select(func.localtimestamp())).scalar_one() - older_than


def delete(connection: Connection, purge: Purge) -> Iterator[int]:
    """Delete in batches, the oldest first, and yield the number of deleted rows after each commit.

    A caller that stops iterating leaves only whole batches deleted. Rows that are inserted meanwhile are kept.
    """
    for tenant in [purge.tenant] if purge.tenant else _tenants(connection):
        begin = datetime.min
        while True:
            with connection.begin():
                _bound_lock_wait(connection)
                gone, found, last = connection.execute(BATCH, _of(purge, tenant, begin)).one()
            if gone:
                yield gone
            if found < purge.batch:
                break
            begin = last


def left(connection: Connection, tenant: UUID | None) -> int:
    """Count the remaining rows, of one tenant or of all."""
    rows = select(func.count()).select_from(DryRunLog)
    return connection.scalar(rows if tenant is None else rows.where(DryRunLog.tenant_id == tenant)) or 0


def _tenants(connection: Connection) -> list[UUID]:
    with connection.begin():
        return list(connection.scalars(TENANTS))


def _of(purge: Purge, tenant: UUID, begin: datetime) -> dict[str, object]:
    return {"tenant": tenant, "before": purge.before, "begin": begin, "rows": purge.batch}


def _bound_lock_wait(connection: Connection) -> None:
    connection.execute(text("select set_config('lock_timeout', :ms, true)"), {"ms": str(LOCK_TIMEOUT_MS)})
