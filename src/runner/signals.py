"""Ctrl-C and SIGTERM, from the first line of a program to its last: heard once, told in one line, never swallowed.

While nothing has begun, and while an answer is printed, the program ends at once. In between Python's exception unwinds
what was begun. It may be raised where it gets lost, in a callback or in C code, so the signal itself is remembered too.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHELLS_BASE = 128
"""A shell reports a program that a signal ended as 128 and the signal's number."""

ENDED = b"interrupted: The program was ended by a signal.\n"

_received: list[int] = []


def received() -> int | None:
    """Return the number of the first signal that arrived within `raising`, None if none did."""
    return _received[0] if _received else None


def exit_code() -> int:
    """Return the exit code of a program that was interrupted."""
    return SHELLS_BASE + (received() or signal.SIGINT)


def exit_at_once() -> None:
    """Make either signal end the program from now on, with one line on stderr."""
    for number in SIGNALS:
        # a shell without job control ignores Ctrl-C for what it starts in the background
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def ignore() -> None:
    """Ignore both signals from now on: the answer is printed, and the interpreter would end by them without a word."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def tell() -> None:
    """Write that a signal arrived behind the end of the work."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, ENDED)


@contextmanager
def raising() -> Iterator[None]:
    """Make the first signal within the block raise `KeyboardInterrupt`; a second one ends the program at once."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])


@contextmanager
def hearing(heard: threading.Event) -> Iterator[None]:
    """Set `heard` as soon as either signal arrives while the block runs, also while the main thread waits in C code.

    There Python raises KeyboardInterrupt only after the wait, of libpq for a statement, so a thread that watches
    `heard` has to cancel it. https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    # only the main thread may set the descriptor, and only there Python raises KeyboardInterrupt
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if received() is not None:
        heard.set()
    receiver, sender = socket.socketpair()
    # required by `set_wakeup_fd`: a signal must never block
    sender.setblocking(False)

    def listen() -> None:
        with receiver:
            while byte := receiver.recv(1):
                if byte[0] in SIGNALS:
                    heard.set()

    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="interrupt", daemon=True)
    listener.start()
    try:
        yield
    finally:
        # before the close: a signal must not be written to a descriptor that another file may have by then
        signal.set_wakeup_fd(before)
        # the listener receives the end of the stream, and returns
        sender.close()
        listener.join()


def _raise(number: int, frame: Any) -> None:
    if _received:
        _exit(number, frame)
    _received.append(number)
    raise KeyboardInterrupt


def _exit(number: int, _: Any) -> NoReturn:
    # not `sys.exit`: an import that is going on may catch the exception, or print it with a traceback
    tell()
    os._exit(SHELLS_BASE + number)
