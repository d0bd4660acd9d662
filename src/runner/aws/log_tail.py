"""The progress of a function, from the lines of its log."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runner.aws import client_errors
from runner.aws.environments import Environment
from runner.invocation import Tell

POLL_S = 1.0
CLOCKS_DIFFER_S = 60
"""How far this machine's clock may be ahead of AWS's."""
TIMEOUT_S = 5
LAST_LOOK_S = 2.0
"""The longest that an answer waits for the last lines of the log."""
PROGRESS_FIELDS = ("event", "number", "total", "phase", "done", "blocks")
"""The fields of a line that a progress bar needs."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tail:
    """The log lines of one invocation."""

    client: Any
    group: str
    invocation: str
    tell: Tell
    since_ms: int = field(default_factory=lambda: int((time.time() - CLOCKS_DIFFER_S) * 1000))
    seen: set[str] = field(default_factory=set)

    def read_new(self, abandoned: threading.Event) -> None:
        """Report the lines that are new, until `abandoned` is set."""
        # always from the start: lines can become readable out of order, so the time of the last one is no bookmark
        pages = self.client.get_paginator("filter_log_events").paginate(
            # a term in quotes matches anywhere in a line
            # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
            logGroupName=self.group, startTime=self.since_ms, filterPattern=f'"{self.invocation}"',
        )  # fmt: skip
        for page in pages:
            for event in page["events"]:
                if event["eventId"] not in self.seen and not abandoned.is_set():
                    self.seen.add(event["eventId"])
                    self._report(event["message"])

    def _report(self, text: str) -> None:
        """Report a line of the runner, except the answer, which the caller shows."""
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            # a line that is not the runner's, though it contains the id
            return
        if not isinstance(line, dict) or line.get("invocation") != self.invocation or "status" in line:
            return
        sentence = str(line.get("message"))
        if line.get("level") == "INFO":
            self.tell(sentence, **{key: line[key] for key in PROGRESS_FIELDS if key in line})
        else:
            logger.warning("%s", sentence)


def group(environment: Environment) -> str:
    """Return the name of the function's log group, as Lambda names it by default."""
    return f"/aws/lambda/{environment.name}"


@contextmanager
def following(session: Any, environment: Environment, invocation: str, tell: Tell) -> Iterator[None]:
    """Report what the function logs while the block runs, and read the log once more after it.

    Where the log cannot be read, that is reported once. A block of less than a second is not followed.
    """
    ended, abandoned = threading.Event(), threading.Event()
    arguments = (session, environment, invocation, tell, ended, abandoned)
    thread = threading.Thread(target=_follow, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_LOOK_S)
        # a request may still be waiting: its lines must not appear below the answer
        abandoned.set()


def _follow(
    session: Any,
    environment: Environment,
    invocation: str,
    tell: Tell,
    ended: threading.Event,
    abandoned: threading.Event,
) -> None:
    # most verbs answer sooner, and then need no client and no permission for the log
    if ended.wait(POLL_S):
        return
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S)
    try:
        tail = Tail(session.client("logs", config=config), group(environment), invocation, tell)
        running = True
        while running:
            # read before the log, so that the log is read once more after the function's end
            running = not ended.is_set()
            tail.read_new(abandoned)
            ended.wait(POLL_S)
    except (BotoCoreError, ClientError) as error:
        reason = _reason(error, group(environment))
    else:
        return
    if not abandoned.is_set():
        tell(f"Progress is not shown: {reason}. The function continues.")


def _reason(error: Exception, name: str) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code")
    if code == "ResourceNotFoundException":
        return f"there is no log group `{name}`"
    return client_errors.of(error, "logs:FilterLogEvents").reason
