"""For whom and under which conditions something is done."""

from collections.abc import Callable
from dataclasses import dataclass

from runner.deadline import Deadline
from runner.settings import Settings

DEFAULT_TIMEOUT_S = 900
"""The longest that a Lambda may run, so that a laptop gives up no later."""

Tell = Callable[..., None]


@dataclass(frozen=True)
class Invocation:
    """Say for whom and under which conditions something is done.

    `tell` is called as it goes on with a sentence and named fields, and may be called often.
    """

    settings: Settings
    request_id: str
    deadline: Deadline
    tell: Tell
