"""Both programs where nobody reads what they print, as in `stats | true`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.postgres import Database
from support.project import Project

# Each command, and its exit code with a reader and without one.
COMMANDS = [
    ("migrate --help", 0),
    ("migrate check", 4),
    ("migrate upgrade 2>&1", 0),
    ("migrate history --json", 0),
    ("migrate upgrade nonsense", 1),
    ("dispatch-agent sample-data --leads 40", 0),
    ("dispatch-agent dry-run --tenant test-001 --batch 40 2>&1", 0),
    ("dispatch-agent stats", 0),
    ("dispatch-agent stats --json", 0),
    ("dispatch-agent purge --older-than 90d 2>&1", 0),
    ("dispatch-agent nonsense", 2),
]


@contextmanager
def unread() -> Iterator[int]:
    """Yield the end for writing of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_reader_that_has_gone(tmp_path: Path, database: Database) -> None:
    """The command does its work, says nothing about the pipe, and has its usual exit code."""
    project = Project.copy_whole(tmp_path)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATABASE_URL": database.url}
    codes, told = [], ""
    for line, _ in COMMANDS:
        command, both, _ = line.partition(" 2>&1")
        program, *words = command.split()
        with unread() as pipe:
            done = subprocess.run(
                [Path(sys.executable).parent / program, *words], cwd=project.folder, env=environ, check=False,
                stdout=pipe, stderr=pipe if both else subprocess.PIPE, text=True,
            )  # fmt: skip
        codes.append((line, done.returncode))
        told += done.stderr or ""
    assert codes == COMMANDS
    assert "pipe" not in told.lower()
    assert "Traceback" not in told
    assert database.query("select count(*) from dry_run_log") == [(40,)]
