"""A TCP proxy that holds back what it passes on: `python -m benchmarks.proxy HOST PORT SECONDS` prints its own port.

It runs as a process of its own, since its threads and those of the measurements would wait for one another.
"""

import socket
import sys
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

Chunks = SimpleQueue[tuple[float, bytes]]
"""When a chunk is due, on the monotonic clock, and its bytes."""
SIZE = 2**16


def serve(host: str, port: int, delay_s: float) -> None:
    """Pass on each connection, and delay both directions."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection((host, port))
            for source, target in ((client, server), (server, client)):
                # else the system collects short messages, which delays them a second time
                target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                chunks: Chunks = SimpleQueue()
                Thread(target=_receive, args=(source, chunks, delay_s), daemon=True).start()
                Thread(target=_send, args=(target, chunks), daemon=True).start()


def _receive(source: socket.socket, chunks: Chunks, delay_s: float) -> None:
    """Note when each chunk is due, so that the delays of several overlap; the end is an empty one."""
    chunk = b"the first"
    while chunk:
        chunk = b""
        # whoever is killed resets its connection
        with suppress(OSError):
            chunk = source.recv(SIZE)
        chunks.put((time.monotonic() + delay_s, chunk))


def _send(target: socket.socket, chunks: Chunks) -> None:
    """Send each chunk when it is due."""
    chunk = b"the first"
    with suppress(OSError):
        while chunk:
            due, chunk = chunks.get()
            time.sleep(max(0.0, due - time.monotonic()))
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
