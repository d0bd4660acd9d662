"""The lock covers work that cannot be rolled back, and a session that only squats on it is told apart."""

import textwrap
from contextlib import closing

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

STEPS = 20
IN_A_BLOCK = f"""
with op.get_context().autocommit_block():
    for _ in range({STEPS}):
        op.execute("insert into ran (pid) select pg_backend_pid() from pg_sleep(0.1)")
"""


def test_a_second_runner_waits_for_the_work(project: Project, database: Database) -> None:
    """The first one's statements go on after the death of its lock's session; the second begins after the last one."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("create table ran (place bigint generated always as identity, pid int)")
    project.add("018_block", IN_A_BLOCK)
    first = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, "select count(*) > 2 from ran", True)
    waiting.terminate(database, "the lock's")
    second = project.start("migrate", "upgrade", url=database.url)

    told = [run.communicate(timeout=60)[1] for run in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0), told
    pids = [pid for (pid,) in database.query("select pid from ran order by place")]
    # in turn: no session goes on after another one has begun
    turns = [pid for at, pid in enumerate(pids) if at == 0 or pids[at - 1] != pid]
    assert len(turns) == len(set(turns)), pids
    assert database.query("select version_num from alembic_version") == [("018_block",)]
    assert database.query("select count(*) from runner.migration_log where revision = '018_block' "
                          "and status = 'success'") == [(1,)]  # fmt: skip


@pytest.mark.parametrize("second", ["upgrade", "repair"])
def test_a_second_runner_takes_no_live_run_for_a_killed_one(project: Project, database: Database, second: str) -> None:
    """Nor does it mend what the first one's work may be building."""
    project.ask(database.url, {"action": "upgrade"})
    project.add("018_block", f"with op.get_context().autocommit_block():\n{textwrap.indent(UNTIL_TOLD, '    ')}")
    first = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    waiting.terminate(database, "the lock's")
    target = () if second == "upgrade" else ("017",)
    other = project.start("migrate", second, *target, url=database.url)
    waiting.until_said(other, "Waiting for the migration lock")
    assert database.query(waiting.UNTOLD) == [(1,)]
    runs = "select action, status from runner.migration_run order by run_id"
    assert database.query(runs) == [("upgrade", "success"), ("upgrade", "running")]
    assert database.query("select count(*) from runner.migration_log where status = 'interrupted'") == [(0,)]
    database.execute("create table told ()")
    for run in (other, first):
        run.communicate(timeout=60)
        assert run.returncode == 0


@pytest.mark.parametrize("block", [False, True], ids=["transaction", "autocommit block"])
def test_a_revision_that_releases_the_lock_is_refused(project: Project, database: Database, block: bool) -> None:
    """All advisory locks of its session are released, the runner's too."""
    unlock = "op.execute('select pg_advisory_unlock_all()')\n"
    after = "op.execute('create table made ()')"
    body = f"with op.get_context().autocommit_block():\n    {unlock}    {after}" if block else unlock + after
    project.add("018_unlocks", body)

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "revision-failed"
    assert "it released the runner's advisory lock" in answer["message"]
    assert "pg_advisory_unlock_all()" in answer["hint"]
    assert database.query("select count(*) from pg_class where relname = 'made'") == [(0,)]


@pytest.mark.parametrize("whose", waiting.SESSIONS)
def test_a_session_that_squats_on_a_key_is_told_apart(project: Project, database: Database, whose: str) -> None:
    """It is no migration, and the hint ends it."""
    database.execute("""
        do $$ begin create role squatter login password 'x'; exception when duplicate_object then null; end $$
    """)
    named = {"application_name": "psql", "user": "squatter", "password": "x"}
    with closing(psycopg2.connect(database.url, **named)) as squatter:
        squatter.cursor().execute(f"select pg_advisory_lock({waiting.SESSIONS[whose]})")
        pid = squatter.info.backend_pid
        answer = project.ask(database.url, {"action": "upgrade"}, timeout_s=2)
        assert answer["code"] == "lock-held"
        assert answer["error"].startswith(
            f"A session that is not a migration holds the migration lock of `{database.name}` (`psql`, login "
            f"`squatter`, pid {pid}, connected since "
        )
        assert f"`migrate end-session {pid}`" in answer["hint"]
        event = {"action": "end-session", "pid": pid}
        confirm = project.ask(database.url, event)["next"]["confirm"]
        assert project.ask(database.url, {**event, "confirm": confirm})["status"] == "success"
        assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
