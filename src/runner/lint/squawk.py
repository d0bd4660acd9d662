"""squawk, the linter of PostgreSQL's DDL: https://squawkhq.com/docs/rules."""

import importlib.util
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
    """One finding of squawk."""

    text: int
    """The index of its text."""
    line: int
    """Counted from 0."""
    column: int
    rule: str
    message: str
    help: str


def find(project: Path) -> str | None:
    """Return the path of the program, None unless the extra `lint` is installed: it and PostgreSQL's parser."""
    if importlib.util.find_spec("postgast") is None:
        return None
    # beside this Python in a virtual environment, in the project's `bin` in the image
    places = [Path(sys.executable).parent, project / "bin", *os.get_exec_path()]
    return shutil.which(EXECUTABLE, path=os.pathsep.join(map(str, places)))


def complain(program: str, texts: Sequence[str], server_version: str) -> list[Complaint]:
    """Run squawk over `texts` for a server of that version, such as `15.3`.

    Raises `CalledProcessError` if squawk fails, for example because it does not accept an option.
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
    # 1 means that there are findings, less than 0 that a signal ended it
    if done.returncode not in (0, 1):
        raise subprocess.CalledProcessError(done.returncode, EXECUTABLE, done.stdout, done.stderr)
    return [_complaint(entry) for entry in json.loads(done.stdout or "[]")]


def version(program: str) -> str:
    """Return the program's name and version, such as `squawk 2.70.0`."""
    done = subprocess.run([program, "--version"], env={}, capture_output=True, text=True, check=True)  # noqa: S603 - a fixed option
    return done.stdout.strip()


def _complaint(entry: dict[str, Any]) -> Complaint:
    number = int(Path(entry["file"]).stem)
    return Complaint(number, entry["line"], entry["column"], entry["rule_name"], entry["message"], entry["help"] or "")
