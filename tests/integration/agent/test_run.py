"""A run reads real leads, decides, and records each decision once."""

import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url

from dispatch_agent import reading
from dispatch_agent.request import Cursor
from dispatch_agent.run import MARGIN_S, run
from runner.postgres.connect import open_from
from support import agency, old_agent
from support.agency import GENEROUS, OPEN, ask, ordered
from support.postgres import Database

INSERT = """
    insert into leads (tenant_id, interesse, data_ingestao)
    select tenant_id, %s, timestamptz '2026-01-01' + %s * interval '1 second' from tenants
"""
FORBIDDEN = [
    "delete from dry_run_log",
    "update dry_run_log set run_id = 'x'",
    "truncate dry_run_log",
    "update leads set nome = 'x'",
    "insert into disparos (tenant_id) values (null)",
    "update blocklist_chaves set chave = 'x'",
    "truncate blocklist_chaves",
    "delete from blocklist",
    "select 1 from runner.migration_run",
    "create table public.mine (n int)",
]
RECORDED = """
    select lead_id::text, lead_nome, canal_decidido, motivo_decisao, disparo_seria_executado, razao_bloqueio
    from dry_run_log order by created_at, log_id
"""


def test_what_is_recorded_is_what_is_answered(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 30)
    answer = ask(database, {"tenantId": "test-001", "batchSize": 30, "runId": "a"}, MICRO_AGENT_DISPARO_ENABLED="true")
    assert (answer["success"], answer["leadsProcessados"], answer["runId"]) == (True, 30, "a")
    shown = {
        (one["lead"]["id"], one["lead"]["nome"], one["canal"], one["motivo"], one["seria_executado"],
         one.get("razao_bloqueio"))
        for one in answer["decisoes"]
    }  # fmt: skip
    assert shown == set(database.query(RECORDED))
    assert database.query("select distinct ambiente, feature_flag_enabled, run_id, tenant_id = (select tenant_id "
                          "from tenants) from dry_run_log") == [("dev", True, "a", True)]  # fmt: skip
    assert "cursor" not in answer


SATURDAY = OPEN + timedelta(days=5)


def test_as_at_another_moment(database: Database, tmp_path: Path) -> None:
    """On a Saturday as on that Monday, and back: the answer, its log line and each recorded row say so."""
    agency.prepare(tmp_path, database, 30)
    event = {"tenantId": "test-001", "batchSize": 10}
    blocked = ask(database, event | {"runId": "now"}, now=SATURDAY)["contagens"]["whatsapp"]
    assert blocked == {"executaria": 0, "bloqueios": {"fora do horário comercial": 10}}
    answer = ask(database, event | {"runId": "at", "at": "2026-11-23T11:00:00-03:00"}, now=SATURDAY)
    assert answer["contagens"]["whatsapp"] == {"executaria": 10, "bloqueios": {}}
    assert answer["momento"] == "2026-11-23T11:00:00-03:00"
    said = "Decidido como em 23/11/2026, às 11:00 (-03:00)."
    assert answer["logs"][0].endswith(said)
    recorded = database.query("select run_id, motivo_decisao from dry_run_log")
    assert {run: [text.endswith(said) for one, text in recorded if one == run] for run in ("now", "at")} == {
        "now": [False] * 10, "at": [True] * 10,
    }  # fmt: skip
    # a day of sends begins at that moment, and the limits of the minute count from it
    day = ask(database, {"tenantId": "test-001", "spread": True, "at": "2026-11-23T11:00:00-03:00"}, now=SATURDAY)
    assert (day["horas"][0]["hora"], day["momento"]) == ("2026-11-23T11:00:00-03:00", "2026-11-23T11:00:00-03:00")


@pytest.mark.parametrize("at", ["2026-11-23T11:00:00", "2026-11-23", "tomorrow", 1763906400, True, ""])
def test_a_moment_without_its_zone(at: object) -> None:
    answer = run({"tenantId": "test-001", "at": at}, {}, "request-1", 10, lambda *_, **__: None)
    assert (answer["success"], answer["code"]) == (False, "invalid-payload")
    assert answer["error"].startswith("The field `at` is wrong: ")
    assert "`at`, a moment with its zone such as `2026-11-24T10:30-03:00`" in answer["error"]


def test_the_limits_hold_within_a_run(database: Database, tmp_path: Path) -> None:
    """Ten a minute: the first ten would be sent, the others say which limit is full."""
    agency.prepare(tmp_path, database, 25)
    answer = ask(database, {"tenantId": "test-001", "batchSize": 25})
    assert answer["contagens"] == {"whatsapp": {"executaria": 10, "bloqueios": {"limite por minuto atingido": 15}}}
    assert [one["seria_executado"] for one in answer["decisoes"]] == [True] * 10 + [False] * 15
    assert answer["decisoes"][10]["razao_bloqueio"] == "limite por minuto atingido: 10 de 10"


def test_what_was_really_sent_counts(database: Database, tmp_path: Path) -> None:
    """Of this tenant, within the last minute, hour and day, and only what was sent; a dry run uses up nothing."""
    agency.prepare(tmp_path, database, 5)
    sends = """
        insert into disparos (tenant_id, lead_id, canal, status, sent_at)
        select tenant_id, (select min(lead_id::text)::uuid from leads), 'whatsapp', '{status}', '{at}'
        from tenants, generate_series(1, {number})
    """
    for status, age, number in (("sent", 30, 8), ("sent", 90, 40), ("failed", 10, 90), ("sent", 90_000, 900)):
        at = (OPEN - timedelta(seconds=age)).isoformat()
        database.execute(sends.format(status=status, at=at, number=number))
    answer = ask(database, {"tenantId": "test-001", "batchSize": 5})
    assert [one.get("razao_bloqueio") for one in answer["decisoes"]] == [
        None, None, *["limite por minuto atingido: 10 de 10"] * 3
    ]  # fmt: skip
    event = {"tenantId": "test-001", "batchSize": 5, "runId": "later"}
    later = ask(database, event, LIMIT_PER_MINUTE="99", LIMIT_PER_HOUR="48")
    assert later["decisoes"][0]["razao_bloqueio"] == "limite por hora atingido: 48 de 48"
    assert database.query("select count(*) from disparos") == [(8 + 40 + 90 + 900,)]


@pytest.mark.parametrize("chunk", [7, 5000])
def test_the_order_is_by_interest_and_then_by_age(
    database: Database, tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leads of no known interest come last, ties go to the older one; chunk borders make no difference."""
    agency.prepare(tmp_path, database, 90)
    monkeypatch.setattr("dispatch_agent.run.CHUNK_ROWS", chunk)
    database.execute("update leads set interesse = null where nome like '%7'; "
                     "update leads set interesse = 50, data_ingestao = '2026-01-01' where nome like '%3'")  # fmt: skip
    answer = ask(database, {"tenantId": "test-001", "batchSize": 90})
    assert [one["lead"]["id"] for one in answer["decisoes"]] == ordered(database)


@given(
    leads=st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 3)), min_size=1, max_size=12),
    cut=st.integers(0, 11),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_cursor_leads_to_what_comes_after_it(
    migrated: Database, leads: list[tuple[int | None, int]], cut: int
) -> None:
    """Of any leads, also where interest is unknown or everything is a tie; by the cursor alone, in another run."""
    migrated.execute("truncate leads, dry_run_log cascade")
    for interest, second in leads:
        migrated.execute(INSERT, (interest, second))
    wanted, at = ordered(migrated), min(cut, len(leads) - 1)
    ((interest, ingested, lead),) = migrated.query(
        f"select interesse, data_ingestao, lead_id from leads where lead_id = '{wanted[at]}'"
    )
    cursor = Cursor(interesse=interest, data_ingestao=ingested, lead_id=lead)
    ((tenant,),) = migrated.query("select tenant_id::text from tenants")
    with open_from({"DATABASE_URL": migrated.url}, "test", 10).connect() as connection:
        found = list(reading.read_leads(connection, UUID(tenant), "another", OPEN, 99, cursor))
    assert [one.lead_id for one in found] == wanted[at + 1 :]


@pytest.fixture
def migrated(database: Database, tmp_path: Path) -> Database:
    agency.prepare(tmp_path, database, 1)
    return database


def test_what_a_run_would_have_sent_counts_when_it_goes_on(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 12)
    first = ask(database, {"tenantId": "test-001", "batchSize": 6, "runId": "r"})
    second = ask(database, {"tenantId": "test-001", "batchSize": 12, "runId": "r"})
    assert [one["contagens"]["whatsapp"]["executaria"] for one in (first, second)] == [6, 4]


@pytest.mark.parametrize("locked", ["leads", "dry_run_log"])
def test_a_locked_table_does_not_outlast_the_time(database: Database, tmp_path: Path, locked: str) -> None:
    agency.prepare(tmp_path, database, 3)
    other = database.server.connect(database.name)
    other.autocommit = False
    other.cursor().execute(f"lock table {locked} in exclusive mode" if locked == "dry_run_log" else
                           "lock table leads in access exclusive mode")  # fmt: skip
    started = time.monotonic()
    answer = ask(database, {"tenantId": "test-001", "batchSize": 3}, seconds=5)
    took_s = time.monotonic() - started
    other.close()
    assert (answer["success"], answer["code"] in ("deadline", "lock-timeout")) == (False, True), answer
    assert took_s < 30


@pytest.mark.parametrize(
    ("change", "code"),
    [("alter database {} set default_transaction_read_only = on", "read-only-database"),
     ("revoke insert on dry_run_log from dispatch_agent", "settings")],
)  # fmt: skip
def test_what_recording_is_refused_with_is_told(database: Database, tmp_path: Path, change: str, code: str) -> None:
    agency.prepare(tmp_path, database, 2)
    login = f"agent_{database.name}"
    database.execute(f"create role {login} login password 'p' in role dispatch_agent")
    database.execute(change.format(database.name))
    url = database.url.replace("//postgres:only-for-tests@", f"//{login}:p@")
    answer = ask(database, {"tenantId": "test-001", "batchSize": 2}, DATABASE_URL=url)
    assert (answer["success"], answer["code"], answer["leadsProcessados"]) == (False, code, 0), answer
    with closing(database.server.connect()) as admin:
        admin.cursor().execute(f"drop role {login}")


def test_a_year_that_python_does_not_know(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 4)
    database.execute("""
        update leads set data_ingestao = '20226-01-01' where nome = 'Lead 1';
        update leads set data_ingestao = '0044-03-15 BC' where nome = 'Lead 2';
        insert into agendamentos (tenant_id, lead_id, data_hora, status)
        select tenant_id, lead_id, '20226-11-30', 'proposto' from leads where nome = 'Lead 3';
    """)
    answer = ask(database, {"tenantId": "test-001", "batchSize": 4}, **GENEROUS)
    assert (answer["success"], answer["leadsProcessados"]) == (True, 4), answer
    assert database.query("select lead_nome from dry_run_log where canal_decidido = 'calendar'") == [("Lead 3",)]


def test_an_environment_with_a_long_name(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 1)
    assert ask(database, {"tenantId": "test-001"}, ENVIRONMENT="homologacao")["success"]
    assert database.query("select ambiente from dry_run_log") == [("homologac…",)]


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_a_run_in_pieces_is_the_run(
    database: Database, tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is the run's: asked for the same again nothing is left, for a larger one the rest, in order."""
    agency.prepare(tmp_path, database, 40)
    monkeypatch.setattr("dispatch_agent.run.CHUNK_ROWS", chunk)
    seen = []
    for size, decided in ((5, 5), (5, 0), (14, 9), (100, 26), (100, 0)):
        answer = ask(database, {"tenantId": "test-001", "batchSize": size, "runId": "pieces"}, **GENEROUS)
        assert answer["leadsProcessados"] == decided
        seen += [one["lead"]["id"] for one in answer["decisoes"]]
    assert seen == ordered(database)
    assert database.query("select count(*), count(distinct lead_id) from dry_run_log") == [(40, 40)]


def test_time_running_out_gives_a_cursor(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided is recorded; the cursor leads to the rest, and the last answer has none."""
    agency.prepare(tmp_path, database, 60)
    monkeypatch.setattr("dispatch_agent.run.CHUNK_ROWS", 20)
    event = {"tenantId": "test-001", "batchSize": 60, "runId": "slow"}
    # with no more than is kept back, the first piece is the last
    answer = ask(database, event, seconds=MARGIN_S)
    assert (answer["success"], answer["leadsProcessados"]) == (True, 20)
    again = ask(database, {**event, "cursor": answer["cursor"]})
    assert (again["leadsProcessados"], "cursor" in again) == (40, False)
    assert database.query("select count(*), count(distinct lead_id) from dry_run_log") == [(60, 60)]


def test_one_lead(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 5)
    ((lead,),) = database.query("select lead_id::text from leads where nome = 'Lead 2'")
    answer = ask(database, {"tenantId": "test-001", "leadId": lead})
    assert [one["lead"] for one in answer["decisoes"]] == [{"id": lead, "nome": "Lead 2"}]
    missing = ask(database, {"tenantId": "test-001", "leadId": "00000000-0000-0000-0000-000000000001"})
    assert (missing["success"], missing["code"]) == (False, "unknown-lead")


@pytest.mark.parametrize("named", ["id", "slug"])
def test_a_tenant_is_named_by_id_or_slug(database: Database, tmp_path: Path, named: str) -> None:
    agency.prepare(tmp_path, database, 2)
    database.execute("insert into tenants (slug, company_name) values ('other', 'Outra')")
    ((tenant,),) = database.query("select tenant_id::text from tenants where slug = 'test-001'")
    answer = ask(database, {"tenantId": tenant if named == "id" else "test-001", "batchSize": 9})
    assert (answer["success"], answer["leadsProcessados"]) == (True, 2)
    assert ask(database, {"tenantId": "other", "batchSize": 9})["leadsProcessados"] == 0


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"tenantId": "nobody"}, "unknown-tenant"),
        ({}, "invalid-payload"),
        (None, "invalid-payload"),
        ([], "invalid-payload"),
        ({"tenantId": 7}, "invalid-payload"),
        ({"tenantId": "a b"}, "invalid-payload"),
        ({"tenantId": "x'; drop table leads"}, "invalid-payload"),
        ({"tenantId": "test-001", "batchSize": 0}, "invalid-payload"),
        ({"tenantId": "test-001", "batchSize": "5"}, "invalid-payload"),
        ({"tenantId": "test-001", "batchSize": True}, "invalid-payload"),
        ({"tenantId": "test-001", "leadId": "x"}, "invalid-payload"),
        ({"tenantId": "test-001", "leadId": "f" * 33}, "invalid-payload"),
        ({"tenantId": "test-001", "runId": "a b"}, "invalid-payload"),
        ({"tenantId": "test-001", "cursor": "!!"}, "invalid-payload"),
        ({"tenantId": "test-001", "cursor": "eyJhIjoxfQ"}, "invalid-payload"),
        ({"tenantId": "test-001", "tenant": "x"}, "invalid-payload"),
    ],
)
def test_what_it_does_not_take(database: Database, tmp_path: Path, event: object, code: str) -> None:
    """The answer keeps its shape, says which field is wrong, repeats no value, and nothing is recorded."""
    agency.prepare(tmp_path, database, 1)
    answer = ask(database, event)
    assert (answer["success"], answer["leadsProcessados"], answer["decisoes"]) == (False, 0, [])
    assert (answer["code"], len(answer["logs"])) == (code, 1)
    assert "drop table" not in str(answer)
    assert database.query("select count(*) from dry_run_log") == [(0,)]


@pytest.mark.parametrize(
    ("environ", "code"),
    [({"LIMIT_PER_HOUR": "many"}, "settings"), ({"DATABASE_URL": ""}, "settings"),
     ({"DATABASE_URL": "postgresql://u@127.0.0.1:1/x"}, "database-unreachable")],
)  # fmt: skip
def test_settings_that_do_not_do(database: Database, tmp_path: Path, environ: dict[str, str], code: str) -> None:
    agency.prepare(tmp_path, database, 1)
    assert ask(database, {"tenantId": "test-001"}, seconds=6, **environ)["code"] == code


def test_a_tenant_with_a_zone_that_is_none(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 1)
    database.execute("update tenants set timezone = 'Brazil/Nowhere'")
    ((tenant,),) = database.query("select tenant_id::text from tenants")
    answer = ask(database, {"tenantId": "test-001"})
    assert (answer["code"], answer["error"]) == (
        "settings",
        "The tenant `test-001` has the time zone `Brazil/Nowhere`, which does not exist. Nothing was recorded. Correct "
        f"`timezone` in the row of `tenants` with `tenant_id` {tenant}, to one such as `America/Manaus`.",
    )


def test_a_schema_from_before_is_told(database: Database, tmp_path: Path) -> None:
    project = agency.prepare(tmp_path, database, 1)
    assert project.ask(database.url, {"action": "downgrade", "target": "017"})["status"] == "success"
    answer = ask(database, {"tenantId": "test-001"})
    assert (answer["code"], "migrate upgrade" in answer["error"]) == ("schema-behind", True)


def test_the_agent_from_before_goes_on_working(database: Database, tmp_path: Path) -> None:
    """Its rows have no run, may repeat a lead, and do not count for the runs of the new one."""
    agency.prepare(tmp_path, database, 20)
    old_agent.run(database.url, 10)
    new = ask(database, {"tenantId": "test-001", "batchSize": 20, "runId": "new"}, **GENEROUS)
    old_agent.run(database.url, 10)
    assert new["leadsProcessados"] == 20
    by_run = "select run_id, count(*), count(distinct lead_id) from dry_run_log group by 1 order by 1"
    assert database.query(by_run) == [("new", 20, 20), (None, 20, 10)]


def test_contacts_appointments_and_blocklist_are_joined(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 6)
    at = "(select lead_id from leads where nome = 'Lead {}')"
    now = OPEN.isoformat()
    tenant = "(select tenant_id from tenants)"
    database.execute(f"""
        insert into lead_telefones (lead_id, telefone, telefone_principal, valido_para_disparo, created_at) values
            ({at.format(1)}, '(84)99708-4444', false, true, '2026-01-01'),
            ({at.format(1)}, '84 3206-1234', true, true, '2026-02-01'),
            ({at.format(2)}, '(84)99708-5555', true, false, '2026-01-01');
        update leads set telefone_raw = '(84) 99708-5555' where nome = 'Lead 2';
        insert into lead_emails (lead_id, email, email_principal) values ({at.format(2)}, 'Ana@Example.com.br', true);
        insert into agendamentos (tenant_id, lead_id, data_hora, status) values
            ({tenant}, {at.format(3)}, timestamptz '{now}' + interval '1 day', 'confirmado'),
            ({tenant}, {at.format(4)}, timestamptz '{now}' + interval '1 day', 'cancelado'),
            ({tenant}, {at.format(4)}, timestamptz '{now}' - interval '1 day', 'confirmado');
        insert into blocklist (tenant_id, lead_id, telefone) values ({tenant}, {at.format(5)}, 'x');
        insert into blocklist (tenant_id, telefone) values ({tenant}, '+55 11 9 0000-0006');
    """)
    ask(database, {"tenantId": "test-001", "batchSize": 9}, **GENEROUS)
    found = {name: rest for name, *rest in database.query(
        "select lead_nome, canal_decidido, lead_telefone, lead_email, split_part(razao_bloqueio, ':', 1) "
        "from dry_run_log")}  # fmt: skip
    assert found == {
        "Lead 1": ["whatsapp", "+558432061234", None, None],
        "Lead 2": ["email", None, "Ana@example.com.br", None],
        "Lead 3": ["calendar", "+5511900000003", None, None],
        "Lead 4": ["whatsapp", "+5511900000004", None, None],
        "Lead 5": ["whatsapp", "+5511900000005", None, "bloqueado a pedido da pessoa (LGPD)"],
        "Lead 6": ["whatsapp", "+5511900000006", None, "bloqueado a pedido da pessoa (LGPD)"],
    }


def test_bad_data_costs_a_lead_its_channel_and_never_the_run(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 8)
    bad = {
        1: ("nome = repeat('ã', 500)", "whatsapp"),
        2: (r"telefone_raw = 'https://wa.me/5511999998888'", "whatsapp"),
        3: (r"telefone_raw = E'\x01\x02||| ;drop table leads;--'", "none"),
        4: ("telefone_raw = repeat('(11) 98888-7777|', 5000)", "whatsapp"),
        5: (r"nome = E'a\tb\\N\nc\\.\r', documento = E'\\.'", "whatsapp"),
        6: ("telefone_raw = null, email_raw = 'not an address|@|a@b|' || repeat('x', 20000)", "none"),
        7: (r"nome = E'\u202Eevil\u200F', telefone_raw = '\N'", "none"),
        8: ("nome = '', documento = '', telefone_raw = ''", "none"),
    }
    for number, (change, _) in bad.items():
        database.execute(f"update leads set {change} where nome = 'Lead {number}'")
    answer = ask(database, {"tenantId": "test-001", "batchSize": 8}, **GENEROUS)
    assert (answer["success"], answer["leadsProcessados"]) == (True, 8), answer
    channels = database.query(
        "select l.data_ingestao, d.canal_decidido from dry_run_log d join leads l using (lead_id) order by 1"
    )
    assert [channel for _, channel in channels] == [channel for _, channel in bad.values()]
    ((nome,),) = database.query("select lead_nome from dry_run_log where lead_nome like 'a%'")
    assert "\n" not in nome
    assert "\\N" in nome


def test_its_role_may_read_leads_and_append_to_the_log_and_nothing_else(database: Database, tmp_path: Path) -> None:
    project = agency.prepare(tmp_path, database, 3)
    login = f"agent_{database.name}"
    database.execute(f"create role {login} login password 'p' in role dispatch_agent")
    url = database.url.replace("//postgres:only-for-tests@", f"//{login}:p@")
    restricted = Database(replace(database.server, url=make_url(url)), database.name)
    answer = ask(restricted, {"tenantId": "test-001", "batchSize": 3, "runId": "r"})
    assert (answer["success"], answer["leadsProcessados"]) == (True, 3), answer
    with create_engine(make_url(url).set(drivername="postgresql+psycopg2")).connect() as connection:
        for statement in FORBIDDEN:
            with pytest.raises(Exception, match="permission denied"):
                connection.exec_driver_sql(statement)
            connection.rollback()
    database.execute(f"drop owned by {login}; drop role {login}")
    assert project.ask(database.url, {"action": "check"})["ok"]


def test_without_its_rights_it_says_so(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 1)
    login = f"nobody_{database.name}"
    database.execute(f"create role {login} login password 'p'")
    url = database.url.replace("//postgres:only-for-tests@", f"//{login}:p@")
    answer = ask(database, {"tenantId": "test-001"}, DATABASE_URL=url)
    assert (answer["success"], answer["code"]) == (False, "settings")
    database.execute(f"drop role {login}")
