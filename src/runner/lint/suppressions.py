"""What the allowances of revisions do to the findings of a plan."""

from collections.abc import Iterable
from dataclasses import replace

from runner.results import Finding
from runner.script import allowances
from runner.script.offline import Rendered

SCANS, REWRITES = "scans-under-lock", "rewrites-under-lock"
"""The rules of a rehearsal, of whose findings a plan knows nothing."""

RENAMED = {"update-all-rows": "unbounded-write"}
"""The ids that rules had before, which applied revisions name, by those that they have now."""

ALSO_ALLOWED = {"renaming-table": "renaming-object"}
"""The rules whose findings an allowance of another allows too: ALTER TABLE renames views, which not each plan knows."""


def allow(
    revisions: Iterable[Rendered], findings: Iterable[Finding], harmless: Iterable[Finding], *, linted: bool
) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Return the findings that count, those that a comment allows, and a finding for each unused or invalid comment.

    `harmless` are findings that count nowhere, but whose comments are not unused: on another database they may count.
    Without `linted`, squawk did not run, and so no comment is called unused.
    """
    findings = list(findings)
    given = [
        (one.revision, replace(allowed, rule=RENAMED.get(allowed.rule, allowed.rule)))
        for one in revisions
        for allowed in allowances.read(one.source, one.direction)
    ]
    reasons = {
        (revision, rule): one.reason
        for revision, one in given
        if one.reason is not None
        for rule in (one.rule, ALSO_ALLOWED.get(one.rule, one.rule))
    }
    kept = [finding for finding in findings if (finding.revision, finding.rule) not in reasons]
    allowed = [
        replace(one, reason=reasons[one.revision, one.rule]) for one in findings if (one.revision, one.rule) in reasons
    ]
    found = {(finding.revision, finding.rule) for finding in [*findings, *harmless]}
    found |= {(revision, old) for old, new in ALSO_ALLOWED.items() for revision, rule in found if rule == new}
    idle = []
    for revision, allowance in given:
        if allowance.reason is None:
            message = f"The comment `lint-allow{allowance.rule}` has no effect: it must name one rule and a reason."
            remedy = "Write `# lint-allow RULE: reason`, one comment for each rule."
            line = allowance.line
            idle.append(Finding("suppression-without-reason", "warning", revision, message, remedy, line=line))
        elif linted and allowance.rule not in (SCANS, REWRITES) and (revision, allowance.rule) not in found:
            message = f"A comment allows `{allowance.rule}`, which has no finding."
            remedy, line = "Remove the comment.", allowance.line
            idle.append(Finding("unused-suppression", "warning", revision, message, remedy, line=line))
    return kept, allowed, idle
