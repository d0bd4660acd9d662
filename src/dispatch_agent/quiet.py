"""Keep people out of the process's output: an exception is named there by its type and its frames, never by its text.

PostgreSQL quotes rows in DETAIL and CONTEXT, its notices may, drivers repeat both, and Python prints what nobody
catches. The doors report each failure in a sentence of ours, see `failure`.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import Any

from dispatch_agent import failure

logger = logging.getLogger(__name__)


def hide_texts() -> None:
    """Hide the texts of exceptions, warnings and notices in all that this process writes from now on."""
    logging.setLogRecordFactory(_record)
    # logging itself prints the arguments of a record that it cannot write
    logging.raiseExceptions = False
    # its INFO lines have the server's notices
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    # also called by C code that cannot raise: psycopg2 prints the end of a session during COPY
    sys.excepthook = lambda _, error, __: _tell(error)
    sys.unraisablehook = lambda unraisable: _tell(unraisable.exc_value)
    threading.excepthook = lambda thread: _tell(thread.exc_value)
    warnings.showwarning = _show_warning


def _record(
    name: str,
    level: int,
    path: str,
    line: int,
    message: object,
    args: Any,
    exc_info: Any,
    func: str | None = None,
    sinfo: str | None = None,
    **more: Any,
) -> logging.LogRecord:
    """Make a log record without the text of any exception."""
    words, error = _named(message), exc_info[1] if exc_info else None
    if isinstance(args, Mapping):
        args = {key: _named(value) for key, value in args.items()}
    else:
        args = tuple(map(_named, args or ()))
    if error is not None:
        # without arguments logging does not format the message, which may then contain a `%`
        words, args = (f"{words} (%s)", (*args, _named(error))) if isinstance(args, tuple) and args else (
            f"{words} ({_named(error)})", args)  # fmt: skip
    return logging.LogRecord(name, level, path, line, words, args, None, func, sinfo, **more)


def _named(value: object) -> object:
    """Return an exception's type and frames, any other value as it is."""
    if not isinstance(value, BaseException):
        return value
    return " at ".join(filter(None, (type(value).__name__, " < ".join(failure.frames(value)))))


def _tell(error: BaseException | None) -> None:
    # C code prints exceptions that have no frames, and that it also raises
    if error is not None and error.__traceback__ is not None:
        logger.error("%s", error)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    logger.warning("%s at %s:%s", category.__name__, filename, lineno)
