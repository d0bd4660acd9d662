import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import pytest
from hypothesis import HealthCheck, settings

from support import moto_server, postgres
from support.postgres import Database, Server
from support.project import Project

KIND = pytest.StashKey[postgres.Kind]()

# an example that a busy machine held up is right all the same: speed is measured in benchmarks/
settings.register_profile("whenever", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whenever")


def pytest_configure(config: pytest.Config) -> None:
    # a shell without job control ignores Ctrl-C for what it starts in the background, and so would all our programs
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        config.stash[KIND] = postgres.choose()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str:
    return f"PostgreSQL: {config.stash[KIND].name}"


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    kind = pytestconfig.stash[KIND]
    with ExitStack() as stack:
        yield Server(kind.binaries, kind.start(stack))


@pytest.fixture(scope="session")
def newest() -> Iterator[Server]:
    """The newest version that there is on every machine."""
    with postgres.cluster(postgres.embedded_binaries()) as running:
        yield Server(running.binaries, running.url)


@pytest.fixture(scope="session")
def first(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that ran the first two revisions, to copy."""
    with _migrated(server, tmp_path_factory.mktemp("first")) as made:
        yield made


@pytest.fixture(scope="session")
def first_of_newest(newest: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The same, on the newest version."""
    with _migrated(newest, tmp_path_factory.mktemp("first")) as made:
        yield made


@contextmanager
def _migrated(server: Server, folder: Path) -> Iterator[Database]:
    with postgres.new_database(server, f"first_{os.getpid()}") as made:
        answer = Project.copy(folder).ask(made.url, {"action": "upgrade"})
        assert answer["status"] == "success", answer["message"]
        yield made


FIRST = {"server": "first", "newest": "first_of_newest"}
"""The database to copy, by the fixture of its server."""


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database, on the server that an indirect parameter names, else on the usual one."""
    name = getattr(request, "param", "server")
    is_migrated = "migrated" in request.fixturenames
    template = request.getfixturevalue(FIRST[name]).name if is_migrated else postgres.EMPTY
    server = request.getfixturevalue(name)
    with postgres.new_database(server, f"test_{abs(hash(request.node.nodeid)) % 10**12}", template) as made:
        yield made


@pytest.fixture
def migrated(database: Database) -> Database:
    """The test's database, which is a copy at `017_dry_run_log` instead of an empty one."""
    return database


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.copy(tmp_path)


@pytest.fixture(scope="session")
def aws() -> Iterator[dict[str, str]]:
    """The environment that leads to a moto server over HTTP."""
    with moto_server.serve() as environ:
        yield environ


@pytest.fixture
def secrets(aws: dict[str, str]) -> "boto3.session.Session.client":
    return moto_server.secrets_manager(aws)
