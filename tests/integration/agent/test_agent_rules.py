"""What a run refuses, and what it counts: by tenant, by lead, by environment, and by the state of a send."""

import unicodedata
from pathlib import Path
from uuid import UUID

import pytest

from dispatch_agent import reading
from runner.postgres.connect import open_from
from support import agency
from support.agency import GENEROUS, OPEN, ask, ordered
from support.postgres import Database


@pytest.fixture
def migrated(database: Database, tmp_path: Path) -> Database:
    agency.prepare(tmp_path, database, 1)
    return database


# Status, when it was sent and when it is scheduled, in seconds from now; and whether it counts for minute, hour, day.
COUNTED = [
    ("pending", None, None, (1, 1, 1)),
    ("pending", None, -200_000, (1, 1, 1)),
    ("pending", None, 1_800, (0, 1, 1)),
    ("pending", None, 7_200, (0, 0, 1)),
    ("pending", None, 90_000, (0, 0, 0)),
    ("sending", None, -5, (1, 1, 1)),
    ("unknown", None, None, (1, 1, 1)),
    ("unknown", -1_800, None, (0, 1, 1)),
    ("unknown", -90_000, None, (0, 0, 0)),
    ("sent", -30, -60, (1, 1, 1)),
    ("failed", None, -5, (0, 0, 0)),
    ("rate_limited", None, -5, (0, 0, 0)),
]


def test_what_may_still_be_sent_counts(migrated: Database) -> None:
    """Against each limit: from its scheduled moment, from now on where that has passed."""
    migrated.execute("alter table disparos drop constraint disparos_status_check")
    ((tenant,),) = migrated.query("select tenant_id::text from tenants")
    found = []
    for status, sent, scheduled, _ in COUNTED:
        migrated.execute("truncate disparos")
        migrated.execute(
            f"""
            insert into disparos (tenant_id, lead_id, canal, status, sent_at, scheduled_at, updated_at)
            select tenant_id, lead_id, 'email', %s, moment + %s * second, moment + %s * second, moment
            from leads, (values (timestamptz '{OPEN.isoformat()}', interval '1 second')) one (moment, second)
            """,
            (status, sent, scheduled),
        )
        with open_from({"DATABASE_URL": migrated.url}, "test", 10).connect() as connection:
            usage = reading.read_usage(connection, UUID(tenant), "none", OPEN)
        found.append((status, sent, scheduled, (usage.minute, usage.email, usage.day)))
    assert found == COUNTED


# What `ENVIRONMENT` names, what is recorded, and the limit of WhatsApp per hour.
ENVIRONMENTS = [
    (" prod ", "prod", 1000), ("production", "prod", 1000), ("Production\n", "prod", 1000), ("PRD", "prod", 1000),
    ("live", "prod", 1000), ("pre-prod", "pre-prod", 100), ("dev", "dev", 100), ("", "dev", 100),
]  # fmt: skip


def test_production_by_any_of_its_names(migrated: Database) -> None:
    """It is recorded as `prod`, and has the higher limits of `prod`."""
    migrated.execute(
        "insert into disparos (tenant_id, lead_id, canal, status, sent_at) "
        f"select tenant_id, lead_id, 'whatsapp', 'sent', '{OPEN.isoformat()}' from leads, generate_series(1, 1000)"
    )
    usual = {**GENEROUS, "LIMIT_WHATSAPP_PER_HOUR": ""}
    for run_id, (named, _, _) in enumerate(ENVIRONMENTS):
        ask(migrated, {"tenantId": "test-001", "runId": f"{run_id}"}, **usual, ENVIRONMENT=named)
    assert migrated.query("select ambiente, razao_bloqueio from dry_run_log order by run_id") == [
        (recorded, f"limite de WhatsApp por hora atingido: 1000 de {hourly}") for _, recorded, hourly in ENVIRONMENTS
    ]


def test_a_slug_with_dots_and_accents(migrated: Database) -> None:
    """In either form of an accent: one character, or a letter and a mark."""
    for slug in ("clínica.são-josé", "a.b", ".", "ação", "日本", "x_y"):
        migrated.execute("update tenants set slug = %s", (slug,))
        for form in ("NFC", "NFD"):
            answer = ask(migrated, {"tenantId": unicodedata.normalize(form, slug), "runId": form})
            assert answer["success"], (slug, form, answer)


def test_a_tenant_that_is_not_active(migrated: Database) -> None:
    for status in ("suspended", "inactive", "Active", ""):
        migrated.execute("update tenants set status = %s", (status,))
        answer = ask(migrated, {"tenantId": "test-001"})
        assert (answer["success"], answer["code"]) == (False, "inactive-tenant")
        assert answer["error"] == (
            f"The tenant `test-001` has the status `{status}`, so nobody is contacted for it. Nothing was recorded. "
            "If that is wrong, set `status` to `active` in its row of `tenants`."
        )
    assert migrated.query("select count(*) from dry_run_log") == [(0,)]


def test_an_appointment_with_another_tenant(migrated: Database) -> None:
    """It is that tenant's affair, and no reason for a reminder from this one."""
    migrated.execute(f"""
        insert into tenants (slug, company_name) values ('other', 'Outra');
        insert into agendamentos (tenant_id, lead_id, data_hora, status)
        select (select tenant_id from tenants where slug = 'other'), lead_id,
               timestamptz '{OPEN.isoformat()}' + interval '1 day', 'confirmado' from leads;
    """)
    (decision,) = ask(migrated, {"tenantId": "test-001"})["decisoes"]
    assert decision["canal"] == "whatsapp"


def test_a_second_lead_in_the_run_of_the_first(database: Database, tmp_path: Path) -> None:
    """It is refused, with the reason; the first again finds nothing left to do."""
    agency.prepare(tmp_path, database, 3)
    first, second = ordered(database)[:2]
    event = {"tenantId": "test-001", "runId": "one"}
    assert [ask(database, {**event, "leadId": first})["leadsProcessados"] for _ in range(2)] == [1, 0]
    for size in (1, 5):
        answer = ask(database, {**event, "leadId": second, "batchSize": size})
        assert (answer["success"], answer["code"], answer["leadsProcessados"]) == (False, "run-mismatch", 0)
    assert answer["error"] == (
        f"The run `one` has decided on other leads, and not on `{second}`. Nothing was recorded. "
        "Give each lead a run id of its own."
    )
    missing = ask(database, {**event, "leadId": "00000000-0000-0000-0000-000000000001"})
    assert missing["code"] == "unknown-lead"
    assert database.query("select lead_id::text from dry_run_log") == [(first,)]


def test_one_lead_of_a_whole_run(database: Database, tmp_path: Path) -> None:
    """The run has decided on it, so nothing is left to do."""
    agency.prepare(tmp_path, database, 3)
    event = {"tenantId": "test-001", "runId": "all", "batchSize": 3}
    assert ask(database, event)["leadsProcessados"] == 3
    again = ask(database, {**event, "leadId": ordered(database)[1]})
    assert (again["success"], again["leadsProcessados"]) == (True, 0)
