"""What people see: tables and progress on a terminal, plain lines elsewhere, JSON when asked.

What draws on a terminal is imported for a terminal only.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from runner.answer import Answer, Json
from runner.invocation import Tell
from runner.output import report
from runner.output.report import Row
from runner.results import read

# Data goes to stdout, words for people go to stderr.
PARTLY_DONE = 3
BY_STATUS = {"success": 0, "error": 1, "partial": PARTLY_DONE}
# 130 is 128 and the number of SIGINT, as shells report it.
BY_CODE = {"invalid-payload": 2, "interrupted": 130}
# The answer to a question is no.
NO = 4


def show(told: dict[str, Json], form: str) -> int:
    """Print an answer, given as it came, as `tables`, `json` or `markdown`, and return the exit code it stands for."""
    if form == "json":
        put(told)
    answer = read(told)
    if form == "markdown":
        sys.stdout.write(report.markdown(answer))
    elif form == "tables":
        _show_for_people(answer)
    if answer.is_no:
        return NO
    return BY_CODE.get(answer.failure.code if answer.failure else "", BY_STATUS[answer.status])


def put(answer: object) -> None:
    """Write an answer as JSON."""
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False, default=str) + "\n")


def put_table(columns: list[str], rows: list[Row]) -> None:
    """Write a table for programs, its cells parted by tabs."""
    for line in [columns, *([row[name] for name in columns] for row in rows)]:
        sys.stdout.write("\t".join(cell.replace("\n", " ") for cell in line) + "\n")


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a `tell` that draws a bar on a terminal and writes a line for each event elsewhere."""
    if not sys.stderr.isatty():
        yield lambda sentence, **_: _say(sentence)
        return
    from runner.output import terminal

    with terminal.progress() as tell:
        yield tell


def _show_for_people(answer: Answer) -> None:
    if sys.stderr.isatty():
        from runner.output import terminal

        terminal.say(answer.message, "red" if answer.status == "error" else None)
    else:
        _say(answer.message)
    found = report.sections(answer)
    if sys.stdout.isatty():
        from runner.output import terminal

        terminal.draw(found)
        return
    for section in found:
        if section is not found[0]:
            sys.stdout.write("\n")
        if section.rows:
            put_table(section.columns, section.rows)
        else:
            sys.stdout.write(f"{section.text}\n")


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
