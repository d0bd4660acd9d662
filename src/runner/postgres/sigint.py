"""Ctrl-C while a statement runs: libpq waits in C code, during which Python runs no signal handler."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hearing(heard: threading.Event) -> Iterator[None]:
    """Set `heard` as soon as SIGINT arrives while the block runs, also while the main thread waits for a statement.

    Python's own handler raises KeyboardInterrupt only after that wait, so a thread that watches `heard` has to cancel
    the statement. https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    # only the main thread may set the descriptor, and only there Python raises KeyboardInterrupt
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    # required by `set_wakeup_fd`: a signal must never block
    sender.setblocking(False)

    def listen() -> None:
        with receiver:
            while byte := receiver.recv(1):
                if byte[0] == signal.SIGINT:
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
