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

    With an `action`, `purge` or `stats`, look after the log instead; see `upkeep.execute`. Raises `RunBusy` where the
    event has `"onBusy": "raise"`.
    """
    from dispatch_agent import quiet, upkeep
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
    log = logger.info if answer["success"] else logger.error
    log(answer["logs"][0], extra={**_summary(answer), "duration_ms": duration_ms})
    if runs:
        _measure(event, answer, duration_ms)
    elif upkeep.action(event) == "purge":
        _measure_purge(answer)
    # last, so that it has its log line and its metrics too
    if answer.get("code") == RunBusy.code and isinstance(event, Mapping) and event.get("onBusy") == "raise":
        raise RunBusy(answer["error"])
    return answer


def _summary(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a run's log line; they contain nothing of a lead but ids."""
    names = ("runId", "leadsProcessados", "contagens", "ilegiveis", "code", "action", "deleted", "finished")
    return {key: answer[key] for key in names if key in answer}


def _measure(event: object, answer: Mapping[str, Any], duration_ms: float) -> None:
    """Emit what the alarms and the dashboard read: for the environment, and for a tenant of `METRIC_TENANTS`."""
    environment = os.environ.get("ENVIRONMENT", "").strip() or "dev"
    # a simulation decides on nothing, and what is decided as at another moment is none of this one's
    ours = not {"horas", "momento"} & answer.keys()
    decided = answer["contagens"] if ours else {}
    for canal, counted in decided.items():
        _count_decisions(environment, canal, counted)
    values: dict[str, float] = {"RunFailed": int(not answer["success"])}
    if decided and answer["leadsProcessados"]:
        blocked = sum(sum(counted["bloqueios"].values()) for counted in decided.values())
        values["BlockedShare"] = 100 * blocked / answer["leadsProcessados"]
    if answer["success"] and ours:
        told = answer["ilegiveis"]
        values["UnreadableBlocks"] = told["bloqueios"]["total"]
        values["UnreadableContacts"] = told["contatos"]["total"]
    _emit({"environment": environment}, RunDuration=duration_ms, **values)
    tenant = event.get("tenantId") if isinstance(event, Mapping) else None
    # each tenant has metrics of its own, and each metric costs: only those that the deployment lists
    if tenant in os.environ.get("METRIC_TENANTS", "").split(",") and tenant:
        _emit({"environment": environment, "tenant": tenant}, **values)


def _count_decisions(environment: str, canal: str, counted: Mapping[str, Any]) -> None:
    """Emit the decisions of a channel by their reason."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    # CloudWatch accepts only ASCII in a dimension
    reasons = {_ascii(reason): count for reason, count in counted["bloqueios"].items()}
    for reason, count in {NOT_BLOCKED: counted["executaria"], **reasons}.items():
        with single_metric("Decisions", MetricUnit.Count, count, namespace=NAMESPACE) as metric:
            for name, value in {"environment": environment, "canal": canal, "bloqueio": reason}.items():
                metric.add_dimension(name, value)


def _measure_purge(answer: Mapping[str, Any]) -> None:
    environment = os.environ.get("ENVIRONMENT", "").strip() or "dev"
    _emit({"environment": environment}, PurgeFailed=int(not answer["success"]), RowsDeleted=answer.get("deleted", 0))


def _emit(dimensions: Mapping[str, str], **values: float) -> None:
    from aws_lambda_powertools.metrics import Metrics, MetricUnit

    units = {"RunDuration": MetricUnit.Milliseconds, "BlockedShare": MetricUnit.Percent}
    metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
    for dimension, named in dimensions.items():
        metrics.add_dimension(dimension, named)
    for name, value in values.items():
        metrics.add_metric(name, units.get(name, MetricUnit.Count), value)
    metrics.flush_metrics()


def _ascii(text: str) -> str:
    """Return a Portuguese text without its accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


@cache
def _logger() -> "Logger":
    from aws_lambda_powertools import Logger

    return Logger(service=SERVICE)
