"""The allowances of a revision: comments that except it from a lint rule, each with a reason."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from runner.results import Finding
from runner.script.offline import Rendered

COMMENT = re.compile(r"#\s*lint-allow\b(?P<text>.*)")
ALLOWED = re.compile(r"\s+(?P<rule>[a-z-]+)\s*:\s*(?P<reason>\S.*)")


@dataclass(frozen=True)
class Allowance:
    """A comment in a revision that allows a rule's findings."""

    revision: str
    rule: str
    reason: str | None
    """None for a comment that is not `# lint-allow RULE: reason`; `rule` is then the whole text after `lint-allow`."""

    def covers(self, finding: Finding) -> bool:
        """Return whether the comment allows this finding."""
        return self.reason is not None and (finding.revision, finding.rule) == (self.revision, self.rule)


def allow(
    revisions: Iterable[Rendered], findings: Iterable[Finding], harmless: Iterable[Finding], *, linted: bool
) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Return the findings that count, those that a comment allows, and a finding for each unused or invalid comment.

    `harmless` are findings that count nowhere, but whose comments are not unused: on another database they may count.
    Without `linted`, squawk did not run, and so no comment is called unused.
    """
    findings = list(findings)
    allowances = [allowance for revision in revisions for allowance in _allowances(revision)]
    reasons = {(one.revision, one.rule): one.reason for one in allowances if one.reason is not None}
    kept = [finding for finding in findings if (finding.revision, finding.rule) not in reasons]
    allowed = [replace(one, reason=reasons[one.revision, one.rule]) for one in findings if one not in kept]
    idle = []
    for allowance in allowances:
        if allowance.reason is None:
            message = f"The comment `lint-allow{allowance.rule}` has no effect: it must name one rule and a reason."
            remedy = "Write `# lint-allow RULE: reason`, one comment for each rule."
            idle.append(Finding("suppression-without-reason", "warning", allowance.revision, message, remedy))
        elif linted and not any(allowance.covers(finding) for finding in [*findings, *harmless]):
            message = f"A comment allows `{allowance.rule}`, which has no finding."
            idle.append(Finding("unused-suppression", "warning", allowance.revision, message, "Remove the comment."))
    return kept, allowed, idle


def _allowances(revision: Rendered) -> Iterator[Allowance]:
    """Yield the allowances for a revision's direction: the comments in `downgrade()`, or for an upgrade all others."""
    # the lines come from the tree, the comments from the tokens: a tree has no comments
    functions = [node for node in ast.parse(revision.source).body if isinstance(node, ast.FunctionDef)]
    lines = {line for node in functions if node.name == "downgrade" for line in range(node.lineno, _end(node) + 1)}
    for token in tokenize.generate_tokens(io.StringIO(revision.source).readline):
        comment = COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if comment and (token.start[0] in lines) == (revision.direction == "downgrade"):
            match = ALLOWED.fullmatch(comment["text"])
            rule, reason = (match["rule"], match["reason"]) if match else (comment["text"], None)
            yield Allowance(revision.revision, rule, reason)


def _end(node: ast.FunctionDef) -> int:
    return node.end_lineno or node.lineno
