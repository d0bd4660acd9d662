"""What goes out: one answer to one call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from runner.errors import DeadlinePassed, MigrationError, count

Direction = Literal["upgrade", "downgrade", "stamp"]
Status = Literal["success", "partial", "error"]
Json = Any
"""What the module `json` writes and reads."""

KEY = "key"
OMITTED = {"omitted": True}
"""Metadata of a field whose key is not its name, and of one that is left out where it is None."""

LONGEST_ANSWER = 200_000
"""Bytes of an answer."""
CUT = ("revisions", "findings", "accepted", "differences", "entries", "tables", "images")
"""The lists of an answer that may be cut; who goes on by `applied` and `pending` needs the whole of them."""


@dataclass(frozen=True)
class Result:
    """What a verb found: in `results`, a class for each verb, whose fields are keys of the answer."""


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
class Change:
    """Where a database was, where it is, where it is to be, and what was done on the way."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    target: str | None = None
    """Absolute; None until it is resolved."""
    pending: tuple[str, ...] = ()
    applied: tuple[Applied, ...] = ()
    begun: bool = False
    """Whether the run came to its first step."""
    unsure: str | None = None
    """The revision whose commit was asked for and never answered."""
    leftovers: tuple[str, ...] | None = None
    """What a failed revision outside a transaction left behind; None for any other."""
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """Return the fields of an answer that say this."""
        told: dict[str, Json] = {"from": names(self.before), "to": names(self.after), "target": self.target}
        told |= {"applied": as_json(self.applied), "pending": list(self.pending)}
        if self.warnings:
            told["warnings"] = list(self.warnings)
        if self.leftovers is not None:
            told["leftovers"] = list(self.leftovers)
        return told


@dataclass(frozen=True)
class Failure:
    """Why a call came to no good end, in sentences and in fields."""

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
    """What was cut from it on its way."""

    @property
    def is_no(self) -> bool:
        """Tell whether it answers a question with no: drift, findings, a probe that failed."""
        return self.status == "success" and getattr(self.result, "ok", True) is False

    def as_json(self) -> dict[str, Json]:
        """Return the answer as plain data, without what does not apply to its action."""
        told: dict[str, Json] = {"status": self.status, "action": self.action, "message": self.message}
        if self.change is not None:
            told |= self.change.as_json()
        if self.result is not None:
            told |= as_json(self.result)
        if self.failure is not None:
            told |= {**self.failure.details, "code": self.failure.code}
            told |= {"error": self.failure.error, "hint": self.failure.hint}
        return {**told, "request_id": self.request_id}


@dataclass
class Draft:
    """An answer while it is being made: what is known of a call so far."""

    action: str | None
    request_id: str
    change: Change | None = None
    message: str = ""
    result: Result | None = None
    earlier: dict[str, Json] | None = None
    """The answer to an earlier call that this one repeats."""

    def update(self, **changed: Any) -> None:
        """Replace the change by one that differs in these fields."""
        assert self.change is not None  # noqa: S101 - what has been changed has been begun
        self.change = replace(self.change, **changed)

    def conclude(self, message: str, result: Result | None = None) -> None:
        """Say how the call ended well."""
        self.message, self.result = message, result

    def succeed(self) -> Answer:
        """Return the answer of a call that went well."""
        return Answer(self.action, self.request_id, "success", self.message, self.change, self.result)

    def fail(self, error: MigrationError) -> Answer:
        """Return the answer of a failure: what happened, which state is left, one next step.

        Where the time ran out after a revision was committed, it is an answer that one can go on from.
        """
        applied = self.change is not None and bool(self.change.applied)
        partial = isinstance(error, DeadlinePassed) and applied and self.action != "run-migration"
        message = f"{error.code}: {error.sentence} {error.state or _state_left(self.change, error)} {error.advice}"
        failure = Failure(error.code, error.sentence, error.advice, error.details())
        status: Status = "partial" if partial else "error"
        return Answer(self.action, self.request_id, status, message, self.change, self.result, failure)


def conclude_change(draft: Draft) -> None:
    """Conclude the answer of a run that went well, also when it found nothing to do."""
    change = draft.change
    assert change is not None  # noqa: S101 - a run that went well has looked at the database
    draft.conclude(_say_done(change))


def _say_done(change: Change) -> str:
    start, end = (names(heads) or "base" for heads in (change.before, change.after))
    if not change.applied:
        return f"Nothing to do: the database is at `{end}`."
    took = sum(one.duration_ms for one in change.applied)
    verb = {"upgrade": "applied", "downgrade": "reverted", "stamp": "stamped"}[change.applied[0].direction]
    return f"From `{start}` to `{end}`: {count(len(change.applied), 'revision')} {verb} in {took:.0f} ms."


def _state_left(change: Change | None, error: MigrationError) -> str:
    if change is None or not change.begun:
        return "Nothing was changed."
    if change.unsure:
        return f"Whether `{change.unsure}` was committed is not known; `migrate current` tells."
    at = names(change.after) or "base"
    total = count(len(change.applied) + len(change.pending), "revision")
    done = f"Of {total}, {len(change.applied)} went through" if change.applied else "Nothing was applied"
    if change.leftovers is None:
        rest = "nothing is half-done" if isinstance(error, DeadlinePassed) else "this one was rolled back"
        return f"{done}; the database is at `{at}`, {rest}."
    left = f"it left {', '.join(change.leftovers)}" if change.leftovers else "no invalid index does"
    stay = "earlier statements of it stay, " + left
    return f"{done}; the database is at `{at}`. The last one is not transactional: {stay}."


def as_json(found: object) -> Json:
    """Return a result, or a part of one, as plain data."""
    if is_dataclass(found):
        return {
            one.metadata.get(KEY, one.name): as_json(value)
            for one in fields(found)
            if (value := getattr(found, one.name)) is not None or "omitted" not in one.metadata
        }
    if isinstance(found, tuple | list):
        return [as_json(one) for one in found]
    return dict(found) if isinstance(found, Mapping) else found


def fit(told: dict[str, Json]) -> dict[str, Json]:
    """Return an answer without its SQL where it would pass 200 kB, and with its lists cut where it still would.

    Step Functions ends an execution whose state passes 256 KiB, which no Catch of it hears:
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    if _is_short(told):
        return told
    bare = [one | ({"sql": None} if "sql" in one else {}) for one in told.get("revisions", [])]
    fitted = told | ({"revisions": bare} if bare else {})
    fitted["left_out"] = "the SQL is left out, for the answer would pass 200 kB"
    while not _is_short(fitted) and (lists := [name for name in CUT if fitted.get(name)]):
        longest = max(lists, key=lambda name: len(_text(fitted[name])))
        fitted[longest] = fitted[longest][: len(fitted[longest]) // 2]
        short = {name: len(told[name]) - len(fitted[name]) for name in CUT if name in told}
        cut = "".join(f", and the last {number} of `{name}`" for name, number in short.items() if number)
        fitted["left_out"] = f"the SQL{cut} are left out, for the answer would pass 200 kB"
    return fitted


def _is_short(told: Json) -> bool:
    return len(_text(told)) <= LONGEST_ANSWER


def _text(told: Json) -> str:
    return json.dumps(told, default=str)


def names(heads: tuple[str, ...]) -> str | None:
    """Return heads as an answer shows them: None at base, joined with a comma where there are several."""
    return ",".join(heads) or None
