"""Statements and exceptions without row data and secrets, for answers and logs.

PostgreSQL's message and DETAIL may contain row data, and so may an exception's text and a statement's literals.
"""

import traceback
from pathlib import Path

from runner.postgres import tokens

STATEMENT_LENGTH = 300


def template(statement: str) -> str:
    """Return a statement on one line, its literals masked, cut to 300 characters."""
    # a token has at least one character, so that this many tokens fill the length
    flat = tokens.mask(statement, STATEMENT_LENGTH + 1)
    return flat if len(flat) <= STATEMENT_LENGTH else flat[:STATEMENT_LENGTH] + " …"


def frames(error: BaseException, *, whole_paths: bool = False) -> list[str]:
    """Return the frames of an exception, as `file:line function` with the innermost last, without any text of it."""
    # a file's name is enough to find it, and its path would show the folders of the machine
    return [
        f"{frame.filename if whole_paths else Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
