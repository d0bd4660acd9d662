"""The functions under Lambda's own emulator: ours, a bare handler, and the floor, with the same layout."""

import json
import logging
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers, tools
from benchmarks.measuring import OURS
from benchmarks.tools import Step
from support import emulator, moto_server
from support.emulator import Function
from support.postgres import Database

BARE, FLOOR = "bare handler", "floor"
CURRENT = {"action": "current"}


@dataclass(frozen=True)
class Layout:
    """A task root, its handler, the environment of its packages, and the variables for the database."""

    name: str
    task: Path
    handler: str
    packages: Path
    environ: dict[str, str]

    @property
    def weights_mib(self) -> dict[str, float]:
        """Return the sizes of packages, programs and code by name; the interpreter belongs to the base image."""
        (packages,) = self.packages.glob("lib/python*/site-packages")
        found = [self.task, *packages.iterdir(), *(self.packages / "bin").iterdir()]
        weights: Counter[str] = Counter()
        for path in found:
            weights[path.name] += _size(path)
        return {name: weight / 2**20 for name, weight in weights.items()}

    @contextmanager
    def start(self) -> Iterator[Function]:
        """Start a new emulator; the function itself starts at the first invocation."""
        python = self.packages / "bin" / "python"
        with emulator.start(self.task, self.environ, handler=self.handler, python=python) as function:
            yield function


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def lay_out(folder: Path, steps: list[Step], database: Database, stack: ExitStack) -> list[Layout]:
    """Make all three task roots, with the same revisions, and upgrade the database to their head."""
    secret = _secret(database, stack)
    ours, bare, floor = (folder / name for name in ("ours", "bare", "floor"))
    project = folder / "project"
    project.mkdir(parents=True)
    tool = tools.ours()
    tool.write(project, steps)
    tool.run(project, database)
    tools.plain().write(bare, steps)
    _adapt(bare)
    shutil.copytree(Path(__file__).parent / "floor", floor)
    layouts = [
        Layout(OURS, emulator.lay_out(ours, project), "runner.handler.handler", peers.ours(), secret),
        Layout(BARE, bare, "handler.handler", peers.bare(), secret),
        Layout(FLOOR, floor, "handler.handler", peers.bare(), {"DATABASE_URL": database.url}),
    ]
    for layout in layouts:
        _compile(layout.task)
    return layouts


def first_answer(layout: Layout) -> tuple[float, float]:
    """Return the milliseconds of a cold function's first answer, and its peak memory until then in MiB."""
    with layout.start() as function:
        return answer_ms(function), _peak_mib(function)


def answer_ms(function: Function) -> float:
    """Return the milliseconds until the function has answered `current`."""
    started = time.monotonic()
    answer = function.invoke(CURRENT)
    took_ms = (time.monotonic() - started) * 1000
    assert answer["status"] == "success", answer
    return took_ms


def _secret(database: Database, stack: ExitStack) -> dict[str, str]:
    """Store the database's address in a moto server, and return the environment of its secret."""
    logging.getLogger("werkzeug").disabled = True
    environ = stack.enter_context(moto_server.serve())
    text = json.dumps(moto_server.secret_of(database))
    secret = moto_server.secrets_manager(environ).create_secret(Name=database.name, SecretString=text)
    return {**environ, "DB_SECRET_ARN": secret["ARN"]}


def _adapt(bare: Path) -> None:
    """Remove the URL from `env.py`, since the handler sets it."""
    shutil.copy(Path(__file__).parent / "bare" / "handler.py", bare)
    path = bare / "alembic" / "env.py"
    path.write_text(re.sub(r'(?m)^config.set_main_option\("sqlalchemy.url", .*$', "", path.read_text()))


def _compile(task: Path) -> None:
    """Compile as the image does: without checks, except for revisions, whose text is always checked."""
    peers.compile_code(task)
    checked = [sys.executable, "-m", "compileall", "-q", "-f", "--invalidation-mode", "checked-hash", task / "alembic"]
    if (task / "alembic").exists():
        subprocess.run(checked, check=True)


def _peak_mib(function: Function) -> float:
    """Return the peak memory of the handler's process, a child of one of the emulator's threads."""
    threads = Path(f"/proc/{function.pid}/task").glob("*/children")
    (child,) = [pid for thread in threads for pid in thread.read_text().split()]
    (kib,) = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{child}/status").read_text())
    return int(kib) / 1024
