"""Whatever happens to a large run, each lead is decided on exactly once, and no person is named in any output."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_agent import failure, quiet
from support import agency, planted, postgres
from support.agency import ask
from support.planted import END_OURS, END_THE_OTHERS, NOTICE, REFUSE
from support.postgres import Database, Server
from support.project import Project

LEADS = pytest.mark.parametrize("leads", [30_000, pytest.param(100_000, marks=pytest.mark.long)])
"""Six chunks, or twenty."""
RECORDED = "select count(*) from dry_run_log"
ONCE = "select count(*), count(distinct lead_id), count(distinct run_id) from dry_run_log"
KEYS = "select count(*), count(distinct (blocklist_id, chave)) from blocklist_chaves where chave is not null"
# many phones, and the addresses of the leads
BLOCK_MANY = """
    insert into blocklist (tenant_id, telefone)
    select tenant_id, '(11) 9' || lpad(n::text, 8, '0') from tenants, generate_series(1, 30000) n;
    insert into blocklist (tenant_id, email) select tenant_id, email_raw from leads
"""
COMMAND = ["dispatch-agent", "dry-run", "--json", "--debug", "--tenant", "test-001", "--run-id", "big", "--batch"]
FIRST, ROWS = 250, 6_000
"""The rows of the first COPY, and of the first five, of which the fifth has 2,250."""
SLEEPS = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"


@pytest.fixture(autouse=True)
def unnamed(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Look for the planted people in all that a test and its own process write."""
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning
    factory, raising = logging.getLogRecordFactory(), logging.raiseExceptions
    quiet.hide_texts()
    yield
    sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning = hooks
    logging.setLogRecordFactory(factory)
    logging.raiseExceptions = raising
    planted.refuse(*capfd.readouterr(), caplog.text)


def prepare(folder: Path, database: Database, leads: int) -> Project:
    project = agency.prepare(folder, database, leads)
    planted.plant(database)
    return project


def finish(process: "subprocess.Popen[str]") -> int:
    """Wait for a command, look for the planted people in its output, and return its exit code."""
    planted.refuse(*process.communicate(timeout=120))
    return process.returncode


def repeat(database: Database, leads: int) -> None:
    """Finish the run in this process, whose output is searched too."""
    answer = ask(database, {"tenantId": "test-001", "batchSize": leads, "runId": "big"})
    assert answer["success"], answer
    planted.refuse(answer)
    assert database.query(ONCE) == [(leads, leads, 1)]


@LEADS
def test_killed_in_the_middle_and_run_again(database: Database, tmp_path: Path, leads: int) -> None:
    project = prepare(tmp_path, database, leads)
    process = project.start(*COMMAND, str(leads), url=database.url)
    while database.query(RECORDED) == [(0,)]:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    assert finish(process) == -signal.SIGKILL
    ((before,),) = database.query(RECORDED)
    assert 0 < before < leads
    assert finish(project.start(*COMMAND, str(leads), url=database.url)) == 0
    assert database.query(ONCE) == [(leads, leads, 1)]


def test_killed_while_it_makes_the_keys_of_the_blocklist(database: Database, tmp_path: Path) -> None:
    """What it had committed stays, nobody was decided on, and the next run makes the other keys, each once."""
    project = prepare(tmp_path, database, 10)
    database.execute(BLOCK_MANY)
    process = project.start(*COMMAND, "10", url=database.url)
    while database.query(KEYS) == [(0, 0)]:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    ((before, _),) = database.query(KEYS)
    assert 0 < before < 30_000
    assert database.query(RECORDED) == [(0,)]
    assert finish(project.start(*COMMAND, "10", url=database.url)) == 0
    assert database.query(KEYS) == [(30_010, 30_010)]
    assert database.query(f"{RECORDED} where razao_bloqueio like 'bloqueado a pedido%'") == [(10,)]


@LEADS
def test_two_at_once(database: Database, tmp_path: Path, leads: int) -> None:
    """The second one waits for its turn, and decides on what is left: nothing."""
    project = prepare(tmp_path, database, leads)
    both = [project.start(*COMMAND, str(leads), url=database.url) for _ in range(2)]
    assert [finish(process) for process in both] == [0, 0]
    assert database.query(ONCE) == [(leads, leads, 1)]


@LEADS
def test_the_database_stops_in_the_middle(tmp_path: Path, leads: int) -> None:
    """The answer says so, and names the last lead that is recorded; from there the run goes on."""
    with postgres.cluster(postgres.binaries()) as cluster:
        database = cluster.database()
        prepare(tmp_path, database, leads)
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
        planted.refuse(answer, again)
        assert database.query(ONCE) == [(leads, leads, 1)]


@pytest.fixture(scope="module")
def prepared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Database]]:
    """A database with planted leads, for faults that leave no trace in it but rows of the log."""
    with postgres.new_database(server, f"planted_{os.getpid()}") as made:
        yield prepare(tmp_path_factory.mktemp("planted"), made, ROWS), made


FAULTS = {
    "our session ends at once in COPY": (END_OURS, 1, ROWS, 1),
    "our session ends in the middle of COPY": (END_OURS, ROWS - 1_000, ROWS, 1),
    "our session ends at the end of COPY": (END_OURS, ROWS - 1, ROWS, 1),
    "our session ends in the second COPY": (END_OURS, FIRST + 5, ROWS, 1),
    "our other sessions end during COPY": (END_THE_OTHERS, 10, ROWS, 1),
    "a row is refused": (REFUSE, 20, 50, 1),
    "a row is told of": (NOTICE, 1, 50, 0),
    "a row is divided by zero": ("perform 1 / (length(new.lead_nome) - length(new.lead_nome))", 20, 50, 1),
    "a text has a wrong encoding": (
        "perform convert_from(convert_to(new.lead_nome, 'UTF8') || '\\xff', 'UTF8')",
        20,
        50,
        1,
    ),
    "a text has no such encoding": ("perform convert_to(new.lead_nome || chr(8364), 'LATIN1')", 20, 50, 1),
    "the time runs out": ("perform pg_sleep(60)", 20, 50, 1),
    "a table is gone": ("execute 'drop table ' || quote_ident(new.lead_nome)", 20, 50, 1),
}


@pytest.mark.parametrize(("act", "row", "batch", "code"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_database(prepared: tuple[Project, Database], act: str, row: int, batch: int, code: int) -> None:
    """The server's texts, which quote the row, are repeated by none of its clients."""
    project, database = prepared
    database.execute("truncate dry_run_log")
    with planted.fault(database, act, row):
        process = project.start(*COMMAND, str(batch), "--timeout", "6", url=database.url)
        assert finish(process) == code
    repeat(database, batch)


@pytest.mark.parametrize(("act", "code"), [(END_OURS, 1), (REFUSE, 1), (NOTICE, 0)], ids=["ends", "refuses", "tells"])
def test_a_fault_while_keys_of_the_blocklist_are_written(
    prepared: tuple[Project, Database], act: str, code: int
) -> None:
    """The server's texts quote the keys, and its clients repeat none of them."""
    project, database = prepared
    database.execute("truncate dry_run_log; truncate blocklist")
    database.execute("insert into blocklist (tenant_id, email) select tenant_id, email_raw from leads limit 100")
    with planted.fault(database, act, 20, "blocklist_chaves"):
        assert finish(project.start(*COMMAND, "50", url=database.url)) == code
    repeat(database, 50)
    assert database.query(KEYS) == [(100, 100)]
    database.execute("truncate blocklist")


def test_an_error_with_a_person_in_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """Python's own errors of encoding hold the whole text, and a logged traceback would show it; see `unnamed`."""
    name = "Zulmira Plantada 7"
    for wrong in (
        UnicodeDecodeError("utf-8", name.encode(), 0, 1, name),
        UnicodeEncodeError("latin-1", name, 0, 1, name),
        ValueError(name),
    ):
        wrong.__cause__ = KeyError(name)
        try:
            raise wrong
        except ValueError as error:
            logging.getLogger("agent").error("failed: %s", error, exc_info=True)
            logging.getLogger("agent").warning("failed", exc_info=True)
            sys.excepthook(type(error), error, error.__traceback__)
            problem = failure.explain(error)
        planted.refuse(problem.sentence, problem.advice, *failure.frames(wrong))
    assert "UnicodeDecodeError" in caplog.text


CONSTRAINTS = {
    "check": ("add constraint planted check (lead_nome !~ '33$') not valid", "drop constraint planted"),
    "unique": ("add constraint planted exclude (substr(lead_nome, 1, 10) with =)", "drop constraint planted"),
    "length": ("alter lead_nome type varchar(5)", "alter lead_nome type varchar(500)"),
    "type": ("alter lead_email type int using 1", "alter lead_email type varchar(255) using null"),
}


@pytest.mark.parametrize(("alteration", "undone"), CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_a_constraint_that_a_row_violates(prepared: tuple[Project, Database], alteration: str, undone: str) -> None:
    project, database = prepared
    database.execute(f"truncate dry_run_log; alter table dry_run_log {alteration}")
    assert finish(project.start(*COMMAND, "50", url=database.url)) == 1
    assert database.query(RECORDED) == [(0,)]
    database.execute(f"alter table dry_run_log {undone}")


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGINT], 130), ([signal.SIGINT] * 2, -2), ([signal.SIGTERM], -15), ([signal.SIGKILL], -9)],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM", "SIGKILL"],
)
def test_a_signal_during_copy(prepared: tuple[Project, Database], signals: list[signal.Signals], code: int) -> None:
    project, database = prepared
    database.execute("truncate dry_run_log")
    with planted.fault(database, "perform pg_sleep(case when new.lead_nome like '%1' then 0.7 else 0 end)", 20):
        process = project.start(*COMMAND, "60", url=database.url)
        while database.query(SLEEPS) == [(0,)]:
            assert process.poll() is None
        for one in signals:
            os.kill(process.pid, one)
            time.sleep(0.1)
        assert finish(process) == code
        # a killed client's statement ends before the trigger can go
        while database.query(SLEEPS) != [(0,)]:
            time.sleep(0.05)
    repeat(database, 60)
