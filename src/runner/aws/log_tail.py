"""What a function logs while it is at work, told as if it were at work here."""

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
TIMEOUT_S = 5
LAST_LOOK_S = 2.0
TOLD = ("event", "number", "total")
"""The fields that whoever shows progress may want."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tail:
    """Follow the lines of one invocation."""

    client: Any
    group: str
    invocation: str
    tell: Tell
    since_ms: int = field(default_factory=lambda: int((time.time() - CLOCKS_DIFFER_S) * 1000))
    seen: set[str] = field(default_factory=set)

    def look(self, unheard: threading.Event) -> None:
        """Tell of the lines that are new, unless nobody listens any more."""
        pages = self.client.get_paginator("filter_log_events").paginate(
            # a term with quotes around it finds the id wherever it stands
            logGroupName=self.group, startTime=self.since_ms, filterPattern=f'"{self.invocation}"',
        )  # fmt: skip
        for page in pages:
            for event in page["events"]:
                if event["eventId"] not in self.seen and not unheard.is_set():
                    self.seen.add(event["eventId"])
                    self._pass_on(event["message"])

    def _pass_on(self, text: str) -> None:
        """Tell a line of ours; the answer itself is logged too, and shown by who asked."""
        try:
            line = json.loads(text)
        except ValueError:
            return
        if not isinstance(line, dict) or line.get("invocation") != self.invocation or "status" in line:
            return
        sentence = str(line.get("message"))
        if line.get("level") == "INFO":
            self.tell(sentence, **{key: line[key] for key in TOLD if key in line})
        else:
            logger.warning("%s", sentence)


def group(environment: Environment) -> str:
    """Return the log group that Lambda writes to by default."""
    return f"/aws/lambda/{environment.name}"


@contextmanager
def following(session: Any, environment: Environment, invocation: str, tell: Tell) -> Iterator[None]:
    """Tell, while the block goes on, what the function logs; then look a last time, without waiting for more.

    Who may not read the logs is told so once. What ends within a second is not followed at all.
    """
    ended, unheard = threading.Event(), threading.Event()
    arguments = (session, environment, invocation, tell, ended, unheard)
    thread = threading.Thread(target=_follow, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_LOOK_S)
        unheard.set()


def _follow(
    session: Any,
    environment: Environment,
    invocation: str,
    tell: Tell,
    ended: threading.Event,
    unheard: threading.Event,
) -> None:
    if ended.wait(POLL_S):
        return
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S)
    try:
        tail = Tail(session.client("logs", config=config), group(environment), invocation, tell)
        going_on = True
        while going_on:
            going_on = not ended.is_set()
            tail.look(unheard)
            ended.wait(POLL_S)
    except (BotoCoreError, ClientError) as error:
        reason = _reason(error, group(environment))
    else:
        return
    if not unheard.is_set():
        tell(f"Progress is not shown: {reason}. The function goes on all the same.")


def _reason(error: Exception, name: str) -> str:
    code = getattr(error, "response", {}).get("Error", {}).get("Code")
    if code == "ResourceNotFoundException":
        return f"there is no log group `{name}`"
    return client_errors.of(error, "logs:FilterLogEvents").reason
