"""The results of the verbs, from which JSON, tables and Markdown are made.

A field's name is a key of the answer. Clients parse these keys, so none may be removed. A field added later has a
default, because the command line may read the answer of a function with an older image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from runner.answer import KEY, OMITTED, Answer, Applied, Change, Direction, Failure, Json, Progress, Result
from runner.errors import count

Level = Literal["error", "warning", "note"]
Outcome = Literal["rehearsed", "failed", "stopped", "not-rehearsed", "inconclusive"]


@dataclass(frozen=True)
class DescribedRevision:
    """A revision as a list shows it."""

    revision: str
    description: str
    """The first line of the file's docstring."""
    down_revision: str | None
    """Several are separated by commas; None for the first revision."""
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
    """A revision with its newest row of the ledger."""

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
    """The heads of the image's own revisions."""
    to: str | None
    """The database's heads after the run."""
    succeeded_at: str | None


def estimated(rows: int) -> str:
    """Return the planner's estimate of a table's rows in words: `about 20,000 rows`, or `no rows yet`."""
    return f"about {count(rows, 'row', separator=',')}" if rows else "no rows yet"


@dataclass(frozen=True)
class TableSize:
    """The size of a table."""

    table: str
    rows: int | None
    """The planner's estimate; None for a table that has rows and was never analysed."""
    bytes: int
    """Including its indexes and TOAST data."""


@dataclass(frozen=True)
class Finding:
    """An unsafe operation in a revision."""

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
    """The reason in the comment that allows it."""
    instead: tuple[str, ...] = ()
    """The Python to write instead: one text for the `upgrade()` of each revision, in their order."""
    path: str | None = None
    """The revision's file, relative to the project's folder."""
    line: int | None = None
    """The line of that file that sends the statement; of a whole revision, that of its function."""


@dataclass(frozen=True)
class PlannedRevision:
    """A revision in a plan."""

    revision: str
    description: str
    direction: Direction
    transactional: bool
    checksum: str
    tables: tuple[str, ...]
    adopts: tuple[str, ...]
    sql: tuple[str, ...] | None
    unrendered: str | None
    """Why its SQL cannot be rendered in advance."""


@dataclass(frozen=True)
class HeldLock:
    """A lock on a table, and how long it was held."""

    table: str
    mode: str
    held_ms: float
    blocks: str | None
    """The statements that it blocks; None where the application can read and write."""


@dataclass(frozen=True)
class RehearsedRevision:
    """A revision in a rehearsal."""

    revision: str
    description: str
    outcome: Outcome = "not-rehearsed"
    """`stopped`: it held a lock for too long; `inconclusive`: it failed only because all run in one transaction."""
    reason: str | None = None
    duration_ms: float | None = None
    lock_wait_ms: float | None = None
    rows_written: Mapping[str, int] = field(default_factory=dict)
    rewritten: tuple[str, ...] = ()
    locks: Mapping[str, str] = field(default_factory=dict)
    """The strongest mode on each table, unless an earlier revision held it already."""
    strongest: HeldLock | None = None
    held_before: Mapping[str, str] = field(default_factory=dict)
    """The locks of earlier revisions, kept by the transaction; whether this revision needs them too cannot be seen."""
    rows_read: Mapping[str, int] = field(default_factory=dict)
    """The rows that statements read of each table while a lock of the revision blocked others."""


@dataclass(frozen=True)
class Problem:
    """A problem of a database."""

    kind: str
    level: Level
    """`error`; a `warning`, or a `note` for a known problem, does not make the answer no."""
    name: str
    message: str
    help: str
    entry: str | None = None
    """The lines of `alembic/accepted_drift.toml` that would accept it."""


@dataclass(frozen=True)
class AcceptedDifference:
    """An accepted difference, with its reason."""

    kind: str
    name: str
    at: tuple[str, ...]
    expected: str | None
    found: str | None
    reason: str


@dataclass(frozen=True)
class ProbeResult:
    """The result of one probe of `doctor`."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    told: str
    advice: str = ""


@dataclass(frozen=True)
class PlanResult(Result):
    """A plan: what a change would do."""

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
    not_checked: tuple[str, ...] = ()
    """What a plan without a database cannot say."""
    permitted: bool | None = field(default=None, metadata=OMITTED)
    """Whether the environment allows the verb that applies it; None of an older image, and without a database."""


@dataclass(frozen=True)
class RehearsalResult(Result):
    """A change that was rolled back."""

    ok: bool
    revisions: tuple[RehearsedRevision, ...]
    findings: tuple[Finding, ...] = ()
    """The scans and rewrites under a lock of which the lint says nothing."""
    allowed: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class CheckResult(Result):
    """The problems of a database."""

    ok: bool
    findings: tuple[Problem, ...]
    accepted: tuple[AcceptedDifference, ...]
    not_compared: tuple[str, ...]


@dataclass(frozen=True)
class CurrentResult(Result):
    """The state of a database."""

    current: tuple[str, ...]
    heads: tuple[str, ...]
    pending: tuple[str, ...]
    running: str | None
    """The holder of the migration lock."""


@dataclass(frozen=True)
class HeadsResult(Result):
    """The heads."""

    revisions: tuple[DescribedRevision, ...]


@dataclass(frozen=True)
class HistoryResult(Result):
    """The revisions, newest first, and the last run of each image."""

    revisions: tuple[HistoricRevision, ...]
    images: tuple[ImageRun, ...] = ()


@dataclass(frozen=True)
class ShowResult(Result):
    """A list of the one revision."""

    revisions: tuple[ShownRevision, ...]


@dataclass(frozen=True)
class SizesResult(Result):
    """The tables of a database, the largest first."""

    tables: tuple[TableSize, ...]
    server_version: str
    """Such as `15.3`; the rules of `plan --offline` are those for this version."""


@dataclass(frozen=True)
class Session:
    """A session of a database; what its login may not see of it is None."""

    pid: int
    session: str | None
    """Its id, as `%c` of `log_line_prefix` writes it: its start and its pid."""
    login: str
    application: str
    kind: str | None
    """Such as `client backend`."""
    state: str | None
    doing: str
    """The state with its age, such as `idle in transaction for 12 min`."""
    transaction_s: float | None
    connected_s: float | None
    statement: str | None
    """The last one, its literals masked."""
    waits_for: str | None
    """A table, or another kind of lock."""
    blocked_by: tuple[int, ...]
    """Pids; 0 for a prepared transaction."""
    blocks: tuple[int, ...]
    locks: Mapping[str, str]
    """The strongest mode on each table."""
    holds_migration_lock: bool
    progress: Progress | None
    hint: str | None
    """How to end it, of one that blocks others and may be ended."""


@dataclass(frozen=True)
class PreparedTransaction:
    """A transaction that was prepared and neither committed nor rolled back since."""

    name: str
    owner: str
    age_s: float
    ending: str
    """The statement that ends it, for its owner or a superuser."""
    locks: Mapping[str, str]


@dataclass(frozen=True)
class ActivityResult(Result):
    """The sessions of a database but the asking one, those that block others first."""

    sessions: tuple[Session, ...]
    prepared: tuple[PreparedTransaction, ...]
    grant: str | None = None
    """The GRANT without which the login does not see what other roles do."""


@dataclass(frozen=True)
class EndSessionResult(Result):
    """A session that was ended; `ended` is false where there was none any more."""

    ended: bool
    recorded: bool
    """Whether the ledger has a row of it."""


@dataclass(frozen=True)
class RepairResult(Result):
    """The invalid indexes that a repair dropped or built again."""

    cleared: tuple[str, ...]


@dataclass(frozen=True)
class MigrationsResult(Result):
    """The revisions that the older contract's verbs list."""

    executed: tuple[str, ...] = field(metadata={KEY: "executedMigrations"})


@dataclass(frozen=True)
class MigrationResult(Result):
    """The target of the older contract's `run-migration`, as the caller wrote it."""

    migration: str


@dataclass(frozen=True)
class FilesResult(Result):
    """The files that a command wrote, as paths relative to the current folder."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class DoctorResult(Result):
    """The results of `doctor`'s probes."""

    ok: bool
    checks: tuple[ProbeResult, ...]


@dataclass(frozen=True)
class PromoteResult(Result):
    """A promoted image; of a promotion that failed after the proof, only `proven_in`."""

    proven_in: str | None = field(default=None, metadata=OMITTED)
    environment: str | None = field(default=None, metadata=OMITTED)
    image_digest: str | None = field(default=None, metadata=OMITTED)
    tag: str | None = field(default=None, metadata=OMITTED)
    parameter: str | None = field(default=None, metadata=OMITTED)
    changed: tuple[str, ...] | None = field(default=None, metadata=OMITTED)
    hint: str | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True)
class UnreadResult(Result):
    """A result that another version gave and this one cannot read; whether it is a no is known all the same."""

    ok: bool


BY_ACTION: Mapping[str, type[Result]] = {
    "plan": PlanResult,
    "rehearse": RehearsalResult,
    "check": CheckResult,
    "current": CurrentResult,
    "heads": HeadsResult,
    "history": HistoryResult,
    "show": ShowResult,
    "sizes": SizesResult,
    "activity": ActivityResult,
    "end-session": EndSessionResult,
    "repair": RepairResult,
    "list-migrations": MigrationsResult,
    "new": FilesResult,
    "snapshot": FilesResult,
    "doctor": DoctorResult,
    "promote": PromoteResult,
}
"""The class of each action's result; verbs that only change a database have none."""


def read(document: Mapping[str, Json]) -> Answer:
    """Return an answer from its JSON, which a function or the ledger has."""
    action, change, failure = document.get("action"), None, None
    # every answer about a change has the key, with null until the target is resolved
    if "target" in document:
        before, after = (_read_heads(document, key) for key in ("from", "to"))
        pending = tuple(document.get("pending", ()))
        change = Change(before, after, document["target"], pending, _read_applied(document))
    if "code" in document:
        failure = Failure(str(document["code"]), str(document.get("error", "")), str(document.get("hint", "")), {})
    status, message, cut = document["status"], document["message"], document.get("left_out")
    result = _read_result(str(action), document)
    return Answer(action, str(document.get("request_id")), status, message, change, result, failure, left_out=cut)


def _read_heads(document: Mapping[str, Json], key: str) -> tuple[str, ...]:
    heads = document.get(key)
    return tuple(heads.split(",")) if heads else ()


def _read_applied(document: Mapping[str, Json]) -> tuple[Applied, ...]:
    names = [entry.name for entry in fields(Applied)]
    return tuple(Applied(**{name: step.get(name) for name in names}) for step in document.get("applied", ()))


def _read_result(action: str, document: Mapping[str, Json]) -> Result | None:
    """Return the result in an answer's JSON, None where an answer to its action has none."""
    kind = BY_ACTION.get(action)
    if action == "run-migration":
        kind = MigrationsResult if "executedMigrations" in document else MigrationResult
    if kind is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    # keys that this version does not have are ignored: a newer image may have answered
    keys = {entry.name: entry.metadata.get(KEY, entry.name) for entry in fields(kind)}
    found = {name: document[key] for name, key in keys.items() if key in document}
    if not found:
        # a failure, or a rehearsal that had nothing to do
        return None
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError:
        # of an older image, which lacks a field, or of a newer one, which has a word more
        return UnreadResult(document.get("ok") is not False)
