"""The helpers for revisions: each does what it says, can be run again, and mends what a failure left."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import Project

INVALID = "select count(*) from pg_index where not indisvalid"


@pytest.fixture
def at_017(migrated: Database) -> None:
    migrated.execute("create table t as select n as a, n % 5 as b from generate_series(1, 1000) n")


def helper(project: Project, call: str, name: str = "018_help", after: str = "017_dry_run_log") -> None:
    project.add(name, f"from runner import operations\noperations.{call}", after=after)


@pytest.mark.usefixtures("at_017")
@pytest.mark.parametrize("way", ["helper", "plain", "if not exists", "comments"])
def test_a_failed_build_is_dropped_and_built_again(project: Project, database: Database, way: str) -> None:
    """Also where a revision is written as Alembic's manual has it, and where IF NOT EXISTS would accept it."""
    calls = {
        "helper": "from runner import operations\noperations.create_index_concurrently('t_a', 't', ['a'], unique=True)",
        "plain": "with op.get_context().autocommit_block():\n"
        "    op.create_index('t_a', 't', ['a'], unique=True, postgresql_concurrently=True)",
        "if not exists": "with op.get_context().autocommit_block():\n"
        "    op.execute('create unique index concurrently if not exists t_a on t (a)')",
        "comments": "with op.get_context().autocommit_block():\n"
        "    op.execute('create /* a /* b */ */ unique index -- c;\\n concurrently if not exists \"t_a\" on t (a)')",
    }
    project.add("018_index", calls[way])
    database.execute("insert into t values (1, 1)")
    failed = project.ask(database.url, {"action": "upgrade"})
    assert (failed["code"], failed["sqlstate"]) == ("revision-failed", "23505")
    assert failed["leftovers"] == []
    assert (
        "The failed revision is not transactional: its earlier statements remain, and it left no invalid index."
        in failed["message"]
    )
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("create unique index concurrently t_a on t (a)")
    assert database.query(INVALID) == [(1,)]
    database.execute("delete from t where ctid = (select max(ctid) from t where a = 1)")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select indisvalid, indisunique from pg_index where indexrelid = 't_a'::regclass") == [
        (True, True)
    ]


@pytest.mark.usefixtures("at_017")
def test_the_valid_index_of_that_name_is_kept(project: Project, database: Database) -> None:
    database.execute("create index t_b on t (b) where b > 1")
    before = database.query("select 't_b'::regclass::oid")
    helper(project, "create_index_concurrently('t_b', 't', ['b'], where='b > 1')")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select 't_b'::regclass::oid") == before


@pytest.mark.usefixtures("at_017")
def test_dropping_an_index(project: Project, database: Database) -> None:
    database.execute("create index t_b on t (b)")
    helper(project, "drop_index_concurrently('t_b')")
    helper(project, "drop_index_concurrently('t_b')", "019_again", "018_help")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select to_regclass('t_b')") == [(None,)]


@pytest.mark.usefixtures("at_017")
def test_a_foreign_key_in_two_steps(project: Project, database: Database) -> None:
    """Added without reading the rows, proven later; both can be run again."""
    database.execute(
        "create table parent (a int primary key); insert into parent select n from generate_series(1, 1000) n"
    )
    add = "add_foreign_key_not_valid('t_a_fkey', 't', 'parent', ['a'], ['a'])"
    validate = "validate_constraint('t_a_fkey', 't')"
    after = "017_dry_run_log"
    for name, call in {"018_add": add, "019_add": add, "020_ok": validate, "021_ok": validate}.items():
        helper(project, call, name, after)
        after = name
    project.ask(database.url, {"action": "upgrade", "target": "019"})
    state = "select convalidated from pg_constraint where conname = 't_a_fkey'"
    assert database.query(state) == [(False,)]
    answer = project.ask(database.url, {"action": "upgrade"})
    assert database.query(state) == [(True,)]
    assert answer["applied"][0]["locks"] == {"parent": "RowShareLock", "t": "ShareUpdateExclusiveLock"}


@pytest.mark.usefixtures("at_017")
def test_not_null_without_a_scan_under_lock(project: Project, database: Database) -> None:
    helper(project, "set_not_null_safely('t', 'a')")
    helper(project, "set_not_null_safely('t', 'a')", "019_again", "018_help")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select attnotnull from pg_attribute where attrelid = 't'::regclass and attname = 'a'") == [
        (True,)
    ]
    assert database.query("select count(*) from pg_constraint where conrelid = 't'::regclass and contype = 'c'") == [
        (0,)
    ]


@pytest.mark.usefixtures("at_017")
def test_not_null_goes_on_after_a_row_stood_in_the_way(project: Project, database: Database) -> None:
    database.execute("insert into t values (null, 1)")
    helper(project, "set_not_null_safely('t', 'a')")
    assert project.ask(database.url, {"action": "upgrade"})["sqlstate"] == "23514"
    database.execute("delete from t where a is null")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_the_helpers_can_be_printed_as_sql(project: Project) -> None:
    helper(project, "create_index_concurrently('leads_nome', 'leads', ['nome'])")
    helper(project, "set_not_null_safely('leads', 'nome')", "019_null", "018_help")
    helper(
        project, "add_foreign_key_not_valid('f', 'leads', 'tenants', ['tenant_id'], ['tenant_id'])", "020_f", "019_null"
    )
    done = project.run("alembic", "upgrade", "017_dry_run_log:head", "--sql")
    assert done.returncode == 0, done.stderr
    assert "CREATE INDEX CONCURRENTLY IF NOT EXISTS leads_nome ON leads (nome)" in done.stdout
    assert "VALIDATE CONSTRAINT nome_not_null_" in done.stdout
    assert "NOT VALID" in done.stdout


@pytest.mark.usefixtures("at_017")
def test_the_build_of_a_runner_that_was_just_killed(project: Project, database: Database) -> None:
    """Its backend lives on for a moment; what it leaves is not taken for the wanted index."""
    database.execute("insert into t select n, 1 from generate_series(1, 200000) n")
    helper(project, "create_index_concurrently('t_a', 't', ['a'])")
    writer = psycopg2.connect(database.url)
    with writer.cursor() as cursor:
        cursor.execute("insert into t values (1, 1)")
    first = project.start("migrate", "upgrade", url=database.url)
    building = "select count(*) from pg_stat_progress_create_index where datname = current_database()"
    waiting.until(database, building, 1)
    second = project.start("migrate", "upgrade", url=database.url)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    time.sleep(3)
    writer.rollback()
    writer.close()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert database.query("select indisvalid from pg_index where indexrelid = 't_a'::regclass") == [(True,)]


@pytest.mark.usefixtures("at_017")
def test_a_build_that_died_while_this_one_waited(project: Project, database: Database) -> None:
    """What it left is dropped, and the same index is built: the driver reads the statement as it did before."""
    database.execute("insert into t values (1, 1)")
    statement = "create unique index concurrently if not exists t_a on t (a) where a % 2 = 1"
    project.add("018_index", f"with op.get_context().autocommit_block():\n    op.execute({statement!r})")
    holder, other = psycopg2.connect(database.url), psycopg2.connect(database.url)
    with holder.cursor() as cursor:
        cursor.execute("lock table t in share update exclusive mode")
    other.autocommit = True
    with ThreadPoolExecutor() as threads, other.cursor() as cursor:
        theirs = threads.submit(cursor.execute, statement)
        waiting.until(database, waiting.BLOCKED, 1)
        ours = threads.submit(project.ask, database.url, {"action": "upgrade"})
        waiting.until(database, waiting.BLOCKED, 2)
        holder.rollback()
        assert isinstance(theirs.exception(), psycopg2.errors.UniqueViolation)
        answer = ours.result()
    holder.close()
    other.close()
    assert (answer["sqlstate"], answer["leftovers"]) == ("23505", []), answer["message"]
    assert database.query(INVALID) == [(0,)]


@pytest.mark.usefixtures("at_017")
def test_repair_leaves_a_partitioned_index_alone_and_keeps_its_deadline(project: Project, database: Database) -> None:
    """An index ON ONLY a partitioned table is invalid by design; a reader holds up a drop until the deadline."""
    database.execute("create table p (a int) partition by range (a)")
    database.execute("create index p_a on only p (a)")
    assert project.ask(database.url, {"action": "repair", "target": "017"})["status"] == "success"
    database.execute("insert into t values (1, 1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("create unique index concurrently t_a on t (a)")
    reader = psycopg2.connect(database.url)
    with reader.cursor() as cursor:
        cursor.execute("select * from t limit 1")
    answer = project.ask(database.url, {"action": "repair", "target": "017"}, timeout_s=2)
    reader.rollback()
    reader.close()
    assert answer["code"] == "deadline", answer["message"]
    cleared = project.ask(database.url, {"action": "repair", "target": "017"})
    assert (cleared["status"], cleared["cleared"]) == ("success", ["public.t_a"])
