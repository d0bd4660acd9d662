"""No statement of a revision raises its time-outs, and nobody waits behind a revision for longer than before."""

import time
from contextlib import closing
from datetime import datetime

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import Project

DUMP = """
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET row_security = off;
"""
FUNCTION = """
create function waits() returns void language plpgsql as $$
begin
    perform set_config('lock_timeout', '0', true);
    lock table public.leads in access exclusive mode;
end $$
"""
ALTER = "alter table public.leads add column note text"
RAISED = {
    "SET": ["set lock_timeout = 0", ALTER],
    "SET of a longer time": ["set local lock_timeout = '1h'", ALTER],
    "RESET": ["reset lock_timeout", ALTER],
    "set_config": ["select set_config('lock_timeout', '0', false)", ALTER],
    "the header of pg_dump": [DUMP, ALTER],
    "the header of pg_dump and a statement in one text": [DUMP + ALTER],
    "a DO block": ["do $$ begin set lock_timeout = 0; end $$", ALTER],
    "a DO block that locks": ["do $$ begin set lock_timeout = 0; lock table public.leads; end $$"],
    "a function that locks": [FUNCTION, "select waits()"],
}
LONGEST_S = 1.5
"""One `lock_timeout` of 500 ms, two polls of the watchdog, and what a busy machine adds."""
WAITS = """
    select l.waitstart, extract(epoch from clock_timestamp() - l.waitstart)::float8
    from pg_locks l join pg_stat_activity a using (pid)
    where not l.granted and l.waitstart is not null and a.datname = current_database()
      and a.application_name like 'migrate %'
"""


def longest_wait_s(project: Project, database: Database) -> tuple[float, str]:
    """Upgrade while a reader holds the table, until the third wait or one that is too long.

    Return the longest wait that was seen, and what the run said; it succeeds once the table is free.
    """
    waits: dict[datetime, float] = {}
    with closing(psycopg2.connect(database.url, application_name="report")) as reader:
        reader.cursor().execute("select count(*) from leads")
        run = project.start("migrate", "upgrade", url=database.url, LOCK_TIMEOUT_MS="500")
        while len(waits) < 3 and max(waits.values(), default=0) < LONGEST_S:
            assert run.poll() is None, run.communicate()
            waits |= database.query(WAITS)
            time.sleep(0.02)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert database.query("select version_num from alembic_version") == [("018_raises",)]
    return max(waits.values()), told


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("how", RAISED)
def test_no_statement_raises_the_lock_timeout(project: Project, database: Database, how: str) -> None:
    """Each wait ends as a lock time-out, after which the revision is tried again, and succeeds on a free table."""
    project.add("018_raises", "\n".join(f"op.execute({statement!r})" for statement in RAISED[how]))

    longest, told = longest_wait_s(project, database)

    assert 0.3 < longest < LONGEST_S, told
    assert told.count("Waited for `leads`, held by pid ") >= 2, told
    assert told.count("Retrying `018_raises`; it was rolled back.") >= 2, told


@pytest.mark.usefixtures("migrated")
def test_the_lock_timeout_holds_in_an_autocommit_block(project: Project, database: Database) -> None:
    """There each statement is sent with its own time-outs."""
    body = f"with op.get_context().autocommit_block():\n    op.execute({DUMP + ALTER!r})"
    project.add("018_raises", body)

    longest, told = longest_wait_s(project, database)

    assert 0.3 < longest < LONGEST_S, told


@pytest.mark.usefixtures("migrated")
def test_a_lock_timeout_behind_a_begin_in_an_autocommit_block(project: Project, database: Database) -> None:
    """The revision's own transaction has failed with it, and is ended before the next try."""
    begins = f"    op.execute('begin')\n    op.execute({ALTER!r})\n    op.execute('commit')"
    project.add("018_raises", f"with op.get_context().autocommit_block():\n{begins}")

    longest, told = longest_wait_s(project, database)

    assert 0.3 < longest < LONGEST_S, told
    assert told.count("Waited for `leads`, held by pid ") >= 2, told
    assert told.count("Retrying `018_raises`; what its autocommit block has committed remains.") >= 2
    assert "rolled back" not in told


def test_a_revision_may_lower_its_timeouts(project: Project, database: Database) -> None:
    """A lower time-out holds up to the revision's end, and not in the next one."""
    now = "current_setting('lock_timeout'), current_setting('statement_timeout')"
    read = f'op.execute("insert into seen select {now}")\n'
    project.ask(database.url, {"action": "upgrade"})
    database.execute("create table seen (lock text, statement text)")
    lowers = "op.execute(\"set lock_timeout = '70ms'; set statement_timeout = '9s'\")\n"
    project.add("018_lowers", lowers + read + "time.sleep(0.6)\nop.execute('select now()')\n" + read)
    project.add("019_next", read, after="018_lowers")

    project.ask(database.url, {"action": "upgrade"})

    lowered, again, after = database.query("select lock, statement from seen")
    assert (lowered, again) == (("70ms", "9s"), ("70ms", "9s"))
    assert after[0] == "2s"
    assert after[1] != "9s"


@pytest.mark.usefixtures("migrated")
def test_a_lower_timeout_ends_with_its_savepoint(project: Project, database: Database) -> None:
    """The server forgets it there; a later wait that the runner allows is not cut short."""
    body = """
    nested = op.get_bind().begin_nested()
    op.execute("set local lock_timeout = '50ms'")
    nested.rollback()
    op.execute("select 'waits' from pg_sleep(0)")
    op.execute("alter table leads add column note text")
    """
    project.add("018_lowers", body)
    with closing(psycopg2.connect(database.url)) as reader:
        reader.cursor().execute("select count(*) from leads")
        run = project.start("migrate", "upgrade", url=database.url, LOCK_TIMEOUT_MS="30000")
        waiting.until_waited(database, 0.5)
    _, told = run.communicate(timeout=60)
    assert (run.returncode, "Retrying" in told) == (0, False), told


def test_a_lower_statement_timeout_ends_a_statement(project: Project, database: Database) -> None:
    """It is the revision's own failure, not the deadline's."""
    project.add("018_slow", "op.execute(\"set statement_timeout = '100ms'\")\nop.execute('select pg_sleep(5)')")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "57014")


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize(
    ("statement", "level"),
    [
        ("set lock_timeout = 0", "error"),
        ("SET LOCAL statement_timeout TO '0s'", "error"),
        ("select pg_catalog.set_config('lock_timeout', '0', false)", "error"),
        ("do $$ begin set lock_timeout = 0; end $$", "error"),
        ("set lock_timeout = '5s'", "note"),
        ("set session statement_timeout = 60000", "note"),
    ],
)
def test_a_plan_says_which_timeouts_are_set(project: Project, database: Database, statement: str, level: str) -> None:
    """None at all is an error, a finite one a note."""
    project.add("018_sets", f"op.execute({statement!r})")
    planned = project.ask(database.url, {"action": "plan"})
    found = [one["level"] for one in planned["findings"] if one["rule"] == "sets-timeout"]
    assert found == [level], planned["findings"]
