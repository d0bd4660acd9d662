"""The output on a terminal: a progress bar, colours and tables."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runner.invocation import Tell, sparing
from runner.output.report import Row, Section

LEVELS = {"error": "bold red", "warning": "bold yellow", "note": "bold"}


@contextmanager
def progress() -> Iterator[Tell]:
    """Yield a `Tell` that draws a progress bar, and writes a line for each revision that is done."""
    with bar() as (bars, task):
        command = bars.add_task("", total=None, visible=False)
        # lines of their own, so that the command in them can be copied
        say_some = sparing(lambda sentence, **_: bars.console.print(sentence, markup=False))

        def tell(sentence: str, **fields: Any) -> None:
            total = fields.get("blocks")
            if fields.get("event") == "progress" and total and "\n" not in sentence:
                completed = fields.get("done") or 0
                bars.update(command, description=fields["phase"], total=total, completed=completed, visible=True)
                return
            bars.update(command, visible=False)
            if fields.get("event") in {"blocked", "progress"}:
                say_some(sentence, **fields)
            elif fields.get("event") != "done":
                # the event names the revision that begins, and the bar shows those that are done
                bars.update(
                    task, description=sentence, total=fields.get("total"), completed=fields.get("number", 1) - 1,
                    visible=True,
                )  # fmt: skip
            else:
                bars.update(task, completed=fields["number"])
                # through the bar's console, which writes above the bar
                bars.console.print(sentence, markup=False)

        yield tell


@contextmanager
def bar() -> Iterator[tuple[Progress, TaskID]]:
    """Yield a progress display and the id of the one bar in it, which is invisible until it is updated."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=words(), transient=True) as bars:
        yield bars, bars.add_task("", total=None, visible=False)


def say(sentence: str, style: str | None = None) -> None:
    """Write a sentence for people."""
    words().print(sentence, style=style, markup=False)


def draw(sections: list[Section]) -> None:
    """Draw tables and texts, each with a title where there are several."""
    data = Console(highlight=False)
    for section in sections:
        if len(sections) > 1:
            say(f"\n{section.title}", "bold")
        if section.sentences:
            _list(section, data)
        elif section.rows:
            # an id that is wrapped over two lines cannot be copied
            table(section.columns, section.rows, whole=("revision",))
        else:
            sys.stdout.write(f"{section.text}\n")


def table(
    columns: list[str], rows: list[Row], *, title: str = "", right: tuple[str, ...] = (), whole: tuple[str, ...] = ()
) -> None:
    """Draw a table; columns in `right` are aligned to the right, cells of columns in `whole` are not wrapped."""
    grid = Table(title=title or None, title_justify="left", title_style="bold")
    for name in columns:
        justify: JustifyMethod = "right" if name in right else "left"
        grid.add_column(name, overflow="fold", justify=justify, no_wrap=name in whole)
    for row in rows:
        # `Text`, since Rich would read brackets in a string as markup
        grid.add_row(*(Text(row[name]) for name in columns))
    Console(highlight=False).print(grid, markup=False)


def words() -> Console:
    """Return the console for sentences, on stderr."""
    # `soft_wrap`: the terminal wraps a line, so that a command in it can be copied whole
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _list(section: Section, data: Console) -> None:
    """Print each row as a line of its short cells, with its long cells below."""
    for row in section.rows:
        short = [row[name] for name in section.columns if name not in section.sentences and row[name]]
        data.print("  ".join(short), style=LEVELS.get(row.get("level", ""), "bold"), markup=False)
        for name in section.sentences:
            if row[name]:
                shown = f"{name}: {row[name]}" if "level" not in row else row[name]
                data.print(Padding(Text(shown), (0, 0, 0, 4), expand=False))
