"""A text as people type or export it, in the plain characters that contacts are found in."""

import html
import re
import unicodedata
from urllib.parse import unquote

# Unicode has 26 dashes, and the minus sign is none of them.
_DASH = re.compile("[\u058a\u05be\u2010-\u2015\u2212\u2043\u2e3a\u2e3b\u30fc]")
# What a keycap or a coloured symbol is made of, beside its digit.
_INVISIBLE = frozenset("\ufe0e\ufe0f\u20e3")
# The white space that does not end a line or a cell.
_SPACES = re.compile(r"[^\S\t\n\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+")
_ENCODED = re.compile("%[0-9A-Fa-f]{2}")


def plain(text: str) -> str:
    """Return `text` with one form of space, dash, digit and bracket, without characters that nobody sees.

    Full-width characters get their usual width, and HTML's entities are resolved.
    """
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = "".join(map(_seen, unicodedata.normalize("NFKC", text)))
        text = _DASH.sub("-", text)
    return _SPACES.sub(" ", text)


def decoded(text: str) -> str:
    """Return `text` with the characters that a link encodes, such as `%40` for `@`."""
    return unquote(text, errors="ignore") if _ENCODED.search(text) else text


def _seen(character: str) -> str:
    """Return nothing for zero-width characters and those that change the direction of writing (category Cf)."""
    return "" if character in _INVISIBLE or unicodedata.category(character) == "Cf" else character
