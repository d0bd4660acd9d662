"""SQL as tokens: where a string, a comment, a dollar-quoted body or a name begins and ends.

Plain strings are read as with `standard_conforming_strings`, which is PostgreSQL's default and cannot be turned
off from version 19 on. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

# What is not ASCII is a letter. Said by what is none, for a range up to the last character takes 50 ms to compile.
FIRST, LATER = r"[^\x00-@\[-^`{-\x7f]", r"[^\x00-\x23%-/:-@\[-^`{-\x7f]"
ESCAPED = r"'(?:[^'\\]|\\.|'')*'?"
TOKEN = re.compile(
    # a string may go on behind the end of a line, and its escapes hold there too
    rf"""(?P<space>[ \t\n\r\f\v]+|--[^\r\n]*)
      | (?P<comment>/\*)
      | (?P<string>[eE]{ESCAPED}(?:(?:[ \t\f\v]*(?:--[^\r\n]*)?[\r\n])+[ \t\f\v]*{ESCAPED})*
         | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'?)
      | (?P<dollar>\$(?P<tag>(?:{FIRST}(?:(?!\$){LATER})*)?)\$.*?(?:\$(?P=tag)\$|\Z))
      | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*"?)
      | (?P<word>{FIRST}{LATER}*)
      | (?P<number>0[xXoObB][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
      | (?P<other>\$[0-9]+|.)""",
    re.VERBOSE | re.DOTALL,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")
CODE_POINT = re.compile(r"\\(?:([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|\\)")
# PostgreSQL folds no other letters where the encoding is UTF-8.
FOLD = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

SIZED_TYPES = frozenset({
    "bit", "char", "character", "decimal", "interval", "numeric", "time", "timestamp", "timestamptz", "timetz",
    "varchar", "varying",
})  # fmt: skip
SIZES = (["(", "number", ")"], ["(", "number", ",", "number", ")"])
MASKS = {"string": "'…'", "dollar": "'…'", "number": "…"}


@dataclass(frozen=True)
class Token:
    """One token: `word`, `quoted` (a name), `string`, `dollar`, `number` or `other`; spaces and comments are none."""

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """Return a word in small letters, and anything else as it is written: a quoted name is no keyword."""
        return self.text.translate(FOLD) if self.kind == "word" else self.text

    @property
    def value(self) -> str:
        """Return a name as PostgreSQL folds it, a string's content, and anything else as it is."""
        match self.kind:
            case "word":
                return self.keyword
            case "quoted":
                name = self.text.partition('"')[2].removesuffix('"').replace('""', '"')
                return name if self.text[0] == '"' else CODE_POINT.sub(_character, name)
            case "string":
                return self.text.partition("'")[2].removesuffix("'").replace("''", "'")
            case "dollar":
                tag = self.text[: self.text.index("$", 1) + 1]
                return self.text.removeprefix(tag).removesuffix(tag)
        return self.text

    @property
    def depth(self) -> int:
        """Return by how much it leads into parentheses, -1 where it leads out of them."""
        return {"(": 1, ")": -1}.get(self.text, 0)


def read(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, each as it is reached: to read all of a long one takes long."""
    at = 0
    while found := TOKEN.match(text, at):
        at, kind = found.end(), str(found.lastgroup)
        if kind == "comment":
            at = _end_of_comment(text, at)
        elif kind != "space":
            yield Token(kind, found[0], found.start())


def mask(text: str, most: int) -> str:
    """Return a text on one line, without comments and with its literals masked; only the first `most` tokens."""
    found = list(islice(read(text), most))
    pieces, end = [], 0
    for place, token in enumerate(found):
        pieces.append(" " if token.start > end else "")
        pieces.append(token.text if _is_size(found, place) else _masked(token))
        end = token.start + len(token.text)
    return " ".join("".join(pieces).split())


def _masked(token: Token) -> str:
    # a name that nobody closed takes in whatever follows
    is_open = token.kind == "quoted" and token.text.count('"') % 2 == 1
    return '"…' if is_open else MASKS.get(token.kind, token.text)


def _is_size(found: list[Token], place: int) -> bool:
    """Tell whether a number belongs to a type, as both do in `numeric(10, 2)`."""
    starts = (at for at in (place - 2, place - 4) if at >= 0 and found[at].keyword in SIZED_TYPES)
    kinds = ([one.kind if one.kind == "number" else one.text for one in found[at + 1 : at + 6]] for at in starts)
    return found[place].kind == "number" and any(some[: len(size)] == size for some in kinds for size in SIZES)


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1] or found[2], 16)) if found[1] or found[2] else "\\"


def _end_of_comment(text: str, at: int) -> int:
    """Return where a block comment ends whose first edge is before `at`; comments nest."""
    depth = 1
    while depth and (edge := COMMENT_EDGE.search(text, at)):
        at = edge.end()
        depth += 1 if edge[0] == "/*" else -1
    return at if not depth else len(text)
