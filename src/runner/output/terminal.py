"""The output on a terminal: a progress bar, colours and tables."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runner.invocation import Tell, sparing
from runner.output import wrapping
from runner.output.report import Row, Section

CODE = ("sql", "python")
GAP, INDENT = "  ", "    "
BORDERS = 3
"""The width of a column's border and of the spaces in it."""
UNTITLED = ("description",)
LEVELS = {"error": "bold red", "warning": "bold yellow", "note": "bold"}


@contextmanager
def progress() -> Iterator[Tell]:
    """Yield a `Tell` that draws a progress bar, and writes a line for each revision that is done."""
    with bar() as (bars, task):
        command = bars.add_task("", total=None, visible=False)
        # lines of their own, so that the command in them can be copied
        say_some = sparing(lambda sentence, **_: _say_on(bars.console, sentence))

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
                _say_on(bars.console, sentence)

        yield tell


@contextmanager
def bar() -> Iterator[tuple[Progress, TaskID]]:
    """Yield a progress display and the id of the one bar in it, which is invisible until it is updated."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=words(), transient=True) as bars:
        yield bars, bars.add_task("", total=None, visible=False)


def say(sentence: str, style: str | None = None) -> None:
    """Write a sentence for people, broken between words but not inside a command in backticks."""
    _say_on(words(), sentence, style)


def copy(command: str) -> None:
    """Write a command on one line, which the terminal wraps where it is too long: so it is copied whole."""
    _put(words(), [command])


def draw(sections: list[Section]) -> None:
    """Draw tables and texts, each with a title where there are several."""
    data = _data()
    for section in sections:
        if len(sections) > 1:
            say(f"\n{section.title}", "bold")
        if section.sentences:
            _list(section, data)
        elif section.rows:
            table(section.columns, section.rows, below=section.below)
        elif section.language in CODE:
            _put(data, wrapping.code(section.text, data.width, in_brackets=section.language == "python"))
        else:
            _put(data, wrapping.prose(section.text, data.width) if not section.language else [section.text])


def table(
    columns: list[str],
    rows: list[Row],
    *,
    title: str = "",
    right: tuple[str, ...] = (),
    below: tuple[str, ...] = (),
    untitled: tuple[str, ...] = UNTITLED,
) -> None:
    """Draw a table; where the terminal is too narrow for it, columns are written below their rows.

    Those in `below` go first, in that order, then the others from the right; those in `untitled` have no name there.
    Columns in `right` are aligned to the right.
    """
    data, kept = _data(), list(columns)
    if _width(kept, rows) + BORDERS * len(kept) + 1 <= data.width:
        data.print(_grid(columns, rows, title, right))
        return
    leaving = [*below, *(name for name in reversed(columns[1:]) if name not in below)]
    while leaving and _width(kept, rows) + len(GAP) * (len(kept) - 1) > data.width:
        kept = [name for name in kept if name != leaving[0]]
        leaving = leaving[1:]
    if title:
        _put(data, [title], "bold")
    if len(kept) > 1:
        _put(data, [_line(dict(zip(kept, kept, strict=True)), kept, rows, right)], "bold")
    for row in rows:
        _put(data, [_line(row, kept, rows, right)], None if len(kept) > 1 else "bold")
        _put_below(data, row, [name for name in columns if name not in kept], untitled)


def words() -> Console:
    """Return the console for sentences, on stderr."""
    # `soft_wrap`: the terminal wraps a line that is too long, so that a command in it can be copied whole
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _data() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _say_on(console: Console, sentence: str, style: str | None = None) -> None:
    # into a file or a pipe a sentence goes as one line
    _put(console, wrapping.prose(sentence, console.width) if console.is_terminal else [sentence], style)


def _put(console: Console, lines: Iterable[str], style: str | None = None) -> None:
    for line in lines:
        # `Text`, since Rich would read brackets and names between colons in a string
        console.print(Text(line, style or ""))


def _grid(columns: list[str], rows: list[Row], title: str, right: tuple[str, ...]) -> Table:
    grid = Table(title=title or None, title_justify="left", title_style="bold")
    for name in columns:
        justify: JustifyMethod = "right" if name in right else "left"
        grid.add_column(name, justify=justify, no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(row[name]) for name in columns))
    return grid


def _width(columns: list[str], rows: list[Row]) -> int:
    """Return the width of columns in which no cell is wrapped, without what stands between them."""
    return sum(_widest(name, rows) for name in columns)


def _widest(name: str, rows: list[Row]) -> int:
    return max(map(cell_len, [name, *(row[name] for row in rows)]))


def _line(row: Row, columns: list[str], rows: list[Row], right: tuple[str, ...]) -> str:
    """Return the cells of a row, each as wide as its column."""
    padded = []
    for name in columns:
        room = " " * (_widest(name, rows) - cell_len(row[name]))
        padded.append(room + row[name] if name in right else row[name] + room)
    return GAP.join(padded).rstrip()


def _put_below(console: Console, row: Row, columns: list[str], untitled: tuple[str, ...]) -> None:
    """Write cells below their row: the untitled ones, then the others with their names, as many to a line as fit."""
    width = console.width - len(INDENT)
    short: list[str] = []
    lines: list[str] = []
    for name in filter(row.get, columns):
        shown = row[name] if name in untitled else f"{name}: {row[name]}"
        if name not in untitled and cell_len(shown) <= width:
            short.append(shown)
        else:
            lines += wrapping.prose(shown, width)
    lines += wrapping.fill(short, width, later="", gap=GAP) if short else []
    _put(console, (INDENT + line for line in lines))


def _list(section: Section, data: Console) -> None:
    """Print each row as a line of its short cells, with its long cells below."""
    for row in section.rows:
        short = [row[name] for name in section.columns if name not in section.sentences and row[name]]
        style = LEVELS.get(row.get("level", ""), "bold")
        _put(data, wrapping.fill(short, data.width, later=INDENT, gap=GAP), style)
        for name in filter(row.get, section.sentences):
            shown = row[name] if "level" in row else f"{name}: {row[name]}"
            room = data.width - len(INDENT)
            if name in section.commands and cell_len(shown) > room:
                # the terminal wraps the command, which can be copied whole
                lines = [f"{name}:", row[name]]
            else:
                lines = list(wrapping.prose(shown, room))
            _put(data, (INDENT + line for line in lines))
