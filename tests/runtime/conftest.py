import os
import platform
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import emulator
from project import Project

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if platform.system() == "Linux":
        return
    for item in items:
        if "runtime" in Path(item.path).parts:
            item.add_marker(pytest.mark.skip(reason="the Runtime Interface Emulator runs on Linux only"))


@pytest.fixture
def task(tmp_path: Path, project: Project) -> Path:
    return emulator.lay_out(tmp_path, project.folder)


@pytest.fixture(scope="session")
def aws() -> Iterator[dict[str, str]]:
    """The environment that leads to a moto server over HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    server.stop()


@pytest.fixture
def secrets(aws: dict[str, str]) -> "boto3.session.Session.client":
    return boto3.client(
        "secretsmanager",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
