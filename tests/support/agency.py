"""A database at the head with leads, and calls of the agent like those of its doors."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dispatch_agent.run import run
from support.postgres import Database
from support.project import Project

OPEN = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
"""A Monday, 11:00 in São Paulo."""
GENEROUS = {"LIMIT_PER_MINUTE": "100000", "LIMIT_PER_HOUR": "100000", "LIMIT_PER_DAY": "100000",
            "LIMIT_WHATSAPP_PER_HOUR": "100000", "LIMIT_EMAIL_PER_HOUR": "100000"}  # fmt: skip
TENANT = "insert into tenants (slug, company_name) values ('test-001', 'Teste')"
LEADS = """
    insert into leads (tenant_id, nome, interesse, data_ingestao, telefone_raw)
    select tenant_id, 'Lead ' || n, n % 101, timestamptz '2026-01-01' + n * interval '1 second',
           '(11) 9' || lpad(n::text, 8, '0')
    from tenants, generate_series(1, {number}) n where slug = 'test-001'
"""


def prepare(folder: Path, database: Database, number: int) -> Project:
    """Upgrade a database to the head, and insert leads of `test-001`."""
    project = Project.copy_whole(folder)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    database.execute(TENANT)
    database.execute(LEADS.format(number=number))
    return project


def ask(
    database: Database,
    event: Mapping[str, Any] | object,
    *,
    now: datetime = OPEN,
    seconds: float = 60,
    tell: Callable[..., None] = lambda *_, **__: None,
    **environ: str,
) -> dict[str, Any]:
    """Run the agent at a given moment; `tell` is called for each recorded chunk."""
    known = {"DATABASE_URL": database.url, **environ}
    return run(event, known, "request-1", seconds, tell, lambda: now)


def ordered(database: Database) -> list[str]:
    """Return the leads in the order in which they are to be decided on."""
    query = "select lead_id::text from leads order by coalesce(interesse, -1) desc, data_ingestao, lead_id"
    return [row[0] for row in database.query(query)]
