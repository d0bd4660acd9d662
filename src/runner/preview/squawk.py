"""squawk, the linter of PostgreSQL's DDL: https://squawkhq.com/docs/rules."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXECUTABLE = "squawk"


@dataclass(frozen=True)
class Complaint:
    """Hold what squawk says of one place in one text."""

    text: int
    """Which of the texts it is about."""
    line: int
    """Counted from 0."""
    column: int
    rule: str
    message: str
    help: str


def find(project: Path) -> str | None:
    """Return the program: beside this Python, in `bin` of the project as an image has it, or on the PATH."""
    places = [Path(sys.executable).parent, project / "bin", *os.get_exec_path()]
    return shutil.which(EXECUTABLE, path=os.pathsep.join(map(str, places)))


def complain(program: str, texts: Sequence[str], server_version: str) -> list[Complaint]:
    """Run squawk over `texts` as for a server of that version, such as `15.3`.

    Raises `CalledProcessError` when it does not understand its options.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{number}.sql" for number in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            Path(folder, name).write_text(text, encoding="utf-8")
        # in a folder of its own it finds no `.squawk.toml`, which would be a second place to suppress in
        done = subprocess.run(  # noqa: S603 - fixed options, names of our own
            [program, "--reporter=json", f"--pg-version={server_version}", *names],
            cwd=folder, env={}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    # 1 says that something was found
    if done.returncode > 1:
        raise subprocess.CalledProcessError(done.returncode, EXECUTABLE, done.stdout, done.stderr)
    return [_complaint(one) for one in json.loads(done.stdout or "[]")]


def version(program: str) -> str:
    """Return what the program calls itself, such as `squawk 2.70.0`."""
    done = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, check=True)  # noqa: S603 - a fixed option
    return done.stdout.strip()


def _complaint(one: dict[str, Any]) -> Complaint:
    number = int(Path(one["file"]).stem)
    return Complaint(number, one["line"], one["column"], one["rule_name"], one["message"], one["help"] or "")
