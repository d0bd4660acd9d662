"""The operators' runbook as a document: its entries, what they show, and what they say to type."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from support.project import ROOT

TEXT = (ROOT / "docs" / "runbook.pt-BR.md").read_text("utf-8")
SECTION = re.compile(r"^#{2,3} ([^\n]+)\n(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\|(?: [^`|]+ \|)? `([^`]+)` \| `(\{[^`]+\})` \| (.+) \|$", re.MULTILINE)
ALLOWANCE = "só se permitida"


@dataclass(frozen=True)
class Step:
    """A row of a table: a command, the same as a payload, and what that needs in `prod`."""

    command: str
    payload: str
    there: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next one."""

    heading: str
    body: str

    @property
    def code(self) -> str | None:
        """Return the code or the end of an alarm's name that an entry is about; None for any other section."""
        return self.heading.strip("`") if self.heading.startswith("`") else None

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """Return the language and the text of each block of code."""
        return FENCE.findall(self.body)

    @property
    def seen(self) -> list[str]:
        """Return the messages that an entry shows."""
        return [line for language, text in self.blocks if language == "text" for line in text.splitlines()]

    @property
    def steps(self) -> list[Step]:
        return [Step(*found) for found in STEP.findall(self.body)]


def sections() -> Iterator[Section]:
    """Yield the sections in their order."""
    yield from (Section(*found) for found in SECTION.findall(TEXT))


def section(heading: str) -> Section:
    """Return the section with this heading, an entry's without its backticks."""
    (found,) = (one for one in sections() if heading in (one.heading, one.code))
    return found


SAMPLES = {"pid": "4711", "session": "692c1f3a.1267", "revision": "023_agent_purge"}
"""The data in the examples, for which an operator puts those of the message."""


def step(heading: str, verb: str, **data: object) -> Step:
    """Return the step of a section with this verb, and with `data` for the samples in it."""
    found = next(one for one in section(heading).steps if json.loads(one.payload)["action"] == verb)
    command, payload = found.command, found.payload
    for name, value in data.items():
        command = command.replace(SAMPLES[name], str(value))
        payload = payload.replace(SAMPLES[name], str(value))
    return Step(command, payload, found.there)


def allowed() -> str:
    """Return the value of `ALLOWED_ACTIONS` that lets an action of the page's example into a protected environment."""
    (found,) = re.findall(r"`([a-z-]+(?:,[a-z-]+)+)`", section("Permitir uma ação em prod").body)
    return str(found)
