"""The tokens of SQL: strings, comments, dollar-quoted bodies, names, numbers.

Strings are read as with `standard_conforming_strings`, PostgreSQL's default, which cannot be turned off from version
19 on. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

# The characters that begin and continue a word: letters, among them all that are not ASCII, then also digits and `$`.
# Written as what they are not, since a range up to the last character takes 50 ms to compile.
FIRST, LATER = r"[^\x00-@\[-^`{-\x7f]", r"[^\x00-\x23%-/:-@\[-^`{-\x7f]"
ESCAPED = r"'(?:[^'\\]|\\.|'')*'?"
TOKEN = re.compile(
    # the space before a token belongs to the match, which halves their number: a plan may have megabytes
    # a string that follows on a later line continues this one, with the same escapes; an open one goes to the end
    # https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-CONSTANTS
    rf"""(?:[ \t\n\r\f\v]+|--[^\r\n]*)*+
     (?:(?P<comment>/\*)
      | (?P<string>[eE]{ESCAPED}(?:(?:[ \t\f\v]*(?:--[^\r\n]*)?[\r\n])+[ \t\f\v]*{ESCAPED})*
         | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'?)
      | (?P<dollar>\$(?P<tag>(?:{FIRST}(?:(?!\$){LATER})*)?)\$.*?(?:\$(?P=tag)\$|\Z))
      | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*"?)
      | (?P<word>{FIRST}{LATER}*)
      | (?P<number>0[xXoObB][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
      | (?P<other>\$[0-9]+|.) | \Z)""",
    re.VERBOSE | re.DOTALL,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")
CODE_POINT = re.compile(r"\\(?:([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|\\)")
# PostgreSQL folds no other letters where the encoding is UTF-8; `str.lower` would.
FOLD = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

SIZED_TYPES = frozenset({
    "bit", "char", "character", "decimal", "interval", "numeric", "time", "timestamp", "timestamptz", "timetz",
    "varchar", "varying",
})  # fmt: skip
SIZES = (["(", "number", ")"], ["(", "number", ",", "number", ")"])
MASKS = {"string": "'…'", "dollar": "'…'", "number": "…"}


class Token(NamedTuple):
    """A token; spaces and comments are none."""

    kind: str
    """`word`, `quoted` (a name), `string`, `dollar`, `number` or `other`."""
    text: str
    start: int
    """Its place in the text, in characters."""

    @property
    def keyword(self) -> str:
        """Return a word in lower case, any other token as it is written: a quoted name is no keyword."""
        if self.kind != "word":
            return self.text
        return self.text.lower() if self.text.isascii() else self.text.translate(FOLD)

    @property
    def value(self) -> str:
        """Return a name as PostgreSQL folds it, a string's content, or any other token as it is written."""
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
        """Return 1 for an opening parenthesis, -1 for a closing one, else 0."""
        return {"(": 1, ")": -1}.get(self.text, 0)


def read(text: str, at: int = 0) -> Iterator[Token]:
    """Yield the tokens of a text from a place on, lazily: a caller often needs the first few of a long text only."""
    while (matched := TOKEN.match(text, at)) and (kind := matched.lastgroup):
        at = matched.end()
        # comments nest, which a regular expression cannot follow
        if kind == "comment":
            at = _end_of_comment(text, at)
        else:
            yield Token(kind, matched[kind], matched.start(kind))


def name_parts(found: Sequence[Token], at: int) -> list[str]:
    """Return the parts of the name at a place: one, or more with dots between them; none where no name begins."""
    return [token.value for token in found[at : after_name(found, at)] if token.kind in ("word", "quoted")]


def after_name(found: Sequence[Token], at: int) -> int:
    """Return the place after the name at a place, its dots included."""
    while at < len(found) and found[at].kind in ("word", "quoted"):
        at += 1
        if at >= len(found) or found[at].text != ".":
            break
        at += 1
    return at


def mask(text: str, most: int) -> str:
    """Return the first `most` tokens of a text on one line, without comments and with the literals masked."""
    first = list(islice(read(text), most))
    pieces, end = [], 0
    for place, token in enumerate(first):
        pieces.append(" " if token.start > end else "")
        # a type's size is no row data, and tells more than `numeric(…, …)`
        pieces.append(token.text if _is_size(first, place) else _masked(token))
        end = token.start + len(token.text)
    return " ".join("".join(pieces).split())


def _masked(token: Token) -> str:
    # a name without its closing quote extends over whatever follows, literals included
    is_open = token.kind == "quoted" and token.text.count('"') % 2 == 1
    return '"…' if is_open else MASKS.get(token.kind, token.text)


def _is_size(found: list[Token], place: int) -> bool:
    """Return whether the token at `place` is a size of a type, as both numbers are in `numeric(10, 2)`."""
    # the type stands before `(` and the first number, or before `(`, the first number and `,`
    starts = (at for at in (place - 2, place - 4) if at >= 0 and found[at].keyword in SIZED_TYPES)
    behind = ([_size_part(token) for token in found[at + 1 : at + 6]] for at in starts)
    return found[place].kind == "number" and any(parts[: len(size)] == size for parts in behind for size in SIZES)


def _size_part(token: Token) -> str:
    return token.kind if token.kind == "number" else token.text


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1] or escape[2], 16)) if escape[1] or escape[2] else "\\"


def _end_of_comment(text: str, at: int) -> int:
    """Return the place after a block comment that began before `at`."""
    depth = 1
    while depth and (edge := COMMENT_EDGE.search(text, at)):
        at = edge.end()
        depth += 1 if edge[0] == "/*" else -1
    return at if not depth else len(text)
