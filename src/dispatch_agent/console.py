"""What people see: tables and progress on a terminal, tab-separated lines elsewhere, JSON when asked."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# Data goes to stdout, words for people go to stderr.
BETWEEN_LINES_S = 1.0
"""How long a log is spared another line of progress."""

Tell = Callable[..., None]
Row = dict[str, str]


def say(sentence: str, style: str | None = None) -> None:
    """Write a sentence for people."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(_printable(sentence), style=style, markup=False)


def put(answer: object) -> None:
    """Write an answer as JSON."""
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False, default=str) + "\n")


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 lead`, `2,000 leads`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def draws() -> int:
    """Return how many columns there are to draw in, 0 where nobody sees it."""
    data = Console()
    return data.width if data.is_terminal else 0


def colours() -> bool:
    """Tell whether colour is wanted: https://no-color.org."""
    return not os.environ.get("NO_COLOR")


def picture(drawn: str) -> None:
    """Write what was drawn for a terminal."""
    sys.stdout.write(f"\n{drawn}\n")


def table(rows: list[Row], *, title: str = "", only_piped: tuple[str, ...] = ()) -> None:
    """Write rows that have the same columns; those of `only_piped` are for programs."""
    if not rows:
        return
    data = Console(highlight=False)
    columns = [name for name in rows[0] if not (data.is_terminal and name in only_piped)]
    if not data.is_terminal:
        for line in [columns, *([row[name] for name in columns] for row in rows)]:
            sys.stdout.write("\t".join(map(_printable, line)) + "\n")
        return
    drawn = Table(title=title or None, title_justify="left", title_style="bold")
    for name in columns:
        drawn.add_column(name, overflow="fold", justify="right" if _numbers(rows, name) else "left")
    for row in rows:
        drawn.add_row(*(Text(_printable(row[name])) for name in columns))
    data.print(drawn, markup=False)


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a `tell(sentence, number=…, total=…)` that draws a bar on a terminal, and writes a line now and then."""
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    if not words.is_terminal:
        yield _now_and_then(words)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=words, transient=True) as drawn:
        bar = drawn.add_task("", total=None, visible=False)

        def tell(sentence: str, *, number: int | None = None, total: int | None = None, **_: object) -> None:
            drawn.update(bar, description=_printable(sentence), completed=number, total=total, visible=True)

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
    """Replace what would move the cursor or end a line: a lead's name may hold anything."""
    return "".join(one if one.isprintable() else " " for one in words)
