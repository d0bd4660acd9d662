"""The end of a plan: the command that applies it, or what to correct first."""

from collections.abc import Sequence

from runner.answer import Answer, names
from runner.errors import count
from runner.next_step import NextStep
from runner.results import Finding, PlanResult

LOSS = "downgrade-loses-rows"
"""The rule of a finding that nobody can correct: the rows are lost, or the downgrade does not happen."""
SHOWN = 3
"""The most places that the end names."""


def find(answer: Answer, options: Sequence[str], call: NextStep | None) -> tuple[str, str] | None:
    """Return what ends a plan, a sentence and a command or none; None for any other answer or with nothing to do.

    `options` select the call's database.
    """
    plan = answer.result
    if not isinstance(plan, PlanResult) or answer.status != "success" or answer.change is None or not plan.revisions:
        return None
    errors = [finding for finding in plan.findings if finding.level == "error"]
    wrong = [finding for finding in errors if finding.rule != LOSS]
    if wrong:
        return _correct(wrong), ""
    if plan.plan is None:
        return None
    # the call's own target, which may be shorter than the absolute one
    target = call.fields.get("target") if call else None
    fields = {"target": target or answer.change.target, "plan": plan.plan}
    if errors:
        fields["confirm"] = names(answer.change.before) or "base"
    loss = "It deletes rows: keep a copy if they may be needed again. " if errors else ""
    return f"{loss}Apply it with:", NextStep(plan.direction, fields).command(options)


def _correct(errors: list[Finding]) -> str:
    places = list(dict.fromkeys(map(_place, errors)))
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    each = "it" if len(errors) == 1 else "each"
    where = ", ".join(f"`{place}`" for place in places[:SHOWN])
    return (
        f"Correct {count(len(errors), 'error')} before you apply this plan, in {where}{more}: the findings say how. Or "
        f"allow {each} with its reason, in a comment such as `# lint-allow {errors[0].rule}: REASON`. Then plan again."
    )


def _place(finding: Finding) -> str:
    return ":".join(str(part) for part in (finding.path or finding.revision, finding.line) if part is not None)
