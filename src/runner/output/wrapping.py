"""Lines for a terminal of a given width, broken between words only: what is broken inside cannot be copied."""

import re
from collections.abc import Iterator

from rich.cells import cell_len

# What has spaces and is one word all the same: a span in backticks, such as a command; a time; a number with its unit.
WORD = re.compile(
    r"[^\s`]*(?:`[^`\n]+`[^\s`]*)+"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: UTC)?\S*"
    r"|\d\d:\d\d(?::\d\d)? UTC\S*"
    r"|\d[\d,.]* (?:ms|s|min|h|rows?|B|kB|MB|GB|%)(?!\w)\S*"
    r"|\S+"
)
UNSURE = ("$", "\\", "--", "/*", '"""', "'''")
"""Where a text has one of these, quotes alone do not tell what is a string."""
OPENING, CLOSING = "([{", ")]}"


def prose(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text, each with the indentation of the line that it is a part of.

    A command that is wider than `width` has a line of its own, which the terminal wraps: it can be copied whole.
    """
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        words = [part for word in WORD.findall(line) for part in _parts(word, width)]
        yield from fill(words, width, indent, indent)


def _parts(word: str, width: int) -> list[str]:
    # SQL, which begins with a capital letter, can be pasted with line breaks; a command of a shell cannot
    return word.split() if cell_len(word) > width and word.lstrip("(`")[:1].isupper() else [word]


def fill(words: list[str], width: int, indent: str = "", later: str = "    ", *, gap: str = " ") -> Iterator[str]:
    """Yield lines of whole words with `gap` between them; lines after the first begin with `later`."""
    line = indent
    for place, word in enumerate(words):
        longer = line + (gap if place and line.strip() else "") + word
        if line.strip() and cell_len(longer) > width:
            yield line
            longer = later + word
        line = longer
    yield line


def code(text: str, width: int, *, in_brackets: bool) -> Iterator[str]:
    """Yield the lines of SQL, or of Python with `in_brackets`, broken where a line break means what the space does.

    That is outside of strings, in Python between brackets only. A text in which strings are not certain stays as it is.
    """
    if any(mark in text for mark in UNSURE):
        yield from text.splitlines()
        return
    quote, depth, line = "", 0, [""]
    for one in f"{text}\n":
        if one == "\n" and not quote:
            yield from _fill_code(line, width)
            line = [""]
            continue
        if quote:
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
        depth += (one in OPENING) - (one in CLOSING) if not quote else 0
        # never behind nothing but spaces: in Python the indentation is syntax
        if one == " " and not quote and line[0].strip() and (depth or not in_brackets):
            line.append("")
        else:
            line[-1] += one


def _fill_code(words: list[str], width: int) -> Iterator[str]:
    indent = " " * (len(words[0]) - len(words[0].lstrip()))
    return fill(words, width, later=f"{indent}    ")
