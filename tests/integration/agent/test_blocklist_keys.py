"""The stored keys of the blocklist are those of its present text, whoever changed it and whatever came between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from dispatch_agent.blocklist import lookup
from dispatch_agent.run import MARGIN_S
from support import agency, waiting
from support.agency import GENEROUS, ask
from support.postgres import Database

TENANT = "(select tenant_id from tenants where slug = 'test-001')"
BLOCK = f"insert into blocklist (tenant_id, telefone) values ({TENANT}, %s)"
BLOCK_MANY = f"""
    insert into blocklist (tenant_id, telefone)
    select {TENANT}, '(21) 9' || lpad(n::text, 8, '0') from generate_series(1, {{number}}) n
"""
# `Lead 7` has the phone 11 90000-0007
BLOCKED = "select lead_nome from dry_run_log where run_id = '{run}' and not disparo_seria_executado order by 1"
KEYS = "select count(*), count(distinct (blocklist_id, chave)) from blocklist_chaves where versao = 1 and chave > ''"
CHANGES = {
    "another notation": ("update blocklist set telefone = '0xx11 9.0000.0003'", ["Lead 3"]),
    "another person": ("update blocklist set telefone = '11 90000-0005'", ["Lead 5"]),
    "an address too": ("update blocklist set email = 'ana@exemplo.com.br'", ["Lead 2", "Lead 3"]),
    "no phone": ("update blocklist set telefone = null, email = 'x'", []),
    "deleted": ("delete from blocklist", []),
    "truncated": ("truncate blocklist", []),
    "in bulk": (f"insert into blocklist (tenant_id, telefone) select {TENANT}, '11 90000-000' || n "
                "from generate_series(4, 6) n", ["Lead 3", "Lead 4", "Lead 5", "Lead 6"]),
    "another tenant": ("update blocklist set tenant_id = (select tenant_id from tenants where slug = 'other')", []),
    "another id": ("update blocklist set id = gen_random_uuid()", ["Lead 3"]),
    "another reason": ("update blocklist set reason = 'x'", ["Lead 3"]),
    "rolled back": ("begin; update blocklist set telefone = '11 90000-0005'; rollback", ["Lead 3"]),
    "twice at once": ("begin; update blocklist set telefone = '11 90000-0005'; "
                      "update blocklist set telefone = '11 90000-0006'; commit", ["Lead 6"]),
}  # fmt: skip


@pytest.fixture
def listed(database: Database, tmp_path: Path) -> Database:
    """Nine leads, of which the third is on the blocklist."""
    agency.prepare(tmp_path, database, 9)
    database.execute("insert into tenants (slug, company_name) values ('other', 'Outra')")
    database.execute("update leads set email_raw = 'ana@exemplo.com.br' where nome = 'Lead 2'")
    database.execute(BLOCK, ("(11) 90000-0003",))
    return database


def run(database: Database, run_id: str, **given: str) -> list[str]:
    """Decide on all leads, and return the names of those that are not sent to."""
    answer = ask(database, {"tenantId": "test-001", "batchSize": 9, "runId": run_id}, **GENEROUS, **given)
    assert (answer["success"], answer["leadsProcessados"]) == (True, 9), answer
    return blocked(database, run_id)


def blocked(database: Database, run_id: str) -> list[str]:
    return [name for (name,) in database.query(BLOCKED.format(run=run_id))]


def test_a_change_counts_for_the_next_run(listed: Database) -> None:
    """Whoever makes it needs rights on the blocklist alone; what was on it before is blocked no more."""
    writer = f"writer_{listed.name}"
    listed.execute(f"create role {writer}; grant all on blocklist to {writer}; grant select on tenants to {writer}")
    for change, (statement, expected) in CHANGES.items():
        listed.execute("truncate blocklist")
        listed.execute(BLOCK, ("(11) 90000-0003",))
        assert run(listed, "before") == ["Lead 3"], change
        listed.execute(f"set role {writer}; {statement}")
        assert run(listed, "after") == expected, change
        assert listed.query(f"select count(*) from blocklist_chaves where versao = 0 and tenant_id = {TENANT}") == [
            (0,)
        ]
        listed.execute("truncate dry_run_log")
    listed.execute(f"drop owned by {writer}; drop role {writer}")


def test_keys_are_made_once(listed: Database) -> None:
    """Also for a row that names nobody, which is told all the same."""
    listed.execute(BLOCK, ("perguntar à Zulmira",))
    run(listed, "first")
    kept = "select chave_id, versao, chave from blocklist_chaves order by 1"
    stored = listed.query(kept)
    assert sorted(str(chave) for _, _, chave in stored) == ["+5511900000003", "None", "None"]
    answer = ask(listed, {"tenantId": "test-001", "runId": "second"})
    ((nameless,),) = listed.query("select id::text from blocklist where telefone like 'perguntar%'")
    assert answer["ilegiveis"]["bloqueios"] == {"total": 1, "ids": [nameless]}
    assert listed.query(kept) == stored
    listed.execute("update blocklist set lead_id = (select lead_id from leads where nome = 'Lead 8')")
    answer = ask(listed, {"tenantId": "test-001", "runId": "third"})
    assert answer["ilegiveis"]["bloqueios"] == {"total": 0, "ids": []}


def test_a_row_inserted_during_a_run_counts_for_its_later_leads(
    listed: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few such rows are read beside the keys, many are caught up first."""
    monkeypatch.setattr("dispatch_agent.run.CHUNK_ROWS", 1)
    told: list[object] = []

    def tell(*_: object, **__: object) -> None:
        if not told:
            listed.execute(BLOCK, ("11 90000-0001",))
            listed.execute(f"insert into blocklist (tenant_id, lead_id, telefone) select {TENANT}, lead_id, 'x' "
                           "from leads where nome = 'Lead 2'")  # fmt: skip
        told.append(1)

    for most_marked in (1_000, 0):
        monkeypatch.setattr("dispatch_agent.blocklist.lookup.MOST_MARKED", most_marked)
        listed.execute("delete from blocklist where telefone <> '(11) 90000-0003'")
        told.clear()
        event = {"tenantId": "test-001", "batchSize": 9, "runId": f"r{most_marked}"}
        assert ask(listed, event, tell=tell, **GENEROUS)["leadsProcessados"] == 9
        # the highest interest comes first, so that these two are the last
        assert blocked(listed, f"r{most_marked}") == ["Lead 1", "Lead 2", "Lead 3"]
        marks = listed.query("select count(*) from blocklist_chaves where versao = 0")
        assert marks == [(2 if most_marked else 0,)]


def test_little_time_is_progress(listed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call keeps a batch of keys, says so, and decides on nobody before the last one."""
    listed.execute(BLOCK_MANY.format(number=11))
    monkeypatch.setattr("dispatch_agent.blocklist.lookup.BATCH_ROWS", 5)
    event = {"tenantId": "test-001", "batchSize": 9, "runId": "r"}
    for kept in (5, 10):
        answer = ask(listed, event, seconds=MARGIN_S)
        assert (answer["code"], answer["leadsProcessados"]) == ("deadline", 0)
        assert answer["error"] == (
            "The time ran out while the blocklist was read for the first time; 5 of its rows are kept. "
            "Repeat with the same run id: the next run reads the other rows."
        )
        assert listed.query(KEYS) == [(kept, kept)]
    run(listed, "r")
    assert listed.query(KEYS) == [(12, 12)]


def test_two_at_once_make_each_key_once(listed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    listed.execute(BLOCK_MANY.format(number=3_000))
    monkeypatch.setattr("dispatch_agent.blocklist.lookup.BATCH_ROWS", 50)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda name: run(listed, name), "abcd")) == [["Lead 3"]] * 4
    assert listed.query(KEYS) == [(3_001, 3_001)]


def test_a_text_that_changes_while_its_keys_are_written(listed: Database) -> None:
    """The keys of the earlier text come too late, and the run that wrote them finds the mark of the change."""
    other = listed.server.connect(listed.name)
    other.autocommit = False
    with closing(other), ThreadPoolExecutor(1) as pool, other.cursor() as cursor:
        cursor.execute("lock table blocklist_chaves in share row exclusive mode")
        found = pool.submit(run, listed, "r")
        waiting.until(listed, waiting.BLOCKED, 1)
        cursor.execute("update blocklist set telefone = '11 90000-0005'")
        other.commit()
        assert found.result() == ["Lead 5"]
    assert listed.query("select chave from blocklist_chaves where chave > ''") == [("+5511900000005",)]


def test_another_version_of_the_reader(listed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reads the rows anew; what one has read of a change, the other has not."""
    run(listed, "first")
    versions = "select distinct versao from blocklist_chaves"
    for number, (version, kept) in enumerate([(2, [(2,)]), (1, [(1,), (2,)]), (2, [(2,)])]):
        monkeypatch.setattr(lookup, "VERSION", version)
        listed.execute(BLOCK, (f"11 90000-000{5 + number}",))
        assert run(listed, f"run-{number}") == ["Lead 3", *(f"Lead {one}" for one in range(5, 6 + number))]
        assert sorted(listed.query(versions)) == kept


@contextmanager
def login(database: Database, *more: str) -> Iterator[str]:
    """Make a login that is a member of `dispatch_agent`, and yield its URL."""
    name = f"agent_{database.name}"
    database.execute(f"create role {name} login password 'p' in role dispatch_agent")
    for statement in more:
        database.execute(statement)
    yield database.url.replace("//postgres:only-for-tests@", f"//{name}:p@")
    database.execute(f"drop role {name}")


def test_a_login_that_may_not_write_keys_honours_the_rows(listed: Database) -> None:
    """What has no keys it reads into memory, and counts."""
    listed.execute(BLOCK, ("perguntar à Zulmira",))
    with login(listed, "revoke insert, delete on blocklist_chaves from dispatch_agent") as url:
        event = {"tenantId": "test-001", "batchSize": 9, "runId": "a"}
        answer = ask(listed, event, **GENEROUS, DATABASE_URL=url)
        assert answer["ilegiveis"]["bloqueios"]["total"] == 1, answer
        assert blocked(listed, "a") == ["Lead 3"]
        assert listed.query("select distinct versao from blocklist_chaves") == [(0,)]
        # those that the owner has read, and one that changed since
        run(listed, "b")
        listed.execute(BLOCK, ("11 90000-0005",))
        answer = ask(listed, {**event, "runId": "c"}, **GENEROUS, DATABASE_URL=url)
        assert (answer["ilegiveis"]["bloqueios"]["total"], blocked(listed, "c")) == (1, ["Lead 3", "Lead 5"])


def test_a_simulation_honours_the_rows_and_writes_nothing(listed: Database) -> None:
    """Before any run has read them, and behind a run those that changed since."""
    for number in (1, 2):
        stored = listed.query("select * from blocklist_chaves")
        answer = ask(listed, {"tenantId": "test-001", "spread": True}, **GENEROUS)
        assert answer["contagens"]["whatsapp"]["bloqueios"] == {"bloqueado a pedido da pessoa (LGPD)": number}
        assert listed.query("select * from blocklist_chaves") == stored
        run(listed, f"r{number}")
        listed.execute(BLOCK, ("11 90000-0005",))


def test_a_text_whose_key_is_too_long_for_an_index(listed: Database) -> None:
    """One character can become eighteen without its accents and ligatures; it is found all the same."""
    address = "\ufdfa" * 200 + "@exemplo.com.br"
    listed.execute(f"insert into blocklist (tenant_id, email) values ({TENANT}, %s)", (address,))
    listed.execute("update leads set email_raw = %s where nome = 'Lead 4'", (address,))
    assert run(listed, "r") == ["Lead 3", "Lead 4"]


def test_rows_from_before_the_revision(database: Database, tmp_path: Path) -> None:
    """Without the table the answer says so; then they have no mark, and are read as a list that was not."""
    project = agency.prepare(tmp_path, database, 9)
    assert project.ask(database.url, {"action": "downgrade", "target": "021"})["status"] == "success"
    answer = ask(database, {"tenantId": "test-001"})
    assert (answer["code"], "migrate upgrade" in answer["error"]) == ("schema-behind", True)
    database.execute(BLOCK, ("(11) 90000-0003",))
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select count(*) from blocklist_chaves") == [(0,)]
    assert run(database, "r") == ["Lead 3"]


def test_an_emptied_blocklist_empties_its_keys_at_once(listed: Database) -> None:
    """Not row by row, unless somebody is reading keys: whoever reads them may wait for the blocklist."""
    pages = "select pg_relation_size('blocklist_chaves')"
    listed.execute(BLOCK_MANY.format(number=100))
    assert run(listed, "first") == ["Lead 3"]
    with listed.server.connect(listed.name) as reader:
        reader.autocommit = False
        reader.cursor().execute("select from blocklist_chaves limit 1")
        listed.execute("set lock_timeout = '2s'; truncate blocklist")
    assert listed.query(pages) > [(0,)]
    assert listed.query("select count(*) from blocklist_chaves") == [(0,)]
    listed.execute(BLOCK_MANY.format(number=100))
    listed.execute("truncate blocklist")
    assert listed.query(pages) == [(0,)]
    listed.execute(BLOCK, ("(11) 90000-0004",))
    assert run(listed, "second") == ["Lead 4"]


def test_nobody_else_runs_the_function_of_the_triggers(listed: Database) -> None:
    """It has its owner's rights, so on a table of one's own it would delete the keys of anybody."""
    with closing(listed.server.connect(listed.name)) as connection, connection.cursor() as cursor:
        cursor.execute("create role keys_stranger; set role keys_stranger; create temporary table mine (n int)")
        attach = "create trigger t after truncate on mine for each statement execute function blocklist_marcar()"
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(attach)
        cursor.execute(f"reset role; {attach}")
        with pytest.raises(psycopg2.errors.RaiseException, match="for the table blocklist only"):
            cursor.execute("truncate mine")
        cursor.execute("drop table mine; drop role keys_stranger")
