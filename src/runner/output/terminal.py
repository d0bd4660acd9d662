"""What people see on a terminal: a bar of progress, colours and drawn tables."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runner.invocation import Tell
from runner.output.report import Row, Section

LEVELS = {"error": "bold red", "warning": "bold yellow", "note": "bold"}


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a `tell` that draws a bar, and writes a line for each revision that is done."""
    with bar() as (drawn, task):

        def tell(sentence: str, **fields: Any) -> None:
            if fields.get("event") != "done":
                drawn.update(
                    task, description=sentence, total=fields.get("total"), completed=fields.get("number", 1) - 1,
                    visible=True,
                )  # fmt: skip
            else:
                drawn.update(task, completed=fields["number"])
                drawn.console.print(sentence, markup=False)

        yield tell


@contextmanager
def bar() -> Iterator[tuple[Progress, TaskID]]:
    """Give what draws a bar, which nobody sees yet, and the bar's id there."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=words(), transient=True) as drawn:
        yield drawn, drawn.add_task("", total=None, visible=False)


def say(sentence: str, style: str | None = None) -> None:
    """Write a sentence for people."""
    words().print(sentence, style=style, markup=False)


def draw(sections: list[Section]) -> None:
    """Draw tables and texts, each with its title where there are several."""
    data = Console(highlight=False)
    for section in sections:
        if len(sections) > 1:
            say(f"\n{section.title}", "bold")
        if section.sentences:
            _list(section, data)
        elif section.rows:
            # an id is there to be copied
            table(section.columns, section.rows, whole=("revision",))
        else:
            sys.stdout.write(f"{section.text}\n")


def table(
    columns: list[str], rows: list[Row], *, title: str = "", right: tuple[str, ...] = (), whole: tuple[str, ...] = ()
) -> None:
    """Draw a table; columns of `right` are for numbers, and cells of `whole` stay on one line."""
    drawn = Table(title=title or None, title_justify="left", title_style="bold")
    for name in columns:
        justify: JustifyMethod = "right" if name in right else "left"
        drawn.add_column(name, overflow="fold", justify=justify, no_wrap=name in whole)
    for row in rows:
        drawn.add_row(*(Text(row[name]) for name in columns))
    Console(highlight=False).print(drawn, markup=False)


def words() -> Console:
    """Return where words for people go."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _list(section: Section, data: Console) -> None:
    """Print each row as a line of its short cells, with its sentences below."""
    for row in section.rows:
        short = [row[name] for name in section.columns if name not in section.sentences and row[name]]
        data.print("  ".join(short), style=LEVELS.get(row["level"]), markup=False)
        for name in section.sentences:
            if row[name]:
                data.print(Padding(Text(row[name]), (0, 0, 0, 4), expand=False))
