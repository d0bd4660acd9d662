"""Retention: only what is old goes, in whole batches, whatever happens meanwhile."""

import json
import re
import signal
import time
from datetime import timedelta

import pytest

from dispatch_agent.log import retention
from dispatch_agent.log.retention import Purge
from support.agent_log import INSERT, OURS, THEIRS, begin, fill, rows
from support.postgres import Database
from support.project import Project


def test_only_old_rows_go(project: Project, migrated: Database) -> None:
    fill(migrated, OURS, 300, days=91)
    fill(migrated, OURS, 20, days=89)
    fill(migrated, THEIRS, 50, days=400)
    fill(migrated, THEIRS, 5, days=0)
    migrated.execute(f"{INSERT} values ('{OURS}', 'none', 'x', false, null, null)")
    done = project.run("dispatch-agent", "purge", "--older-than", "90d", url=migrated.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"Deleted 350 rows from before [-\d]{10} [:\d]{8}; 26 remain\.\n", done.stderr), done.stderr
    assert rows(migrated) == {OURS: 21, THEIRS: 5}
    again = project.run("dispatch-agent", "purge", "--older-than", "90d", "--json", url=migrated.url)
    assert json.loads(again.stdout) | {"before": ""} == {"deleted": 0, "left": 26, "before": ""}


def test_one_tenant_of_several(project: Project, migrated: Database) -> None:
    migrated.execute(f"insert into tenants (tenant_id, slug, company_name) values ('{OURS}', 'ours', 'Ours')")
    fill(migrated, OURS, 30, days=2)
    fill(migrated, THEIRS, 40, days=2)
    done = project.run("dispatch-agent", "purge", "--older-than", "36h", "--tenant", "ours", url=migrated.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("; 0 remain.\n")
    assert rows(migrated) == {THEIRS: 40}
    unknown = project.run("dispatch-agent", "purge", "--older-than", "2d", "--tenant", "nobody", url=migrated.url)
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("unknown-tenant: There is no tenant `nobody`. Nothing was changed. ")


def test_batches_are_committed_one_by_one_the_oldest_first(migrated: Database) -> None:
    fill(migrated, OURS, 95, days=10)
    fill(migrated, THEIRS, 25, days=10)
    with begin(migrated) as connection:
        engine, before = connection.engine, retention.moment(connection, timedelta(days=1))
    batches = []
    with engine.connect() as connection:
        for number in retention.delete(connection, Purge(before, None, batch=30)):
            batches.append(number)
            assert sum(rows(migrated).values()) == 120 - sum(batches), "seen from another session"
            if len(batches) == 1:
                (oldest,) = migrated.query("select max(localtimestamp - created_at) from dry_run_log")[0]
                assert timedelta(days=10, seconds=60) < oldest < timedelta(days=10, seconds=80)
    assert batches == [30, 30, 30, 5, 25]


def test_rows_of_one_moment_go_although_a_batch_ends_between_them(migrated: Database) -> None:
    """The agent records a chunk in one transaction, so many rows have the same time."""
    fill(migrated, OURS, 70, days=5, apart="0 seconds")
    with begin(migrated) as connection:
        engine, before = connection.engine, retention.moment(connection, timedelta(days=1))
    with engine.connect() as connection:
        assert list(retention.delete(connection, Purge(before, OURS, batch=20))) == [20, 20, 20, 10]
    assert rows(migrated) == {}


def test_rows_that_come_in_meanwhile_are_kept(migrated: Database) -> None:
    fill(migrated, OURS, 60, days=10)
    with begin(migrated) as connection:
        engine, before = connection.engine, retention.moment(connection, timedelta(days=1))
    with engine.connect() as connection:
        for _ in retention.delete(connection, Purge(before, None, batch=20)):
            fill(migrated, OURS, 20, days=0)
            fill(migrated, THEIRS, 20, days=0)
    assert rows(migrated) == {OURS: 60, THEIRS: 60}


def test_two_at_once_delete_each_row_once(project: Project, migrated: Database) -> None:
    fill(migrated, OURS, 40_000, days=100)
    fill(migrated, THEIRS, 100, days=1)
    command = ("dispatch-agent", "purge", "--older-than", "90d", "--json")
    both = [project.start(*command, url=migrated.url) for _ in range(2)]
    answers = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], answers
    assert sum(json.loads(data)["deleted"] for data, _ in answers) == 40_000
    assert rows(migrated) == {THEIRS: 100}


def test_interrupted_after_a_whole_batch(project: Project, migrated: Database) -> None:
    """Ctrl-C keeps what is deleted and says how much that is; the same command goes on."""
    fill(migrated, OURS, 30_000, days=100)
    # each batch lingers behind its last row, so that the signal comes before its commit
    migrated.execute(
        "create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(1); return null; end$$"
    )
    migrated.execute("create trigger linger after delete on dry_run_log for each statement execute function linger()")
    process = project.start("dispatch-agent", "purge", "--older-than", "90d", url=migrated.url)
    ends = time.monotonic() + 60
    while rows(migrated)[OURS] == 30_000:
        assert time.monotonic() < ends
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    left = rows(migrated)[OURS]
    said = re.search(
        r"^interrupted: The command was interrupted\. Deleted ([\d,]+) rows in (\d) transactions? before that\. "
        r"Run the same command again to continue\.$",
        words,
        re.MULTILINE,
    )
    assert said, words
    assert (int(said[1].replace(",", "")), int(said[2]) * 5_000) == (30_000 - left, 30_000 - left)
    assert 0 < left < 30_000
    migrated.execute("drop trigger linger on dry_run_log")
    assert project.run("dispatch-agent", "purge", "--older-than", "90d", url=migrated.url).returncode == 0
    assert rows(migrated) == {}


def test_a_locked_table_is_not_waited_for(project: Project, migrated: Database) -> None:
    fill(migrated, OURS, 10, days=100)
    with migrated.server.connect(migrated.name) as holder, holder.cursor() as cursor:
        cursor.execute("begin; lock table dry_run_log in share mode")
        done = project.run("dispatch-agent", "purge", "--older-than", "90d", url=migrated.url)
        cursor.execute("rollback")
    assert done.returncode == 1
    assert done.stderr == (
        "lock-timeout: A table is locked by another session, perhaps by a run of migrations (see `migrate current`). "
        "Deleted 0 rows in 0 transactions before that. Run the same command again when that session has ended.\n"
    )


@pytest.mark.parametrize("age", ["90", "d", "-1d", "1.5d", "90 d", "90m", "", "123456d", "٣d"])
def test_what_is_no_age(project: Project, age: str) -> None:
    done = project.run("dispatch-agent", "purge", "--older-than", age)
    assert done.returncode == 2
    assert f"`{age}` is not an age: write days or hours, such as 90d or 36h." in done.stderr


def test_less_than_a_day_is_said_on_purpose(project: Project, migrated: Database) -> None:
    fill(migrated, OURS, 10, days=0.5)
    refused = project.run("dispatch-agent", "purge", "--older-than", "3h", url=migrated.url)
    assert refused.returncode == 2
    assert "3h is less than a day, and would delete today's decisions; `--recent` allows it." in refused.stderr
    assert rows(migrated) == {OURS: 10}
    assert project.run("dispatch-agent", "purge", "--older-than", "3h", "--recent", url=migrated.url).returncode == 0
    assert rows(migrated) == {}


def test_the_time_is_that_of_the_database(project: Project, migrated: Database) -> None:
    """`created_at` has no zone: it is compared with the clock of the zone in which it was written."""
    migrated.execute(f"alter database {migrated.name} set timezone = 'Pacific/Kiritimati'")
    for tenant, hours in ((OURS, 23), (THEIRS, 25)):
        migrated.execute(f"{INSERT} values ('{tenant}', 'none', 'x', false, null, now() - interval '{hours} hours')")
    assert project.run("dispatch-agent", "purge", "--older-than", "1d", url=migrated.url).returncode == 0
    assert rows(migrated) == {OURS: 1}
