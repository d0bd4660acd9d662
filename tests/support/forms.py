"""The messages that the programs can write, as forms: with `…` for each datum and each number."""

import ast
import dataclasses
import importlib
import itertools
import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from runner.errors import MigrationError
from support.project import ROOT

DATA = "…"
NUMBER = 123_456
SOURCES = [*(ROOT / "src" / "runner").rglob("*.py"), *(ROOT / "src" / "dispatch_agent").rglob("*.py")]


@cache
def kinds() -> tuple[type[MigrationError], ...]:
    """Return the errors of both programs that have a message."""
    for path in (ROOT / "src" / "dispatch_agent").rglob("*.py"):
        importlib.import_module(
            ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        )
    return tuple(_below(MigrationError))


def _below(kind: type[MigrationError]) -> Iterator[type[MigrationError]]:
    for one in kind.__subclasses__():
        # tests define others
        if one.__module__.startswith(("runner.", "dispatch_agent.")):
            yield from [one] if hasattr(one, "what") and hasattr(one, "code") else []
            yield from _below(one)


@cache
def messages(kind: type[MigrationError]) -> frozenset[str]:
    """Return the forms of an error's messages: its code, and what happened."""
    reasons = literals(kind.__name__) if re.fullmatch(r"\{reason\}\.?", kind.what) else {DATA}
    return frozenset(
        form(f"{kind.code}: {kind(**_fields(kind, whole, truth, reason)).sentence}")
        for whole, truth, reason in itertools.product((False, True), (False, True), reasons)
    )


def form(text: str) -> str:
    """Return a text with `…` for its numbers, and one for several in a row or a list."""
    return re.sub(r"…(; )?(?=…)", "", re.sub(r"(?<![\w.])\d[\d,]*(?!\w)", DATA, text))


def _fields(kind: type[MigrationError], whole: bool, truth: bool, reason: str) -> dict[str, Any]:
    """Return a sample for each field, without a `whole` error's optional ones."""
    hints, given = typing.get_type_hints(kind), {}
    for one in dataclasses.fields(kind):
        optional = one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
        if whole or not optional:
            given[one.name] = reason if one.name == "reason" else _sample(hints[one.name], truth)
    return given


def _sample(hint: Any, truth: bool) -> Any:
    if typing.get_origin(hint) in (list, tuple):
        return typing.get_origin(hint)((DATA, DATA))
    first = (typing.get_args(hint) or (hint,))[0]
    return {int: NUMBER, float: float(NUMBER), bool: truth}.get(first, DATA)


def literals(name: str) -> set[str]:
    """Return the first texts with which the sources make an error of this name."""
    return {text for called, text in _calls() if called == name}


@cache
def _calls() -> frozenset[tuple[str, str]]:
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                found.add((called, text_of(node.args[0])))
    return frozenset((called, text) for called, text in found if text)


def text_of(node: ast.expr) -> str:
    """Return the form of a literal, an empty text for any other expression."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or DATA for part in parts)
    return ""


def keywords(path: Path, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the forms of these keyword arguments of each call in a file that has them all."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            given = {one.arg: text_of(one.value) for one in node.keywords}
            if given.keys() >= set(names):
                yield tuple(given[name] for name in names)
