"""Find out what stands between here and a run: one question after the other, each with what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runner.answer import Draft
from runner.errors import count
from runner.postgres import translation
from runner.results import DoctorResult, ProbeResult


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


def examine(probes: Iterable[Probe], draft: Draft) -> None:
    """Ask the questions in order and conclude `draft` with what they found; what depends on a failed one is skipped."""
    found: list[ProbeResult] = []
    broken: set[str | None] = set()
    for probe in probes:
        check = _ask(probe, broken)
        found.append(check)
        if check.state == "failed" or probe.needs in broken:
            broken.add(probe.name)
    failed = [check for check in found if check.state == "failed"]
    draft.conclude(_message(failed, len(found)), DoctorResult(not failed, tuple(found)))


def _ask(probe: Probe, broken: set[str | None]) -> ProbeResult:
    if probe.needs in broken:
        return ProbeResult(probe.name, "skipped", f"It needs `{probe.needs}`.")
    try:
        return ProbeResult(probe.name, "ok", probe.ask())
    except ProbeSkipped as why:
        return ProbeResult(probe.name, "skipped", str(why))
    except ProbeFailed as unwell:
        return ProbeResult(probe.name, "failed", unwell.told, unwell.advice)
    except Exception as error:  # noqa: BLE001 - told as the facade tells it
        problem = translation.explain(error)
    return ProbeResult(probe.name, "failed", problem.sentence, problem.advice)


def _message(failed: list[ProbeResult], total: int) -> str:
    if not failed:
        return "Nothing stands in the way of a run."
    first = failed[0]
    return f"{len(failed)} of {count(total, 'check')} failed, `{first.check}` first: {first.told} {first.advice}"
