"""The report of a lint: the findings that count, in order, and those that comments in the revisions allow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.lint.places import locate
from runner.lint.suppressions import allow
from runner.results import Finding, Level
from runner.script.offline import Rendered

LEVELS: tuple[Level, ...] = ("error", "warning", "note")
LARGE_ROWS = 10_000
"""Below this, a scan or a rewrite takes tens of milliseconds."""
STATEMENT_LENGTH = 120
"""Characters of a statement in a finding."""


@dataclass(frozen=True)
class LintReport:
    """The findings that count, and those that a revision allows."""

    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]
    linter: str | None
    """The linter's name and version; None if the extra `lint` is not installed."""


def report(
    rendered: Sequence[Rendered], findings: Iterable[Finding], harmless: Iterable[Finding], linter: str | None
) -> LintReport:
    """Return the report of these findings; `harmless` ones count nowhere, but a comment that allows one is not idle."""
    kept, allowed, about_comments = allow(rendered, findings, harmless, linted=linter is not None)
    order = {one.revision: place for place, one in enumerate(rendered)}
    counted = sorted([*kept, *about_comments], key=lambda one: (order[one.revision], LEVELS.index(one.level)))
    return LintReport(locate(counted, rendered), locate(allowed, rendered), linter)


def excerpt(text: str) -> str:
    """Return a statement as a finding shows it, on one line and cut."""
    return " ".join(text.split())[:STATEMENT_LENGTH]
