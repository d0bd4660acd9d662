"""The places of findings: the file of a revision, and the line in it."""

from collections.abc import Iterable
from dataclasses import replace

from runner.results import Finding
from runner.script.offline import Rendered


def locate(findings: Iterable[Finding], revisions: Iterable[Rendered]) -> tuple[Finding, ...]:
    """Return the findings with their files; one about a whole revision gets the line of its function."""
    known = {revision.revision: revision for revision in revisions}
    return tuple(_locate(one, known[one.revision]) for one in findings)


def _locate(finding: Finding, revision: Rendered) -> Finding:
    return replace(finding, path=revision.path, line=finding.line or revision.line)
