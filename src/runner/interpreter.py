"""Settings of Python that shorten the start and the end of a process, most of a short command's time."""

import atexit
import gc
import sys
from functools import cache

THRESHOLD = 200_000
"""Above the 130,000 objects that importing every module makes, so that no collection runs during the imports."""


@cache
def tune() -> None:
    """Skip garbage collections and an import that a short process does not need; call it before importing Alembic.

    Imported modules live as long as the process. Of a command of 0.7 s, the collection at exit took 0.2 s and those
    during the imports 0.05 s. Alembic imports Mako, and Mako imports pygments where it is installed, which takes 0.03 s
    and only colours Mako's error pages.
    """
    # not `gc.disable`: a long run still collects
    gc.set_threshold(THRESHOLD)
    # the collection at exit skips frozen objects; the operating system frees them with the process
    atexit.register(gc.freeze)
    # importing a module whose entry is None raises ModuleNotFoundError, which Mako treats as pygments not installed
    # https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules.setdefault("mako.ext.pygmentplugin", None)  # type: ignore[arg-type] # typeshed allows modules only
