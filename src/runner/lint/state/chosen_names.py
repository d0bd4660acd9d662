"""Names as PostgreSQL chooses them for constraints, indexes and sequences: of 63 bytes at most, and unused.

It shortens longer names without a word, so a remedy may only have names that it keeps as they are.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
"""

from collections.abc import Callable
from itertools import count

LONGEST = 63
"""The bytes of a name."""


def shortened(*parts: str) -> str:
    """Return a name of a table's name, those of columns if any, and an ending, as short as PostgreSQL makes it.

    The longer one of the first two loses its end, as in `makeObjectName` of PostgreSQL's `indexcmds.c`.
    """
    first, *middle, label = parts
    second = "_".join(middle)
    lengths = [len(first.encode()), len(second.encode())]
    free = LONGEST - len(label.encode()) - 1 - bool(second)
    while sum(lengths) > free:
        lengths[0 if lengths[0] > lengths[1] else 1] -= 1
    kept = (_cut(first, lengths[0]), _cut(second, lengths[1]), label)
    return "_".join(part for part in kept if part)


def unused(is_taken: Callable[[str], bool], *parts: str) -> str:
    """Return the first such name that is free: the ending has a number where others are taken."""
    *owners, label = parts
    names = (shortened(*owners, f"{label}{number or ''}") for number in count())
    return next(name for name in names if not is_taken(name))


def _cut(text: str, length: int) -> str:
    # not within a letter of several bytes
    return text.encode()[:length].decode(errors="ignore")
