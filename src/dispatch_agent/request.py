"""A request to the agent: a few leads of a tenant, or a large run that can be resumed."""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runner.errors import MigrationError, translating

UUID_TEXT = r"^[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}$"
# As a slug, with a colon: a schedule's moment and its tenant's name have 84 characters at most.
Name = Annotated[str, Field(pattern=r"^[\w.:-]{1,90}$")]


FIELD = re.compile(r"[A-Za-z_]{1,30}")

# Letters of any language with their accents, and digits; no space, quote or control character.
Slug = Annotated[str, Field(pattern=r"^[\w.-]{1,63}$")]


@dataclass(eq=False)
class InvalidRequest(MigrationError):
    reason: str
    code = "invalid-payload"
    what = "{reason}"
    left = "Nothing was recorded."
    hint = (
        "The fields are `tenantId`, and `batchSize`, `leadId`, `runId`, `cursor`, `onBusy`; or `tenantId` and "
        "`spread`; and with either `at`, a moment with its zone such as `2026-11-24T10:30-03:00`."
    )


class Cursor(BaseModel):
    """The position of the last decided lead in the order in which leads are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    interesse: int | None
    data_ingestao: datetime
    lead_id: UUID

    def encode(self) -> str:
        """Return the cursor as the text in an answer."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")


def _text(value: object) -> object:
    # pydantic would take a number for the seconds since 1970
    if value is not None and not isinstance(value, str):
        raise ValueError("a moment is a text")
    return value


class Request(BaseModel):
    """One event; the names of its fields are those that callers have used for years."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    tenant_id: Annotated[Slug, Field(alias="tenantId")]
    batch_size: Annotated[int, Field(alias="batchSize", ge=1, le=1_000_000)] = 1
    lead_id: Annotated[str | None, Field(alias="leadId", pattern=UUID_TEXT)] = None
    run_id: Annotated[Name | None, Field(alias="runId")] = None
    cursor: Annotated[str | None, Field(max_length=500)] = None
    on_busy: Annotated[Literal["answer", "raise"], Field(alias="onBusy")] = "answer"
    """Raise `RunBusy` in a Lambda, which repeats an asynchronous invocation only when it fails."""
    spread: bool = False
    """Simulate a day of sends to all leads, and record nothing."""
    at: Annotated[AwareDatetime | None, Field(strict=False), BeforeValidator(_text)] = None
    """The moment to decide as at; None for the present."""


def parse(event: object) -> tuple[Request, Cursor | None]:
    """Return the request in an event, and the cursor at which it resumes. Raises `InvalidRequest`."""
    with translating(ValidationError, lambda error: InvalidRequest(explain_fields(error))):
        request = Request.model_validate(event)
    if request.spread and (others := sorted(request.model_fields_set - {"tenant_id", "spread", "at"})):
        named = Request.model_fields[others[0]].alias or others[0]
        raise InvalidRequest(f"The field `{named}` does not go with `spread`, which is about all leads of a tenant.")
    return request, _decode(request.cursor)


def explain_fields(error: ValidationError) -> str:
    """Return a sentence about the first wrong field; it never repeats the value."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and not FIELD.fullmatch(str(problem["loc"][-1])):
        # a caller's own text, which may be of a person
        return "The event has a field that there is not."
    if problem["type"].startswith("union_tag"):
        return "The field `action` is wrong: there is no such verb."
    return f"The field `{where}` is wrong: {problem['msg']}." if where else "The event is not a JSON object."


def _decode(text: str | None) -> Cursor | None:
    if text is None:
        return None
    unknown = InvalidRequest("The field `cursor` is wrong: it does not come from an answer.")
    with translating(ValueError, lambda _: unknown):
        # `encode` strips the padding, which base64 requires
        return Cursor.model_validate_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
