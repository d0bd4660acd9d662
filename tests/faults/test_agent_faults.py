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
