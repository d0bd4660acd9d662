"""A revision that waits for a lock never queues the application behind it."""

import re
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

ALTER = "op.add_column('leads', sa.Column('note', sa.Text()))"
ALTERING = f"{waiting.BLOCKED} and query ilike 'alter table leads%'"


class Reader:
    """Hold ACCESS SHARE on a table in an open transaction, as a forgotten report does."""

    def __init__(self, database: Database, table: str) -> None:
        self.connection = psycopg2.connect(database.url, application_name="report")
        with self.connection.cursor() as cursor:
            cursor.execute(f"select count(*) from {table}")
        self.pid = self.connection.info.backend_pid

    def leave(self) -> None:
        self.connection.rollback()
        self.connection.close()


class Clients:
    """Query a table all along, from four connections, and remember how long each query took.

    Beside it each asks what waits for nobody: what makes that slow is the machine.
    """

    def __init__(self, database: Database, table: str) -> None:
        self.took_s: list[float] = []
        self.idle_s: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(database, table)) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _run(self, database: Database, table: str) -> None:
        connection = psycopg2.connect(database.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._stop.is_set():
                for query, took_s in ((f"select count(*) from {table}", self.took_s), ("select 1", self.idle_s)):
                    started = time.monotonic()
                    cursor.execute(query)
                    took_s.append(time.monotonic() - started)
                time.sleep(0.01)
        connection.close()

    def stop(self) -> float:
        """Return for how long the slowest query waited for a lock, in seconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert statistics.median(self.took_s) < 0.5 + max(self.idle_s)
        return max(self.took_s) - max(self.idle_s)


def slowest_query(project: Project, database: Database, door: tuple[str, ...], held_s: float, **environ: str) -> float:
    """Run a revision that wants ACCESS EXCLUSIVE while a reader holds the table; return the slowest query."""
    reader = Reader(database, "leads")
    clients = Clients(database, "leads")
    process = project.start(*door, url=database.url, **environ)
    waiting.until(database, ALTERING, 1)
    time.sleep(held_s)
    assert process.poll() is None
    reader.leave()
    output, errors = process.communicate(timeout=60)
    slowest = clients.stop()
    assert process.returncode == 0, output + errors
    return slowest


PLAIN_ENV = """
import os
import sqlalchemy
from alembic import context
url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")
with sqlalchemy.create_engine(url).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("held_s", [6, pytest.param(20, marks=pytest.mark.long)])
def test_a_reader_for_many_seconds(
    project: Project, database: Database, held_s: int, record_testsuite_property
) -> None:
    """Clients wait no longer than `lock_timeout` and a half second; behind plain Alembic they wait it all out."""
    path = project.add("018_note", ALTER, downgrade="op.drop_column('leads', 'note')")
    ours = slowest_query(project, database, ("migrate", "upgrade"), held_s)
    assert ours <= 2.0 + 0.5
    assert database.query("select count(*) from information_schema.columns where column_name = 'note'") == [(1,)]
    assert project.ask(database.url, {"action": "downgrade", "target": "-1"})["status"] == "success"
    assert path.exists()
    (project.folder / "alembic" / "env.py").write_text(PLAIN_ENV)
    plain = slowest_query(project, database, ("alembic", "upgrade", "head"), held_s)
    assert plain >= 0.9 * held_s
    record_testsuite_property("contention", f"slowest query: {ours:.2f} s, behind plain Alembic {plain:.2f} s")


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("door", [("migrate", "upgrade"), ("alembic", "upgrade", "head")])
def test_the_wait_is_told_and_recorded(project: Project, database: Database, door: tuple[str, ...]) -> None:
    """Who blocks it is named while it waits; the wait and the locks are in the ledger."""
    project.add("018_note", ALTER)
    reader = Reader(database, "leads")
    started = time.monotonic()
    process = project.start(*door, url=database.url, LOCK_TIMEOUT_MS="500")
    errors = waiting.until_said(process, "Retrying `") + waiting.until_said(process, "Retrying `")
    reader.leave()
    errors += process.stderr.read()
    process.communicate()
    took_ms = (time.monotonic() - started) * 1000
    assert process.returncode == 0, errors
    assert re.search(
        rf"Waited for `leads`, held by pid {reader.pid} \(report\), idle in transaction for \d+ s\.\n"
        r"Retrying `018_note`; it was rolled back\.\n",
        errors,
    ), errors
    wait_ms, locks = database.query(
        "select lock_wait_ms, locks from runner.migration_log where revision = '018_note' and status = 'success'"
    )[0]
    assert 1000 < wait_ms < took_ms
    assert locks == {"leads": "AccessExclusiveLock"}


@pytest.mark.usefixtures("migrated")
def test_gives_up_at_the_deadline(project: Project, database: Database) -> None:
    """The answer says how often, how long, for what and behind whom; nothing is changed and no lock stays."""
    project.add("018_note", ALTER)
    reader = Reader(database, "leads")
    started = time.monotonic()
    answer = project.ask(database.url, {"action": "upgrade"}, ends_in="018_note", left_s=4, LOCK_TIMEOUT_MS="500")
    took_s = time.monotonic() - started
    reader.leave()
    assert answer["code"] == "lock-timeout", answer["message"]
    told = re.fullmatch(
        r"lock-timeout: `018_note` gave up after \d+ tries \((\d+) s\) waiting for `leads`, held by pid "
        rf"{reader.pid} \(report\), idle in transaction for \d+ s\. Nothing was applied\. The database is at "
        r"`017_dry_run_log`, and the failed revision was rolled back\. Wait until it has ended, then run the same "
        r"command again\.",
        answer["message"],
    )
    assert told, answer["message"]
    assert 2 <= int(told[1]) <= round(took_s)
    waiting.until(database, waiting.LOCKED, 0)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


@pytest.mark.usefixtures("migrated")
def test_a_deadlock_is_tried_again(project: Project, database: Database) -> None:
    """40P01 is contention like any other."""
    project.add(
        "018_two",
        f"op.execute('lock table leads in share mode')\n{UNTIL_TOLD}\nop.execute('lock table tenants in share mode')\n",
    )
    process = project.start("migrate", "--json", "upgrade", url=database.url, LOCK_TIMEOUT_MS="60000")
    waiting.until(database, waiting.UNTOLD, 1)
    other = psycopg2.connect(database.url)
    with other.cursor() as cursor, ThreadPoolExecutor() as pool:
        # it leaves it to the revision to find the deadlock
        cursor.execute("set deadlock_timeout = '10min'; lock table tenants in exclusive mode")
        second = pool.submit(cursor.execute, "lock table leads in exclusive mode")
        waiting.until(database, waiting.BLOCKED, 1)
        database.execute("create table told ()")
        second.result()
    other.rollback()
    other.close()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Retrying `018_two`; it was rolled back." in errors


@pytest.mark.usefixtures("migrated")
def test_concurrent_work_has_a_budget_of_its_own(project: Project, database: Database) -> None:
    """A concurrent build and VALIDATE wait past `lock_timeout`, since nobody waits behind them."""
    project.add(
        "018_check",
        "op.execute('alter table leads add constraint nome_check check (length(nome) < 600) not valid')",
    )
    project.add(
        "019_index",
        "from runner.operations import create_index_concurrently\n"
        "create_index_concurrently('leads_nome', 'leads', ['nome'])",
        after="018_check",
    )
    project.add(
        "020_validate",
        "from runner.operations import validate_constraint\nvalidate_constraint('nome_check', 'leads')",
        after="019_index",
    )
    project.ask(database.url, {"action": "upgrade", "target": "018"})
    for revision in ("019", "020"):
        writer = psycopg2.connect(database.url)
        with writer.cursor() as cursor:
            mode = "row exclusive" if revision == "019" else "share update exclusive"
            cursor.execute(f"lock table leads in {mode} mode")
        process = project.start("migrate", "upgrade", revision, url=database.url, LOCK_TIMEOUT_MS="300")
        waiting.until_waited(database, 0.9)
        writer.rollback()
        writer.close()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Retrying `" not in errors
    assert database.query("select indisvalid from pg_index where indexrelid = 'leads_nome'::regclass") == [(True,)]
    assert database.query("select convalidated from pg_constraint where conname = 'nome_check'") == [(True,)]


READ_LEADS = "select count(*) from leads"
# Each statement, and what another session does that it has to wait for. All but the last stand in an autocommit block.
LONG_WORK = {
    "comment": ("-- beside the writers; see the runbook\ncreate index concurrently made on leads (nome)", READ_LEADS),
    "nested comment": (
        "/* a /* b; */ */ CREATE  UNIQUE\nINDEX /* c */ CONCURRENTLY made ON leads (lead_id);",
        READ_LEADS,
    ),
    "literal": ("create index concurrently made on leads (nome) where nome <> 'a;b' -- ;", READ_LEADS),
    "name": ('create index concurrently "made; -- (odd" on leads (nome)', READ_LEADS),
    "reindex": ("REINDEX (VERBOSE) INDEX CONCURRENTLY leads_pkey", READ_LEADS),
    "reindex, option": ("reindex (verbose, concurrently) index leads_pkey", READ_LEADS),
    "reindex table": ("/* all */ reindex table /* of */ concurrently leads", READ_LEADS),
    "drop": ("-- unused\nDROP INDEX CONCURRENTLY IF EXISTS -- by now\n spare", READ_LEADS),
    "validate": (
        '/* proven */ alter table "leads" -- all of it\n validate  constraint "nome; check"',
        "lock table leads in share update exclusive mode",
    ),
}


@pytest.mark.parametrize("way", LONG_WORK)
def test_concurrent_work_is_known_however_it_is_written(project: Project, database: Database, way: str) -> None:
    """It waits for an old snapshot, a reader or other work for longer than `lock_timeout`, and succeeds at once."""
    statement, held_up_by = LONG_WORK[way]
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    database.execute("""
        create index spare on leads (nome);
        alter table leads add constraint "nome; check" check (length(nome) < 600) not valid
    """)
    body = f"op.execute({statement!r})"
    block = "" if way == "validate" else "with op.get_context().autocommit_block():\n    "
    project.add("018_work", block + body)
    other = psycopg2.connect(database.url)
    other.set_session(isolation_level="REPEATABLE READ")
    with other.cursor() as cursor:
        cursor.execute(held_up_by)
    process = project.start("migrate", "upgrade", url=database.url, LOCK_TIMEOUT_MS="300")
    waiting.until_waited(database, 0.9)
    other.rollback()
    other.close()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "Retrying `" not in errors
    assert database.query("select count(*) from pg_index where not indisvalid") == [(0,)]


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize(
    "body",
    [
        "from runner.operations import set_not_null_safely\nset_not_null_safely('leads', 'nome')",
        "op.execute('alter table leads add constraint c check (true) not valid; "
        "alter table leads validate constraint c')",
        "op.execute('alter table leads add column note text, validate constraint leads_status_check')",
    ],
    ids=["autocommit block", "two statements", "two actions"],
)
def test_only_what_is_harmless_may_wait(project: Project, database: Database, body: str) -> None:
    """A statement that takes a strong lock keeps the short time-out, whatever stands beside it."""
    project.add("018_note", body)
    reader = Reader(database, "leads")
    clients = Clients(database, "leads")
    process = project.start("migrate", "upgrade", url=database.url, LOCK_TIMEOUT_MS="500")
    waiting.until(database, ALTERING, 1)
    time.sleep(1.6)
    reader.leave()
    _, errors = process.communicate(timeout=60)
    slowest = clients.stop()
    assert process.returncode == 0, errors
    assert slowest <= 0.5 + 0.5


@pytest.mark.usefixtures("migrated")
def test_a_locked_ledger_or_version_table_does_not_outlast_the_deadline(project: Project, database: Database) -> None:
    """Contention outside a revision is contention too, and the lock's own connection is bounded as well."""
    project.add("018_note", ALTER)
    for table in ("runner.migration_run", "alembic_version"):
        other = psycopg2.connect(database.url)
        with other.cursor() as cursor:
            cursor.execute(f"lock table {table} in access exclusive mode")
        started = time.monotonic()
        answer = project.ask(database.url, {"action": "upgrade"}, timeout_s=2, LOCK_TIMEOUT_MS="500")
        assert time.monotonic() - started < 5
        assert answer["status"] == "error"
        assert answer["code"] != "internal-error", answer["message"]
        other.rollback()
        other.close()
    assert project.ask(database.url, {"action": "upgrade"})["to"] == "018_note"
