"""Statements and exceptions without what they may hold of rows, so that they may leave the house.

PostgreSQL's message and DETAIL can hold rows, and so can an exception's text or a literal in a statement.
"""

import traceback
from pathlib import Path

from runner.postgres import tokens

STATEMENT_LENGTH = 300


def template(statement: str) -> str:
    """Return a statement on one line, its literals masked, cut to 300 characters."""
    # no token is shorter than a character
    flat = tokens.mask(statement, STATEMENT_LENGTH + 1)
    return flat if len(flat) <= STATEMENT_LENGTH else flat[:STATEMENT_LENGTH] + " …"


def frames(error: BaseException, *, whole_paths: bool = False) -> list[str]:
    """Return where an exception came from, innermost last, without the text of any exception."""
    return [
        f"{frame.filename if whole_paths else Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
