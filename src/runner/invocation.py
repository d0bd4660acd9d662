"""For whom and under which conditions something is done."""

from dataclasses import dataclass
from typing import Any, Protocol

from runner.deadline import Deadline
from runner.settings import Settings

DEFAULT_TIMEOUT_S = 900
"""The longest that a Lambda may run, so that a laptop gives up no later."""


class Tell(Protocol):
    """Say, as something goes on, a sentence for people and named fields for programs; may be called often."""

    def __call__(self, sentence: str, **fields: Any) -> None: ...


@dataclass(frozen=True)
class Invocation:
    """For whom and under which conditions something is done."""

    settings: Settings
    request_id: str
    deadline: Deadline
    tell: Tell
