"""Python's garbage collector, which has nothing to do while a program starts and ends."""

import atexit
import gc
from functools import cache

THRESHOLD = 200_000
"""More objects than importing everything makes, 130,000; a long run is collected all the same."""


@cache
def spare() -> None:
    """Never look through what was imported: it stays to the end, and goes with the process.

    Of a command that takes 0.7 s, 0.2 s were the collector's look at the end, and 0.05 s those before.
    """
    gc.set_threshold(THRESHOLD)
    atexit.register(gc.freeze)
