"""A rule: what it finds in a revision, and the examples that are its tests and its page in `docs/rules.md`."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from runner.lint.state.statement import Revision, Statement
from runner.lint.state.tables import Table
from runner.results import Level


@dataclass(frozen=True)
class Violation:
    """What a rule finds at one place."""

    level: Level
    message: str
    """What happens to which table, by name."""
    remedy: str
    statement: Statement | None = None
    """None for a violation of the whole revision."""
    table: Table | None = None
    instead: tuple[str, ...] = ()
    """The Python to write instead, one text for the body of each `upgrade()`."""


@dataclass(frozen=True)
class Rule:
    """A rule of the lint; the docstring of its file explains it."""

    id: str
    levels: str
    """When a finding is an error, a warning or a note, as a sentence."""
    find: Callable[[Revision], Iterator[Violation]]
    bad: tuple[str, ...]
    """Bodies of `upgrade()` that it finds, on the tables of `tests/support/examples.sql`."""
    safe: tuple[str, ...]
    """Bodies of `upgrade()` that do the same safely; several revisions are divided by a line of `---`."""
    is_of_rows: bool = False
    """Whether it says that rows are read or written under a lock, so that a rehearsal does not say it again."""


def call(function: str, *arguments: object, schema: str = "public", **options: object) -> str:
    """Return a call of a helper as Python, with `schema` and options where they are not the defaults."""
    named = {**options, **({} if schema == "public" else {"schema": schema})}
    written = [*map(_python, arguments), *(f"{key}={_python(value)}" for key, value in named.items())]
    return f"{function}({', '.join(written)})"


def _python(value: object) -> str:
    match value:
        case str():
            # the double quotes of Python's formatters
            return json.dumps(value, ensure_ascii=False)
        case Sequence():
            return f"[{', '.join(map(_python, value))}]"
    return repr(value)
