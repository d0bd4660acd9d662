"""Revisions as the world writes them: what they do to the connection, beside it, or in an autocommit block.

The answer tells what is true, the version is where it belongs, and nobody waits longer than behind any other revision.
"""

import signal
from contextlib import closing

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import Project

pytestmark = pytest.mark.usefixtures("migrated")

BLOCK = "with op.get_context().autocommit_block():\n"
SLEEPS = BLOCK + "    op.execute('create table made ()')\n    op.execute('select pg_sleep(20)')"
OTHER = "with op.get_bind().engine.begin() as other:\n    other.execute(sa.text({!r}))"


def is_made(database: Database) -> bool:
    return database.query("select to_regclass('made') is not null") == [(True,)]


@pytest.mark.parametrize("door", [("migrate", "upgrade"), ("alembic", "upgrade", "head")], ids=lambda door: door[0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_an_autocommit_block(
    project: Project, database: Database, door: tuple[str, ...], number: signal.Signals
) -> None:
    """SQLAlchemy gives the connection up, which is not told as a lost one: what was committed remains."""
    project.add("018_odd", SLEEPS)
    run = project.start(*door, url=database.url)
    waiting.until(database, waiting.ASLEEP, 1)
    run.send_signal(number)
    _, told = run.communicate()
    assert run.returncode == 128 + number
    assert "lost" not in told
    assert "it left no invalid index" in told
    assert is_made(database)
    assert database.query("select status from runner.migration_log where revision = '018_odd'") == [("failed",)]


def test_the_server_stays_away_in_an_autocommit_block(project: Project, database: Database) -> None:
    """Nobody can look at what is left, and nobody says that it was rolled back."""
    project.add("018_odd", SLEEPS)
    run = project.start("migrate", "--timeout", "8", "upgrade", url=database.url)
    waiting.until(database, waiting.ASLEEP, 1)
    with closing(database.server.connect()) as admin, admin.cursor() as cursor:
        cursor.execute(f"alter database {database.name} with allow_connections false")
        cursor.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'")
        _, told = run.communicate()
        cursor.execute(f"alter database {database.name} with allow_connections true")
    assert is_made(database)
    assert "its earlier statements remain, and it left possibly an invalid index." in told


OPTIONS = {
    "schema_translate_map": "op.get_bind().execution_options(schema_translate_map={None: 'tenant'})",
    "stream_results": "op.get_bind().execution_options(stream_results=True)",
    "cursor_factory": "import psycopg2.extras\n"
    "op.get_bind().connection.driver_connection.cursor_factory = psycopg2.extras.RealDictCursor",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_the_connection_end_with_the_revision(project: Project, database: Database, option: str) -> None:
    """SQLAlchemy and the driver keep them in place, and Alembic writes the version on the same connection."""
    database.execute("create schema tenant; create table tenant.alembic_version as table alembic_version")
    project.add("018_odd", f"{OPTIONS[option]}\nop.execute('select 1')")
    following = "op.create_table('following', sa.Column('a', sa.Integer))"
    project.add("019_next", f"assert op.get_bind().scalar(sa.text('select 1')) == 1\n{following}", after="018_odd")
    assert project.ask(database.url, {"action": "rehearse"})["ok"]
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert database.query("table tenant.alembic_version") == [("017_dry_run_log",)]
    assert database.query("table alembic_version") == [("019_next",)]
    assert database.query("select to_regclass('public.following') is not null") == [(True,)]


def test_a_second_connection_in_a_rehearsal(project: Project, database: Database) -> None:
    """It commits by itself, so it may read only: whether it would write is left open."""
    project.add("018_odd", OTHER.format("create table made ()"))
    rehearsed = project.ask(database.url, {"action": "rehearse"})
    (one,) = rehearsed["revisions"]
    assert (one["outcome"], one["reason"]) == (
        "inconclusive",
        "it writes on a connection of its own, which a rehearsal cannot roll back",
    )
    assert not is_made(database)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert is_made(database)


ALTER = "alter table leads add column raised int"
HELD = "alter table leads add column first int"
RAW = "op.get_bind().connection.cursor().execute({!r})"
QUEUES = {
    "on a second connection": OTHER.format(ALTER),
    "behind concurrent work in a block": (
        f"{BLOCK}    op.execute('create index concurrently on other (a)')\n    {RAW.format(ALTER)}"
    ),
}


@pytest.mark.parametrize("how", QUEUES)
def test_nobody_queues_behind_a_statement_beside_ours(project: Project, database: Database, how: str) -> None:
    """A reader holds the table, the revision waits for it, and whoever comes then waits behind the revision."""
    database.execute("create table other (a int)")
    project.add("018_odd", QUEUES[how])
    with closing(psycopg2.connect(database.url)) as reader:
        reader.cursor().execute("select count(*) from leads")
        run = project.start("migrate", "upgrade", "--timeout", "20", url=database.url, LOCK_TIMEOUT_MS="500")
        waiting.until(database, waiting.BLOCKED, 1)
        # ends by itself, long before the deadline
        waiting.until(database, waiting.BLOCKED, 0, within_s=5)
    run.communicate()
    assert run.returncode in (0, 1)


CURSOR = "cursor = op.get_bind().connection.cursor()\n"
ROWS = "import io\n" + CURSOR
BEFORE = {
    "DDL": f"op.execute({HELD!r})",
    # SQLAlchemy sends it by `executemany`
    "many parameters": "op.get_bind().execute(sa.text('update leads set nome = :n'), [{'n': 'x'}, {'n': 'y'}])",
    "executemany": CURSOR + "cursor.executemany('insert into made values (%s)', [(1,), (2,)])",
    "callproc": CURSOR + "cursor.callproc('make', ())",
    "copy_expert": ROWS + "cursor.copy_expert('copy made from stdin', io.StringIO('1'))",
    "copy_from": ROWS + "cursor.copy_from(io.StringIO('1'), 'made')",
    "copy_to": ROWS + "cursor.copy_to(io.StringIO(), 'made')",
}


@pytest.mark.parametrize("way", BEFORE)
def test_a_validation_under_a_held_lock_has_no_time_of_its_own(project: Project, database: Database, way: str) -> None:
    """It waits for whoever vacuums its table, and the application for the lock that the statement before it took."""
    database.execute("create table other (a int); alter table other add constraint c check (a > 0) not valid")
    database.execute("create table made (n int)")
    database.execute("create function make() returns void language sql as 'insert into made values (1)'")
    project.add("018_odd", f"{BEFORE[way]}\nop.execute('alter table other validate constraint c')")
    with closing(psycopg2.connect(database.url)) as vacuum:
        vacuum.cursor().execute("lock table other in share update exclusive mode")
        run = project.start("migrate", "--timeout", "20", "upgrade", url=database.url, LOCK_TIMEOUT_MS="500")
        waiting.until_said(run, "Waited for `other`")
    run.communicate()
    assert run.returncode == 0


def test_a_commit_of_nothing_ends_its_locks_and_settings(project: Project, database: Database) -> None:
    """Nothing is written yet, so that a COMMIT may end the transaction: what it would release is released."""
    body = """
    op.execute("lock table leads in share mode")
    op.execute("set local search_path = pg_catalog; set local statement_timeout = '300ms'")
    op.execute("COMMIT")
    op.execute("set transaction isolation level serializable")
    op.execute("select pg_sleep(0.5)")
    locked = "select count(*) from pg_catalog.pg_locks where mode = 'ShareLock' and pid = pg_backend_pid()"
    assert op.get_bind().exec_driver_sql(locked).scalar() == 0
    op.execute("create table made ()")
    """
    project.add("018_odd", body)
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert database.query("select to_regclass('public.made') is not null") == [(True,)]


CURSORS = {
    "RealDictCursor": "raw.cursor(cursor_factory=psycopg2.extras.RealDictCursor)",
    "NamedTupleCursor": "raw.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor)",
    "the plain class": "raw.cursor(cursor_factory=psycopg2.extensions.cursor)",
    "by its position": "raw.cursor(None, psycopg2.extras.DictCursor)",
    "of the connection": "[setattr(raw, 'cursor_factory', psycopg2.extras.DictCursor), raw.cursor()][1]",
}


@pytest.mark.parametrize("way", CURSORS)
def test_a_commit_on_a_cursor_of_another_class(project: Project, database: Database, way: str) -> None:
    body = f"""
    import psycopg2.extras
    raw = op.get_bind().connection.driver_connection
    cursor = {CURSORS[way]}
    cursor.execute("select 1 as one")
    assert cursor.fetchone()
    cursor.execute("create table made ()")
    cursor.execute("COMMIT")
    cursor.execute("BEGIN")
    raise ValueError
    """
    project.add("018_odd", body)
    failed = project.ask(database.url, {"action": "upgrade"})
    assert failed["code"] == "transaction-ended"
    assert failed["leftovers"] == ["select … as one", "create table made ()"]
    assert is_made(database)


@pytest.mark.parametrize("door", [("migrate", "upgrade"), ("alembic", "upgrade", "head"), ("migrate", "rehearse")])
def test_a_closed_connection(project: Project, database: Database, door: tuple[str, ...]) -> None:
    project.add("018_odd", "op.execute('create table made ()')\nop.get_bind().close()")
    told = project.run(*door, url=database.url).stderr
    assert "transaction-ended: `018_odd`" in told
    assert not is_made(database)


def test_a_read_only_transaction_is_the_revisions_own(project: Project, database: Database) -> None:
    """It is no sign of a replica."""
    project.add("018_odd", "op.execute('set transaction read only')\nop.execute('select 1')")
    failed = project.ask(database.url, {"action": "upgrade"})
    assert (failed["code"], failed["sqlstate"]) == ("revision-failed", "25006")


def test_nested_autocommit_blocks(project: Project, database: Database) -> None:
    inner = "    with op.get_context().autocommit_block():\n        op.execute('create table made ()')\n"
    project.add("018_odd", f"{BLOCK}{inner}    op.execute('create index concurrently on leads (nome)')")
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]


def test_an_index_of_anothers_table_is_left(project: Project, database: Database) -> None:
    """Names are a schema's, and IF NOT EXISTS does not look at the table."""
    database.execute("create table theirs (a int); create index i on theirs (a)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'i'::regclass")
    project.add("018_odd", f"{BLOCK}    op.execute('create index concurrently if not exists i on leads (nome)')")
    project.ask(database.url, {"action": "upgrade"})
    assert database.query("select count(*) from pg_index where indrelid = 'theirs'::regclass") == [(1,)]


@pytest.mark.parametrize(
    "how",
    [
        "op.execute('create index concurrently if not exists \"i%d\" on t (a)')",
        "op.create_index('i%d', 't', ['a'], postgresql_concurrently=True, if_not_exists=True)",
        RAW.format("create index concurrently if not exists i on t (a)"),
        RAW.format("create index concurrently on t (a)"),
        RAW.format("reindex table concurrently t"),
    ],
)
def test_killed_index_work(project: Project, database: Database, how: str) -> None:
    """With a name that the driver's placeholders double, and on the driver's own cursor."""
    database.execute("create table t (a int, b int); create index old on t (b)")
    project.add("018_odd", f"{BLOCK}    {how}")
    with closing(psycopg2.connect(database.url)) as writer:
        writer.cursor().execute("insert into t values (1)")
        run = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        run.kill()
        run.communicate()
        waiting.until(database, waiting.OURS, 0)
    assert database.query("select count(*) from pg_index where not indisvalid") == [(1,)]
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert database.query("select count(*) from pg_index where not indisvalid") == [(0,)]
    expected = 1 if "reindex" in how else 2
    assert database.query("select count(*) from pg_index where indrelid = 't'::regclass") == [(expected,)]


def test_a_deferred_constraint_is_told_without_our_statements(project: Project, database: Database) -> None:
    database.execute(
        "create table p (a int primary key); create table c (a int references p deferrable initially deferred)"
    )
    project.add("018_odd", "op.execute('insert into c values (1)')")
    failed = project.ask(database.url, {"action": "upgrade"})
    assert (failed["sqlstate"], failed["statement"]) == ("23503", "set constraints all immediate")


@pytest.mark.parametrize("kind", ["yield", "async"])
@pytest.mark.parametrize("action", ["upgrade", "rehearse"])
def test_a_body_that_would_not_run(project: Project, database: Database, kind: str, action: str) -> None:
    """To call it makes a generator or a coroutine, and a revision of which nothing ran is no success."""
    path = project.add("018_odd", "op.execute('create table made ()')" + ("\nyield" if kind == "yield" else ""))
    if kind == "async":
        path.write_text(path.read_text().replace("def upgrade", "async def upgrade"))
    failed = project.ask(database.url, {"action": action})
    assert failed["code"] == "revision-failed"
    assert "the function is a generator or a coroutine, of which Alembic runs nothing" in failed["message"]


def test_a_rehearsal_that_the_database_refuses(project: Project, database: Database) -> None:
    database.execute("""
        create function refuse() returns event_trigger language plpgsql as
            $$ begin if tg_tag = 'CREATE TABLE' then raise 'no'; end if; end $$;
        create event trigger refuses on ddl_command_start execute function refuse()
    """)
    project.add("018_odd", "op.execute('select 1')")
    refused = project.ask(database.url, {"action": "rehearse"})
    assert refused["message"].startswith(
        "settings: The database refuses the table and the trigger that a rehearsal needs (SQLSTATE P0001): the event "
        "trigger `refuses` (function `public.refuse`) refused it. "
    )


def test_alembic_check_on_an_empty_database(project: Project, database: Database) -> None:
    database.execute("drop schema public, runner cascade; create schema public")
    done = project.run("alembic", "check", url=database.url)
    assert done.returncode != 0
    assert "Target database is not up to date." in done.stdout + done.stderr


ENDS = {
    "every session": "op.execute('select pg_terminate_backend(pid, 9000) from pg_stat_activity where "
    "pid <> pg_backend_pid() and datname = current_database()')",
    "its own": "op.execute('select pg_terminate_backend(pg_backend_pid())')",
}


@pytest.mark.parametrize("whose", ENDS)
def test_a_revision_that_ends_sessions(project: Project, database: Database, whose: str) -> None:
    """It cannot succeed, and to wait for a server that is well would not help."""
    project.add("018_odd", ENDS[whose])
    failed = project.ask(database.url, {"action": "upgrade"})
    # of all sessions it is the lock's whose loss is noticed, without the server's word
    lost = "the server closed a session" if whose == "its own" else "a connection was lost"
    assert failed["message"] == (
        f"revision-failed: `018_odd` failed: {lost} in each of 6 tries. Nothing was applied. The "
        "database is at `017_dry_run_log`, and the failed revision was rolled back. If the server is well, remove from "
        "`018_odd.py` what ends sessions, then run the same command again."
    )
