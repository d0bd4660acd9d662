"""How a connection is made: which server, as whom, how safely, and what when it is late or new."""

import socket
import threading
import time
import uuid
from contextlib import ExitStack

import psutil
import pytest
from sqlalchemy import make_url

from runner import settings
from runner.errors import InvalidSettings
from runner.postgres import conninfo
from support import postgres, waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project


def secured(url: str, **environ: str) -> str | None:
    known = settings.read({"DATABASE_URL": url, **environ})
    return conninfo.secure(conninfo.source(known).read(False), known).get("sslmode")


@pytest.mark.parametrize(
    ("url", "environ", "mode"),
    [
        ("postgresql://u@db.example.com/x", {}, "verify-full"),
        ("postgresql://u@localhost/x?host=db.example.com", {}, "verify-full"),
        ("postgresql://u@localhost/x?hostaddr=10.0.0.1", {}, "verify-full"),
        ("postgresql://u@a.example.com,localhost/x", {}, "verify-full"),
        ("postgresql://u@localhost/x?host=a.example.com,localhost", {}, "verify-full"),
        ("postgresql:///x", {"PGHOST": "db.example.com"}, "verify-full"),
        ("postgresql://u@db.example.com/x", {"DB_SSLMODE": "require"}, "require"),
        ("postgresql://u@db.example.com/x?sslmode=require", {}, "require"),
        ("postgresql://u@db.example.com/x?sslmode=require", {"DB_SSLMODE": "verify-full"}, "verify-full"),
        ("postgresql://u@localhost/x", {}, None),
        ("postgresql:///x?host=/var/run/postgresql", {}, None),
    ],
)
def test_a_remote_server_is_verified(url: str, environ: dict[str, str], mode: str | None) -> None:
    """Whatever libpq would really connect to counts, not only the host that stands in the middle of the URL."""
    assert secured(url, **environ) == mode


def test_weaker_than_verified_draws_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    secured("postgresql://u@db.example.com/x?sslmode=require")
    assert caplog.messages == ["sslmode=require does not verify the certificate of db.example.com"]
    caplog.clear()
    secured("postgresql://u@x.proxy-abc.us-east-1.rds.amazonaws.com/x")
    assert caplog.messages == ["An RDS Proxy pins the session to one connection and keeps Aurora from pausing."]


def test_verification_reaches_the_server(project: Project, database: Database) -> None:
    """A server without TLS is refused under a name that is not this machine's, and the answer says why."""
    url = make_url(database.url)
    remote = url.update_query_dict({"host": "db.example.com", "hostaddr": "127.0.0.1"})
    answer = project.ask(remote.render_as_string(hide_password=False), {"action": "current"}, timeout_s=2)
    assert answer["code"] == "database-unreachable"
    assert "the server does not support TLS, which `sslmode` requires" in answer["error"]


def test_db_role_owns_what_is_made(project: Project, database: Database) -> None:
    owner = f"o_{database.name}"
    database.execute(f"create role {owner}; grant all on schema public to {owner}")
    database.execute(f"grant create on database {database.name} to {owner}")
    try:
        assert project.ask(database.url, {"action": "upgrade"}, DB_ROLE=owner)["status"] == "success"
        owners = database.query("select distinct tableowner from pg_tables where schemaname in ('public', 'runner')")
        assert owners == [(owner,)]
    finally:
        database.execute(f"drop owned by {owner} cascade; drop role {owner}")


def test_an_rds_token_is_made_for_this_user_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is a signed URL that stands for the password; it is made afresh for each connection."""
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    known = settings.read({"DB_IAM_AUTH": "true", "DB_HOST": "db.example.com", "DB_NAME": "x", "DB_USER": "deploy"})
    source = conninfo.source(known)
    first = source.read(False)["password"]
    time.sleep(1.1)
    second = source.read(False)["password"]
    assert first.startswith("db.example.com:5432/?Action=connect&DBUser=deploy&")
    assert "X-Amz-Signature=" in first
    assert first != second


def test_no_region_is_a_setting(project: Project) -> None:
    answer = project.ask(
        None, {"action": "current"}, DB_IAM_AUTH="true", DB_HOST="h.example.com", DB_NAME="x", DB_USER="u"
    )
    assert answer["code"] == "settings"
    assert answer["error"].startswith("Could not create an RDS token (")


def test_a_server_that_wakes_late(project: Project, database: Database) -> None:
    """Connecting is tried again with growing pauses: nothing listens at first, then a relay does."""
    url = make_url(database.url)
    port = postgres.free_port()

    def relay_later() -> None:
        time.sleep(1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((url.host, url.port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with source:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                return

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thread = threading.Thread(target=relay_later, daemon=True)
        thread.start()
        answer = project.ask(url.set(port=port).render_as_string(hide_password=False), {"action": "upgrade"})
        assert answer["status"] == "success", answer["message"]


def test_a_silent_host_does_not_hang_the_command_line(project: Project) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x"
        done = project.run("migrate", "--timeout", "2", "current", url=url)
    assert done.returncode == 1
    assert "the server did not answer in time" in done.stderr


def test_copy_works_through_every_door(project: Project, database: Database) -> None:
    """One engine: what a revision may do does not depend on who runs it."""
    project.add(
        "018_copy",
        """
        import io
        op.execute('create table copied (a text)')
        with op.get_bind().connection.cursor() as cursor:
            cursor.copy_expert('copy copied from stdin', io.StringIO('one\\ntwo\\n'))
        """,
    )
    assert project.run("migrate", "upgrade", url=database.url).returncode == 0
    assert project.run("migrate", "downgrade", "-1", "--confirm", "018_copy", url=database.url).returncode == 0
    database.execute("drop table copied")
    assert project.run("alembic", "upgrade", "head", url=database.url).returncode == 0
    assert database.query("select count(*) from copied") == [(2,)]


def test_a_replica_is_refused_for_changes_only(project: Project, database: Database, tmp_path) -> None:
    """A streaming standby, made with pg_basebackup, reads and never writes."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        primary = stack.enter_context(postgres.cluster(binaries)).url
        standby = stack.enter_context(postgres.standby(binaries, primary)).url
        answer = project.ask(standby.render_as_string(hide_password=False), {"action": "upgrade"})
        assert answer["message"] == (
            "read-only-database: `postgres` is read-only: the server is a replica. Nothing was changed. Use the "
            "cluster's writer endpoint, or set `default_transaction_read_only` to `off`, then repeat."
        )
        assert project.ask(standby.render_as_string(hide_password=False), {"action": "current"})["current"] == []


def test_the_password_is_in_no_process_list(project: Project, database: Database) -> None:
    """That of a login of its own: other tests may hand theirs to `pg_dump` and `pg_basebackup` meanwhile."""
    project.add("018_until_told", UNTIL_TOLD)
    name, password = f"listed_{database.name}", uuid.uuid4().hex
    database.execute(f"create role {name} superuser login password '{password}'")
    url = make_url(database.url).set(username=name, password=password)
    process = project.start("migrate", "upgrade", url=url.render_as_string(hide_password=False))
    waiting.until(database, waiting.UNTOLD, 1)
    listed = str([one.info["cmdline"] for one in psutil.process_iter(["cmdline"])])
    database.execute("create table told ()")
    _, errors = process.communicate()
    database.execute(f"reassign owned by {name} to postgres; drop owned by {name}; drop role {name}")
    assert process.returncode == 0, errors
    assert "migrate" in listed
    assert password not in listed


@pytest.mark.parametrize("password", ["12/s3cret", "/s3cret", "a@s3cret", "a/b@s3cret"])
def test_a_password_that_is_not_encoded_is_told_nowhere(password: str) -> None:
    """libpq ends it early, and would take the rest of it for a host or a database."""
    known = settings.read({"DATABASE_URL": f"postgresql://u:{password}@localhost/db"})
    with pytest.raises(InvalidSettings) as refused:
        conninfo.source(known).read(False)
    assert "s3cret" not in f"{refused.value}{refused.value.__context__}"


def test_several_hosts_are_looked_at_with_their_own_ports(project: Project) -> None:
    done = project.run(
        "migrate", "--timeout", "2", "doctor", DATABASE_URL="postgresql://u:p@127.0.0.1:1,localhost:2/db"
    )
    assert "ValueError" not in done.stdout + done.stderr
    assert "Nothing listens on `localhost:2`" in done.stdout
    assert done.returncode != 0
