"""A commit that waits for a synchronous standby keeps the deadline, and is told."""

import time
from collections.abc import Iterator

import pytest

from support import postgres, waiting
from support.postgres import Database
from support.project import Project

UNCONFIRMED = "The last commit is done on this server, and its synchronous standby has not confirmed it."


@pytest.fixture
def hanging(project: Project) -> Iterator[Database]:
    """A database at 017 whose commits wait for a standby that there is not."""
    with postgres.cluster(postgres.binaries()) as cluster:
        database = cluster.database()
        assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
        database.execute("alter system set synchronous_standby_names = 'nobody'")
        database.execute("select pg_reload_conf()")
        yield database


def test_the_deadline_bounds_a_commit_that_waits_for_a_standby(project: Project, hanging: Database) -> None:
    """What is committed here counts as applied, what follows is not begun."""
    project.add("018_first", "op.execute('create table first ()')")
    project.add("019_second", "op.execute('create table second ()')", after="018_first")
    started = time.monotonic()
    answer = project.ask(hanging.url, {"action": "upgrade"}, timeout_s=3)
    assert time.monotonic() - started < 10
    assert (answer["status"], answer["to"], answer["pending"]) == ("partial", "018_first", ["019_second"])
    assert answer["warnings"] == [UNCONFIRMED]
    assert hanging.query("select version_num from alembic_version") == [("018_first",)]


def test_the_last_revision_is_a_success(project: Project, hanging: Database) -> None:
    """The answer keeps its status."""
    project.add("018_first", "op.execute('create table first ()')")
    answer = project.ask(hanging.url, {"action": "upgrade"}, timeout_s=3)
    assert (answer["status"], answer["to"], answer["warnings"]) == ("success", "018_first", [UNCONFIRMED])
    assert hanging.query("select status from runner.migration_run order by run_id desc limit 1") == [("success",)]


def test_ctrl_c_ends_the_wait(project: Project, hanging: Database) -> None:
    """The answer says that the revision is applied."""
    project.add("018_first", "op.execute('create table first ()')")
    run = project.start("migrate", "upgrade", url=hanging.url)
    waiting.until(hanging, "select count(*) from pg_stat_activity where wait_event = 'SyncRep'", 1)
    started = time.monotonic()
    run.send_signal(2)
    _, told = run.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert run.returncode == 130, told
    assert "The database is at `018_first`, and no revision is partly applied." in told
    assert hanging.query("select version_num from alembic_version") == [("018_first",)]
