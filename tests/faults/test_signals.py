"""Ctrl-C and SIGTERM at any moment: one line, the exit code of a shell, and never an answer of success."""

import random
import signal
import time
from contextlib import closing

import psycopg2
import pytest

from runner import commands
from runner.deadline import Deadline
from support import waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

DOORS = [("migrate", "upgrade"), ("alembic", "upgrade", "head")]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door[0])
def test_a_signal_in_a_statement_rolls_it_back(
    project: Project, database: Database, door: tuple[str, ...], number: signal.Signals
) -> None:
    """The revision is cancelled, and one line says so."""
    project.add("018_slow", f"op.execute('create table made ()')\n{UNTIL_TOLD}")
    run = project.start(*door, url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    run.send_signal(number)
    _, told = run.communicate(timeout=60)
    assert run.returncode == CODES[number], told
    assert told.count("interrupted: The run was interrupted.") == 1
    assert "Traceback" not in told
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    assert database.query("select relname from pg_class where relname = 'made'") == []


def test_a_signal_behind_the_commit_denies_nothing(project: Project, database: Database) -> None:
    """While the ledger's last row is written, which waits here."""
    assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    project.add("018_slow", f"op.execute('create table made ()')\n{UNTIL_TOLD}")
    run = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    with closing(psycopg2.connect(database.url)) as other:
        # the revision's own row refers to it, and needs a weaker lock
        other.cursor().execute("select from runner.migration_run order by run_id desc limit 1 for no key update")
        database.execute("create table told ()")
        waiting.until(database, waiting.BLOCKED, 1)
        run.send_signal(signal.SIGINT)
        # heard, while the statement waits
        waiting.until(database, waiting.BLOCKED, 0)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert told.endswith(
        "interrupted: The run was interrupted. 1 of 1 revision completed. The database is at `018_slow`, and no "
        "revision is partly applied. Run `migrate upgrade` again to continue.\n"
    )
    assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    assert ("running",) not in database.query("select status from runner.migration_run")


def test_a_signal_between_two_revisions_denies_nothing(project: Project, database: Database) -> None:
    """Python raises its exception wherever it is, here while the progress is written."""

    def tell(_: str, **fields: object) -> None:
        if fields.get("event") == "done":
            raise KeyboardInterrupt

    environ = {"ALEMBIC_CONFIG": str(project.folder / "alembic.ini"), "DATABASE_URL": database.url}
    answer = commands.execute({"action": "upgrade"}, environ, "request", Deadline.after(60), tell).document
    assert answer["message"] == (
        "interrupted: The run was interrupted. 1 of 2 revisions completed. The database is at "
        "`016_platform_baseline`, and no revision is partly applied. Run the same command again to continue."
    )
    log = "select revision, status from runner.migration_log"
    assert database.query(log) == [("016_platform_baseline", "success")]


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_signal_whose_exception_is_lost_is_told(
    project: Project, database: Database, number: signal.Signals, options: tuple[str, ...]
) -> None:
    """A revision that is rendered catches it, for example, and the answer is that of the whole work."""
    assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    body = f"""
    import os
    try:
        os.environ.pop("ONCE", None) and os.kill(os.getpid(), {int(number)})
    except KeyboardInterrupt:
        op.execute("create table made ()")
    """
    project.add("018_catches", body)
    done = project.run("migrate", *options, "plan", url=database.url, ONCE="1")
    assert "018_catches" in done.stdout
    assert done.returncode == CODES[number]
    assert done.stderr.endswith("interrupted: The program was ended by a signal.\n")
    assert done.stderr.count("interrupted:") == 1


@pytest.mark.parametrize("tries", [8, pytest.param(35, marks=pytest.mark.long)])
@pytest.mark.parametrize("number", CODES)
def test_a_signal_at_any_moment_is_heard(
    project: Project, database: Database, number: signal.Signals, tries: int
) -> None:
    """From the start of the program to its end, which varies with the machine; what it did is what it says."""
    started = time.monotonic()
    assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    whole_s = time.monotonic() - started
    chance = random.Random(7)
    codes = []
    for place in range(18, 18 + tries):
        project.add(f"{place:03d}_step", f"op.execute('create table t{place} ()')", after=_before(place))
        run = project.start("migrate", "upgrade", url=database.url)
        # the interpreter itself cannot be interrupted in one line: it takes some 50 ms before our first line
        time.sleep(chance.uniform(0.15, 1.1) * whole_s)
        run.send_signal(number)
        out, told = run.communicate(timeout=60)
        codes.append(run.returncode)
        assert "Traceback" not in told + out, told
        if run.returncode == CODES[number]:
            assert sum(line.startswith("interrupted:") for line in told.splitlines()) == 1, told
        else:
            # it had ended before
            assert run.returncode == 0, (run.returncode, told)
            assert f"to `{place:03d}_step`" in told
        assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    assert CODES[number] in codes


def _before(place: int) -> str:
    return "017_dry_run_log" if place == 18 else f"{place - 1:03d}_step"
