"""The circumstances of a call: settings, request, deadline, and where progress is reported."""

import time
from dataclasses import dataclass
from typing import Any, Protocol

from runner.deadline import Deadline
from runner.settings import Settings

DEFAULT_TIMEOUT_S = 900
"""Lambda's longest time-out, in seconds, so that a command on a laptop has the same limit.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
"""


class Tell(Protocol):
    """A callback for progress: a sentence for people, and named fields for programs."""

    def __call__(self, sentence: str, **fields: Any) -> None: ...


PROGRESS_S = 10
"""The time from one line about a command's progress to the next, where it is not a bar."""


def sparing(tell: Tell) -> Tell:
    """Return a callback that leaves out progress of a command less than 10 s after the last line about it."""
    told = 0.0

    def tell_some(sentence: str, **fields: Any) -> None:
        nonlocal told
        if fields.get("event") == "progress":
            if time.monotonic() - told < PROGRESS_S:
                return
            told = time.monotonic()
        tell(sentence, **fields)

    return tell_some


@dataclass(frozen=True)
class Invocation:
    """The circumstances of one call, which all functions of a verb share."""

    settings: Settings
    request_id: str
    """Lambda's request id, or a random UUID; it is also in `application_name`, the log and the ledger."""
    deadline: Deadline
    tell: Tell
