"""Checksums of what a revision's text runs: comments, docstrings and layout do not count.

They are of Python's syntax tree, in a form of our own: that of `ast.dump` differs between versions of Python.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.script import identifiers

POSITIONS = frozenset({"lineno", "col_offset", "end_lineno", "end_col_offset", "ctx", "kind"})
"""Attributes of a node that say where it stands, or what its place says already."""
READS_DOCSTRINGS = (b"__doc__", b"getdoc")


@dataclass(frozen=True)
class Checksums:
    """The checksums of a revision's text, SHA-256 in hex; those of its syntax are None for a text that has none."""

    text: str | None
    code: str | None = None
    """Of the whole syntax tree, without docstrings."""
    downgrade: str | None = None
    """Of `downgrade()` and of what it uses of its file."""


def checksums(content: bytes) -> Checksums:
    """Return the checksums of a revision's text."""
    text = identifiers.checksum(content)
    try:
        body = ast.parse(content).body
        keeps = any(word in content for word in READS_DOCSTRINGS)
        dumped = {id(one): _dump(one, keeps) for one in body}
    # `ValueError` for a NUL, the other two for what is nested too deeply
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Checksums(text)
    code, downgrade = (_hash(dumped[id(one)] for one in some) for some in (body, _reached(body, {"downgrade"})))
    return Checksums(text, code, downgrade)


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(filter(None, parts)).encode()).hexdigest()


def _reached(body: list[ast.stmt], names: set[str]) -> list[ast.stmt]:
    """Return the statements of a file on which the functions `names` may depend."""
    while True:
        kept = [one for one in body if (bound := _bound(one)) is None or bound & names]
        used = {node.id for one in kept for node in ast.walk(one) if isinstance(node, ast.Name)}
        if used <= names:
            return kept
        names |= used


def _bound(statement: ast.stmt) -> set[str] | None:
    """Return the names that a statement of a file binds and that are all it does; None if it may do more."""
    match statement:
        case ast.FunctionDef(name=name, decorator_list=[]) | ast.ClassDef(name=name, decorator_list=[]):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            bound = {alias.asname or alias.name.partition(".")[0] for alias in aliases}
            return None if "*" in bound else bound
        case ast.Assign(targets=targets) if all(isinstance(target, ast.Name) for target in targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return None


def _dump(part: Any, keeps_docstrings: bool) -> str:
    """Return a part of a syntax tree as text; empty for a statement that is only a string, as a docstring is."""
    if isinstance(part, list):
        return ",".join(filter(None, [_dump(one, keeps_docstrings) for one in part]))
    if not isinstance(part, ast.AST):
        # not `repr`: which characters it escapes depends on the version of Unicode
        return ascii(part)
    if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str):
        return ascii(part.value.value) if keeps_docstrings else ""
    dumped = type(part).__name__
    # what a node has, and not `_fields`: later versions of Python add fields, empty in a text that does without them
    for name, value in vars(part).items():
        if value is not None and value != [] and name not in POSITIONS:
            dumped += f" {name}=({_dump(value, keeps_docstrings)})"
    return dumped
