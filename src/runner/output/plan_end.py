"""The end of a plan: the command that applies it, or what to correct first."""

from runner.answer import Answer, names
from runner.errors import count
from runner.next_step import Door, NextStep
from runner.output.rule_texts import FAILS
from runner.results import Finding, PlanResult

LOSS = "downgrade-loses-rows"
"""The rule of a finding that nobody can correct: the rows are lost, or the downgrade does not happen."""
SHOWN = 3
"""The most places that the end names."""


def find(answer: Answer, door: Door, call: NextStep | None) -> tuple[str, str] | None:
    """Return what ends a plan, a sentence and a command or none; None for any other answer or with nothing to do.

    `door` has the words of the caller.
    """
    plan = answer.result
    if not isinstance(plan, PlanResult) or answer.status != "success" or answer.change is None or not plan.revisions:
        return None
    errors = [finding for finding in plan.findings if finding.level == "error"]
    wrong = [finding for finding in errors if finding.rule != LOSS]
    if plan.permitted is False:
        return _forbidden(plan.direction), ""
    if wrong:
        return _correct(wrong, door.write(call) if call else None), ""
    if plan.plan is None:
        return None
    # the call's own target, which may be shorter than the absolute one
    target = call.fields.get("target") if call else None
    fields = {"target": target or answer.change.target, "plan": plan.plan}
    if errors:
        fields["confirm"] = names(answer.change.before) or "base"
    command = door.write(NextStep(plan.direction, fields))
    loss = "It deletes rows: keep a copy if they may be needed again. " if errors else ""
    return None if command is None else (f"{loss}Apply it with:", command)


def _forbidden(action: str) -> str:
    return (
        f"This environment does not allow `{action}`, so the plan cannot be applied. Undo the change by a revision of "
        f"its own (`migrate new`), or name `{action}` in `ALLOWED_ACTIONS`."
    )


def _correct(errors: list[Finding], call: str | None) -> str:
    places = list(dict.fromkeys(map(_place, errors)))
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    where = ", ".join(f"`{place}`" for place in places[:SHOWN])
    first = f"Correct {count(len(errors), 'error')} before you apply this plan, in {where}{more}: the findings say how."
    # a comment does not help where the run fails all the same
    rules = [finding.rule for finding in errors if finding.rule not in FAILS]
    if rules:
        each = "it" if len(errors) == 1 else "each"
        if len(rules) < len(errors):
            fail = ", ".join(f"`{rule}`" for rule in dict.fromkeys(one.rule for one in errors if one.rule in FAILS))
            each = f"what is not {fail}"
        first += f" Or allow {each} with its reason, in a comment such as `# lint-allow {rules[0]}: REASON`."
    return f"{first} Then {f'run `{call}` again' if call else 'plan again'}."


def _place(finding: Finding) -> str:
    return ":".join(str(part) for part in (finding.path or finding.revision, finding.line) if part is not None)
