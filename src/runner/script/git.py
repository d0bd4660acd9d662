"""What git knows of a revision's file, where the project is in a repository."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runner.script import identifiers

MOST_COMMITS = 50
"""How many commits of one file are read to find a text."""


@dataclass(frozen=True)
class Committed:
    """A text of a file in a commit."""

    commit: str
    path: str
    """Relative to the current folder."""
    content: bytes


def run(folder: Path, *arguments: str) -> bytes:
    """Return what git prints in a folder; nothing where it fails or is not installed."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""


def find(path: str, checksum: str) -> Committed | None:
    """Return the text of a file that has `checksum`, from the newest commit with it; None if there is none."""
    folder, name = Path(path).parent, Path(path).name
    for commit in run(folder, "log", f"-{MOST_COMMITS}", "--format=%h", "--", name).decode().split():
        content = run(folder, "show", f"{commit}:./{name}")
        if identifiers.checksum(content) == checksum:
            return Committed(commit, os.path.relpath(path), content)
    return None
