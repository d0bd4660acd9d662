"""The probes of a function, and through it of the database that only the function reaches."""

from dataclasses import dataclass
from typing import Any

from runner.answer import Answer, Draft
from runner.aws import client_errors, invoke
from runner.aws.environments import Environment
from runner.doctor import checks
from runner.doctor.checks import Probe, ProbeFailed, ProbeSkipped
from runner.errors import DatabaseUnreachable, FunctionFailed, FunctionUnreachable, translating
from runner.invocation import Tell
from runner.results import CurrentResult, read

NO_ANSWER = (FunctionUnreachable.code, FunctionFailed.code)
# The probe that fails for an error of the function's answer; for other codes it is `settings`.
PROBE_OF = {
    "database-unreachable": "network",
    "authentication-failed": "database",
    "read-only-database": "database",
    "pooled-connection": "database",
    "session-ended": "database",
    "database-failed": "database",
}
OPEN = (
    "Allow the function's security group in that of the database on its port, and put the function into subnets that "
    "have a route to the database."
)


@dataclass
class FunctionState:
    """State that the probes share."""

    environment: Environment
    timeout_s: float | None
    tell: Tell
    session: Any = None
    current: Answer | None = None
    """The function's answer to `current`, from which all probes after `invocation` conclude."""

    @property
    def answered(self) -> Answer:
        """Return the function's answer to `current`."""
        assert self.current is not None  # noqa: S101 - only probes after `invocation` use it
        return self.current


def examine(environment: Environment, timeout_s: float | None, tell: Tell, draft: Draft) -> None:
    """Check what a run through the function needs, from the credentials to the migration lock."""
    state = FunctionState(environment, timeout_s, tell)
    checks.examine(
        [
            Probe("credentials", None, lambda: _credentials(state)),
            Probe("function", "credentials", lambda: _function(state)),
            Probe("invocation", "function", lambda: _invocation(state)),
            Probe("settings", "invocation", lambda: _settings(state)),
            Probe("network", "settings", lambda: _network(state)),
            Probe("database", "network", lambda: _database(state)),
            Probe("lock", "database", lambda: _lock(state)),
        ],
        draft,
    )


def _credentials(state: FunctionState) -> str:
    state.session = invoke.open_session(state.environment)
    from botocore import exceptions

    def explain(error: Exception) -> ProbeFailed | ProbeSkipped:
        # a VPC without an endpoint for STS may have one for Lambda
        if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
            return ProbeSkipped("STS cannot be reached, so the caller is not known.")
        refusal = client_errors.of(error, "sts:GetCallerIdentity")
        return ProbeFailed(f"{refusal.reason[0].upper()}{refusal.reason[1:]}.", refusal.remedy)

    # STS answers every caller with valid credentials, whatever IAM allows it
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    with translating((exceptions.BotoCoreError, exceptions.ClientError), explain):
        caller = invoke.open_client(state.session, "sts").get_caller_identity()
    return f"Account {caller['Account']}, `{caller['Arn']}`."


def _function(state: FunctionState) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    def explain(error: Exception) -> ProbeFailed | ProbeSkipped:
        refusal = client_errors.of(error, "lambda:GetFunctionConfiguration")
        # a run needs no permission to read the configuration
        if refusal.denied:
            return ProbeSkipped(f"The configuration is not known, because {refusal.reason}.")
        return ProbeFailed(f"`{state.environment.name}`: {refusal.reason}.", refusal.remedy)

    with translating((BotoCoreError, ClientError), explain):
        client = invoke.open_client(state.session, "lambda")
        configuration = client.get_function_configuration(FunctionName=state.environment.function)
    return _describe(configuration)


def _describe(configuration: dict[str, Any]) -> str:
    """Return a function's configuration as a sentence. Raises `ProbeFailed` for one that cannot be invoked."""
    state = configuration.get("State", "Active")
    if state != "Active":
        why = f" ({configuration['StateReasonCode']})" if configuration.get("StateReasonCode") else ""
        remedy = "Deploy it again." if state == "Failed" else "Wait until it is `Active`, then repeat."
        raise ProbeFailed(f"The function is `{state}`{why}.", remedy)
    network = configuration.get("VpcConfig", {})
    place = f"in {network['VpcId']}" if network.get("VpcId") else "in no VPC"
    # a function that is an image has no runtime, and `CodeSha256` is its digest
    code = configuration.get("Runtime") or f"image {configuration.get('CodeSha256', '')[:12]}"
    return f"Active, {code}, {configuration.get('Timeout')} s, {configuration.get('MemorySize')} MB, {place}."


def _invocation(state: FunctionState) -> str:
    state.current = read(invoke.ask(state.environment, {"action": "current"}, state.timeout_s, state.tell))
    failure = state.current.failure
    if failure is not None and failure.code in NO_ANSWER:
        raise ProbeFailed(failure.error, failure.hint)
    return "The function answers."


def _settings(state: FunctionState) -> str:
    _refuse(state, "settings")
    return "The settings of the function name a database."


def _network(state: FunctionState) -> str:
    _refuse(state, "network")
    return "The function reaches the database."


def _database(state: FunctionState) -> str:
    _refuse(state, "database")
    return state.answered.message


def _lock(state: FunctionState) -> str:
    found = state.answered.result
    if not isinstance(found, CurrentResult):
        told = "The function is of another version than this command, so its answer could not be read."
        raise ProbeFailed(told, "Use the command of that version, or upgrade the function.")
    if found.running:
        told = f"A run holds the migration lock: {found.running}."
        raise ProbeFailed(told, f"Wait until it has ended (`migrate {state.environment.option} current`).")
    return "The migration lock is free."


def _refuse(state: FunctionState, check: str) -> None:
    """Raise `ProbeFailed` where the function's answer is an error of the probe `check`."""
    failure = state.answered.failure
    if failure is None:
        return
    probe = PROBE_OF.get(failure.code, "settings")
    of_network = failure.hint == DatabaseUnreachable.remedy
    # with another next step the server was reached, although the code is `database-unreachable`
    if probe == "network" and not of_network:
        probe = "database"
    if probe == check:
        raise ProbeFailed(failure.error, OPEN if of_network else failure.hint)
