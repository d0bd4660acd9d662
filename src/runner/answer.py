"""What goes out: one answer to one call."""

import json
from dataclasses import dataclass, field
from typing import Any

from runner.errors import DeadlinePassed, MigrationError, count

LONGEST_ANSWER = 200_000
"""Bytes of an answer."""
CUT = ("revisions", "findings", "accepted", "differences", "entries", "tables", "images")
"""The lists of an answer that may be cut; who goes on by `applied` and `pending` needs the whole of them."""


@dataclass(frozen=True)
class Applied:
    """Tell of one revision that was committed."""

    revision: str
    description: str
    direction: str
    duration_ms: float
    lock_wait_ms: float
    locks: dict[str, str]
    """The strongest mode held on each table before the commit."""
    adopted: list[str]


@dataclass
class Answer:
    """Gather what is known of one call while it goes on; `as_json` is what leaves the house."""

    action: str | None
    request_id: str
    status: str = "success"
    message: str = ""
    begun: bool = False
    before: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    target: str | None = None
    applied: list[Applied] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    unsure: str | None = None
    """The revision whose commit was asked for and never answered."""
    earlier: dict[str, Any] | None = None
    """The answer of an earlier call that this one repeats."""

    def fail(self, error: MigrationError) -> None:
        """Make this the answer of a failure: what happened, which state is left, one next step.

        Where the time ran out after a revision was committed, it is an answer that one can go on from.
        """
        partial = isinstance(error, DeadlinePassed) and self.applied and self.action != "run-migration"
        self.status = "partial" if partial else "error"
        self.message = f"{error.code}: {error.sentence} {self._state_left(error)} {error.advice}"
        self.extra |= error.details()
        self.extra |= {"code": error.code, "error": error.sentence, "hint": error.advice}

    def succeed(self) -> None:
        """Write the message of a run that went well, also when it found nothing to do."""
        start, end = (revisions(heads or ()) or "base" for heads in (self.before, self.after))
        if not self.applied:
            self.message = f"Nothing to do: the database is at `{end}`."
            return
        took = sum(one.duration_ms for one in self.applied)
        verb = {"upgrade": "applied", "downgrade": "reverted", "stamp": "stamped"}[self.applied[0].direction]
        done = f"{count(len(self.applied), 'revision')} {verb} in {took:.0f} ms"
        self.message = f"From `{start}` to `{end}`: {done}."

    def as_json(self) -> dict[str, Any]:
        """Return the answer as plain data, without what does not apply to its action."""
        if self.earlier is not None:
            return self.earlier
        fields: dict[str, Any] = {"status": self.status, "action": self.action, "message": self.message}
        if self.before is not None:
            after = self.before if self.after is None else self.after
            fields |= {"from": revisions(self.before), "to": revisions(after)}
            fields |= {"target": self.target}
            fields |= {"applied": [dict(vars(one)) for one in self.applied], "pending": self.pending}
        return {**fields, **self.extra, "request_id": self.request_id}

    def _state_left(self, error: MigrationError) -> str:
        if error.state:
            return error.state
        if not self.begun:
            return "Nothing was changed."
        if self.unsure:
            return f"Whether `{self.unsure}` was committed is not known; `migrate current` tells."
        at = revisions(self.after or ()) or "base"
        total = len(self.applied) + len(self.pending)
        done = (
            f"Of {count(total, 'revision')}, {len(self.applied)} went through"
            if self.applied
            else "Nothing was applied"
        )
        leftovers = self.extra.get("leftovers")
        if leftovers is None:
            rest = "nothing is half-done" if isinstance(error, DeadlinePassed) else "this one was rolled back"
            return f"{done}; the database is at `{at}`, {rest}."
        left = f"it left {', '.join(leftovers)}" if leftovers else "no invalid index does"
        stay = "earlier statements of it stay, " + left
        return f"{done}; the database is at `{at}`. The last one is not transactional: {stay}."


def fit(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer without its SQL where it would pass 200 kB, and with its lists cut where it still would.

    Step Functions ends an execution whose state passes 256 KiB, which no Catch of it hears:
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    if _is_short(answer):
        return answer
    bare = [one | ({"sql": None} if "sql" in one else {}) for one in answer.get("revisions", [])]
    fitted = answer | ({"revisions": bare} if bare else {})
    fitted["left_out"] = "the SQL is left out, for the answer would pass 200 kB"
    while not _is_short(fitted) and (lists := [name for name in CUT if fitted.get(name)]):
        longest = max(lists, key=lambda name: len(_text(fitted[name])))
        fitted[longest] = fitted[longest][: len(fitted[longest]) // 2]
        short = {name: len(answer[name]) - len(fitted[name]) for name in CUT if name in answer}
        told = "".join(f", and the last {number} of `{name}`" for name, number in short.items() if number)
        fitted["left_out"] = f"the SQL{told} are left out, for the answer would pass 200 kB"
    return fitted


def _is_short(answer: dict[str, Any]) -> bool:
    return len(_text(answer)) <= LONGEST_ANSWER


def _text(content: Any) -> str:
    return json.dumps(content, default=str)


def revisions(heads: tuple[str, ...]) -> str | None:
    """Return heads as an answer shows them: None at base, joined with a comma where there are several."""
    return ",".join(heads) or None
