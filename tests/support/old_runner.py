"""The runner as it was deployed before ledgers knew version tables: its own code, packed in `old_runner.tar.xz`."""

import subprocess
import sys
import tarfile
from pathlib import Path

from support.project import Project

ARCHIVE = Path(__file__).with_suffix(".tar.xz")


def install(project: Project) -> None:
    """Unpack the old code into a project's folder, and put the `env.py` of that time into the project."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(project.folder / "old", filter="data")
    (project.folder / "old" / "alembic" / "env.py").replace(project.folder / "alembic" / "env.py")


def start(project: Project, *words: str, url: str) -> "subprocess.Popen[str]":
    """Start `migrate` of the old code, and do not wait for it."""
    return project.start(
        Path(sys.executable).name, "-m", "runner", *words, url=url, PYTHONPATH=str(project.folder / "old" / "src")
    )
