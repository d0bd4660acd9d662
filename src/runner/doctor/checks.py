"""Find out what stands between here and a run: one question after the other, each with what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from runner.answer import Answer
from runner.errors import count
from runner.postgres import translation


@dataclass(frozen=True)
class ProbeResult:
    """Tell what one question came to."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    told: str
    advice: str = ""


@dataclass(frozen=True)
class Probe:
    """Ask for one thing that a run needs; `needs` names the question that must be answered well before.

    `ask` returns what it found, raises `Unwell` or any other error where that will not do, and `NotAsked`
    where the question has no meaning here or may not be asked.
    """

    name: str
    needs: str | None
    ask: Callable[[], str]


@dataclass(eq=False)
class ProbeFailed(Exception):
    """Say what is wrong, and what to do about it."""

    told: str
    advice: str


class ProbeSkipped(Exception):
    """Say why a question was not asked; what depends on it is asked all the same."""


def examine(questions: Iterable[Probe], answer: Answer) -> None:
    """Ask the questions in order and make `answer` theirs; what depends on a failed one is skipped."""
    found: list[ProbeResult] = []
    broken: set[str | None] = set()
    for question in questions:
        check = _ask(question, broken)
        found.append(check)
        if check.state == "failed" or question.needs in broken:
            broken.add(question.name)
    failed = [check for check in found if check.state == "failed"]
    answer.extra |= {"ok": not failed, "checks": [asdict(check) for check in found]}
    answer.message = _message(failed, len(found))


def _ask(question: Probe, broken: set[str | None]) -> ProbeResult:
    if question.needs in broken:
        return ProbeResult(question.name, "skipped", f"It needs `{question.needs}`.")
    try:
        return ProbeResult(question.name, "ok", question.ask())
    except ProbeSkipped as why:
        return ProbeResult(question.name, "skipped", str(why))
    except ProbeFailed as unwell:
        return ProbeResult(question.name, "failed", unwell.told, unwell.advice)
    except Exception as error:  # noqa: BLE001 - told as the facade tells it
        problem = translation.explain(error)
    return ProbeResult(question.name, "failed", problem.sentence, problem.advice)


def _message(failed: list[ProbeResult], total: int) -> str:
    if not failed:
        return "Nothing stands in the way of a run."
    first = failed[0]
    return f"{len(failed)} of {count(total, 'check')} failed, `{first.check}` first: {first.told} {first.advice}"
