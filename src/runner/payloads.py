"""The payloads: a class for each verb, with the fields that it takes."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.errors import InvalidPayload, translating

Target = Annotated[str, Field(pattern=r"^([+-][0-9]+|[A-Za-z0-9_]+)$", max_length=64)]
Confirmation = Annotated[str, Field(pattern=r"^[A-Za-z0-9_,]+$", max_length=200)]
Limit = Annotated[int, Field(ge=1, le=10_000)]
PlanId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}-[A-Za-z0-9_-]+$", max_length=2000)]
Pid = Annotated[int, Field(ge=1, le=2**31 - 1)]
SessionId = Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}\.[0-9a-f]{1,8}$")]
Milliseconds = Annotated[int, Field(ge=1, le=900_000)]
# no control character: PostgreSQL keeps no NUL, and a terminal obeys the others
Label = Annotated[str, Field(pattern=r"^\P{Cc}+$", max_length=200)]


class Payload(BaseModel):
    """The fields of every payload; any unknown field is an error, since a misspelt one must not be ignored."""

    # `defer_build`: a Lambda's start would otherwise build the validators of all classes for the one that it needs.
    # `strict`: without it pydantic would take `"5"` for 5 and `1` for true.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)
    on_error: Literal["answer", "raise"] = "answer"
    """Whether a failure is an answer, or is raised for callers such as Step Functions."""


class Changing(Payload):
    """The fields of a verb that may change a database."""

    actor: Label | None = None
    """The name of the person or program that calls, as the caller gives it."""
    idempotency_key: Label | None = None
    """Calls with the same key and payload run once; the later ones return the first one's answer."""


class Planned(Changing):
    """The fields of a verb that can be held to a plan."""

    plan: PlanId | None = None
    """The id of a plan, which must still hold."""


class Confirmed(Changing):
    """The fields of a verb that may require confirmation."""

    confirm: Confirmation | None = None
    """The database's current revision, to confirm that the caller means this database in this state."""


class Upgrade(Planned):
    action: Literal["upgrade"]
    target: Target = "head"


class Downgrade(Planned, Confirmed):
    action: Literal["downgrade"]
    target: Target


class Stamp(Confirmed):
    action: Literal["stamp"]
    target: Target


class Repair(Confirmed):
    action: Literal["repair"]
    target: Target | None = None
    """The revision whose present text is accepted; without one, only invalid indexes are mended."""


class Redo(Confirmed):
    action: Literal["redo"]


class RunMigration(Changing):
    action: Literal["run-migration"]
    target: Target


class Plan(Payload):
    action: Literal["plan"]
    target: Target = "head"


class Rehearse(Payload):
    action: Literal["rehearse"]
    target: Target = "head"
    max_lock_hold_ms: Milliseconds = 2000


class Check(Payload):
    action: Literal["check"]


class Current(Payload):
    action: Literal["current"]


class Heads(Payload):
    action: Literal["heads"]


class History(Payload):
    action: Literal["history"]
    limit: Limit | None = None


class Show(Payload):
    action: Literal["show"]
    target: Target = "head"


class Sizes(Payload):
    action: Literal["sizes"]


class Activity(Payload):
    action: Literal["activity"]


class EndSession(Payload):
    action: Literal["end-session"]
    pid: Pid
    confirm: SessionId | None = None
    """The session's id as `activity` shows it, to confirm that the pid is still that session's."""
    actor: Label | None = None


class ListMigrations(Payload):
    action: Literal["list-migrations"]


AnyPayload = (
    Upgrade
    | Downgrade
    | Stamp
    | Repair
    | Redo
    | RunMigration
    | Plan
    | Rehearse
    | Check
    | Current
    | Heads
    | History
    | Show
    | Sizes
    | Activity
    | EndSession
    | ListMigrations
)
# Not a discriminated union of pydantic's: that would build the validators of all its classes at once.
KINDS: dict[str, type[AnyPayload]] = {
    get_args(kind.model_fields["action"].annotation)[0]: kind for kind in get_args(AnyPayload)
}
"""The class of each verb's payload."""


def parse(event: object) -> AnyPayload:
    """Return the payload in `event`. Raises `InvalidPayload`, which names the wrong field."""
    kind = _kind(event)
    with translating(ValidationError, lambda error: _explain(kind, error.errors(include_url=False)[0])):
        return kind.model_validate(event)


def _kind(event: object) -> type[AnyPayload]:
    known = "Known actions: " + ", ".join(f"`{action}`" for action in KINDS) + "."
    if not isinstance(event, Mapping):
        raise InvalidPayload("The payload is not a JSON object.", 'Send an object such as `{"action": "current"}`.')
    if "action" not in event:
        raise InvalidPayload("The payload has no field `action`.", known)
    action = event["action"]
    if not isinstance(action, str) or action not in KINDS:
        raise InvalidPayload("The payload's `action` is unknown.", known)
    return KINDS[action]


WRONG = {
    "`target`": "neither a revision nor a step such as `+1`",
    "`confirm`": "not a revision",
    "`plan`": "not the id of a plan",
    "`actor`": "empty, or has a control character",
    "`idempotency_key`": "empty, or has a control character",
}


def _explain(kind: type[AnyPayload], problem: Any) -> InvalidPayload:
    """Return the error for one problem that pydantic found; it never repeats the value, which may be a secret."""
    action = next(name for name, payload in KINDS.items() if payload is kind)
    fields = ", ".join(f"`{name}`" for name in kind.model_fields)
    name = f"`{problem['loc'][-1]}`" if problem["loc"] else "the payload"
    wrong = (
        "not the id of a session" if name == "`confirm`" and kind is EndSession else WRONG.get(name, WRONG["`target`"])
    )
    reason = {
        "missing": f"`{action}` requires the field {name}.",
        "extra_forbidden": f"`{action}` has no field {name}.",
        "string_pattern_mismatch": f"The field {name} of `{action}` is {wrong}.",
    }.get(problem["type"], f"The field {name} of `{action}` is wrong: {_lower(problem['msg'])}.")
    if problem["type"] in {"greater_than_equal", "less_than_equal"}:
        least, most = _bounds(kind, str(problem["loc"][-1]))
        return InvalidPayload(
            f"The field {name} of `{action}` is out of its range.", f"Give a number from {least:,} to {most:,}."
        )
    remedy = (
        "Make a plan with `migrate plan`, and name its id." if name == "`plan`" else f"Fields of `{action}`: {fields}."
    )
    return InvalidPayload(reason, remedy)


def _bounds(kind: type[AnyPayload], name: str) -> tuple[int, int]:
    """Return the least and the most that a field of numbers may be."""
    properties = kind.model_json_schema()["properties"][name]
    limits = next(one for one in properties.get("anyOf", [properties]) if "minimum" in one)
    return limits["minimum"], limits["maximum"]


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
