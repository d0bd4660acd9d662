"""The verbs that look after the log, `purge` and `stats`: their events, and their answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Connection

from dispatch_agent import environment, tenants, turn, unreadable
from dispatch_agent.blocklist import nameless
from dispatch_agent.failure import explain
from dispatch_agent.log import retention, stats
from dispatch_agent.log.retention import A_DAY, Purge
from dispatch_agent.request import InvalidRequest, Slug, explain_fields
from runner.errors import ActionNotAllowed, translating
from runner.postgres.connect import open_from

DRY_RUN = "dry-run"
"""The verb of an event without `action`."""
MARGIN_S = 5.0
"""No batch is begun in the last seconds: one takes well below a second."""
SHORTEST_S = 1.0
HINT = (
    'The events are `{"action":"purge","olderThan":"90d"}`, with `tenantId` and `recent`, and `{"action":"stats"}`, '
    "with `tenantId` and `days`."
)


class PurgeRequest(BaseModel):
    """Delete the decisions of a tenant, or of all, that are older than an age such as `90d`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    action: Literal["purge"]
    older_than: Annotated[str, Field(alias="olderThan", pattern=r"^[0-9]{1,5}[dh]$")]
    tenant_id: Annotated[Slug | None, Field(alias="tenantId")] = None
    recent: bool = False
    """Allow an age of less than a day."""


class StatsRequest(BaseModel):
    """Count the decisions of a tenant, or of all, of today and the days before it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    action: Literal["stats"]
    tenant_id: Annotated[Slug | None, Field(alias="tenantId")] = None
    days: Annotated[int, Field(ge=1, le=366)] = 14


REQUEST: TypeAdapter[PurgeRequest | StatsRequest] = TypeAdapter(
    Annotated[PurgeRequest | StatsRequest, Field(discriminator="action")]
)


@dataclass(eq=False)
class InvalidUpkeep(InvalidRequest):
    left = "Nothing was deleted."
    hint = HINT.replace("{", "{{").replace("}", "}}")


VERBS = (DRY_RUN, "purge", "stats")
UNKNOWN = "unknown"


def action(event: object) -> str:
    """Return the verb that an event names, `unknown` for any other text: that is the caller's, and is not logged."""
    asked = event["action"] if isinstance(event, Mapping) and "action" in event else DRY_RUN
    return str(asked) if asked in VERBS else UNKNOWN


def refusal(event: object, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the answer to an event whose verb `ALLOWED_ACTIONS` lacks, None where it may go on."""
    listed = {name.strip() for name in environ.get("ALLOWED_ACTIONS", "").split(",")} - {""}
    asked = action(event)
    if not listed or asked in listed or asked == UNKNOWN:
        return None
    names = ", ".join(f"`{name}`" for name in sorted(listed))
    return _failed(asked, ActionNotAllowed(asked, environment.deployed(environ), names))


def parse(event: object) -> PurgeRequest | StatsRequest:
    """Return the request in an event. Raises `InvalidUpkeep`."""
    with translating(ValidationError, lambda error: InvalidUpkeep(explain_fields(error))):
        request = REQUEST.validate_python(event)
    if isinstance(request, PurgeRequest) and retention.age(request.older_than) < A_DAY and not request.recent:
        raise InvalidUpkeep("The field `olderThan` is less than a day, which `recent` has to allow.")
    return request


def execute(event: object, environ: Mapping[str, str], request_id: str, seconds: float) -> dict[str, Any]:
    """Execute the verb in `event` within `seconds`, and return the answer; a failure is an answer too."""
    ends_at, deleted = monotonic() + seconds, Deleted()
    try:
        request = parse(event)
        engine = open_from(environ, f"dispatch-agent {request_id}", seconds)
        with engine.connect() as connection:
            with connection.begin():
                turn.bound(connection, max(SHORTEST_S, ends_at - monotonic() - SHORTEST_S))
            if isinstance(request, StatsRequest):
                return _stats(connection, request)
            return _purge(connection, request, ends_at, deleted)
    except Exception as error:  # noqa: BLE001 - callers that parse answers get one for a bug of ours too
        return _failed(action(event), error) | ({"deleted": deleted.rows} if action(event) == "purge" else {})


@dataclass
class Deleted:
    """The rows that a purge has deleted and committed."""

    rows: int = 0


def _purge(connection: Connection, request: PurgeRequest, ends_at: float, deleted: Deleted) -> dict[str, Any]:
    """Delete in batches while there is time; what is left over is deleted by the next purge."""
    with connection.begin():
        owner = _owner(connection, request.tenant_id)
        before = retention.moment(connection, retention.age(request.older_than))
    finished = True
    for number in retention.delete(connection, Purge(before, owner)):
        deleted.rows += number
        if ends_at - monotonic() < MARGIN_S:
            finished = False
            break
    rest = "" if finished else " O tempo acabou; repita para apagar o resto."
    return {
        "success": True,
        "action": "purge",
        "deleted": deleted.rows,
        "finished": finished,
        "before": before.isoformat(),
        "logs": [f"{deleted.rows} decisões de antes de {before:%d/%m/%Y %H:%M} apagadas.{rest}"],
    }


def _stats(connection: Connection, request: StatsRequest) -> dict[str, Any]:
    with connection.begin():
        owner = _owner(connection, request.tenant_id)
        found = stats.read(connection, owner, request.days)
        told = {
            "bloqueios": nameless.read(connection, owner).as_told(),
            "contatos": unreadable.read(connection, owner).as_told(),
        }
    return {
        "success": True,
        "action": "stats",
        "tenantId": request.tenant_id,
        "days": found.days,
        "today": found.today.isoformat(),
        "tallies": [{**one, "day": str(one["day"])} for one in stats.as_data(found)],
        "ilegiveis": told,
        "logs": [f"{found.decisions} decisões desde {found.dates[0]:%d/%m/%Y}."],
    }


def _owner(connection: Connection, named: str | None) -> UUID | None:
    return None if named is None else tenants.find(connection, named)


def _failed(asked: str, error: Exception) -> dict[str, Any]:
    problem = explain(error)
    words = " ".join(part for part in (problem.sentence, problem.state, problem.advice) if part)
    failed = {"success": False, "error": words, "code": problem.code, "logs": [f"{problem.code}: {words}"]}
    # callers of a run read these whatever happened
    own = {"leadsProcessados": 0, "decisoes": [], "contagens": {}} if asked == DRY_RUN else {"action": asked}
    return failed | own
