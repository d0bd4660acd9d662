"""The Lambda's handler: a payload in, an answer out.

Nothing happens on import. boto3 is imported only where a secret or a token is needed, the Tracer only where
X-Ray samples the invocation: its import takes 0.2 s even when it is disabled.
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
# The caller's mistakes: `MigrationFailed`, which raises an alarm, does not count them.
REFUSED = frozenset(
    {
        "action-not-allowed",
        "confirm-needed",
        "invalid-payload",
        "plan-needed",
        "plan-stale",
        "session-kept",
        "unknown-revision",
    }
)
SHOWN = ("status", "action", "code", "from", "to")
"""The fields of an answer that its log line repeats."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANSWERING_S = 1.0
"""The part of the function's time-out that is reserved for rolling back, writing the ledger and answering."""


def handler(event: object, context: "LambdaContext") -> "dict[str, Json]":
    """Execute `event` and return the answer; see `commands.execute`.

    Raises the failure instead where the event has `"on_error": "raise"`.
    """
    # X-Ray decides anew for each invocation, and Lambda sets the variable before it calls the handler
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
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

    interpreter.tune()
    # only now, so that these imports run without garbage collections
    from runner import commands, next_step, policy
    from runner.deadline import Deadline
    from runner.invocation import sparing

    logger = _logger()
    # a value of None removes the key of an earlier invocation of this process
    logger.append_keys(request_id=context.aws_request_id, invocation=_invocation(context))

    def tell(sentence: str, **fields: object) -> None:
        logger.info(sentence, extra=fields)

    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000 - ANSWERING_S)
    started = time.monotonic()
    # the command line writes commands of its own
    by_command_line = _invocation(context) is not None
    told = tell if by_command_line else next_step.spelling(tell, next_step.PAYLOAD)
    reply = commands.execute(event, os.environ, context.aws_request_id, deadline, sparing(told))
    if not by_command_line:
        reply = reply.spelled()
    answer = reply.answer
    log = logger.info if answer.status == "success" else logger.error
    # from the document, which is cut: an event of CloudWatch Logs has a limit as well
    log(reply.document["message"], extra={key: reply.document[key] for key in SHOWN if key in reply.document})
    if answer.action in policy.CHANGING:
        _measure_run(answer, (time.monotonic() - started) * 1000)
    elif answer.action == "check" and answer.status == "success":
        _measure_check(answer)
    # last, so that a failure that is raised has its log line and its metrics too
    if reply.error is not None:
        raise reply.error
    return reply.document


def _invocation(context: "LambdaContext") -> str | None:
    """Return the id by which `migrate --env` finds its own log lines; nothing else that a client sends is logged."""
    custom = getattr(context.client_context, "custom", None)
    given = custom.get("invocation") if isinstance(custom, dict) else None
    return given if isinstance(given, str) and UUID.fullmatch(given) else None


def _measure_run(answer: "Answer", duration_ms: float) -> None:
    """Emit the metrics of a verb that may change the database."""
    applied = len(answer.change.applied) if answer.change else 0
    failed = answer.status == "error" and answer.failure is not None and answer.failure.code not in REFUSED
    _emit(answer, RevisionsApplied=applied, MigrationDuration=round(duration_ms, 1), MigrationFailed=int(failed))


def _measure_check(answer: "Answer") -> None:
    """Emit the number of errors that a check found; a check that failed emits nothing, since 0 would mean no drift.

    A pending revision does not count: every deployment has some until its upgrade.
    """
    from runner.results import CheckResult

    problems = answer.result.findings if isinstance(answer.result, CheckResult) else ()
    _emit(answer, DriftFound=sum(problem.level == "error" and problem.kind != "pending" for problem in problems))


def _emit(answer: "Answer", **values: float) -> None:
    from aws_lambda_powertools.metrics import MetricUnit

    metrics = _metrics()
    metrics.add_metadata("request_id", answer.request_id)
    for name, value in values.items():
        metrics.add_metric(name, MetricUnit.Milliseconds if name in IN_MS else MetricUnit.Count, value)
    # `log_metrics` would flush too, but to decorate `handler` with it, importing this module would import Powertools
    metrics.flush_metrics()


@cache
def _logger() -> "Logger":
    """Return the JSON logger; the root logger shares its handler, so that Alembic's lines have the request id too."""
    from aws_lambda_powertools import Logger

    logger = Logger(service=SERVICE)
    root = logging.getLogger()
    # replaces the handler of Lambda's runtime, which would write each line a second time
    root.handlers = [logger.registered_handler]
    root.setLevel(logging.INFO)
    logging.getLogger(SERVICE).propagate = False
    # its INFO line for each revision would repeat the engine's
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return logger


@cache
def _metrics() -> "Metrics":
    from aws_lambda_powertools import Metrics

    metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
    metrics.set_default_dimensions(environment=os.environ.get("ENVIRONMENT", "").strip() or "dev")
    return metrics
