"""The output of a command: tables and progress on a terminal, plain lines elsewhere, JSON with `--json`.

Data goes to stdout, sentences for people go to stderr. `terminal` imports Rich, so it is imported for a terminal only.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import next_step, signals
from runner.answer import Answer, Json
from runner.errors import Interrupted
from runner.invocation import Tell, sparing
from runner.next_step import Door, NextStep
from runner.output import plan_end, report
from runner.output.report import Row
from runner.results import PlanResult, read

PARTLY_DONE = 3
BY_STATUS = {"success": 0, "error": 1, "partial": PARTLY_DONE}
"""The exit codes by an answer's status."""
# 2 is what Click exits with for a wrong option; 130 is 128 + SIGINT, as a shell reports it.
BY_CODE = {"invalid-payload": 2, Interrupted.code: 130}
"""The exit codes by an error's code, where the status is not enough."""
NO = 4
"""The exit code of a successful command whose answer is no: drift, findings, a failed check."""


def show(
    document: dict[str, Json],
    form: str,
    project: Path = Path(),
    door: Door = next_step.HERE,
    same: NextStep | None = None,
) -> int:
    """Print an answer, given as JSON, and return its exit code.

    `form` is `tables`, `json`, `markdown`, or `sarif` for a plan; `project` is the folder of the project. The steps
    in its messages get the words of `door`; `same` is the call, where it was one of a verb.
    """
    document = next_step.spell_all(document, same, door)
    # not the answer that is read from it: a newer image's may have fields that this version would drop
    if form == "json":
        put(document)
    answer = read(document)
    if form == "markdown":
        sys.stdout.write(report.markdown(answer))
    elif form == "tables":
        _show_for_people(answer)
        if end := plan_end.find(answer, door, same):
            _tell_the_end(*end)
    elif form == "sarif" and not _show_sarif(answer, project):
        return BY_STATUS["error"]
    code = answer.failure.code if answer.failure else ""
    if signals.received() is not None:
        # the exception of the signal was lost on its way, and the answer is that of the whole work
        if code != Interrupted.code:
            signals.tell()
        return signals.exit_code()
    if answer.is_no:
        return NO
    return BY_CODE.get(code, BY_STATUS[answer.status])


def put(answer: object) -> None:
    """Write an answer as JSON."""
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False, default=str) + "\n")


def put_table(columns: list[str], rows: list[Row]) -> None:
    """Write a table for programs: a line for each row, with tabs between the cells."""
    # a line break in a cell would look like a new row
    for line in [columns, *([row[name] for name in columns] for row in rows)]:
        sys.stdout.write("\t".join(cell.replace("\n", " ") for cell in line) + "\n")


@contextmanager
def progress() -> Iterator[Tell]:
    """Yield a `Tell` that draws a progress bar on a terminal, and writes a line for each event elsewhere."""
    if not sys.stderr.isatty():
        yield sparing(lambda sentence, **_: _say(sentence))
        return
    from runner.output import terminal

    with terminal.progress() as tell:
        yield tell


def _show_sarif(answer: Answer, project: Path) -> bool:
    """Write the findings of a plan; return whether a successful answer has any that can be read."""
    _tell(answer)
    if not isinstance(answer.result, PlanResult):
        if answer.status == "success":
            _say("There is no SARIF, since the details are of another version than this command.")
        # nothing is written, since GitHub takes the alerts that a file lacks for resolved
        return answer.status != "success"
    from runner.output import sarif

    put(sarif.document(answer, answer.result, project))
    return True


def _show_for_people(answer: Answer) -> None:
    _tell(answer)
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


def _tell(answer: Answer) -> None:
    # each stream by itself: often the tables go into a file and the message to a terminal
    if sys.stderr.isatty():
        from runner.output import terminal

        terminal.say(answer.message, "red" if answer.status == "error" else None)
    else:
        _say(answer.message)
    if answer.left_out is not None:
        _say(f"Not the whole answer: {answer.left_out}.")


def _tell_the_end(told: str, command: str) -> None:
    """Write what comes last, below the data where both go to one terminal: a sentence, then a command to copy."""
    sys.stdout.flush()
    if sys.stderr.isatty():
        from runner.output import terminal

        terminal.say(f"\n{told}")
        if command:
            terminal.copy(command)
    else:
        _say("\n".join(filter(None, (told, command))))


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
