"""The function answers before Lambda ends it, nothing goes on on the server, and a second call finishes."""

import socket
import threading
import time
from pathlib import Path

import psycopg2
import pytest

from support import emulator, waiting
from support.postgres import Database, free_port
from support.project import Project

TIMEOUT_S = 4
SLOW = {
    "a long statement": "op.execute('select pg_sleep(60)')",
    "many short statements": "for _ in range(10_000): op.execute('select pg_sleep(0.01)')",
    "a concurrent index build": (
        "from runner.operations import create_index_concurrently\n"
        "create_index_concurrently('leads_nome', 'leads', ['nome'])"
    ),
    "a deferred constraint at commit": (
        'op.execute("""create function slow() returns trigger language plpgsql as '
        '\'begin perform pg_sleep(60); return null; end\'""")\n'
        "op.execute('create constraint trigger slow after insert on tenants deferrable initially deferred '\n"
        "           'for each row execute function slow()')\n"
        "op.execute(\"insert into tenants (company_name) values ('x')\")"
    ),
}
# Five of them take longer than an invocation has, and none is so long in Python that the time to answer is lost.
A_SECOND = """
op.execute('create table {name} ()')
for _ in range(5):
    time.sleep(0.2)
    op.execute('select 1')
"""


def lay_out(project: Project, tmp_path: Path) -> Path:
    return emulator.lay_out(tmp_path, project.folder)


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("body", SLOW.values(), ids=SLOW)
def test_a_revision_that_takes_too_long(project: Project, tmp_path: Path, database: Database, body: str) -> None:
    """Rolled back, answered in time, nothing left running or locked; with more time it finishes."""
    project.add("018_quick", "op.execute('create table quick ()')")
    slow = project.add("019_slow", body, after="018_quick")
    writer = psycopg2.connect(database.url)
    with writer.cursor() as cursor:
        if "concurrently" in body:
            # what a concurrent build waits for
            cursor.execute("insert into tenants (company_name) values ('open'); select * from leads for update")
            cursor.execute("insert into leads (tenant_id) select tenant_id from tenants limit 1")
    with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": database.url}, timeout_s=TIMEOUT_S) as function:
        function.warm_up()
        started = time.monotonic()
        answer = function.invoke({"action": "upgrade"})
        took = time.monotonic() - started
    assert isinstance(answer, dict), answer
    assert took < TIMEOUT_S
    assert (answer["status"], answer["code"], answer["to"]) == ("partial", "deadline", "018_quick"), answer
    assert answer["target"] == "019_slow"
    assert answer["pending"] == ["019_slow"]
    # long before the minute that the statement would take
    waiting.until(database, waiting.OURS, 0, within_s=15)
    waiting.until(database, waiting.LOCKED, 0, within_s=15)
    writer.rollback()
    writer.close()
    again = function_again(project, database, slow)
    assert (again["status"], again["to"]) == ("success", "019_slow"), again
    assert database.query("select count(*) from pg_index where not indisvalid") == [(0,)]


def function_again(project: Project, database: Database, slow: Path) -> dict:
    slow.write_text(slow.read_text().replace("pg_sleep(60)", "pg_sleep(0)").replace("10_000", "10"))
    return project.ask(database.url, {"action": "upgrade", "target": "019_slow"})


@pytest.mark.usefixtures("migrated")
def test_a_revision_that_sleeps_in_python(project: Project, tmp_path: Path, database: Database) -> None:
    """Nobody can answer then, but the backend is ended, nothing stays half-done, and the lock is free."""
    slow = project.add("018_slow", "op.execute('create table half ()')\ntime.sleep(60)")
    with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": database.url}, timeout_s=TIMEOUT_S) as function:
        function.warm_up()
        thread = threading.Thread(target=function.invoke, args=({"action": "upgrade"},), daemon=True)
        thread.start()
        writing = "select count(*) from pg_stat_activity where backend_xid is not null and datname = current_database()"
        waiting.until(database, writing, 1)
        thread.join()
        waiting.until(database, writing, 0, within_s=15)
    waiting.until(database, waiting.LOCKED, 0, within_s=15)
    assert database.query("select to_regclass('half')") == [(None,)]
    slow.write_text(slow.read_text().replace("sleep(60)", "sleep(0)"))
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select revision, status from runner.migration_log where revision > '018'") == [
        ("018_slow", "interrupted"),
        ("018_slow", "success"),
    ]


def test_the_time_runs_out_while_connecting(project: Project, tmp_path: Path) -> None:
    url = f"postgresql://u:p@127.0.0.1:{free_port()}/x"
    with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": url}, timeout_s=TIMEOUT_S) as function:
        function.warm_up()
        started = time.monotonic()
        answer = function.invoke({"action": "upgrade"})
    assert time.monotonic() - started < TIMEOUT_S
    assert answer["code"] == "database-unreachable"


def test_the_time_runs_out_on_a_silent_host(project: Project, tmp_path: Path) -> None:
    """One that accepts and never answers costs whole seconds a try, and none of them past the deadline."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x"
        with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": url}, timeout_s=TIMEOUT_S) as function:
            function.warm_up()
            answer = function.invoke({"action": "upgrade"})
    assert isinstance(answer, dict), answer
    assert answer["code"] == "database-unreachable"


def test_the_time_runs_out_while_waiting_for_the_lock(project: Project, tmp_path: Path, database: Database) -> None:
    project.add("018_slow", "op.execute('select pg_sleep(60)')")
    first = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.ASLEEP, 1)
    with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": database.url}, timeout_s=TIMEOUT_S) as function:
        function.warm_up()
        started = time.monotonic()
        answer = function.invoke({"action": "upgrade"})
    assert time.monotonic() - started < TIMEOUT_S
    first.kill()
    first.communicate()
    assert answer["code"] == "lock-held"
    assert answer["message"].startswith(
        f"lock-held: Another run holds the migration lock of `{database.name}` (migrate "
    )


@pytest.mark.usefixtures("migrated")
def test_the_time_runs_out_between_two_revisions(project: Project, tmp_path: Path, database: Database) -> None:
    """`+5` goes on to exactly five, however often it is cut; a loop on `partial` ends."""
    names = project.add_many(6, A_SECOND)
    asked = {"action": "upgrade", "target": "+5"}
    answers = []
    with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": database.url}, timeout_s=TIMEOUT_S) as function:
        function.warm_up()
        while not answers or answers[-1]["status"] == "partial":
            answers.append(function.invoke(asked))
            asked = {"action": "upgrade", "target": answers[-1]["target"]}
    assert [answer["status"] for answer in answers][-1] == "success", answers
    assert "partial" in [answer["status"] for answer in answers]
    assert {answer["target"] for answer in answers} == {names[4]}
    assert database.query("select version_num from alembic_version") == [(names[4],)]
    applied = [one["revision"] for answer in answers for one in answer["applied"]]
    assert applied == names[:5]


@pytest.mark.usefixtures("migrated")
def test_the_older_contract_calls_it_an_error(project: Project, tmp_path: Path, database: Database) -> None:
    """`run-migration` has no `partial`; what was done is told all the same."""
    project.add("018_step", "pass")
    project.add("019_step", "op.execute('select pg_sleep(60)')", after="018_step")
    project.add("020_step", "op.execute('select 1')", after="019_step")
    with emulator.start(lay_out(project, tmp_path), {"DATABASE_URL": database.url}, timeout_s=TIMEOUT_S) as function:
        function.warm_up()
        answer = function.invoke({"action": "run-migration", "target": "all"})
    assert (answer["status"], answer["code"], answer["to"]) == ("error", "deadline", "018_step")
    assert answer["message"].startswith("deadline: The time ran out. 1 of 3 revisions completed.")


@pytest.mark.usefixtures("migrated")
def test_no_progress_at_all_is_an_error(project: Project, database: Database) -> None:
    project.add("018_slow", "op.execute('select pg_sleep(60)')")
    answer = project.ask(database.url, {"action": "upgrade"}, ends_in="018_slow")
    assert answer["message"] == (
        "deadline: The time ran out. Nothing was applied. The database is at `017_dry_run_log`, and no revision is "
        "partly applied. Run the same command again with more time (`--timeout`, or the function's) to continue to the "
        "same target."
    )
