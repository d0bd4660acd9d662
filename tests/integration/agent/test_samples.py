"""Sample leads: the same for the same seed, each once, of every kind that the agent meets."""

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from dispatch_agent.sample_data import people, samples
from support.agent_log import begin
from support.postgres import Database
from support.project import Project

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
TABLES = ("leads", "lead_telefones", "lead_emails", "blocklist", "agendamentos", "disparos")


# Each finds at least one lead of its kind.
EVERY = {
    "a second phone is the principal": """
        select 1 from lead_telefones a join lead_telefones b using (lead_id)
        where a.telefone_principal and not b.telefone_principal""",
    "an invalid phone": "select 1 from lead_telefones where not valido_para_disparo",
    "several raw phones and nothing structured": """
        select 1 from leads l where telefone_raw like '%|%|%'
        and not exists (select from lead_telefones t where t.lead_id = l.lead_id)""",
    "no contact": """
        select 1 from leads l where telefone_raw is null and email_raw is null
        and not exists (select from lead_telefones t where t.lead_id = l.lead_id)
        and not exists (select from lead_emails t where t.lead_id = l.lead_id)""",
    "closed": "select 1 from leads where status in ('descartado', 'concluido')",
    "a future appointment": "select 1 from agendamentos where data_hora > now() and status = 'confirmado'",
    "a proposed one": "select 1 from agendamentos where data_hora > now() and status = 'proposto'",
    "a past one": "select 1 from agendamentos where data_hora < now()",
    "a cancelled one": "select 1 from agendamentos where data_hora > now() and status = 'cancelado'",
    "blocked by lead": "select 1 from blocklist where lead_id is not null",
    "blocked by phone, in another notation": """
        select 1 from blocklist b join lead_telefones t
        on '+55' || regexp_replace(b.telefone, '\\D', '', 'g') = t.telefone and b.telefone <> t.telefone""",
    "blocked by e-mail": "select 1 from blocklist b join lead_emails e on lower(b.email) = e.email",
    "sent in the last minute": "select 1 from disparos where now() - sent_at < interval '1 minute'",
    "sent in the last hour": "select 1 from disparos where now() - sent_at between interval '1 min' and interval '1 h'",
    "sent in the last day": "select 1 from disparos where now() - sent_at between interval '1 h' and interval '1 day'",
    "not sent": "select 1 from disparos where status = 'failed' and sent_at is null",
}


def drawn(seed: int, leads: int) -> dict[str, list[dict]]:
    rows = people.draw(UUID(int=1), "test-001", seed, list(range(leads)), NOW)
    return {table.__tablename__: found for table, found in rows.items()}


def dump(database: Database) -> dict[str, list[tuple]]:
    """Read all that does not follow the clock."""
    moments = "- '{created_at,updated_at,data_hora,sent_at,scheduled_at}'::text[]"
    return {
        table: database.query(f"select (to_jsonb(t) {moments})::text from {table} t order by 1")
        for table in ("tenants", *TABLES)
    }


def test_the_same_seed_draws_the_same_leads() -> None:
    """However many are asked for, the first ones are the same; another seed draws others."""
    assert drawn(7, 300) == drawn(7, 300)
    assert drawn(7, 300)["leads"] == drawn(7, 500)["leads"][:300]
    ours, others = drawn(7, 50)["leads"], drawn(8, 50)["leads"]
    assert not {one["lead_id"] for one in ours} & {one["lead_id"] for one in others}
    assert [one["nome"] for one in ours] != [one["nome"] for one in others]


def test_every_profile_and_every_area_occurs() -> None:
    assert set(people.AREAS) >= {11, 68, 81, 84, 92}
    assert len(people.AREAS) == 67
    rows = drawn(7, len(people.PROFILES) * 68)
    phones = {one["telefone"] for one in rows["lead_telefones"]}
    assert {phone[3:5] for phone in phones} == {str(area) for area in people.AREAS}
    assert any(phone.startswith("+55813619") for phone in phones)
    assert all(re.fullmatch(r"\+55\d{10,11}", phone) for phone in phones)
    statuses = {one["status"] for one in rows["leads"]}
    assert statuses >= {"novo", "em_disparo", "agendado", "sem_sucesso", "descartado", "concluido"}
    interests = {one["interesse"] for one in rows["leads"]}
    assert {None, 0, 100} <= interests


def test_phones_are_written_in_every_notation() -> None:
    """What one notation says is what the others say: an area and 8 or 9 digits."""
    raw = [one["telefone_raw"] for one in drawn(7, 500)["leads"] if one["telefone_raw"]]
    good = [text for text in raw if text not in people.BROKEN_PHONES]
    assert set(raw) - set(good) == set(people.BROKEN_PHONES)
    values = [value for text in good for value in re.split(r" \| |\|", text)]
    assert max(text.count("|") for text in good) == 3
    for value in values:
        digits = re.sub(r"\D", "", value)
        assert len(re.fullmatch(r"(?:0|55)?(\d{10,11})", digits)[1]) in (10, 11), value
    shapes = {re.sub(r"\d", "9", value) for value in values}
    assert {"(99)99999-9999", "+55 99 99999-9999".replace("5", "9"), "999999999999", "+9999999999999"} <= shapes


def test_they_are_in_the_database(project: Project, migrated: Database) -> None:
    """The tenant is made, and each kind of lead is found by the columns that the agent reads."""
    done = project.run("dispatch-agent", "sample-data", "--leads", "1000", "--seed", "7", url=migrated.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Created the tenant `test-001`. Added 1,000 leads of seed 7 to `test-001`, with 5")
    assert migrated.query("select count(*) from tenants where slug = 'test-001'") == [(1,)]
    for kind, query in EVERY.items():
        assert migrated.query(query), kind


def test_a_second_run_adds_nothing(project: Project, migrated: Database) -> None:
    command = ("dispatch-agent", "sample-data", "--leads", "100", "--seed", "7")
    project.run(*command, url=migrated.url)
    before = dump(migrated)
    again = project.run(*command, url=migrated.url)
    assert (again.returncode, again.stderr) == (0, "Nothing to add: `test-001` already has the 100 leads of seed 7.\n")
    assert dump(migrated) == before
    more = project.run("dispatch-agent", "sample-data", "--leads", "120", "--json", url=migrated.url)
    answer = json.loads(more.stdout)
    assert (answer["rows"]["leads"], answer["there_already"], answer["tenant_made"]) == (20, 100, False)
    assert migrated.query("select count(*) from leads") == [(120,)]


def test_two_at_once_add_each_lead_once(project: Project, migrated: Database) -> None:
    both = [project.start("dispatch-agent", "sample-data", "--leads", "400", url=migrated.url) for _ in range(2)]
    words = sorted(one.communicate()[1] for one in both)
    assert [one.returncode for one in both] == [0, 0], words
    assert words[1] == "Nothing to add: `test-001` already has the 400 leads of seed 7.\n"
    assert migrated.query("select count(*), count(distinct lead_id_externo) from leads") == [(400, 400)]


def test_a_tenant_that_is_there_gets_them_by_slug_or_id(project: Project, migrated: Database) -> None:
    key = UUID(int=77)
    migrated.execute(f"insert into tenants (tenant_id, slug, company_name) values ('{key}', 'acme', 'Acme')")
    by_id = project.run("dispatch-agent", "sample-data", "--leads", "30", "--tenant", str(key), url=migrated.url)
    by_slug = project.run("dispatch-agent", "sample-data", "--leads", "30", "--tenant", "acme", url=migrated.url)
    assert by_id.returncode == 0, by_id.stderr
    assert by_slug.stderr == "Nothing to add: `acme` already has the 30 leads of seed 7.\n"
    assert migrated.query("select distinct tenant_id::text from leads") == [(str(key),)]


@pytest.mark.parametrize("slug", ["Test", "a b", "-a", "a" * 64, str(UUID(int=3)), ""])
def test_no_tenant_is_made_of_what_is_no_slug(project: Project, migrated: Database, slug: str) -> None:
    done = project.run("dispatch-agent", "sample-data", "--tenant", slug, url=migrated.url)
    assert done.returncode == 2
    assert done.stderr == (
        f"invalid-payload: `{slug}` is not a tenant, and is not a valid slug for a new one. Nothing was changed. "
        "Use at most 63 lower-case letters, digits, dots and hyphens.\n"
    )
    assert migrated.query("select count(*) from tenants") == [(0,)]


@pytest.mark.parametrize("environment", ["prod", "EU-Prod\r", "staging"])
def test_never_in_a_protected_environment(project: Project, migrated: Database, environment: str) -> None:
    (project.folder / "migrate.toml").write_text("[project]\nprotected = ['staging']\n")
    done = project.run("dispatch-agent", "sample-data", url=migrated.url, ENVIRONMENT=environment)
    assert done.returncode == 1
    assert done.stderr == (
        f"action-not-allowed: Sample data must not be added in `{environment.strip()}`, which is protected. Nothing "
        "was changed. Use another database, with its own name in `ENVIRONMENT`.\n"
    )
    assert migrated.query("select count(*) from tenants") == [(0,)]


def test_a_chunk_is_no_border(migrated: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leads are drawn and inserted in chunks, which nobody can tell."""
    with begin(migrated) as connection:
        samples.add(connection, "whole", 50, 7)
    monkeypatch.setattr(samples, "CHUNK", 7)
    with begin(migrated) as connection:
        added = samples.add(connection, "parts", 50, 7)
        assert added.rows["leads"] == 50
    assert migrated.query("select count(*) from leads group by tenant_id") == [(50,), (50,)]
