"""Output for people: tables and progress on a terminal, tab-separated lines elsewhere, JSON on request."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from runner import errors
from runner.output import terminal
from runner.output.console import put_table
from runner.output.report import Row

BETWEEN_LINES_S = 1.0
"""The shortest time between two lines of progress in a log."""

Tell = Callable[..., None]


def say(sentence: str, style: str | None = None) -> None:
    """Write a sentence for people."""
    terminal.say(_printable(sentence), style)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 lead`, `2,000 leads`."""
    return errors.count(number, noun, separator=",")


def draws() -> int:
    """Return the width of the terminal in columns, 0 where there is none."""
    data = Console()
    return data.width if data.is_terminal else 0


def colours() -> bool:
    """Tell whether the user allows colour: https://no-color.org."""
    return not os.environ.get("NO_COLOR")


def picture(drawn: str) -> None:
    """Write a drawing to the terminal."""
    sys.stdout.write(f"\n{drawn}\n")


def table(rows: list[Row], *, title: str = "", only_piped: tuple[str, ...] = ()) -> None:
    """Write rows that have the same columns; a terminal does not show the columns of `only_piped`."""
    if not rows:
        return
    drawn = Console().is_terminal
    columns = [name for name in rows[0] if not (drawn and name in only_piped)]
    shown = [{name: _printable(row[name]) for name in columns} for row in rows]
    if drawn:
        terminal.table(columns, shown, title=title, right=tuple(name for name in columns if _numbers(rows, name)))
    else:
        put_table(columns, shown)


@contextmanager
def progress() -> Iterator[Tell]:
    """Yield `tell(sentence, number=…, total=…)`, which draws a bar on a terminal and writes lines elsewhere."""
    words = terminal.words()
    if not words.is_terminal:
        yield _now_and_then(words)
        return
    with terminal.bar() as (drawn, task):

        def tell(sentence: str, *, number: int | None = None, total: int | None = None, **_: object) -> None:
            drawn.update(task, description=_printable(sentence), completed=number, total=total, visible=True)

        yield tell


def _now_and_then(words: Console) -> Tell:
    last = time.monotonic()

    def tell(sentence: str, **_: object) -> None:
        nonlocal last
        if time.monotonic() - last >= BETWEEN_LINES_S:
            last = time.monotonic()
            words.print(_printable(sentence), markup=False)

    return tell


def _numbers(rows: list[Row], name: str) -> bool:
    return all(row[name].replace(",", "").isdigit() for row in rows)


def _printable(words: str) -> str:
    """Replace characters that would move the cursor or end a line: a lead's name may contain any."""
    return "".join(one if one.isprintable() else " " for one in words)
