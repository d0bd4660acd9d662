"""The verbs through a deployed function: one invocation, and its answer.

Only the command line imports this module.
"""

import json
from collections.abc import Mapping
from typing import Any

from runner.aws import client_errors, environments, invoke
from runner.aws.environments import Environment
from runner.errors import FunctionFailed, FunctionUnreachable, MigrationError, StoppedWaiting, translating

KEYS = {"purge": "purge"}
"""The key of `migrate.toml` that names a verb's function, where it is not `agent`."""


class StoppedWaitingForAgent(StoppedWaiting):
    hint = "Read the function's log, then run the same command again with `{there}`."


def ask(environ: Mapping[str, str], env: str, event: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Invoke the function of an environment of `migrate.toml`, and return its answer.

    `timeout_s` limits the waiting, not the function. Raises `InvalidSettings`, `FunctionUnreachable`, `FunctionFailed`
    or `StoppedWaiting`.
    """
    environment = environments.read(environ, env, KEYS.get(str(event.get("action")), "agent"))
    session = invoke.open_session(environment)
    from botocore.exceptions import BotoCoreError, ClientError

    with translating((BotoCoreError, ClientError), lambda error: _explain(environment, error)):
        client = invoke.open_client(session, "lambda", timeout_s)
        with translating(KeyboardInterrupt, lambda _: StoppedWaitingForAgent(environment.name, environment.option)):
            result = client.invoke(FunctionName=environment.function, Payload=json.dumps(event).encode())
            content = result["Payload"].read()
    return _read(environment, content)


def _read(environment: Environment, content: bytes) -> dict[str, Any]:
    """Return the function's answer. Raises `FunctionFailed` for any other content, which is not repeated."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("success"), bool) and isinstance(answer.get("logs"), list):
        return answer
    raise _failed(environment, "ended without an answer of the agent")


def _explain(environment: Environment, error: Exception) -> MigrationError:
    refusal = client_errors.of(error, invoke.INVOKE)
    # to `client_errors` a function that is still running is one of many connection errors
    if type(error).__name__ == "ReadTimeoutError":
        return _failed(environment, "did not answer in time, and may still be running")
    if refusal.sent:
        return _failed(environment, refusal.reason)
    return FunctionUnreachable(environment.name, refusal.reason, refusal.remedy)


def _failed(environment: Environment, reason: str) -> FunctionFailed:
    outcome = "What it committed remains."
    return FunctionFailed(environment.name, reason, outcome, f"Read the log group `/aws/lambda/{environment.name}`.")
