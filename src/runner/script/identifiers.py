"""The head of each revision's file: its id and what it follows, read from the text without running the file.

Running 5,000 files to learn that none of them is pending takes a second. Whatever is not written as Alembic's
template has it, plain literals at the beginning of a line, only once, and no other word of them but in a comment and in
the docstring, is left to Python.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

# As Alembic chooses them, but for bytecode without a source.
FILE = re.compile(r"(?!\.#|__init__).*\.py")
DOCSTRING = re.compile(r'\s*"""[^"\\]*"""')
NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
SETS = re.compile(rf"({'|'.join(NAMES)})\s*(?::[^=]*)?=(?!=)")
# What a line has that may set one of the names, in whatever way.
WORDS = ("revision", "branch_labels", "depends_on", "import *")
# Alembic refuses an id with `@`, `-` or `+` in it.
STRING = r"""(?:"[^"\\@+-]*"|'[^'\\@+-]*')"""
SEVERAL = rf"[(\[](?P<some>(?:\s*{STRING}\s*,)+(?:\s*{STRING}\s*)?)[)\]]"
LITERAL = re.compile(rf"\s*(?:None|(?P<one>{STRING})|{SEVERAL})\s*(?:#.*)?")

Signature = tuple[int, int, int, int]


@dataclass(frozen=True)
class RevisionFile:
    """Hold one file: where it is, its text's checksum, and what its head says; None where Python has to tell."""

    path: str
    checksum: str
    said: dict[str, Any] | None


@dataclass(frozen=True, eq=False)
class RevisionFiles:
    """Hold all files of a folder as they were at one moment; equal to itself alone, so that it may be a key."""

    files: tuple[RevisionFile, ...]


def read(folder: Path) -> RevisionFiles:
    """Return the heads of the files in `folder`, by name; in one process, an unchanged folder is read once.

    Where there is no such folder there are none: git does not keep an empty one.
    """
    if not folder.is_dir():
        return RevisionFiles(())
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if FILE.fullmatch(entry.name) and not entry.is_dir()]
    files = [(entry.name, signature(entry.stat())) for entry in found]
    return _read(str(folder.absolute()), tuple(sorted(files)))


def signature(file: os.stat_result) -> Signature:
    """Return what is the same as long as a file is: its inode, its size, and its times.

    The time of the last change to the inode, nobody can set.
    """
    return file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


@lru_cache(maxsize=1)
def _read(folder: str, files: tuple[tuple[str, Signature], ...]) -> RevisionFiles:
    return RevisionFiles(tuple(_header(os.path.join(folder, name)) for name, _ in files))


def _header(path: str) -> RevisionFile:
    with open(path, "rb", buffering=0) as file:
        content = file.read()
    return RevisionFile(path, checksum(content), parse(content))


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a revision's text in hex; line endings do not count, a comment does."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def parse(content: bytes) -> dict[str, Any] | None:
    """Return what the head of a revision's text sets, by name; None where only Python can tell."""
    found: dict[str, Any] = {}
    text = content.decode(errors="replace")
    docstring = DOCSTRING.match(text)
    for line in text[docstring.end() if docstring else 0 :].splitlines():
        if line.startswith("#") or not any(word in line for word in WORDS):
            continue
        setting = SETS.match(line)
        value = LITERAL.fullmatch(line, setting.end()) if setting else None
        if setting is None or value is None or setting[1] in found:
            return None
        some = value["some"] and tuple(one[1:-1] for one in re.findall(STRING, value["some"]))
        found[setting[1]] = some or (value["one"] and value["one"][1:-1])
    complete = isinstance(found.get("revision"), str) and "down_revision" in found
    return found if complete else None
