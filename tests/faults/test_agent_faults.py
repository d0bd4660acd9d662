"""Whatever happens to a large run, each lead is decided on exactly once."""

import os
import signal
import threading
from pathlib import Path

import pytest

from support import agency, postgres
from support.agency import ask
from support.postgres import Database

LEADS = pytest.mark.parametrize("leads", [30_000, pytest.param(100_000, marks=pytest.mark.long)])
"""Six chunks, or twenty."""
RECORDED = "select count(*) from dry_run_log"
ONCE = "select count(*), count(distinct lead_id), count(distinct run_id) from dry_run_log"
KEYS = "select count(*), count(distinct (blocklist_id, chave)) from blocklist_chaves where chave is not null"
# the phones of the leads, and many more
BLOCK_MANY = """
    insert into blocklist (tenant_id, telefone)
    select tenant_id, '(11) 9' || lpad(n::text, 8, '0') from tenants, generate_series(1, 30000) n
"""
COMMAND = ["dispatch-agent", "dry-run", "--tenant", "test-001", "--run-id", "big", "--batch"]


@LEADS
def test_killed_in_the_middle_and_run_again(database: Database, tmp_path: Path, leads: int) -> None:
    project = agency.prepare(tmp_path, database, leads)
    process = project.start(*COMMAND, str(leads), url=database.url)
    while database.query(RECORDED) == [(0,)]:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    ((before,),) = database.query(RECORDED)
    assert 0 < before < leads
    again = project.run(*COMMAND, str(leads), url=database.url)
    assert again.returncode == 0, again.stderr
    assert database.query(ONCE) == [(leads, leads, 1)]


def test_killed_while_it_makes_the_keys_of_the_blocklist(database: Database, tmp_path: Path) -> None:
    """What it had committed stays, nobody was decided on, and the next run makes the other keys, each once."""
    project = agency.prepare(tmp_path, database, 10)
    database.execute(BLOCK_MANY)
    process = project.start(*COMMAND, "10", url=database.url)
    while database.query(KEYS) == [(0, 0)]:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    ((before, _),) = database.query(KEYS)
    assert 0 < before < 30_000
    assert database.query(RECORDED) == [(0,)]
    again = project.run(*COMMAND, "10", url=database.url)
    assert again.returncode == 0, again.stderr
    assert database.query(KEYS) == [(30_000, 30_000)]
    assert database.query(f"{RECORDED} where razao_bloqueio like 'bloqueado a pedido%'") == [(10,)]


@LEADS
def test_two_at_once(database: Database, tmp_path: Path, leads: int) -> None:
    """The second one waits for its turn, and decides on what is left: nothing."""
    project = agency.prepare(tmp_path, database, leads)
    both = [project.start(*COMMAND, str(leads), url=database.url) for _ in range(2)]
    for process in both:
        _, told = process.communicate()
        assert process.returncode == 0, told
    assert database.query(ONCE) == [(leads, leads, 1)]


@LEADS
def test_the_database_stops_in_the_middle(tmp_path: Path, leads: int) -> None:
    """The answer says so, and names the last lead that is recorded; from there the run goes on."""
    with postgres.cluster(postgres.binaries()) as cluster:
        database = cluster.database()
        agency.prepare(tmp_path, database, leads)
        event = {"tenantId": "test-001", "batchSize": leads, "runId": "big"}
        stopping = threading.Thread(target=cluster.stop)

        def tell(*_: object, **__: object) -> None:
            """Have the server stop while the second piece is recorded; after that nothing is begun without it."""
            if stopping.ident is None:
                stopping.start()
            else:
                stopping.join()

        answer = ask(database, event, seconds=600, tell=tell)
        stopping.join()
        assert (answer["success"], answer["code"]) == (False, "database-unreachable")
        assert 0 < answer["leadsProcessados"] < leads
        cluster.start()
        again = ask(database, {**event, "cursor": answer["cursor"]}, seconds=600)
        assert again["success"], again
        assert database.query(ONCE) == [(leads, leads, 1)]
