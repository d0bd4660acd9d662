"""A server across a network, and the time of a round trip to it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median

from support.postgres import Server

TRIPS = 200


@contextmanager
def far(server: Server, round_trip_ms: float) -> Iterator[Server]:
    """Yield the server behind a proxy that adds `round_trip_ms` to each round trip, a half in each direction."""
    words = [str(server.url.host), str(server.url.port), str(round_trip_ms / 2 / 1000)]
    command = [sys.executable, "-m", "benchmarks.proxy", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield Server(server.binaries, server.url.set(host="127.0.0.1", port=port))
        finally:
            process.kill()


def round_trip_ms(server: Server) -> float:
    """Return how long `select 1` takes, the median in milliseconds."""
    found = []
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        for _ in range(TRIPS):
            started = time.monotonic()
            cursor.execute("select 1")
            found.append((time.monotonic() - started) * 1000)
    return median(found)
