"""The Lambda's door: a payload in, an answer out.

Nothing happens on import. boto3 is loaded only where a secret or a token is needed, the Tracer only where
X-Ray samples the invocation: it costs 0.2 s even when it is disabled.
"""

import logging
import os
import re
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from runner.answer import Answer, Json

SERVICE = "aurora-migrations-runner"
NAMESPACE = "AlquimistaAI/Migrations"
IN_MS = ("MigrationDuration",)
# What was asked for was refused; no migration has failed.
REFUSED = frozenset(
    {"action-not-allowed", "confirm-needed", "invalid-payload", "plan-needed", "plan-stale", "unknown-revision"}
)
SHOWN = ("status", "action", "code", "from", "to")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANSWERING_S = 1.0
"""Kept back from the function's time-out, to roll back, write the ledger and answer."""


def handler(event: object, context: "LambdaContext") -> "dict[str, Json]":
    """Do what `event` asks for and return the answer; see `commands.execute`."""
    if "Sampled=1" not in os.environ.get("_X_AMZN_TRACE_ID", ""):
        return _serve(event, context)
    from aws_lambda_powertools import Tracer

    tracer = Tracer(service=SERVICE, auto_patch=False)
    answer: dict[str, Json] = tracer.capture_lambda_handler(_serve, capture_response=False, capture_error=False)(
        event, context
    )
    return answer


def _serve(event: object, context: "LambdaContext") -> "dict[str, Json]":
    from runner import interpreter

    interpreter.spare()
    from runner import commands, policy
    from runner.deadline import Deadline

    logger = _logger()
    # None takes the key of an earlier invocation away
    logger.append_keys(request_id=context.aws_request_id, invocation=_invocation(context))

    def tell(sentence: str, **fields: object) -> None:
        logger.info(sentence, extra=fields)

    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000 - ANSWERING_S)
    started = time.monotonic()
    reply = commands.execute(event, os.environ, context.aws_request_id, deadline, tell)
    answer = reply.answer
    log = logger.info if answer.status == "success" else logger.error
    log(answer.message, extra={key: reply.told[key] for key in SHOWN if key in reply.told})
    if answer.action in policy.CHANGING:
        _measure_run(answer, (time.monotonic() - started) * 1000)
    elif answer.action == "check" and answer.status == "success":
        _measure_check(answer)
    if reply.error is not None:
        raise reply.error
    return reply.told


def _invocation(context: "LambdaContext") -> str | None:
    """Return the id by which `migrate --env` finds its own log lines; whatever else a client sends is not logged."""
    custom = getattr(context.client_context, "custom", None)
    given = custom.get("invocation") if isinstance(custom, dict) else None
    return given if isinstance(given, str) and UUID.fullmatch(given) else None


def _measure_run(answer: "Answer", duration_ms: float) -> None:
    """Emit the metrics of a run that may change the database."""
    applied = len(answer.change.applied) if answer.change else 0
    failed = answer.status == "error" and answer.failure is not None and answer.failure.code not in REFUSED
    _emit(answer, RevisionsApplied=applied, MigrationDuration=round(duration_ms, 1), MigrationFailed=int(failed))


def _measure_check(answer: "Answer") -> None:
    """Emit how many errors a check found; of one that failed nothing is known, and zero would say that all is well.

    A revision that waits to be applied is none: so it is from each deployment to its upgrade.
    """
    from runner.results import CheckResult

    problems = answer.result.findings if isinstance(answer.result, CheckResult) else ()
    _emit(answer, DriftFound=sum(one.level == "error" and one.kind != "pending" for one in problems))


def _emit(answer: "Answer", **values: float) -> None:
    from aws_lambda_powertools.metrics import MetricUnit

    metrics = _metrics()
    metrics.add_metadata("request_id", answer.request_id)
    for name, value in values.items():
        metrics.add_metric(name, MetricUnit.Milliseconds if name in IN_MS else MetricUnit.Count, value)
    metrics.flush_metrics()


@cache
def _logger() -> "Logger":
    """Make one JSON logger and give its handler to the root, so that Alembic's lines carry the request too."""
    from aws_lambda_powertools import Logger

    logger = Logger(service=SERVICE)
    root = logging.getLogger()
    root.handlers = [logger.registered_handler]
    root.setLevel(logging.INFO)
    logging.getLogger(SERVICE).propagate = False
    # the engine tells of each revision itself
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return logger


@cache
def _metrics() -> "Metrics":
    from aws_lambda_powertools import Metrics

    metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
    metrics.set_default_dimensions(environment=os.environ.get("ENVIRONMENT", "dev"))
    return metrics
