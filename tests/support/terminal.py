"""A program on a pseudo-terminal, as a person sees it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path


def run(
    folder: Path,
    *command: str,
    columns: int = 160,
    seeing: tuple[str, Callable[[], object]] | None = None,
    **environ: str,
) -> tuple[int, str]:
    """Run one of the installed programs, and return its exit code and its output.

    `seeing` has words, and what is done once they are on the terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    known = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen(
        [Path(sys.executable).parent / command[0], *command[1:]],
        cwd=folder,
        env={**known, **environ},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = b""
    while part := _read(master):
        seen += part
        if seeing is not None and seeing[0].encode() in seen:
            seeing[1]()
            seeing = None
    os.close(master)
    return process.wait(), seen.decode()


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:
        # on Linux reading a terminal whose other side is closed fails with EIO
        return b""
