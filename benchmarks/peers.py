"""Installation of the compared tools, each in its own environment under `.cache/benchmarks/`.

Alembic, SQLAlchemy, psycopg2 and boto3 are those of `constraints.txt`, the same versions for all; yoyo, Django and
dbmate are pinned with hashes in `benchmarks/peers/`. Bytecode is compiled for all tools, as in the image.
"""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
LOCKS = Path(__file__).parent / "peers"
TOOLS = Path(sys.executable).parent
EXTRAS = ["agent", "aws", "cli", "lint"]
"""The extras of the image: both functions and the command line."""


@cache
def ours() -> Path:
    """Return the image's environment, with this project's present code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [package for extra in EXTRAS for package in project["optional-dependencies"][extra]]
    folder = _of_constraints("ours", [*project["dependencies"], *extras, "awslambdaric"])
    wheels = CACHE / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    _run(TOOLS / "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT)
    _run(TOOLS / "uv", "pip", "uninstall", "--quiet", "--python", folder / "bin" / "python", project["name"])
    _install(folder, "--no-deps", next(wheels.iterdir()))
    # as the Dockerfile does
    for unused in folder.glob("lib/python*/site-packages/phonenumbers/geodata"):
        shutil.rmtree(unused)
    compile_code(folder)
    return folder


def plain() -> Path:
    """Return an environment with Alembic and its dependencies."""
    return _of_constraints("plain", ["alembic", "psycopg2-binary"])


def bare() -> Path:
    """Return an environment with the dependencies of the bare handler only."""
    return _of_constraints("bare", ["alembic", "awslambdaric", "boto3", "psycopg2-binary"])


def locked(name: str) -> Path:
    """Return the environment of `peers/{name}.txt`."""
    lock = LOCKS / f"{name}.txt"
    return _environment(name, lock.read_text(), "--require-hashes", "--requirements", lock)


@cache
def dbmate() -> Path | None:
    """Return dbmate's binary; None where npm has none for this machine, which is printed once."""
    if shutil.which("npm") is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print("dbmate is left out: it comes by npm, for Linux on x86_64", file=sys.stderr)
        return None
    folder = CACHE / "dbmate"
    mark, digest = folder / "installed", _digest((LOCKS / "package-lock.json").read_text())
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(LOCKS, folder, ignore=shutil.ignore_patterns("*.txt", "*.in"))
        _run("npm", "ci", "--silent", "--prefix", folder)
        mark.write_text(digest)
    return folder / "node_modules" / "@dbmate" / "linux-x64" / "bin" / "dbmate"


def compile_code(folder: Path) -> None:
    """Compile the bytecode as the image does: without checks of the source, since an image does not change."""
    mode = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    _run(sys.executable, "-m", "compileall", *mode, folder)


def versions() -> dict[str, str]:
    """Return the versions of the compared tools, from the files of pins."""
    pinned = "\n".join(path.read_text() for path in (ROOT / "constraints.txt", *LOCKS.glob("*.txt")))
    known = dict(line.split(" ")[0].split("==") for line in pinned.splitlines() if "==" in line)
    names = ("alembic", "sqlalchemy", "psycopg2-binary", "boto3", "yoyo-migrations", "django")
    found = {name: known[name] for name in names}
    if dbmate():
        found["dbmate"] = json.loads((LOCKS / "package.json").read_text())["dependencies"]["@dbmate/linux-x64"]
    return found


def _of_constraints(name: str, packages: list[str]) -> Path:
    """Install by the project's own pins; only packages in a project file need no version of their own."""
    constraints, project = ROOT / "constraints.txt", CACHE / f"{name}.project" / "pyproject.toml"
    project.parent.mkdir(parents=True, exist_ok=True)
    project.write_text(f'[project]\nname = "{name}"\nversion = "1"\ndependencies = {json.dumps(packages)}\n')
    wanted = project.read_text() + constraints.read_text()
    return _environment(name, wanted, "--require-hashes", "--constraints", constraints, "--requirements", project)


def _environment(name: str, wanted: str, *arguments: object) -> Path:
    folder = CACHE / name
    mark, digest = folder / "installed", _digest(sys.version + wanted)
    if mark.exists() and mark.read_text() == digest:
        return folder
    _run(TOOLS / "uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder)
    _install(folder, "--no-build", *arguments)
    compile_code(folder)
    mark.write_text(digest)
    return folder


def _digest(wanted: str) -> str:
    return hashlib.sha256(wanted.encode()).hexdigest()


def _install(folder: Path, *arguments: object) -> None:
    _run(TOOLS / "uv", "pip", "install", "--quiet", "--python", folder / "bin" / "python", *arguments)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)
