"""What compose.yaml says of its server, held against one, without Compose itself."""

import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support import containers
from support.postgres import free_port
from support.project import ROOT

FILE = ROOT / "compose.yaml"


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def volume() -> Iterator[str]:
    name = docker("volume", "create", f"data-{uuid.uuid4()}")
    yield name
    docker("volume", "rm", name)


def start(service: dict[str, Any], image: str, port: int, volume: str) -> str:
    (published,), (mounted,) = service["ports"], service["volumes"]
    kind, check = service["healthcheck"]["test"]
    assert (published, kind) == ("127.0.0.1:5432:5432", "CMD-SHELL")
    return docker(
        *("run", "--detach", f"--publish=127.0.0.1:{port}:5432"),
        *(f"--volume={volume}:{mounted.partition(':')[2]}", f"--health-cmd={check}", "--health-interval=1s"),
        *(f"--env={name}={value}" for name, value in service["environment"].items()),
        image,
    )


def wait(container: str) -> None:
    ends = time.monotonic() + 30
    while docker("inspect", "--format={{.State.Health.Status}}", container) != "healthy":
        assert time.monotonic() < ends, docker("logs", container)
        time.sleep(0.3)


def test_compose(volume: str) -> None:
    """Healthy by its own check, reached by the URL that the file tells, and its data outlive it."""
    service = yaml.safe_load(FILE.read_text())["services"]["postgres"]
    port = free_port()
    url = re.search("DATABASE_URL=(.*)", FILE.read_text())[1].replace(":5432/", f":{port}/")
    for action in ("upgrade", "check"):
        container = start(service, os.environ["TEST_POSTGRES_IMAGE"], port, volume)
        try:
            wait(container)
            done = containers.run("migrate", action, DATABASE_URL=url)
            assert done.returncode == 0, done.stderr
        finally:
            docker("stop", container)
            docker("rm", container)
