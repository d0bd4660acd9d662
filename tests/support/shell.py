"""A shell on a pseudo-terminal, in which commands are typed one after the other."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from dataclasses import dataclass
from pathlib import Path

END = re.compile(rb"\x1e(\d+)\x1e")


@dataclass(frozen=True)
class Shell:
    """A running bash; what one command exports or sources holds for the next."""

    process: "subprocess.Popen[bytes]"
    terminal: int

    @classmethod
    def start(cls, folder: Path, environ: dict[str, str], columns: int = 80) -> "Shell":
        """Start a shell in a folder, with nothing else in its environment, that does not repeat what is typed.

        The terminal is a dumb one: colours and bars, which a document does not show, are not drawn.
        """
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=folder, env={**environ, "TERM": "dumb"}, stdin=subprocess.PIPE,
            stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        return cls(process, master)

    def type(self, command: str) -> tuple[int, str]:
        """Run a command, and return its exit code and what it wrote on the terminal."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\036%d\\036' $?\n".encode())
        self.process.stdin.flush()
        seen = b""
        while not (ended := END.search(seen)):
            seen += os.read(self.terminal, 65536)
        return int(ended[1]), seen[: ended.start()].decode().replace("\r", "")

    def close(self) -> None:
        """End the shell."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        os.close(self.terminal)
