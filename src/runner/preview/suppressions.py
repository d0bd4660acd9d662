"""What a revision allows itself: findings, and the comments that allow them with a reason."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from runner.results import Finding
from runner.script.offline import Rendered

COMMENT = re.compile(r"#\s*lint-allow\b(?P<said>.*)")
ALLOWED = re.compile(r"\s+(?P<rule>[a-z-]+)\s*:\s*(?P<reason>\S.*)")


@dataclass(frozen=True)
class Allowance:
    """A comment in a revision that allows a rule's findings."""

    revision: str
    rule: str
    reason: str | None
    """None for a comment that is not `# lint-allow RULE: reason`; `rule` is then what it says."""

    def covers(self, finding: Finding) -> bool:
        return self.reason is not None and (finding.revision, finding.rule) == (self.revision, self.rule)


def allow(
    rendered: Iterable[Rendered], found: Iterable[Finding], waived: Iterable[Finding], *, linted: bool
) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Part the findings into those that count and those that a comment allows, and find the idle comments."""
    found = list(found)
    allowances = [allowance for one in rendered for allowance in _allowances(one)]
    by = {(one.revision, one.rule): one.reason for one in allowances if one.reason is not None}
    kept = [finding for finding in found if (finding.revision, finding.rule) not in by]
    allowed = [replace(one, reason=by[one.revision, one.rule]) for one in found if one not in kept]
    idle = []
    for allowance in allowances:
        if allowance.reason is None:
            message = f"The comment `lint-allow{allowance.rule}` has no effect: it must name one rule and a reason."
            remedy = "Write `# lint-allow RULE: reason`, one comment for each rule."
            idle.append(Finding("suppression-without-reason", "warning", allowance.revision, message, remedy))
        elif linted and not any(allowance.covers(finding) for finding in [*found, *waived]):
            message = f"A comment allows `{allowance.rule}`, which has no finding."
            idle.append(Finding("unused-suppression", "warning", allowance.revision, message, "Remove the comment."))
    return kept, allowed, idle


def _allowances(one: Rendered) -> Iterator[Allowance]:
    """Yield what the comments allow in the direction that is planned; those outside `downgrade()` are for upgrades."""
    functions = [node for node in ast.parse(one.source).body if isinstance(node, ast.FunctionDef)]
    lines = {line for node in functions if node.name == "downgrade" for line in range(node.lineno, _end(node) + 1)}
    for token in tokenize.generate_tokens(io.StringIO(one.source).readline):
        comment = COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if comment and (token.start[0] in lines) == (one.direction == "downgrade"):
            said = ALLOWED.fullmatch(comment["said"])
            rule, reason = (said["rule"], said["reason"]) if said else (comment["said"], None)
            yield Allowance(one.revision, rule, reason)


def _end(node: ast.FunctionDef) -> int:
    return node.end_lineno or node.lineno
