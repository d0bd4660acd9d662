"""`kill -9` at random moments: a later upgrade finishes without a manual step."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from runner.postgres import advisory_lock
from runner.project import VersionTable
from support.postgres import Database, read_catalog
from support.project import Project

INVALID = "select count(*) from pg_index where not indisvalid"
LOG = "select revision, status from runner.migration_log order by log_id"


def lay_out(project: Project) -> list[str]:
    """Write 20 revisions: tables, columns, inserts, and each fourth a concurrent index on a table with rows."""
    names = project.add_many(
        20,
        """
        op.execute('create table {name} (id int, note text)')
        op.execute("insert into {name} select n, 'note' from generate_series(1, 100) n")
        op.add_column('leads', sa.Column('c{number}', sa.Text()))
        """,
    )
    for place, name in enumerate(names):
        if place % 4 == 3:
            project.add(
                name,
                f"""
                from runner.operations import create_index_concurrently
                create_index_concurrently('rows_{name[:3]}', 'rows', ['a', 'b'])
                """,
                after=names[place - 1],
            )
    return names


def prepare(project: Project, database: Database) -> None:
    database.execute("create table rows as select n as a, n % 7 as b from generate_series(1, 60000) n")
    answer = project.ask(database.url, {"action": "upgrade", "target": "017"})
    assert answer["status"] == "success"


def wait_for_free_lock(database: Database) -> float:
    """Return how long the killed runner's lock outlived it, in seconds."""
    started = time.monotonic()
    held = f"select count(*) from pg_locks where locktype = 'advisory' and ((classid::bigint << 32) | objid::bigint) = {advisory_lock.key(VersionTable())}"  # noqa: E501
    while database.query(held) != [(0,)]:
        assert time.monotonic() - started < 15
        time.sleep(0.05)
    return time.monotonic() - started


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("most", [15, pytest.param(50, marks=pytest.mark.long)])
def test_killed_at_random_moments(project: Project, database: Database, record_testsuite_property, most: int) -> None:
    """Kills spread over the whole upgrade; after each the lock is free within 15 s, and the next run goes on."""
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 2**32))
    chance = random.Random(seed)
    names = lay_out(project)
    prepare(project, database)
    started = time.monotonic()
    assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    whole_s = time.monotonic() - started
    undisturbed = read_catalog(database)
    kills, slowest_s, finished = 0, 0.0, 0
    while kills < most:
        database.execute("drop schema public cascade; create schema public; drop schema runner cascade")
        prepare(project, database)
        while kills < most:
            process = project.start("migrate", "upgrade", url=database.url)
            time.sleep(chance.uniform(0.25, whole_s))
            if process.poll() is not None:
                process.communicate()
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            slowest_s = max(slowest_s, wait_for_free_lock(database))
        done = project.run("migrate", "upgrade", url=database.url)
        assert done.returncode == 0, (seed, done.stderr)
        assert read_catalog(database) == undisturbed, seed
        assert database.query(INVALID) == [(0,)], seed
        succeeded = [row[0] for row in database.query(LOG) if row[1] == "success"]
        assert succeeded == ["016_platform_baseline", "017_dry_run_log", *names], seed
        assert database.query("select count(*) from runner.migration_run where status = 'running'") == [(0,)]
        finished += 1
    told = f"seed {seed}: {kills} kills, {finished} upgrades, the lock was free after at most {slowest_s:.1f} s"
    record_testsuite_property("kills", told)


def test_a_killed_run_is_in_the_ledger(project: Project, database: Database) -> None:
    """The next run writes down that the last one was interrupted, and in which revision."""
    project.add("018_quick", "op.execute('create table quick ()')")
    path = project.add("019_slow", "op.execute('select pg_sleep(60)')", after="018_quick")
    process = project.start("migrate", "upgrade", url=database.url)
    asleep = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
    while database.query(asleep) == [(0,)]:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for_free_lock(database)
    ends = time.monotonic() + 15
    while database.query(asleep) != [(0,)]:
        assert time.monotonic() < ends
        time.sleep(0.05)
    Path(path).write_text(path.read_text().replace("60", "0"))
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select status from runner.migration_run order by run_id") == [("interrupted",), ("success",)]
    assert database.query(LOG)[2:] == [
        ("018_quick", "success"),
        ("019_slow", "interrupted"),
        ("019_slow", "success"),
    ]
