"""What people see on a terminal: a bar of progress, colours and drawn tables."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runner.invocation import Tell
from runner.output.report import Section

LEVELS = {"error": "bold red", "warning": "bold yellow", "note": "bold"}


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a `tell` that draws a bar, and writes a line for each revision that is done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_words(), transient=True) as drawn:
        bar = drawn.add_task("", total=None, visible=False)

        def tell(sentence: str, **fields: Any) -> None:
            if fields.get("event") != "done":
                drawn.update(
                    bar, description=sentence, total=fields.get("total"), completed=fields.get("number", 1) - 1,
                    visible=True,
                )  # fmt: skip
            else:
                drawn.update(bar, completed=fields["number"])
                drawn.console.print(sentence, markup=False)

        yield tell


def say(sentence: str, style: str | None = None) -> None:
    """Write a sentence for people."""
    _words().print(sentence, style=style, markup=False)


def draw(sections: list[Section]) -> None:
    """Draw tables and texts, each with its title where there are several."""
    data = Console(highlight=False)
    for section in sections:
        if len(sections) > 1:
            say(f"\n{section.title}", "bold")
        if section.sentences:
            _list(section, data)
        elif section.rows:
            _table(section, data)
        else:
            sys.stdout.write(f"{section.text}\n")


def _words() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _list(section: Section, data: Console) -> None:
    """Print each row as a line of its short cells, with its sentences below."""
    for row in section.rows:
        short = [row[name] for name in section.columns if name not in section.sentences and row[name]]
        data.print("  ".join(short), style=LEVELS.get(row["level"]), markup=False)
        for name in section.sentences:
            if row[name]:
                data.print(Padding(Text(row[name]), (0, 0, 0, 4), expand=False))


def _table(section: Section, data: Console) -> None:
    table = Table()
    for name in section.columns:
        # an id is there to be copied
        table.add_column(name, no_wrap=name == "revision", overflow="fold")
    for row in section.rows:
        table.add_row(*(Text(row[name]) for name in section.columns))
    data.print(table, markup=False)
