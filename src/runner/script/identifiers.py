"""The identifiers of each revision file, `revision`, `down_revision` and two more, read without running the file.

To import 5,000 files only to learn that none is pending takes a second. A file is read as text if it is written like
Alembic's template: each identifier is assigned once, a plain literal at the beginning of a line, and no other line has
one of their names, except comments and the docstring. Python has to import any other file.
"""

import codecs
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from runner.errors import UnknownRevision

# The same as `_only_source_rev_file` in Alembic's `script/base.py`, but for `._*.py`, in which macOS keeps a file's
# attributes where a file system or an archive has no place for them.
FILE = re.compile(r"(?!\.#|\._|__init__).*\.py")
# What Python looks for in the first two lines: https://docs.python.org/3/reference/lexical_analysis.html#encoding-declarations
COOKIE = re.compile(rb"(?:[^\n]*\n)?[ \t\f]*#[^\n]*coding[:=]")
# A backslash could escape the closing quotes.
DOCSTRING = re.compile(r'\s*"""[^"\\]*"""')
NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
# An assignment, with or without an annotation; not a comparison.
ASSIGNMENT = re.compile(rf"({'|'.join(NAMES)})\s*(?::[^=]*)?=(?!=)")
# A line that may assign one of the names in any other way has one of these.
WORDS = ("revision", "branch_labels", "depends_on", "import *")
# Alembic refuses an id with `@`, `-` or `+` in it.
STRING = r"""(?:"[^"\\@+-]*"|'[^'\\@+-]*')"""
SEVERAL = rf"[(\[](?P<some>(?:\s*{STRING}\s*,)+(?:\s*{STRING}\s*)?)[)\]]"
LITERAL = re.compile(rf"\s*(?:None|(?P<one>{STRING})|{SEVERAL})\s*(?:#.*)?")

Signature = tuple[int, int, int, int]


@dataclass(frozen=True)
class RevisionFile:
    """A revision file, not imported."""

    path: str
    checksum: str
    identifiers: dict[str, Any] | None
    """By name; None if only Python can read them."""


@dataclass(frozen=True, eq=False)
class RevisionFiles:
    """The revision files of a folder at one moment; equal only to itself, so that it can be the key of a cache."""

    files: tuple[RevisionFile, ...]

    @property
    def identified(self) -> Iterator[tuple[str, str]]:
        """Yield the id and the path of each file whose id is known."""
        return ((file.identifiers["revision"], file.path) for file in self.files if file.identifiers)


def read(folder: Path) -> RevisionFiles:
    """Return the revision files in `folder`, sorted by name; a process reads an unchanged folder once.

    A missing folder has no files: git does not keep an empty one.
    """
    if not folder.is_dir():
        return RevisionFiles(())
    with os.scandir(folder) as entries:
        chosen = [entry for entry in entries if FILE.fullmatch(entry.name) and not entry.is_dir()]
    files = [(entry.name, signature(entry.stat())) for entry in chosen]
    return _read(str(folder.absolute()), tuple(sorted(files)))


def signature(file: os.stat_result) -> Signature:
    """Return a file's inode, size and times (ns): they stay the same while the file is unchanged."""
    # `ctime` too: a program can set `mtime` back, but not `ctime`
    return file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


@lru_cache(maxsize=1)
def _read(folder: str, files: tuple[tuple[str, Signature], ...]) -> RevisionFiles:
    return RevisionFiles(tuple(_read_file(os.path.join(folder, name)) for name, _ in files))


def _read_file(path: str) -> RevisionFile:
    # the whole file in one call needs no buffer
    with open(path, "rb", buffering=0) as file:
        content = file.read()
    return RevisionFile(path, checksum(content), parse(content))


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a revision's text in hex; line endings do not count, comments do."""
    # git may check out the same text with either line ending
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def decode(content: bytes) -> str:
    """Return a file's text as Python reads it: without a byte-order mark, in the encoding that its cookie names.

    Raises `SyntaxError` or `UnicodeDecodeError` for a file that Python cannot read either.
    """
    if not content.startswith(codecs.BOM_UTF8) and not COOKIE.match(content):
        return content.decode(errors="replace")
    # it imports `tokenize`, which few files need
    return importlib.util.decode_source(content)


def refuse_twice(found: Iterable[tuple[str, str]]) -> None:
    """Raise `UnknownRevision`, which names both files, where two of these pairs of id and path have the same id."""
    known: dict[str, str] = {}
    for revision, path in found:
        if known.setdefault(revision, path) != path:
            names = " and ".join(f"`{os.path.basename(one)}`" for one in (known[revision], path))
            raise UnknownRevision(
                f"`{revision}` is the id of two files, {names}.",
                "Remove one of them, or give it another id and correct the `down_revision` of those that follow it.",
            )


def parse(content: bytes) -> dict[str, Any] | None:
    """Return the identifiers that a revision's text assigns, by name; None if only Python can read them."""
    identifiers: dict[str, Any] = {}
    try:
        text = decode(content)
    except (SyntaxError, UnicodeDecodeError):
        return None
    docstring = DOCSTRING.match(text)
    for line in text[docstring.end() if docstring else 0 :].splitlines():
        if line.startswith("#") or not any(word in line for word in WORDS):
            continue
        assignment = ASSIGNMENT.match(line)
        value = LITERAL.fullmatch(line, assignment.end()) if assignment else None
        if assignment is None or value is None or assignment[1] in identifiers:
            return None
        some = value["some"] and tuple(literal[1:-1] for literal in re.findall(STRING, value["some"]))
        identifiers[assignment[1]] = some or (value["one"] and value["one"][1:-1])
    complete = isinstance(identifiers.get("revision"), str) and "down_revision" in identifiers
    return identifiers if complete else None
