"""A server that lacks something, and sessions that somebody ends: no fault of the network, and no bug of ours."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg2
import pytest
from sqlalchemy import make_url

from support import postgres, waiting
from support.postgres import PASSWORD, Cluster, Database
from support.project import Project

SMALL = "-c fsync=off -c max_connections=12 -c max_locks_per_transaction=10"
CORRECT = "Correct `018_bad.py`, then run the same command again."


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres.cluster(postgres.binaries(), SMALL) as running:
        yield running


@pytest.fixture
def own(project: Project, cluster: Cluster) -> Database:
    """The database of a small server of these tests, at 017."""
    database = cluster.database()
    database.execute("drop schema if exists runner cascade; drop schema public cascade; create schema public")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    return database


def test_no_free_connection(project: Project, own: Database) -> None:
    """Neither host nor security group are to be checked."""
    with ExitStack() as held:
        with contextlib.suppress(psycopg2.OperationalError):
            while True:
                held.enter_context(closing(psycopg2.connect(own.url)))
        for action in ("current", "upgrade"):
            answer = project.ask(own.url, {"action": action}, timeout_s=2.5)
            assert answer["code"] == "database-unreachable"
            assert answer["error"].endswith("/postgres`: the server has no free connection.")
            assert answer["hint"] == (
                "End idle sessions (`pg_stat_activity` lists them), or raise `max_connections`, then repeat. A run has "
                "two connections."
            )


@pytest.mark.parametrize("whose", ["role", "database"])
def test_a_limit_of_connections(project: Project, own: Database, whose: str) -> None:
    """A run needs a second connection, which is refused in its midst; the statement in the hint lifts the limit."""
    own.execute(f"""
        drop role if exists lim; create role lim login password '{PASSWORD}';
        grant all on schema public, runner to lim; grant all on all tables in schema public, runner to lim;
        grant all on all sequences in schema runner to lim
    """)
    limit, name = {"role": ("role lim", '"lim"'), "database": ("database postgres", '"postgres"')}[whose]
    url = make_url(own.url).set(username="lim").render_as_string(hide_password=False)
    project.add("018_good", "op.execute('select 1')")
    try:
        own.execute(f"alter {limit} connection limit 1")
        answer = project.ask(url, {"action": "upgrade"}, timeout_s=2.5)
        owner = "role `lim`" if whose == "role" else "database"
        lift = f"ALTER {whose.upper()} {name} CONNECTION LIMIT -1"
        assert (answer["code"], answer["error"].partition("`: ")[2]) == (
            "database-unreachable",
            f"the {owner} has no free connection.",
        )
        assert f"raise its limit (`{lift}`)" in answer["hint"]
        own.execute(lift)
        assert project.ask(url, {"action": "upgrade"})["status"] == "success"
    finally:
        own.execute("alter database postgres connection limit -1; drop owned by lim; drop role lim")


def test_a_database_that_accepts_no_connections(project: Project, own: Database) -> None:
    """That does not pass by itself, so it is said at once."""
    own.execute("create database closed allow_connections false")
    url = make_url(own.url).set(database="closed").render_as_string(hide_password=False)
    try:
        answer = project.ask(url, {"action": "current"})
    finally:
        own.execute("drop database closed")
    assert answer["error"].endswith("/closed`: the database accepts no connections.")
    assert '`ALTER DATABASE "closed" ALLOW_CONNECTIONS true`' in answer["hint"]


FILL = "insert into filling select repeat(md5(n::text), 60) from generate_series(1, 4000) n"


@pytest.fixture
def full(cluster: Cluster, own: Database) -> Iterator[str]:
    """The name of a tablespace of 2 MB."""
    place, user = cluster.folder / "small", postgres.ordinary_user()
    if not user or shutil.which("mount") is None:
        pytest.skip("only root may mount a file system, with the program for it")
    place.mkdir()
    options = f"size=2m,uid={user['user']},gid={user['group']},mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False).returncode:
        pytest.skip("this machine may mount nothing")
    try:
        own.execute(f"create tablespace small location '{place}'")
        yield "small"
        own.execute("drop schema public cascade; create schema public")
        own.execute("drop tablespace small")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(project: Project, own: Database, full: str) -> None:
    """In a revision; and where the version table or the ledger is on it, outside of one."""
    own.execute(f"create table filling (text text) tablespace {full}")
    project.add("018_bad", f"op.execute({FILL!r})")
    answer = project.ask(own.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "53100")
    assert ": DiskFull (53100): the server's disk is full, in `insert into filling" in answer["error"]
    assert answer["hint"] == "Free space on it, or enlarge it, then run the same command again."
    with contextlib.suppress(psycopg2.Error):
        while True:
            own.execute("insert into filling select repeat(md5(n::text), 8) from generate_series(1, 20) n")
    own.execute(f"drop schema runner cascade; alter database postgres set default_tablespace = {full}")
    try:
        first = project.ask(own.url, {"action": "upgrade"})
    finally:
        own.execute("alter database postgres reset default_tablespace")
    assert first["code"] == "database-failed"
    assert first["error"].endswith("`: the server's disk is full (SQLSTATE 53100).")


# What a revision sends, and what is said of it.
LIMITS = {
    "room for locks": (
        "do $$ begin for n in 1..2000 loop execute format('create table many_%s ()', n); end loop; end $$",
        "OutOfMemory (53200): the server ran out of memory, or of room for locks",
    ),
    "temporary files": (
        "set local work_mem = '64kB'; set local temp_file_limit = '64kB'; "
        "create table t as select n from generate_series(1, 200000) n order by md5(n::text)",
        "ConfigurationLimitExceeded (53400): it exceeds a limit of the server's configuration, such as "
        "`temp_file_limit`",
    ),
    "columns": (
        f"create table t ({', '.join(f'c{number} int' for number in range(1700))})",
        "TooManyColumns (54011): it exceeds a fixed limit of PostgreSQL, such as the size of a row or the number of "
        "columns",
    ),
    "an index row": (
        "create table t (a text); create index on t (a); insert into t select "
        "string_agg(md5(n::text), '') from generate_series(1, 400) n",
        "ProgramLimitExceeded (54000): it exceeds a fixed limit of PostgreSQL, such as the size of a row or the "
        "number of columns",
    ),
    "the stack": (
        "create function deep() returns int language plpgsql as 'begin return deep(); end'; select deep()",
        "StatementTooComplex (54001): it is too complex for `max_stack_depth`",
    ),
    "a file": (
        "select pg_read_file('/no/such/file')",
        "UndefinedFile (58P01): a file that it names does not exist on the server",
    ),
    "a damaged page": (
        "do $$ begin raise sqlstate 'XX001'; end $$",
        "DataCorrupted (XX001): a page of a table is damaged",
    ),
}


@pytest.mark.parametrize(("sent", "said"), LIMITS.values(), ids=LIMITS)
def test_a_limit_is_named(project: Project, own: Database, sent: str, said: str) -> None:
    """At once: the same revision would meet the same limit again."""
    project.add("018_bad", f"op.execute({sent!r})")
    answer = project.ask(own.url, {"action": "upgrade"})
    assert answer["code"] == "revision-failed", answer["message"]
    assert f": {said}, in `" in answer["error"]
    assert "was rolled back" in answer["message"]


@pytest.mark.parametrize(
    ("sends", "code", "said"),
    [
        (
            "pg_terminate_backend",
            "session-ended",
            "session-ended: The server closed the session: an administrator or a time-out ended it, or the server "
            "stopped. Nothing was changed. Run the same command again. If that recurs, find out who ends sessions of "
            "this database (`pg_terminate_backend`, a time-out of the server, a restart).",
        ),
        (
            "pg_cancel_backend",
            "database-failed",
            ": somebody cancelled it, or a `statement_timeout` did (SQLSTATE 57014). Nothing was changed. Ask who "
            "cancels statements of this database, then run the same command again.",
        ),
    ],
)
@pytest.mark.parametrize("action", ["history", "check", "current", "plan"])
def test_a_session_that_somebody_ends(
    project: Project, own: Database, action: str, sends: str, code: str, said: str
) -> None:
    """In whatever verb: the time has not run out, and the server is there."""
    project.add("018_good", "op.execute('select 1')")
    with closing(psycopg2.connect(own.url)) as other, ThreadPoolExecutor() as pool:
        other.cursor().execute("lock table alembic_version in access exclusive mode")
        asked = pool.submit(project.ask, own.url, {"action": action}, LOCK_TIMEOUT_MS="60000")
        waiting.until(own, waiting.BLOCKED, 1)
        own.execute(f"select {sends}(pid) from pg_stat_activity where wait_event_type = 'Lock'")
        answer = asked.result()
    assert answer["code"] == code, answer["message"]
    assert answer["message"].endswith(said)


def test_whatever_the_server_refuses_is_no_bug_of_ours(project: Project, own: Database) -> None:
    """Of a statement of ours, by an error that nobody foresaw: a ledger whose function fails."""
    own.execute("""
        create function fails() returns trigger language plpgsql as $$ begin return 1 / 0; end $$;
        create trigger fails before insert on runner.migration_run for each row execute function fails();
    """)
    project.add("018_good", "op.execute('select 1')")
    for event in ({"action": "upgrade"}, {"action": "upgrade", "target": "017"}):
        answer = project.ask(own.url, event)
        assert answer["code"] in ("database-failed", "untrusted-object")
    told = project.run("alembic", "upgrade", "head", url=own.url)
    assert told.returncode == 255
    assert "Traceback" not in told.stderr
