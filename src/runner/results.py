"""What each verb finds, typed: JSON, tables and Markdown are made from these.

The names of the fields are the keys of the answer. Clients parse them, so none may go; one that is added later has a
default, because a function may run an older image than the command line that reads its answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from runner.answer import KEY, OMITTED, Answer, Applied, Change, Direction, Failure, Json, Result

Level = Literal["error", "warning", "note"]
Outcome = Literal["rehearsed", "failed", "stopped", "not-rehearsed", "inconclusive"]


@dataclass(frozen=True)
class DescribedRevision:
    """A revision, for a person who does not read its file."""

    revision: str
    description: str
    down_revision: str | None
    """Several with a comma between them; None for the first."""
    is_head: bool


@dataclass(frozen=True)
class LedgerRow:
    """The newest row of a revision in the ledger."""

    revision: str
    direction: str
    status: str
    started_at: str | None
    duration_ms: float | None
    error_code: str | None
    actor: str | None
    request_id: str
    image_digest: str | None


@dataclass(frozen=True)
class HistoricRevision(DescribedRevision):
    """A revision with what the ledger knows of it."""

    state: Literal["applied", "pending"]
    ledger: LedgerRow | None


@dataclass(frozen=True)
class ShownRevision(DescribedRevision):
    """A revision with its checksum and the text of its docstring."""

    checksum: str
    text: str


@dataclass(frozen=True)
class ImageRun:
    """The last run of an image."""

    image_digest: str
    action: str
    direction: str
    status: str
    request_id: str
    started_at: str | None
    heads: tuple[str, ...] | None
    """The image's own revisions that no other follows."""
    to: str | None
    """Where the run left the database."""
    succeeded_at: str | None


@dataclass(frozen=True)
class TableSize:
    """How large a table is."""

    table: str
    rows: int | None
    """An estimate; None for a table that holds something and was never analysed."""
    bytes: int
    """With its indexes and what is stored out of line."""


@dataclass(frozen=True)
class Finding:
    """What is unsafe in one revision."""

    rule: str
    level: Level
    revision: str
    message: str
    help: str
    statement: str | None = None
    """On one line, cut to 120 characters."""
    table: str | None = None
    rows: int | None = None
    """The planner's estimate for the table; None where there is none."""
    reason: str | None = None
    """Why the revision allows it."""


@dataclass(frozen=True)
class PlannedRevision:
    """What a plan says of one revision."""

    revision: str
    description: str
    direction: Direction
    transactional: bool
    checksum: str
    tables: tuple[str, ...]
    adopts: tuple[str, ...]
    sql: tuple[str, ...] | None
    unrendered: str | None
    """Why its SQL is not known beforehand."""


@dataclass(frozen=True)
class HeldLock:
    """Which lock was held on which table, and for how long."""

    table: str
    mode: str
    held_ms: float
    blocks: str | None
    """What waits for it; None for a lock beside which the application reads and writes."""


@dataclass(frozen=True)
class RehearsedRevision:
    """How one revision went in a rehearsal."""

    revision: str
    description: str
    outcome: Outcome = "not-rehearsed"
    """`stopped` for a lock held too long; `inconclusive` is what only the one transaction made fail."""
    reason: str | None = None
    duration_ms: float | None = None
    lock_wait_ms: float | None = None
    rows_written: Mapping[str, int] = field(default_factory=dict)
    rewritten: tuple[str, ...] = ()
    locks: Mapping[str, str] = field(default_factory=dict)
    """The strongest mode on each table, unless an earlier revision held it already."""
    strongest: HeldLock | None = None
    held_before: Mapping[str, str] = field(default_factory=dict)
    """The locks of earlier revisions, which are kept; it cannot be seen whether this one took them again."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a database."""

    kind: str
    level: Level
    """`error`, or `note` for what is well known and only told."""
    name: str
    message: str
    help: str
    entry: str | None = None
    """What accepts it, for `alembic/accepted_drift.toml`."""


@dataclass(frozen=True)
class AcceptedDifference:
    """A difference that may stay, and why."""

    kind: str
    name: str
    at: tuple[str, ...]
    expected: str | None
    found: str | None
    reason: str


@dataclass(frozen=True)
class ProbeResult:
    """What one probe of `doctor` came to."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    told: str
    advice: str = ""


@dataclass(frozen=True)
class PlanResult(Result):
    """What a change would do."""

    direction: Direction
    plan: str | None
    """The plan's id."""
    ok: bool
    revisions: tuple[PlannedRevision, ...]
    tables: tuple[TableSize, ...]
    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]
    linter: str | None
    """None where squawk is not installed."""


@dataclass(frozen=True)
class RehearsalResult(Result):
    """How a change went that was rolled back."""

    ok: bool
    revisions: tuple[RehearsedRevision, ...]


@dataclass(frozen=True)
class CheckResult(Result):
    """What is wrong with a database."""

    ok: bool
    findings: tuple[Problem, ...]
    accepted: tuple[AcceptedDifference, ...]
    not_compared: tuple[str, ...]


@dataclass(frozen=True)
class CurrentResult(Result):
    """Where a database is."""

    current: tuple[str, ...]
    heads: tuple[str, ...]
    pending: tuple[str, ...]
    running: str | None
    """Who holds the migration lock."""


@dataclass(frozen=True)
class HeadsResult(Result):
    """The revisions that no other follows."""

    revisions: tuple[DescribedRevision, ...]


@dataclass(frozen=True)
class HistoryResult(Result):
    """The revisions, newest first, and the last run of each image."""

    revisions: tuple[HistoricRevision, ...]
    images: tuple[ImageRun, ...] = ()


@dataclass(frozen=True)
class ShowResult(Result):
    """One revision, in a list."""

    revisions: tuple[ShownRevision, ...]


@dataclass(frozen=True)
class RepairResult(Result):
    """The invalid indexes that a repair dropped."""

    cleared: tuple[str, ...]


@dataclass(frozen=True)
class MigrationsResult(Result):
    """The list of the older contract."""

    executed: tuple[str, ...] = field(metadata={KEY: "executedMigrations"})


@dataclass(frozen=True)
class MigrationResult(Result):
    """The one migration of the older contract, as the caller named it."""

    migration: str


@dataclass(frozen=True)
class FilesResult(Result):
    """The files that a command wrote, relative to the current folder."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class DoctorResult(Result):
    """What `doctor` found."""

    ok: bool
    checks: tuple[ProbeResult, ...]


@dataclass(frozen=True)
class PromoteResult(Result):
    """An image that an environment runs from its next deployment on; nothing but the proof where it came no further."""

    proven_in: str | None = field(default=None, metadata=OMITTED)
    environment: str | None = field(default=None, metadata=OMITTED)
    image_digest: str | None = field(default=None, metadata=OMITTED)
    tag: str | None = field(default=None, metadata=OMITTED)
    parameter: str | None = field(default=None, metadata=OMITTED)
    changed: tuple[str, ...] | None = field(default=None, metadata=OMITTED)
    hint: str | None = field(default=None, metadata=OMITTED)


BY_ACTION: Mapping[str, type[Result]] = {
    "plan": PlanResult,
    "rehearse": RehearsalResult,
    "check": CheckResult,
    "current": CurrentResult,
    "heads": HeadsResult,
    "history": HistoryResult,
    "show": ShowResult,
    "repair": RepairResult,
    "list-migrations": MigrationsResult,
    "new": FilesResult,
    "snapshot": FilesResult,
    "doctor": DoctorResult,
    "promote": PromoteResult,
}
"""What an answer to an action holds; the verbs that only change a database have nothing of their own."""


def read(told: Mapping[str, Json]) -> Answer:
    """Return the answer that a function or the ledger has as JSON."""
    action, change, failure = told.get("action"), None, None
    if "target" in told:
        before, after = (tuple((told.get(key) or "").split(",")) if told.get(key) else () for key in ("from", "to"))
        change = Change(before, after, told["target"], tuple(told.get("pending", ())), _read_applied(told))
    if "code" in told:
        failure = Failure(str(told["code"]), str(told.get("error", "")), str(told.get("hint", "")), {})
    found, cut = _read_result(str(action), told), told.get("left_out")
    return Answer(
        action, str(told.get("request_id")), told["status"], told["message"], change, found, failure, left_out=cut
    )


def _read_applied(told: Mapping[str, Json]) -> tuple[Applied, ...]:
    names = [one.name for one in fields(Applied)]
    return tuple(Applied(**{name: one.get(name) for name in names}) for one in told.get("applied", ()))


def _read_result(action: str, told: Mapping[str, Json]) -> Result | None:
    """Return the result that is in an answer's JSON, None where there is none that can be read.

    An image of another version may have answered; what it says beyond this is left out.
    """
    kind = BY_ACTION.get(action)
    if action == "run-migration":
        kind = MigrationsResult if "executedMigrations" in told else MigrationResult
    if kind is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    named = {one.name: told[key] for one in fields(kind) if (key := one.metadata.get(KEY, one.name)) in told}
    try:
        return TypeAdapter(kind).validate_python(named)
    except ValidationError:
        return None
