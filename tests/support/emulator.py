"""The function under Lambda's Runtime Interface Emulator: with the image's layout, or in the image itself."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from support import containers
from support.postgres import free_port
from support.project import ROOT

PATH = "/2015-03-31/functions/function/invocations"
Environ = dict[str, str]


@dataclass(frozen=True)
class Function:
    """A running emulator; it takes one invocation at a time."""

    url: str
    log: Path
    pid: int
    """The emulator's process; the handler runs in a child of it."""

    def invoke(self, event: Any, headers: dict[str, str] | None = None) -> Any:
        """Invoke with plain HTTP and return the answer, as text where it is not JSON."""
        request = urllib.request.Request(self.url + PATH, json.dumps(event).encode(), headers or {})
        with urllib.request.urlopen(request) as response:
            text = response.read().decode()
        try:
            return json.loads(text)
        except ValueError:
            return text

    def warm_up(self) -> None:
        """Load the handler with a first invocation, so that the next one has its whole time for its work."""
        self.invoke({"action": "heads"})

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines that the function wrote, without the emulator's own."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextmanager
def start(
    task: Path,
    environ: dict[str, str],
    *,
    timeout_s: int = 30,
    handler: str = "runner.handler.handler",
    python: str | Path = sys.executable,
) -> Iterator[Function]:
    """Run the handler in the folder `task`, with no environment but `environ`.

    If the tests prove an image, the handler runs in a container of it, with the revisions of `task` if it has any.
    """
    port, api = free_port(), free_port()
    log = task.parent / f"function-{port}.log"
    known = {
        "AWS_LAMBDA_FUNCTION_NAME": "aurora-migrations-runner-dev",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
        "AWS_REGION": "us-east-1",
        **environ,
    }
    addresses = [f"--runtime-interface-emulator-address=127.0.0.1:{port}", f"--runtime-api-address=127.0.0.1:{api}"]
    way = partial(_here, python) if containers.IMAGE is None else _in_container
    command, known = way(task, known, addresses, handler)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=task, env=known, stdout=output, stderr=output, start_new_session=True)
    try:
        _wait(port, process)
        yield Function(f"http://127.0.0.1:{port}", log, process.pid)
    finally:
        process.terminate()
        process.wait()


def _here(
    python: str | Path, task: Path, known: Environ, addresses: list[str], handler: str
) -> tuple[list[str], Environ]:
    words = [str(emulator()), *addresses, str(python), "-m", "awslambdaric", handler]
    return words, {"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(task), **known}


def _in_container(task: Path, known: Environ, addresses: list[str], handler: str) -> tuple[list[str], Environ]:
    options = [f"--volume={emulator()}:/emulator:ro", "--entrypoint=/emulator"]
    if (task / "alembic").exists():
        options.append(f"--volume={task / 'alembic'}:/var/task/alembic:ro")
    words = containers.command(known, [*addresses, "/opt/entrypoint", handler], options)
    return words, {**os.environ, **known}


def lay_out(folder: Path, revisions: Path) -> Path:
    """Make a task root like the image's: the packages flat, `alembic.ini` and `alembic/` beside them."""
    task = folder / "task"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", task, ignore=ignored)
    shutil.copytree(revisions / "alembic", task / "alembic", ignore=ignored)
    shutil.copy(revisions / "alembic.ini", task)
    return task


def emulator() -> Path:
    """Return the emulator's binary, fetched once into `.cache/`."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    name = f"aws-lambda-rie-{machine}"
    path = ROOT / ".cache" / name
    if path.exists():
        return path
    path.parent.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    requirement = ROOT / "tests" / "runtime" / "emulator.txt"
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        subprocess.run([*pip, "--dest", folder, "-r", requirement], check=True)
        wheel = next(Path(folder).glob("aws_sam_cli-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"samcli/local/rapid/{name}")
        made = Path(folder) / name
        made.write_bytes(content)
        made.chmod(0o755)
        # another process of the tests may do the same at this moment
        made.replace(path)
    return path


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the emulator answers a request, with whatever status."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the emulator did not start")
