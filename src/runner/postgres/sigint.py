"""Ctrl-C while a statement runs: libpq waits in C, where Python does not hear it."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hearing(heard: threading.Event) -> Iterator[None]:
    """Set `heard` as soon as SIGINT arrives while the block runs, whatever the main thread waits for.

    Python's own handler raises KeyboardInterrupt once the main thread is back from C; whoever watches the
    event sees to it that it comes back. https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)

    def listen() -> None:
        with ours:
            while byte := ours.recv(1):
                if byte[0] == signal.SIGINT:
                    heard.set()

    before = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="interrupt", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        # the listener reads the end of the stream, and ends
        pythons.close()
        listener.join()
