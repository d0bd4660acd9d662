"""The Lambda's handler: it takes an event, returns an answer, and emits one log line and the run's metrics.

Nothing happens on import; the first invocation loads the modules that decide.
"""

import os
import unicodedata
from collections.abc import Mapping
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from aws_lambda_powertools.utilities.typing import LambdaContext

SERVICE = "micro-agente-disparo-agendamento"
NAMESPACE = "AlquimistaAI/DispatchAgent"
ANSWERING_S = 1.0
"""The time reserved for the answer, before the function's time-out."""
NOT_BLOCKED = "nenhum"


def handler(event: object, context: "LambdaContext") -> dict[str, Any]:
    """Decide for the leads that `event` names and record the decisions; nothing is sent. See `run.run`.

    Raises `RunBusy` where the event has `"onBusy": "raise"`.
    """
    from dispatch_agent.run import run
    from dispatch_agent.turn import RunBusy

    logger = _logger()
    logger.append_keys(request_id=context.aws_request_id)
    started = monotonic()
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWERING_S
    answer = run(event, os.environ, context.aws_request_id, seconds, lambda *_, **__: None)
    duration_ms = round((monotonic() - started) * 1000, 1)
    log = logger.info if answer["success"] else logger.error
    log(answer["logs"][0], extra={**_summary(answer), "duration_ms": duration_ms})
    _measure(answer, duration_ms)
    # last, so that it has its log line and its metrics too
    if answer.get("code") == RunBusy.code and isinstance(event, Mapping) and event.get("onBusy") == "raise":
        raise RunBusy(answer["runId"])
    return answer


def _summary(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a run's log line; they contain nothing of a lead but ids."""
    names = ("runId", "leadsProcessados", "contagens", "ilegiveis", "code")
    return {key: answer[key] for key in names if key in answer}


def _measure(answer: Mapping[str, Any], duration_ms: float) -> None:
    """Emit the decisions by channel and reason, the duration (ms) and the blocked share (percent)."""
    from aws_lambda_powertools.metrics import Metrics, MetricUnit, single_metric

    environment = os.environ.get("ENVIRONMENT", "").strip() or "dev"
    blocked = 0
    # a simulation decides on nothing, and what is decided as at another moment is none of this one's
    decided = {} if {"horas", "momento"} & answer.keys() else answer["contagens"]
    for canal, counted in decided.items():
        blocked += sum(counted["bloqueios"].values())
        # CloudWatch accepts only ASCII in a dimension
        reasons = {_ascii(reason): count for reason, count in counted["bloqueios"].items()}
        for reason, count in {NOT_BLOCKED: counted["executaria"], **reasons}.items():
            with single_metric("Decisions", MetricUnit.Count, count, namespace=NAMESPACE) as metric:
                for name, value in {"environment": environment, "canal": canal, "bloqueio": reason}.items():
                    metric.add_dimension(name, value)
    metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
    metrics.add_dimension("environment", environment)
    metrics.add_metric("RunDuration", MetricUnit.Milliseconds, duration_ms)
    metrics.add_metric("RunFailed", MetricUnit.Count, int(not answer["success"]))
    if decided and answer["leadsProcessados"]:
        metrics.add_metric("BlockedShare", MetricUnit.Percent, 100 * blocked / answer["leadsProcessados"])
    metrics.flush_metrics()


def _ascii(text: str) -> str:
    """Return a Portuguese text without its accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


@cache
def _logger() -> "Logger":
    from aws_lambda_powertools import Logger

    return Logger(service=SERVICE)
