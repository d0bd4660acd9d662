"""Statements and exceptions without what they may hold of rows, so that they may leave the house.

PostgreSQL's message and DETAIL can hold rows, and so can an exception's text or a literal in a statement.
"""

import re
import traceback
from pathlib import Path

STATEMENT_LENGTH = 300

# Tokens in which a quote or a digit means something else come first, so that none hides a literal.
TOKENS = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<identifier>"(?:[^"]|"")*")
      | (?P<type>\b(?:varchar|varying|char|character|numeric|decimal|bit|timestamp|timestamptz|time|timetz|interval)
         \s*\(\s*\d+\s*(?:,\s*\d+\s*)?\))
      | (?P<literal>(?<!\w)[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z)
         | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
      | (?P<number>(?<![\w$])\d+(?:\.\d+)?)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def template(statement: str) -> str:
    """Return a statement on one line, its literals masked, cut to 300 characters."""

    if any("/*" in token["comment"][2:] for token in TOKENS.finditer(statement) if token["comment"]):
        # comments nest, and what follows them is a regular expression's blind spot
        return "…"

    def mask(token: re.Match[str]) -> str:
        match token.lastgroup:
            case "comment":
                return " "
            case "identifier" | "type":
                return token[0]
        return "…" if token["number"] else "'…'"

    flat = " ".join(TOKENS.sub(mask, statement).split())
    return flat if len(flat) <= STATEMENT_LENGTH else flat[:STATEMENT_LENGTH] + " …"


def frames(error: BaseException, *, whole_paths: bool = False) -> list[str]:
    """Return where an exception came from, innermost last, without the text of any exception."""
    return [
        f"{frame.filename if whole_paths else Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
