"""How deeply a statement may be nested: libpg_query writes a tree by recursion, and ends the process at some 20,000.

An operator after the other nests too: `a + b + c` is `(a + b) + c`. AND, OR and lists do not, however long they are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runner.postgres import tokens

DEEPEST = 5_000
"""The levels that a text may have; a tree in Python has 100."""
CONSTANT = r"(?:\w*+'(?:[^'\\]|'')*+'|[-+]?[0-9][0-9.]*+|\w++)"
ROW = rf"\(\s*+(?:{CONSTANT}\s*+,\s*+)*+{CONSTANT}\s*+\)"
ROWS = re.compile(rf"{ROW}(?:\s*+,\s*+{ROW})*+")
"""What most of a long text is: lists of constants."""
OPENING, CLOSING = frozenset({"(", "[", "case"}), {")": "([", "]": "([", "end": "case"}
OF_QUERIES = frozenset({"except", "intersect", "join", "union"})
OF_LISTS = frozenset({",", "and", "or", "else", "then", "when"})


@dataclass
class _Level:
    """A pair of parentheses or a CASE, or the text outside of them."""

    opening: str = ""
    queries: int = 0
    tokens: int = 0
    """Those of the item of a list."""
    has_between: bool = False

    def add(self, word: str) -> None:
        """Count a token: no operand of a list is below another, and all the joins and queries may be."""
        if word == ";":
            self.queries = self.tokens = 0
        elif word == "and" and self.has_between:
            self.has_between = False
        elif word in OF_LISTS:
            self.tokens = 0
        elif word in OF_QUERIES:
            self.queries += 1
        else:
            self.tokens += 1
            self.has_between = self.has_between or word == "between"


def is_too_deep(text: str) -> bool:
    """Return whether the tree of a text may be so deep that the parser ends the process."""
    if len(text) < DEEPEST:
        return False
    shorter = ROWS.sub("0", text)
    return len(shorter) >= DEEPEST and any(depth >= DEEPEST for depth in _depths(shorter))


def _depths(text: str) -> Iterator[int]:
    """Yield a bound of the levels at each place of a text: the tokens before it in each level that is open."""
    levels, outer = [_Level()], 0
    for token in tokens.read(text):
        word = token.keyword
        level = levels[-1]
        if len(levels) > 1 and level.opening in CLOSING.get(word, ()):
            levels.pop()
            outer -= levels[-1].queries + levels[-1].tokens
        elif word in OPENING:
            level.add(word)
            outer += level.queries + level.tokens
            levels.append(_Level(word))
        else:
            level.add(word)
            yield outer + level.queries + level.tokens
