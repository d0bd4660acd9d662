"""What git knows of a revision's file, where the project is in a repository."""

import os
import subprocess
from collections.abc import Iterator
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


def run(folder: Path, *arguments: str, sent: bytes = b"") -> bytes:
    """Return what git prints in a folder, given `sent` as its input; nothing where it fails or is not installed."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            input=sent, capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""


def find(path: str, checksum: str) -> Committed | None:
    """Return the text of a file that has `checksum`, from the newest commit with it; None if there is none."""
    folder, name = Path(path).parent, Path(path).name
    commits = run(folder, "log", f"-{MOST_COMMITS}", "--format=%h", "--", name).decode().split()
    within = run(folder, "rev-parse", "--show-prefix").decode().removesuffix("\n")
    asked = "".join(f"{commit}:{within}{name}\n" for commit in commits)
    texts = _split(run(folder, "cat-file", "--batch", sent=asked.encode())) if commits else iter(())
    for commit, content in zip(commits, texts, strict=False):
        if content is not None and identifiers.checksum(content) == checksum:
            return Committed(commit, os.path.relpath(path), content)
    return None


def _split(batch: bytes) -> Iterator[bytes | None]:
    """Yield the contents in the output of `git cat-file --batch`, None for an object that is missing.

    https://git-scm.com/docs/git-cat-file#_batch_output
    """
    while batch:
        head, _, batch = batch.partition(b"\n")
        words = head.rsplit(b" ", 2)
        if len(words) != 3 or words[1] != b"blob":
            yield None
            continue
        size = int(words[2])
        yield batch[:size]
        batch = batch[size + 1 :]
