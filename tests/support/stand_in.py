"""Images without a registry: a stand-in for Lambda's base image, and PostgreSQL on it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.docker import Unavailable, works
from support.project import ROOT

SUITE = "trixie"
"""Debian 13, which has the Python of Lambda's base image, 3.13, and PostgreSQL 17."""
BASE = "stand-in/lambda-python:3.13"
POSTGRES = "stand-in/postgres:17"


def base(wanted: str, environ: Mapping[str, str]) -> str:
    """Return `wanted` if it is local or can be pulled, else make the stand-in. Raises `Unavailable`."""
    return wanted if _is_had(wanted, environ) else _debian(environ)


def postgres(wanted: str, environ: Mapping[str, str]) -> str:
    """Return `wanted` if it is local or can be pulled, else make Debian's PostgreSQL on the stand-in."""
    if _is_had(wanted, environ):
        return wanted
    build = ["docker", "build", "--quiet", "--network=host", "--build-arg", f"BASE_IMAGE={_debian(environ)}"]
    folder = ROOT / "tests" / "image" / "postgres"
    subprocess.run([*build, "--tag", POSTGRES, str(folder)], env=environ, check=True)
    return POSTGRES


def _debian(environ: Mapping[str, str]) -> str:
    """Return a Debian with Python, made once; `.cache/` keeps mmdebstrap's output."""
    archive = ROOT / ".cache" / f"{SUITE}.tar"
    if works(["docker", "image", "inspect", BASE], environ):
        return BASE
    if not archive.exists():
        _bootstrap(archive)
    subprocess.run(["docker", "import", str(archive), BASE], env=environ, check=True)
    return BASE


def _bootstrap(archive: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise Unavailable("no registry can be reached, and a stand-in for the base needs root and `mmdebstrap`")
    archive.parent.mkdir(exist_ok=True)
    begun = archive.with_name(f"begun-{archive.name}")
    packages = "--include=ca-certificates,python3,python3-pip"
    # the tests do not depend on Debian's durability, so its files need no sync
    fast = ["--variant=apt", "--dpkgopt=force-unsafe-io", "--quiet"]
    done = subprocess.run(["mmdebstrap", *fast, packages, SUITE, str(begun)], check=False)
    if done.returncode != 0:
        raise Unavailable("no registry can be reached, and `mmdebstrap` made no stand-in for the base")
    begun.rename(archive)


def _is_had(image: str, environ: Mapping[str, str]) -> bool:
    ways = (["docker", "image", "inspect", image], ["docker", "pull", "--quiet", image])
    return any(works(way, environ) for way in ways)
