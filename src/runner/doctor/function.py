"""What `migrate doctor` asks of a function, and through it of the database that only the function reaches."""

from dataclasses import dataclass, field
from typing import Any

from runner.answer import Answer
from runner.aws import client_errors, invoke
from runner.aws.environments import Profile
from runner.doctor import checks
from runner.doctor.checks import NotAsked, Question, Unwell
from runner.errors import DatabaseUnreachable, FunctionFailed, FunctionUnreachable
from runner.invocation import Tell
from runner.postgres import connect

NOT_THERE = (FunctionUnreachable.code, FunctionFailed.code)
# Which check an error of the answer belongs to; what is not listed is a matter of the function's settings.
ABOUT = {
    "database-unreachable": "network",
    "authentication-failed": "database",
    "read-only-database": "database",
    "pooled-connection": "database",
}
NO_DATABASE = connect.FINAL_REASONS[0]
OPEN = (
    "Let the function's security group into the database's on its port, and give the function subnets that lead there."
)


@dataclass
class Patient:
    """Gather what one question finds out for the next."""

    profile: Profile
    timeout_s: float | None
    tell: Tell
    session: Any = None
    current: dict[str, Any] = field(default_factory=dict)


def examine(profile: Profile, timeout_s: float | None, tell: Tell, answer: Answer) -> None:
    """Check what a run through the function needs, from the credentials to the database's lock."""
    patient = Patient(profile, timeout_s, tell)
    checks.examine(
        [
            Question("credentials", None, lambda: _credentials(patient)),
            Question("function", "credentials", lambda: _function(patient)),
            Question("invocation", "function", lambda: _invocation(patient)),
            Question("settings", "invocation", lambda: _settings(patient)),
            Question("network", "settings", lambda: _network(patient)),
            Question("database", "network", lambda: _database(patient)),
            Question("lock", "database", lambda: _lock(patient)),
        ],
        answer,
    )


def _credentials(patient: Patient) -> str:
    patient.session = invoke.open_session(patient.profile)
    from botocore import exceptions

    try:
        known = invoke.open_client(patient.session, "sts").get_caller_identity()
    except (exceptions.ConnectionError, exceptions.HTTPClientError):
        raise NotAsked("STS cannot be reached, so who asks is not known.") from None
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        refusal = client_errors.of(error, "sts:GetCallerIdentity")
    else:
        return f"Account {known['Account']}, `{known['Arn']}`."
    raise Unwell(f"{refusal.reason[0].upper()}{refusal.reason[1:]}.", refusal.remedy)


def _function(patient: Patient) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    permission = "lambda:GetFunctionConfiguration"
    try:
        client = invoke.open_client(patient.session, "lambda")
        known = client.get_function_configuration(FunctionName=patient.profile.function)
    except (BotoCoreError, ClientError) as error:
        refusal = client_errors.of(error, permission)
    else:
        return _describe(known)
    if refusal.denied:
        raise NotAsked(f"How it is set up is not known, since {refusal.reason}.")
    raise Unwell(f"`{patient.profile.name}`: {refusal.reason}.", refusal.remedy)


def _describe(known: dict[str, Any]) -> str:
    """Say how the function is set up. Raises `Unwell` for one that does not take invocations."""
    state = known.get("State", "Active")
    if state != "Active":
        why = f" ({known['StateReasonCode']})" if known.get("StateReasonCode") else ""
        remedy = "Deploy it again." if state == "Failed" else "Wait until it is `Active`, then repeat."
        raise Unwell(f"The function is `{state}`{why}.", remedy)
    network = known.get("VpcConfig", {})
    place = f"in {network['VpcId']}" if network.get("VpcId") else "in no VPC"
    runs = known.get("Runtime") or f"image {known.get('CodeSha256', '')[:12]}"
    return f"Active, {runs}, {known.get('Timeout')} s, {known.get('MemorySize')} MB, {place}."


def _invocation(patient: Patient) -> str:
    patient.current = invoke.ask(patient.profile, {"action": "current"}, patient.timeout_s, patient.tell)
    if patient.current.get("code") in NOT_THERE:
        raise Unwell(patient.current["error"], patient.current["hint"])
    return "The function answers."


def _settings(patient: Patient) -> str:
    _refuse(patient, "settings")
    return "The function knows where its database is."


def _network(patient: Patient) -> str:
    _refuse(patient, "network")
    return "The database answers the function."


def _database(patient: Patient) -> str:
    _refuse(patient, "database")
    return str(patient.current["message"])


def _lock(patient: Patient) -> str:
    if patient.current.get("running"):
        told = f"A run holds the migration lock: {patient.current['running']}."
        raise Unwell(told, f"Wait until it has ended (`migrate {patient.profile.there} current`).")
    return "Nobody holds the migration lock."


def _refuse(patient: Patient, check: str) -> None:
    """Raise `Unwell` where the function's answer is an error that belongs to `check`."""
    answer = patient.current
    if answer["status"] != "error":
        return
    about = ABOUT.get(answer["code"], "settings")
    if NO_DATABASE in answer["error"]:
        about = "database"
    if about == check:
        advice = OPEN if answer["hint"] == DatabaseUnreachable.remedy else answer["hint"]
        raise Unwell(answer["error"], advice)
