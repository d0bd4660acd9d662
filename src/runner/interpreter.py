"""What a program leaves out while it starts and ends, which is most of the time of a short command."""

import atexit
import gc
import sys
from functools import cache

THRESHOLD = 200_000
"""More objects than importing everything makes, 130,000; a long run is collected all the same."""


@cache
def spare() -> None:
    """Spare the collector and Mako what is of no use; to be called before Alembic is imported.

    What was imported stays to the end, and goes with the process: of a command that took 0.7 s, 0.2 s were the
    collector's look through it at the end, and 0.05 s those before. Alembic imports Mako, and that pygments where it is
    there, 0.03 s, to colour pages that nobody sees here.
    """
    gc.set_threshold(THRESHOLD)
    atexit.register(gc.freeze)
    # https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules.setdefault("mako.ext.pygmentplugin", None)  # type: ignore[arg-type]
