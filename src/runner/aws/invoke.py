"""The verbs through a Lambda function: one invocation, its answer, and its progress from the log."""

import base64
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runner import next_step, policy
from runner.answer import Draft
from runner.aws import client_errors, log_tail, state_machine
from runner.aws.client_errors import Refusal
from runner.aws.environments import Environment
from runner.errors import (
    FunctionFailed,
    FunctionUnreachable,
    InvalidSettings,
    StoppedWaiting,
    translating,
)
from runner.invocation import DEFAULT_TIMEOUT_S, Tell
from runner.postgres import translation

LONGEST_S = DEFAULT_TIMEOUT_S + 60
"""Lambda's longest time-out, and a minute for the start of the function."""
CONNECT_TIMEOUT_S = 10
INVOKE = "lambda:InvokeFunction"
INSTALL = "Install the extra `aws`."
TIMED_OUT = re.compile(r"Task timed out after ([0-9.]+) seconds")
ERROR_TYPE = re.compile(r"[A-Za-z0-9_.]{1,100}")
STATUSES = ("success", "partial", "error")
# The error types of Lambda's Python runtime for a handler that could not be loaded.
# https://github.com/aws/aws-lambda-python-runtime-interface-client/blob/main/awslambdaric/bootstrap.py
NOT_BEGUN = ("Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.UserCodeSyntaxError")


def ask(environment: Environment, event: Mapping[str, object], timeout_s: float | None, tell: Tell) -> dict[str, Any]:
    """Invoke the function with `event` and return its answer, or an answer that says why there is none.

    `timeout_s` limits the waiting, not the function; None waits as long as a function may run.
    """
    invocation = str(uuid.uuid4())
    try:
        return _invoke(environment, event, invocation, timeout_s or LONGEST_S, tell)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - translated as in `commands.execute`
        problem = translation.explain(error)
    return Draft(str(event["action"]), invocation).fail(problem).as_json()


def open_session(environment: Environment) -> Any:
    """Return a boto3 session for the profile. Raises `InvalidSettings` or `FunctionUnreachable`."""
    with translating(ModuleNotFoundError, lambda _: InvalidSettings("boto3 is not installed.", INSTALL)):
        import boto3
        from botocore.exceptions import BotoCoreError
    with translating(BotoCoreError, lambda error: _unreachable(environment, client_errors.of(error, INVOKE))):
        return boto3.Session(
            profile_name=environment.aws_profile, region_name=environment.region or os.environ.get("AWS_REGION")
        )


def _unreachable(environment: Environment, refusal: Refusal) -> FunctionUnreachable:
    return FunctionUnreachable(environment.name, refusal.reason, refusal.remedy)


def _of_protected(environment: Environment, event: Mapping[str, object], refusal: Refusal) -> Refusal:
    """Return a refusal that says how to start the state machine, where that alone may invoke the function."""
    step = next_step.of_call(event)
    if environment.protected is None or not refusal.denied or step is None:
        return refusal
    listed = f" It refuses that unless `ALLOWED_ACTIONS` names `{step.action}`."
    remedy = (
        f"In `{environment.protected}` the state machine invokes it: `{state_machine.start(environment, step)}`."
        f"{'' if step.action in policy.PROTECTED else listed} Read its answer with "
        "`aws stepfunctions describe-execution --execution-arn ARN`, where ARN is what that prints."
    )
    return replace(refusal, remedy=remedy)


def open_client(session: Any, service: str, timeout_s: float = CONNECT_TIMEOUT_S) -> Any:
    """Return a boto3 client whose requests are sent once and wait `timeout_s` seconds for an answer."""
    from botocore.config import Config

    config = Config(
        # the SDK's retry after a time-out would invoke the function a second time
        retries={"total_max_attempts": 1},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=timeout_s,
        # for NAT gateways, which drop a connection that is idle for 350 s; Linux's own idle time is 2 hours
        # https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
        tcp_keepalive=True,
    )
    return session.client(service, config=config)


def _invoke(
    environment: Environment, event: Mapping[str, object], invocation: str, timeout_s: float, tell: Tell
) -> dict[str, Any]:
    session = open_session(environment)
    from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

    def explain(error: Exception) -> FunctionFailed | FunctionUnreachable:
        # first: to `client_errors` it is one of many connection errors
        if isinstance(error, ReadTimeoutError):
            return _failed(environment, event, f"did not answer within {timeout_s:g} s, and may still be running")
        refusal = client_errors.of(error, INVOKE)
        if refusal.sent:
            return _failed(environment, event, refusal.reason)
        return _unreachable(environment, _of_protected(environment, event, refusal))

    with translating((BotoCoreError, ClientError), explain):
        client = open_client(session, "lambda", timeout_s)
        with log_tail.following(session, environment, invocation, tell):
            text = _send(client, environment, event, invocation)
    return _read(environment, event, text)


def _send(client: Any, environment: Environment, event: Mapping[str, object], invocation: str) -> str:
    # the request id is known only with the answer, so the log lines are found by an id of our own
    context = {"custom": {"invocation": invocation}}
    with translating(KeyboardInterrupt, lambda _: StoppedWaiting(environment.name, environment.option)):
        result = client.invoke(
            FunctionName=environment.function,
            Payload=json.dumps(event).encode(),
            ClientContext=base64.b64encode(json.dumps(context).encode()).decode(),
        )
        content: bytes = result["Payload"].read()
    return content.decode("utf-8", "replace")


def _read(environment: Environment, event: Mapping[str, object], text: str) -> dict[str, Any]:
    """Return the function's answer. Raises `FunctionFailed` for any other content."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = {"errorMessage": text}
    if not isinstance(content, dict):
        raise _failed(environment, event, "returned something other than an answer of this tool")
    if content.get("status") in STATUSES and isinstance(content.get("message"), str):
        return content
    # Lambda's own errors: https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    timed_out = TIMED_OUT.search(str(content.get("errorMessage")))
    if timed_out:
        raise _failed(environment, event, f"reached its time-out of {float(timed_out[1]):g} s")
    kind = str(content.get("errorType"))
    # another function's text, which may hold anything, is not shown
    if not ERROR_TYPE.fullmatch(kind) or "errorType" not in content:
        raise _failed(environment, event, "returned something other than an answer of this tool")
    raise _failed(environment, event, f"ended without an answer ({kind})", kind in NOT_BEGUN)


def _failed(environment: Environment, event: Mapping[str, object], reason: str, idle: bool = False) -> FunctionFailed:
    """Return the error for a function that gave no answer; `idle` where its handler did not start."""
    # a reading verb changes nothing, whatever became of it
    if idle or event["action"] not in policy.CHANGING:
        remedy = f"Read the reason in the log group `{log_tail.group(environment)}`."
        return FunctionFailed(environment.name, reason, "Nothing was changed.", remedy)
    outcome = "It is not known whether the function changed anything."
    remedy = "Look at the database with `migrate current`, then run the same command again."
    return FunctionFailed(environment.name, reason, outcome, remedy)
