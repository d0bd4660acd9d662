"""The head of each revision's file: its id and what it follows, read from the text without running the file.

Running 5,000 files to learn that none of them is pending takes a second. Whatever is not written as Alembic's
template has it, plain literals at the beginning of a line and only once, is left to Python.
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
# What may set one of the names, wherever it stands: also an argument, or a line of a docstring.
SETS = re.compile(r"(?<![\w.])(revision|down_revision|branch_labels|depends_on)\s*(?::[^=]*)?=(?!=)")
STRING = r"""(?:"[^"\\]*"|'[^'\\]*')"""
SEVERAL = rf"[(\[](?P<some>(?:\s*{STRING}\s*,)+(?:\s*{STRING}\s*)?)[)\]]"
LITERAL = re.compile(rf"\s*(?:None|(?P<one>{STRING})|{SEVERAL})\s*(?:#.*)?")

Signature = tuple[int, int, int, int]


@dataclass(frozen=True)
class Header:
    """Hold one file: where it is, its text's checksum, and what its head says; None where Python has to tell."""

    path: str
    checksum: str
    said: dict[str, Any] | None


@dataclass(frozen=True, eq=False)
class Headers:
    """Hold all files of a folder as they were at one moment; equal to itself alone, so that it may be a key."""

    files: tuple[Header, ...]


def read(folder: Path) -> Headers:
    """Return the heads of the files in `folder`, by name; in one process, an unchanged folder is read once."""
    with os.scandir(folder) as entries:
        files = [(entry.name, signature(entry.stat())) for entry in entries if FILE.fullmatch(entry.name)]
    return _read(str(folder.absolute()), tuple(sorted(files)))


def signature(file: os.stat_result) -> Signature:
    """Return what is the same as long as a file is: its inode, its size, and its times.

    The time of the last change to the inode, nobody can set.
    """
    return file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


@lru_cache(maxsize=1)
def _read(folder: str, files: tuple[tuple[str, Signature], ...]) -> Headers:
    return Headers(tuple(_header(os.path.join(folder, name)) for name, _ in files))


def _header(path: str) -> Header:
    with open(path, "rb", buffering=0) as file:
        content = file.read()
    return Header(path, checksum(content), parse(content))


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a revision's text in hex; line endings do not count, a comment does."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def parse(content: bytes) -> dict[str, Any] | None:
    """Return what the head of a revision's text sets, by name; None where only Python can tell."""
    found: dict[str, Any] = {}
    for line in content.decode(errors="replace").splitlines():
        if "=" not in line or (setting := SETS.search(line)) is None:
            continue
        name, value = setting[1], LITERAL.fullmatch(line, setting.end())
        if setting.start() or name in found or value is None:
            return None
        some = value["some"] and tuple(text[1:-1] for text in re.findall(STRING, value["some"]))
        found[name] = some or (value["one"] and value["one"][1:-1])
    complete = isinstance(found.get("revision"), str) and "down_revision" in found
    return found if complete else None
