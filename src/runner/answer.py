"""The answer to a call: its parts and its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from runner.errors import DeadlinePassed, MigrationError, TransactionEnded, count

Direction = Literal["upgrade", "downgrade", "stamp"]
Status = Literal["success", "partial", "error"]
Json = Any
"""A value that the module `json` writes and reads."""

KEY = "key"
"""The metadata of a field whose key in JSON is not its name."""
OMITTED = {"omitted": True}
"""The metadata of a field that JSON lacks where its value is None."""

SHOWN = 5
"""The most statements that a message names."""


@dataclass(frozen=True)
class Result:
    """The result of a verb; `results` has a class for each verb, whose fields are keys of the answer."""


@dataclass(frozen=True)
class Applied:
    """One revision that was committed."""

    revision: str
    description: str
    direction: Direction
    duration_ms: float
    lock_wait_ms: float
    locks: Mapping[str, str]
    """The strongest mode held on each table before the commit."""
    adopted: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """How far a long command has come, as PostgreSQL reports it for a phase of it."""

    command: str
    phase: str
    table: str | None
    done: int | None
    total: int | None
    """Blocks, or bytes of a COPY; 0 or None where the phase has no measure."""

    def __str__(self) -> str:
        share = f", {100 * (self.done or 0) / self.total:.0f} %" if self.total else ""
        return f"{self.command}{f' on `{self.table}`' if self.table else ''}: {self.phase}{share}"


@dataclass(frozen=True)
class Change:
    """A change of a database: its heads before and after, the target, and the revisions applied so far."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    target: str | None = None
    """Absolute; None until it is resolved."""
    pending: tuple[str, ...] = ()
    applied: tuple[Applied, ...] = ()
    begun: bool = False
    """Whether the run reached its first step."""
    attempted: bool = False
    """Whether a revision was begun that is not committed."""
    unsure: str | None = None
    """The revision whose COMMIT was sent and got no reply."""
    leftovers: tuple[str, ...] | None = None
    """What a failed revision outside a transaction left behind; None for any other."""
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Return the change as fields of an answer."""
        document: dict[str, Json] = {"from": names(self.before), "to": names(self.after), "target": self.target}
        document |= {"applied": as_json(self.applied), "pending": list(self.pending)}
        if self.warnings:
            document["warnings"] = list(self.warnings)
        if self.leftovers is not None:
            # an empty list is kept: it says that the failed revision left nothing behind
            document["leftovers"] = list(self.leftovers)
        return document


@dataclass(frozen=True)
class Failure:
    """The failure of a call: a code, sentences, and fields for programs."""

    code: str
    error: str
    hint: str
    details: Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    """An answer to a caller."""

    action: str | None
    request_id: str
    status: Status
    message: str
    change: Change | None = None
    result: Result | None = None
    failure: Failure | None = None
    left_out: str | None = None
    """The parts that `length.fit` cut off, as a sentence; None of a whole answer."""

    @property
    def is_no(self) -> bool:
        """Return whether the answer to a question is no: drift, findings, a failed probe."""
        return self.status == "success" and getattr(self.result, "ok", True) is False

    def as_json(self) -> dict[str, Json]:
        """Return the answer as plain data, with the fields of its action only."""
        document: dict[str, Json] = {"status": self.status, "action": self.action, "message": self.message}
        if self.change is not None:
            document |= self.change.as_json()
        if self.result is not None:
            document |= as_json(self.result)
        if self.failure is not None:
            # the details first: no field of an error may replace the code and the sentences that clients parse
            document |= {**self.failure.details, "code": self.failure.code}
            document |= {"error": self.failure.error, "hint": self.failure.hint}
        return {**document, "request_id": self.request_id}


@dataclass
class Draft:
    """An answer in the making."""

    action: str | None
    request_id: str
    change: Change | None = None
    message: str = ""
    result: Result | None = None
    earlier: dict[str, Json] | None = None
    """The stored answer to the call that this one repeats."""

    def update(self, **changed: Any) -> None:
        """Replace these fields of the change."""
        assert self.change is not None  # noqa: S101 - a run sets the change before it updates it
        self.change = replace(self.change, **changed)

    def conclude(self, message: str, result: Result | None = None) -> None:
        """Set the message and the result of a successful call."""
        self.message, self.result = message, result

    def succeed(self) -> Answer:
        """Return the answer of a successful call."""
        return Answer(self.action, self.request_id, "success", self.message, self.change, self.result)

    def fail(self, error: MigrationError) -> Answer:
        """Return the answer of a failed call: what happened, which state is left, one next step.

        The status is `partial` where the deadline passed after at least one revision was committed: the caller can
        repeat the call with the same target.
        """
        applied = self.change is not None and bool(self.change.applied)
        # without progress it is an error, so that a loop over `partial` ends; the older contract has no such status
        partial = isinstance(error, DeadlinePassed) and applied and self.action != "run-migration"
        message = f"{error.code}: {error.sentence} {error.state or _state_left(self.change, error)} {error.advice}"
        failure = Failure(error.code, error.sentence, error.advice, error.details())
        status: Status = "partial" if partial else "error"
        return Answer(self.action, self.request_id, status, message, self.change, self.result, failure)


def conclude_change(draft: Draft) -> None:
    """Set the message of a successful run, also where nothing was to do."""
    change = draft.change
    assert change is not None  # noqa: S101 - a successful run has read the version table
    draft.conclude(_say_done(change))


def _say_done(change: Change) -> str:
    start, end = (names(heads) or "base" for heads in (change.before, change.after))
    if not change.applied:
        return f"Nothing to do: the database is at `{end}`."
    took = sum(revision.duration_ms for revision in change.applied)
    verb = {"upgrade": "applied", "downgrade": "reverted", "stamp": "stamped"}[change.applied[0].direction]
    return f"From `{start}` to `{end}`: {count(len(change.applied), 'revision')} {verb} in {took:.0f} ms."


def _state_left(change: Change | None, error: MigrationError) -> str:
    if change is None or not change.begun:
        return "Nothing was changed."
    if change.unsure:
        return f"It is not known whether `{change.unsure}` was committed; check with `migrate current`."
    at = names(change.after) or "base"
    total = count(len(change.applied) + len(change.pending), "revision")
    done = f"{len(change.applied)} of {total} completed" if change.applied else "Nothing was applied"
    if isinstance(error, TransactionEnded) and error.late:
        sent = f"These statements were sent and may remain: {_list(error.remaining, error.more)}."
        return f"{done}. The database is at `{at}`. {sent if error.remaining else 'What it sent may remain.'}"
    if change.leftovers is None:
        # a run also ends between two revisions, or behind the last one, where no revision was rolled back
        rolled_back = change.attempted and not isinstance(error, DeadlinePassed)
        rest = "the failed revision was rolled back" if rolled_back else "no revision is partly applied"
        return f"{done}. The database is at `{at}`, and {rest}."
    left = f"it left {', '.join(change.leftovers)}" if change.leftovers else "it left no invalid index"
    remain = f"its earlier statements remain, and {left}"
    return f"{done}. The database is at `{at}`. The failed revision is not transactional: {remain}."


def _list(statements: tuple[str, ...], more: int) -> str:
    """Return the first statements of a list, and the number of the others, with `more` that are not in it."""
    shown = ", ".join(f"`{statement}`" for statement in statements[:SHOWN])
    more += len(statements[SHOWN:])
    return f"{shown}, and {more} more" if more else shown


def as_json(part: object) -> Json:
    """Return a result, or a part of one, as plain data."""
    # `dataclasses.asdict` would copy deeply and does not know the metadata
    if is_dataclass(part):
        return {
            entry.metadata.get(KEY, entry.name): as_json(value)
            for entry in fields(part)
            if (value := getattr(part, entry.name)) is not None or "omitted" not in entry.metadata
        }
    if isinstance(part, tuple | list):
        return [as_json(item) for item in part]
    return dict(part) if isinstance(part, Mapping) else part


def names(heads: tuple[str, ...]) -> str | None:
    """Return heads as an answer shows them: joined with commas; None at base."""
    return ",".join(heads) or None
