"""Rows of `dry_run_log` for the agent's tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Connection

from runner.postgres.connect import open_from
from support.postgres import Database

OURS, THEIRS = UUID(int=1), UUID(int=2)
INSERT = (
    "insert into dry_run_log "
    "(tenant_id, canal_decidido, motivo_decisao, disparo_seria_executado, razao_bloqueio, created_at) "
)


@contextmanager
def begin(database: Database) -> Iterator[Connection]:
    """Begin a transaction as the agent does."""
    with open_from({**os.environ, "DATABASE_URL": database.url}, "test", 10).begin() as connection:
        yield connection


def fill(database: Database, tenant: UUID, number: int, *, days: float, apart: str = "1 second") -> None:
    """Insert decisions with an age in days, the newest first."""
    database.execute(
        f"{INSERT} select '{tenant}', 'none', 'x', false, null, "
        f"localtimestamp - interval '{days} days' - n * interval '{apart}' from generate_series(1, {number}) n"
    )


def log(
    database: Database, tenant: UUID, channel: str, number: int, reason: str | None = None, *, days: int = 0
) -> None:
    """Insert decisions of today or of an earlier day; `reason` is why they would not be sent."""
    database.execute(
        f"{INSERT} select '{tenant}', %s, 'x', %s, %s, current_date - {days} + interval '1 second' "
        f"from generate_series(1, {number})",
        (channel, reason is None, reason),
    )


def rows(database: Database) -> dict[UUID, int]:
    """Count the rows of each tenant."""
    found = database.query("select tenant_id::text, count(*) from dry_run_log group by 1")
    return {UUID(tenant): number for tenant, number in found}
