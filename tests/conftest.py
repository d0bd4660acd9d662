from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import postgres
from postgres import Database, Server
from project import Project

KIND = pytest.StashKey[postgres.Kind]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KIND] = postgres.choose()


def pytest_report_header(config: pytest.Config) -> str:
    return f"PostgreSQL: {config.stash[KIND].name}"


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    kind = pytestconfig.stash[KIND]
    with ExitStack() as stack:
        yield Server(kind.name, kind.start(stack))


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    name = f"test_{abs(hash(request.node.nodeid)) % 10**12}"
    admin = server.connect()
    with admin.cursor() as cursor:
        cursor.execute(f"create database {name} template template0")
        yield Database(server, name)
        cursor.execute(f"drop database {name} with (force)")
    admin.close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.copy(tmp_path)
