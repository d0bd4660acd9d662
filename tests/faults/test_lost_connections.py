"""Connections that end under a run: restarts, terminations, rotations, certificates, poolers."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

from support import certificates, emulator, postgres, waiting
from support.postgres import PASSWORD, Cluster, Database
from support.project import UNTIL_TOLD, Project

RAN = "select name from ran order by name"
BODY = """
op.execute("create table if not exists ran (name text)")
op.execute("insert into ran values ('{name}')")
"""
SECOND_WAITS = """
op.execute("select set_config('synchronous_commit', case '{name}' when 't019' then 'on' else 'local' end, true)")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgres.cluster(postgres.binaries()) as running:
        yield running


@pytest.fixture
def own(cluster: Cluster) -> Database:
    """The database of a server that this test may stop and start."""
    database = cluster.database()
    database.execute("drop schema if exists runner cascade; drop schema public cascade; create schema public")
    return database


def applied_once(database: Database, names: list[str]) -> None:
    """Hold rows, version and ledger against each other: every revision exactly once."""
    assert [row[0] for row in database.query(RAN)] == [f"t{name[:3]}" for name in names]
    logged = database.query(
        "select revision from runner.migration_log where status = 'success' and revision > '018' order by log_id"
    )
    assert [row[0] for row in logged] == names
    assert database.query("select version_num from alembic_version") == [(names[-1],)]


def start(project: Project, database: Database) -> tuple[list[str], "subprocess.Popen[str]"]:
    """Start a run that stays in the first of its revisions until it is told."""
    names = project.add_many(4, f"{BODY}{UNTIL_TOLD}")
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    process = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    return names, process


def test_the_server_is_restarted_in_the_middle(project: Project, cluster: Cluster, own: Database) -> None:
    """The run connects again, reads where the database is, and goes on."""
    names, process = start(project, own)
    cluster.stop()
    time.sleep(1)
    cluster.start()
    own.execute("create table told ()")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "The connection was lost; reconnecting to continue from the revision that was committed last." in errors
    applied_once(own, names)


@pytest.mark.parametrize("whose", waiting.SESSIONS)
def test_a_backend_is_terminated(project: Project, own: Database, whose: str) -> None:
    names, process = start(project, own)
    waiting.terminate(own, whose)
    own.execute("create table told ()")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    applied_once(own, names)
    waiting.until(own, waiting.LOCKED, 0)


GONE = """
import pathlib
def wait():
    pathlib.Path({waits!r}).touch()
    while not pathlib.Path({gone!r}).exists():
        time.sleep(0.02)
"""


@pytest.mark.parametrize(
    "rest",
    [
        "wait()\nop.execute('select 1')",
        "with op.get_context().autocommit_block():\n    wait()",
        "wait()\nwith op.get_context().autocommit_block():\n    pass",
    ],
    ids=["a statement", "behind a block", "before a block"],
)
def test_a_backend_is_terminated_between_two_statements(project: Project, own: Database, rest: str) -> None:
    """The next message is one of ours, which sets the time-outs or begins; its failure is a lost connection too."""
    own.execute("create table ran (name text)")
    ran = "op.execute(\"insert into ran values ('{name}')\")\n"
    waits, gone = project.folder / "waits", project.folder / "gone"
    names = project.add_many(2, f"{GONE.format(waits=str(waits), gone=str(gone))}\n{rest}\n{ran}")
    project.ask(own.url, {"action": "upgrade", "target": "017"})
    process = project.start("migrate", "upgrade", url=own.url)
    while not waits.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    waiting.terminate(own, "the migration's")
    # after so long the time-outs are set anew
    time.sleep(0.6)
    gone.touch()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "The connection was lost; reconnecting" in errors
    applied_once(own, names)


def test_a_backend_is_terminated_after_a_lock_timeout(project: Project, own: Database) -> None:
    """The same session is not used again: SQLAlchemy would open another in silence, without the lock."""
    project.ask(own.url, {"action": "upgrade"})
    body = f"""
    import psycopg2
    try:
        op.execute("alter table leads add column note text")
    except sa.exc.OperationalError:
        other = psycopg2.connect({own.url!r})
        pid = op.get_bind().connection.driver_connection.info.backend_pid
        other.cursor().execute("select pg_terminate_backend(%s)", (pid,))
        other.close()
        raise
    """
    project.add("018_note", body)
    with closing(psycopg2.connect(own.url)) as reader:
        reader.cursor().execute("select count(*) from leads")
        run = project.start("migrate", "upgrade", url=own.url, LOCK_TIMEOUT_MS="300")
        waiting.until_said(run, "The connection was lost; reconnecting")
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert own.query("select version_num from alembic_version") == [("018_note",)]


def test_a_backend_is_terminated_during_commit(project: Project, own: Database) -> None:
    """The commit went through although nobody could tell us: it is read from the version table, not repeated.

    A commit that waits for a standby which does not exist can be terminated while it waits.
    """
    names = project.add_many(3, f"{BODY}{SECOND_WAITS}")
    own.execute("alter database postgres set synchronous_commit = local")
    project.ask(own.url, {"action": "upgrade", "target": "017"})
    try:
        own.execute("alter system set synchronous_standby_names = 'nobody'")
        own.execute("select pg_reload_conf()")
        process = project.start("migrate", "--json", "upgrade", url=own.url)
        in_commit = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
        waiting.until(own, in_commit, 1)
        own.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
        output, errors = process.communicate(timeout=60)
    finally:
        own.execute("alter system reset synchronous_standby_names")
        own.execute("select pg_reload_conf()")
    assert process.returncode == 0, errors
    applied_once(own, names)
    assert [one["revision"] for one in json.loads(output)["applied"]] == names


def test_the_server_stays_away(project: Project, cluster: Cluster, own: Database) -> None:
    """At the deadline it is said, and the next run finds out and goes on."""
    names = project.add_many(4, f"{BODY}{UNTIL_TOLD}")
    project.ask(own.url, {"action": "upgrade", "target": "017"})
    with ThreadPoolExecutor() as pool:
        run = pool.submit(project.ask, own.url, {"action": "upgrade"}, ends_in=names[0], left_s=4)
        waiting.until(own, waiting.UNTOLD, 1)
        cluster.stop()
        answer = run.result()
    cluster.start()
    own.execute("create table told ()")
    assert answer["status"] == "error"
    assert answer["message"].startswith("database-unreachable: Could not connect to"), answer["message"]
    assert project.ask(own.url, {"action": "upgrade"})["status"] == "success"
    applied_once(own, names)
    assert own.query("select count(*) from runner.migration_run where status = 'interrupted'") == [(1,)]


def test_the_password_is_rotated_between_two_connections(
    project: Project, tmp_path: Path, own: Database, aws: dict[str, str], secrets: Any
) -> None:
    """The old one is refused: the secret is read again, once, and the run goes on."""
    url = make_url(own.url)
    own.execute("drop role if exists rotated; create role rotated superuser login password 'first'")
    secret = {"host": url.host, "port": url.port, "dbname": url.database, "username": "rotated", "password": "first"}
    name = f"rotated/{tmp_path.name}"
    arn = secrets.create_secret(Name=name, SecretString=json.dumps(secret))["ARN"]
    task = emulator.lay_out(tmp_path, project.folder)
    with emulator.start(task, {**aws, "DB_SECRET_ARN": arn}) as function:
        assert function.invoke({"action": "current"})["status"] == "success"
        own.execute("alter role rotated password 'second'")
        secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret | {"password": "second"}))
        answer = function.invoke({"action": "upgrade"})
        assert answer["status"] == "success", answer["message"]
        own.execute("alter role rotated password 'third'")
        refused = function.invoke({"action": "current"})
        assert refused["code"] == "authentication-failed"
        assert "the secret `DB_SECRET_ARN`" in refused["hint"]
    own.execute("reassign owned by rotated to postgres; drop owned by rotated; drop role rotated")


def test_certificates(project: Project, tmp_path: Path, cluster: Cluster, own: Database) -> None:
    """Signed by the configured authority for this name: accepted. Self-signed, or another name: refused, at once."""
    authority = certificates.certify(tmp_path, "authority", None)
    certificates.certify(tmp_path, "db.example.com", authority)
    certificates.certify(tmp_path, "self.example.com", None)
    trusted = {"PGSSLROOTCERT": str(tmp_path / "authority.crt")}

    def ask(host: str) -> "subprocess.CompletedProcess[str]":
        url = make_url(own.url).set(host=host).update_query_dict({"hostaddr": "127.0.0.1"})
        return project.run("migrate", "--timeout", "120", "current", url=url.render_as_string(False), **trusted)

    certificates.serve_with(cluster, tmp_path / "db.example.com.crt", tmp_path / "db.example.com.key")
    assert ask("db.example.com").returncode == 0
    started = time.monotonic()
    wrong_name = ask("other.example.com")
    certificates.serve_with(cluster, tmp_path / "self.example.com.crt", tmp_path / "self.example.com.key")
    self_signed = ask("self.example.com")
    # long before the two minutes for which it would be tried again
    assert time.monotonic() - started < 60
    port = make_url(own.url).port
    for refused, host in ((wrong_name, "other.example.com"), (self_signed, "self.example.com")):
        assert refused.returncode == 1
        assert refused.stderr == (
            f"database-unreachable: Could not connect to `{host},127.0.0.1:{port}/postgres`: the server's certificate "
            "could not be verified. Nothing was changed. Point `PGSSLROOTCERT` to the authority's certificate; do not "
            "weaken `DB_SSLMODE`.\n"
        )


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize(("mode", "code"), [("transaction", "pooled-connection"), ("session", None)])
def test_a_pooler(project: Project, tmp_path: Path, own: Database, mode: str, code: str | None) -> None:
    """In transaction mode a session wanders between servers, and its lock guards nothing."""
    url, port = make_url(own.url), postgres.free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "users").write_text(f'"postgres" "{PASSWORD}"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host={url.host} port={url.port} user=postgres password={PASSWORD}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\nunix_socket_dir =\n"
        f"auth_file = {tmp_path}/users\npool_mode = {mode}\nignore_startup_parameters = options,search_path\n"
    )
    user = postgres.ordinary_user()
    path = tmp_path
    while user and path != path.parent:
        path.chmod(path.stat().st_mode | 0o055)
        path = path.parent
    bouncer = subprocess.Popen([shutil.which("pgbouncer"), tmp_path / "pgbouncer.ini"], stderr=subprocess.PIPE, **user)
    try:
        pooled = url.set(port=port).render_as_string(hide_password=False)
        answer = project.ask(pooled, {"action": "upgrade"}, timeout_s=20)
    finally:
        bouncer.terminate()
        bouncer.communicate()
    assert answer.get("code") == code, answer["message"]
    assert own.query("select to_regclass('leads') is not null") == [(code is None,)]
