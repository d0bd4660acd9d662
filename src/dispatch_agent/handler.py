"""The Lambda's handler: it takes an event, returns an answer, and emits one log line and the run's metrics.

Nothing happens on import; the first invocation loads the modules that decide.
"""

import os
from collections.abc import Mapping
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from aws_lambda_powertools.utilities.typing import LambdaContext

ANSWERING_S = 1.0
"""The time reserved for the answer, before the function's time-out."""


def handler(event: object, context: "LambdaContext") -> dict[str, Any]:
    """Decide for the leads that `event` names and record the decisions; nothing is sent. See `run.run`.

    With an `action`, `purge` or `stats`, look after the log instead; see `upkeep.execute`. Raises `RunBusy` where the
    event has `"onBusy": "raise"`.
    """
    from dispatch_agent import metrics, quiet, upkeep
    from dispatch_agent.failure import RunBusy
    from dispatch_agent.run import run

    quiet.hide_texts()
    logger = _logger()
    logger.append_keys(request_id=context.aws_request_id)
    started = monotonic()
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWERING_S
    runs = upkeep.action(event) == upkeep.DRY_RUN
    answer = upkeep.refusal(event, os.environ)
    if answer is None and runs:
        answer = run(event, os.environ, context.aws_request_id, seconds, lambda *_, **__: None)
    elif answer is None:
        answer = upkeep.execute(event, os.environ, context.aws_request_id, seconds)
    duration_ms = round((monotonic() - started) * 1000, 1)
    # Lambda repeats what is raised, so that nothing has failed yet
    repeated = answer.get("code") == RunBusy.code and isinstance(event, Mapping) and event.get("onBusy") == "raise"
    log = logger.info if answer["success"] or repeated else logger.error
    log(answer["logs"][0], extra={**_summary(answer), "duration_ms": duration_ms})
    if repeated:
        metrics.emit_busy(os.environ, duration_ms)
        raise RunBusy(answer["error"])
    if runs:
        metrics.emit_run(os.environ, event, answer, duration_ms)
    elif upkeep.action(event) == "purge":
        metrics.emit_purge(os.environ, answer)
    return answer


def _summary(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a run's log line; they contain nothing of a lead but ids."""
    names = ("runId", "leadsProcessados", "contagens", "ilegiveis", "code", "action", "deleted", "finished")
    return {key: answer[key] for key in names if key in answer}


@cache
def _logger() -> "Logger":
    from aws_lambda_powertools import Logger

    from dispatch_agent.metrics import SERVICE

    return Logger(service=SERVICE)
