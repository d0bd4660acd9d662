"""Build the image and prove it in containers: what `make image-test` runs. Options are handed on to pytest.

Exits with 75, EX_TEMPFAIL of sysexits.h, where this machine can give no engine or no base to build on.
"""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from support import certificates, docker, stand_in
from support.project import ROOT

BASE = "public.ecr.aws/lambda/python:3.13"
IMAGE = "aurora-migrations:under-test"
LABELS = {"REVISION": "0123456789abcdef0123456789abcdef01234567", "SOURCE": "https://example.com/aurora-migrations"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
CANNOT = 75
PLANTED = "planted-4711"
"""A secret of the build, which the tests look for in the image."""
TESTS = [
    "tests/image",
    "tests/runtime/test_contract.py",
    "tests/runtime/test_agent.py",
    # on the PostgreSQL of a container: what depends most on the server's version
    "tests/integration/test_adoption.py",
    # a minute's worth of one thing
    "--deselect=tests/integration/test_adoption.py::test_dry_run_log_is_kept_and_completed",
    "tests/integration/test_revisions.py",
    "tests/integration/test_targets.py",
]


def main(options: list[str]) -> int:
    """Build and prove, and return pytest's exit code."""
    try:
        with TemporaryDirectory(prefix="image") as folder, docker.running() as environ:
            return _prove(Path(folder), environ, options)
    except docker.Unavailable as reason:
        sys.stderr.write(f"The image was not proven: {reason}.\n")
        return CANNOT


def _prove(folder: Path, environ: Mapping[str, str], options: list[str]) -> int:
    base = stand_in.base(os.environ.get("BASE_IMAGE", BASE), environ)
    server = stand_in.postgres(os.environ.get("TEST_POSTGRES_IMAGE", "postgres:17"), environ)
    authority = certificates.certify(folder, "authority", None)
    certificates.certify(folder, "db.example.com", authority)
    with _in_context(folder / "authority.crt") as certificate:
        settings = [f"BASE_IMAGE={base}", f"IMAGE={IMAGE}", f"RDS_CA={certificate}"]
        settings += [f"PLATFORM=linux/{MACHINES[platform.machine()]}", *map("=".join, LABELS.items())]
        flags = shlex.join(["--network=host", *_secrets(folder)])
        subprocess.run(["make", "image", *settings, f"BUILD_FLAGS={flags}"], cwd=ROOT, env=environ, check=True)
    known = {
        **environ,
        "TEST_BASE_IMAGE": base,
        "TEST_BUILD_FLAGS": flags,
        "TEST_CERTIFICATES": str(folder),
        "TEST_IMAGE": IMAGE,
        "TEST_POSTGRES_IMAGE": server,
        # it would take a machine with `/.dockerenv` for a container beside the others
        "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
        # its own image cannot be pulled either, and each container here is removed by who started it
        "TESTCONTAINERS_RYUK_DISABLED": "true",
    }
    return subprocess.run([sys.executable, "-m", "pytest", *TESTS, *options], cwd=ROOT, env=known).returncode


@contextmanager
def _in_context(authority: Path) -> Iterator[str]:
    """Lay the certificate into the build's context, and yield its place there."""
    place = ROOT / "image" / "under-test.pem"
    place.write_bytes(authority.read_bytes())
    try:
        yield str(place.relative_to(ROOT))
    finally:
        place.unlink()


def _secrets(folder: Path) -> list[str]:
    """Return the options that let the build use the package index and the authority that this machine's pip uses."""
    lines = [f"PLANTED={PLANTED}"]
    if index := _pip("index-url"):
        lines += [f"{name}={shlex.quote(index)}" for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")]
    settings = folder / "index"
    settings.write_text("\n".join(lines))
    certificate = _pip("cert")
    return [f"--secret=id=index,src={settings}"] + ([f"--secret=id=ca,src={certificate}"] if certificate else [])


def _pip(name: str) -> str | None:
    """Return a setting of this machine's pip: from the environment, which wins, or its files."""
    if given := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return given
    asked = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
