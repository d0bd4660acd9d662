"""Mistakes in a revision's code: errors that it raises on every database, or on none."""

import traceback
from types import ModuleType

from alembic.operations import BatchOperations, Operations
from alembic.runtime.migration import MigrationContext

from runner.script import python_error

FIXED = (ModuleType, Operations, BatchOperations, MigrationContext)
"""The objects whose attributes are the same on every database, unlike those of a result that is missing."""


def describe(error: BaseException, path: str) -> str | None:
    """Return an error of the code as a sentence, with its line in the file `path`; None for any other error."""
    if not _is_mistake(error):
        return None
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    place = f" in line {lines[-1]}" if lines else ""
    return f"Its code fails{place}: {python_error.describe(error)}."


def _is_mistake(error: BaseException) -> bool:
    if isinstance(error, AttributeError):
        return isinstance(error.obj, FIXED)
    return isinstance(error, SyntaxError | ImportError | NameError)
