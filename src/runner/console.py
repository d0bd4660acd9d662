"""What people see: tables and progress on a terminal, plain lines elsewhere, JSON when asked."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from runner import report
from runner.report import Section
from runner.run import Tell

# Data goes to stdout, words for people go to stderr.
BY_STATUS = {"success": 0, "error": 1, "partial": 3}
# 130 is 128 and the number of SIGINT, as shells report it.
BY_CODE = {"invalid-payload": 2, "interrupted": 130}
# The answer to a question is no.
NO = 4
LEVELS = {"error": "bold red", "warning": "bold yellow", "note": "bold"}


def show(answer: dict[str, Any], form: str) -> int:
    """Print an answer as `tables`, `json` or `markdown`, and return the exit code that it stands for."""
    match form:
        case "json":
            sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False, default=str) + "\n")
        case "markdown":
            sys.stdout.write(report.markdown(answer))
        case _:
            _show_for_people(answer)
    if answer["status"] == "success" and answer.get("ok") is False:
        return NO
    return BY_CODE.get(str(answer.get("code")), BY_STATUS[answer["status"]])


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a `tell` that draws a bar on a terminal and writes a line for each event elsewhere."""
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    if not words.is_terminal:
        yield lambda sentence, **_: words.print(sentence, markup=False)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=words, transient=True) as drawn:
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


def _show_for_people(answer: dict[str, Any]) -> None:
    words = Console(stderr=True, highlight=False, soft_wrap=True)
    words.print(answer["message"], style="red" if answer["status"] == "error" else None, markup=False)
    found = report.sections(answer)
    data = Console(highlight=False)
    for section in found:
        if section is not found[0] and not data.is_terminal:
            sys.stdout.write("\n")
        if len(found) > 1 and data.is_terminal:
            words.print(f"\n{section.title}", style="bold", markup=False)
        if section.sentences and data.is_terminal:
            _list(section, data)
        elif section.rows:
            _table(section, data)
        else:
            sys.stdout.write(f"{section.text}\n")


def _list(section: Section, data: Console) -> None:
    """Print each row as a line of its short cells, with its sentences below."""
    for row in section.rows:
        short = [row[name] for name in section.columns if name not in section.sentences and row[name]]
        data.print("  ".join(short), style=LEVELS.get(row["level"]), markup=False)
        for name in section.sentences:
            if row[name]:
                data.print(Padding(Text(row[name]), (0, 0, 0, 4), expand=False))


def _table(section: Section, data: Console) -> None:
    if not data.is_terminal:
        for line in [section.columns, *([row[name] for name in section.columns] for row in section.rows)]:
            sys.stdout.write("\t".join(cell.replace("\n", " ") for cell in line) + "\n")
        return
    table = Table()
    for name in section.columns:
        # an id is there to be copied
        table.add_column(name, no_wrap=name == "revision", overflow="fold")
    for row in section.rows:
        table.add_row(*(Text(row[name]) for name in section.columns))
    data.print(table, markup=False)
