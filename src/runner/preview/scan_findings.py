"""The findings of a rehearsal: what read or rewrote a table under a lock, and has no finding of the lint."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from runner.errors import count
from runner.lint.report import LARGE_ROWS, LintReport
from runner.lint.suppressions import REWRITES, SCANS, allow
from runner.preview.scans import Scans, shorten
from runner.results import Finding, Level
from runner.script.offline import Rendered

FEW_ROWS = 1_000
"""Below this there is no finding: a read takes about a millisecond, and so few rows say little of a larger table."""

HELP = {
    SCANS: "Split the revision: what reads rows goes before what locks, or into another revision. Add a constraint as "
    "NOT VALID, and validate it in the next revision, also for SET NOT NULL and ATTACH PARTITION a CHECK that proves "
    "them. Build the index of a key concurrently.",
    REWRITES: "Add another column, fill it in batches outside the migration, and change over to it. Add a column "
    "without a default that is computed for each row.",
}


@dataclass(frozen=True)
class Work:
    """What a revision read of one table, or rewrote, while a lock blocked others."""

    revision: str
    table: str
    rows: int
    rewrites: bool
    blocked: str
    """What the lock blocked, such as ``writes to `leads` ``."""
    statement: str
    """On one line, cut as in a finding; of several the one that read the most rows."""

    @property
    def told(self) -> str:
        """Return a sentence about it."""
        rows = count(self.rows, "row", separator=",")
        did = f"rewrote `{self.table}` ({rows} read)" if self.rewrites else f"read {rows} of `{self.table}`"
        return f"`{self.revision}` {did} while it blocked {self.blocked}."


def name(revision: str, scans: Scans, roots: Mapping[int, str]) -> list[Work]:
    """Return the scans of a revision with the names of `roots`."""
    return [
        Work(
            revision,
            roots[scan.table],
            scan.rows,
            scan.rewrites,
            f"{scan.blocks} {'of' if scan.blocks.startswith('reads') else 'to'} `{scans.existing[scan.locked]}`",
            scan.statement,
        )
        for scan in scans.found
        # the other tables are PostgreSQL's, and those of values that are too long for a row
        if scan.table in roots
    ]


def rows_read(works: Iterable[Work]) -> dict[str, int]:
    """Return the number of rows that were read of each table."""
    rows: dict[str, int] = {}
    for work in works:
        rows[work.table] = rows.get(work.table, 0) + work.rows
    return dict(sorted(rows.items()))


def heaviest(works: Iterable[Work]) -> Work | None:
    """Return what read the most rows, None where nothing read more than a few."""
    return max(_add_up(works), key=lambda work: work.rows, default=None)


def find(
    works: Iterable[Work], rendered: Sequence[Rendered], report: LintReport
) -> tuple[list[Finding], list[Finding]]:
    """Return a finding for each table whose scan or rewrite has none in `report`, and those that a comment allows."""
    known = {*_known([*report.findings, *report.allowed])} if report.linter else set()
    unseen = [one for one in works if not {(one.revision, one.table), (one.revision, one.statement)} & known]
    findings = [_finding(work) for work in _add_up(unseen)]
    # of the comments the plan tells
    kept, allowed, _ = allow(rendered, findings, (), linted=False)
    return kept, allowed


def _known(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """Yield the table and the statement of each finding that says that a time grows with the table."""
    from runner.lint import rules

    growing = {rule.id for rule in rules.load() if rule.is_of_rows}
    for one in findings:
        # another one, such as a note about the type of a column, says nothing of its CHECK, which reads the table
        if one.rule in growing:
            yield from ((one.revision, about) for about in (one.table, shorten(one.statement or "")) if about)


def _add_up(works: Iterable[Work]) -> list[Work]:
    """Return one entry for each table of a revision, as rows are often read in many small statements."""
    found: dict[tuple[str, str, bool], Work] = {}
    for work in sorted(works, key=lambda work: work.rows, reverse=True):
        key = work.revision, work.table, work.rewrites
        found[key] = replace(found[key], rows=found[key].rows + work.rows) if key in found else work
    return [work for work in found.values() if work.rows >= FEW_ROWS]


def _finding(work: Work) -> Finding:
    rule = REWRITES if work.rewrites else SCANS
    level: Level = "error" if work.rows >= LARGE_ROWS else "warning"
    message = f"{work.told[:-1]}, and the lint has no finding for it."
    return Finding(rule, level, work.revision, message, HELP[rule], work.statement, work.table)
