"""A Docker engine: a running one, else one started for the duration of the block."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

BRIDGE = Path("/sys/class/net/docker0")


class Unavailable(Exception):
    """An error that says why this machine cannot run an engine."""


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Yield an environment in which `docker` is a client that can build, with a running engine.

    Raises `Unavailable`.
    """
    with TemporaryDirectory(prefix="engine") as folder:
        (Path(folder) / "docker").symlink_to(_client())
        environ = {**os.environ, "PATH": os.pathsep.join([folder, *os.get_exec_path()]), "DOCKER_BUILDKIT": "1"}
        if _answers(environ):
            yield environ
            return
        with _started(Path(folder), environ) as environ:
            yield environ


def _client() -> Path:
    """Return the first client on the PATH that has BuildKit: newer ones need a plugin for it, which may be missing."""
    for path in (Path(folder) / "docker" for folder in os.get_exec_path()):
        environ = {**os.environ, "DOCKER_BUILDKIT": "1"}
        if path.is_file() and works([path, "build", "--help"], environ):
            return path.resolve()
    raise Unavailable("no `docker` on the PATH can build with BuildKit")


@contextmanager
def _started(folder: Path, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    if os.geteuid() != 0:
        raise Unavailable("no Docker engine answers, and only root can start one")
    if lacking := [name for name in ("dockerd", "ip") if shutil.which(name) is None]:
        raise Unavailable(f"no Docker engine answers, and to start one `{lacking[0]}` is lacking")
    had_bridge, socket, log = BRIDGE.exists(), f"unix://{folder}/socket", folder / "log"
    # The machine's own network does not change: docker-proxy forwards ports, builds use the host's network.
    network = ["--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--host={socket}"]
    with log.open("wb") as output:
        engine = subprocess.Popen(["dockerd", *places, *network], stdout=output, stderr=output, start_new_session=True)
    environ = {**environ, "DOCKER_HOST": socket}
    try:
        _wait(engine, environ, log)
        yield environ
    finally:
        engine.terminate()
        engine.wait()
        # a container on the host's network leaves it mounted
        works(["umount", folder / "exec" / "netns" / "default"], environ)
        if not had_bridge and BRIDGE.exists():
            subprocess.run(["ip", "link", "delete", BRIDGE.name], check=True)


def _wait(engine: "subprocess.Popen[bytes]", environ: Mapping[str, str], log: Path) -> None:
    ends = time.monotonic() + 60
    while not _answers(environ):
        if engine.poll() is not None or time.monotonic() > ends:
            raise Unavailable(f"`dockerd` does not start here: {log.read_text().splitlines()[-1]}")
        time.sleep(0.2)


def _answers(environ: Mapping[str, str]) -> bool:
    return works(["docker", "version"], environ)


def works(command: list[object], environ: Mapping[str, str]) -> bool:
    """Run a command without output and tell whether it exited with 0."""
    words = [str(word) for word in command]
    return subprocess.run(words, env=environ, capture_output=True, check=False).returncode == 0
