"""Output whose reader has gone, as in `migrate history | head -1`: the rest is dropped, and the command goes on.

Python would raise BrokenPipeError wherever the next line is written. In the middle of a run that would end the work
for the sake of a line of progress; at the end it would replace the exit code and print a traceback.
"""

import io
import os
import sys
from typing import TextIO


class _Pipe(io.FileIO):
    """A file descriptor that takes everything once nobody reads it any more."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type] # any buffer, as `FileIO` takes it
        except BrokenPipeError:
            # also for what writes to the descriptor itself
            unread = os.open(os.devnull, os.O_WRONLY)
            os.dup2(unread, self.fileno())
            os.close(unread)
            return memoryview(data).nbytes  # type: ignore[arg-type] # same


def tolerate() -> None:
    """Make stdout and stderr, unless they are terminals, tolerate that their reader goes."""
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


def _tolerant(stream: TextIO) -> TextIO:
    # a closed descriptor has no stream; Windows writes to a terminal by other means than a descriptor
    if not isinstance(stream, io.TextIOWrapper) or stream.isatty():
        return stream
    pipe = _Pipe(stream.fileno(), "w", closefd=False)
    unbuffered = stream.write_through
    return io.TextIOWrapper(
        pipe if unbuffered else io.BufferedWriter(pipe),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=unbuffered,
    )
