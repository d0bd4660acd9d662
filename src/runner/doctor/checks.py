"""The probes of `migrate doctor`, run one after the other, each with what to do where it fails."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runner.answer import Draft
from runner.errors import count
from runner.postgres import translation
from runner.results import DoctorResult, ProbeResult


@dataclass(frozen=True)
class Probe:
    """A probe for one thing that a run needs."""

    name: str
    needs: str | None
    """The probe that must not have failed before this one runs."""
    run: Callable[[], str]
    """Returns what it found. Raises `ProbeFailed`, `ProbeSkipped`, or any other error, which counts as a failure."""


@dataclass(eq=False)
class ProbeFailed(Exception):
    """What is wrong, and what to do about it."""

    sentence: str
    advice: str


class ProbeSkipped(Exception):
    """Why a probe does not apply or is not allowed; the probes that need it run all the same."""


def examine(probes: Iterable[Probe], draft: Draft) -> None:
    """Run the probes in order and conclude `draft` with their results; those that need a failed one are skipped."""
    results: list[ProbeResult] = []
    broken: set[str | None] = set()
    for probe in probes:
        result = _run(probe, broken)
        results.append(result)
        # also one that was skipped for a failed one, so that whatever needs it is skipped too
        if result.state == "failed" or probe.needs in broken:
            broken.add(probe.name)
    failed = [result for result in results if result.state == "failed"]
    draft.conclude(_message(failed, len(results)), DoctorResult(not failed, tuple(results)))


def _run(probe: Probe, broken: set[str | None]) -> ProbeResult:
    if probe.needs in broken:
        return ProbeResult(probe.name, "skipped", f"It requires `{probe.needs}`.")
    try:
        return ProbeResult(probe.name, "ok", probe.run())
    except ProbeSkipped as skipped:
        return ProbeResult(probe.name, "skipped", str(skipped))
    except ProbeFailed as failed:
        return ProbeResult(probe.name, "failed", failed.sentence, failed.advice)
    except Exception as error:  # noqa: BLE001 - translated as in `commands.execute`
        problem = translation.explain(error)
    return ProbeResult(probe.name, "failed", problem.sentence, problem.advice)


def _message(failed: list[ProbeResult], total: int) -> str:
    if not failed:
        return "All checks passed; a run can begin."
    first = failed[0]
    return f"{len(failed)} of {count(total, 'check')} failed. The first is `{first.check}`: {first.told} {first.advice}"
