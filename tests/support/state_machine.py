"""The state machine of a migration on a moto server, and its executions and approvals."""

import json
import re
import shlex
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import jsonata
import pytest
from moto.stepfunctions.parser.asl.jsonata import jsonata as motos_jsonata

from support import lambda_front
from support.lambda_front import Front
from support.project import ROOT

DEFINITION = ROOT / "infra" / "migration.asl.json"
PLACE = re.compile(r"\$\{(\w+)\}")
SENT = {"--task-token": "taskToken", "--task-output": "output", "--error": "error", "--cause": "cause"}
LONGEST_S = 120
SERVICES = ("iam", "lambda", "sns", "sqs", "ssm", "stepfunctions")


def define(**substitutions: str) -> dict[str, Any]:
    """Return the definition as CloudFormation passes it to Step Functions."""
    text = PLACE.sub(lambda found: substitutions[found[1]], DEFINITION.read_text())
    definition: dict[str, Any] = json.loads(text)
    return definition


def plug_jsonata(patch: pytest.MonkeyPatch) -> None:
    """Add the evaluator to moto, which implements JSONata except for it: in moto's package it is `None`."""
    patch.setattr(motos_jsonata, "_eval_jsonata", lambda expression: jsonata.Jsonata(expression).evaluate(None))


@dataclass(frozen=True)
class Execution:
    """The result and the events of an execution."""

    arn: str
    status: str
    output: Any
    error: str | None
    cause: str | None
    events: list[dict[str, Any]]

    @property
    def states(self) -> list[str]:
        """Return the names of the entered states, in order."""
        return [one["stateEnteredEventDetails"]["name"] for one in self.events if "stateEnteredEventDetails" in one]


@dataclass(frozen=True)
class Machine:
    """A state machine, and the queue that receives its letters."""

    arn: str
    function: str
    queue: str
    front: Front
    states: Any
    sqs: Any
    sns: Any
    functions: Any
    parameters: Any
    topic: str
    approved_parameter: str

    def run(self, event: Any) -> Execution:
        """Start an execution and wait for its end."""
        return self.wait(self.start(event))

    def start(self, event: Any) -> str:
        """Start an execution and return its ARN."""
        name = f"run-{uuid.uuid4()}"
        started = self.states.start_execution(stateMachineArn=self.arn, name=name, input=json.dumps(event))
        arn: str = started["executionArn"]
        return arn

    def wait(self, arn: str) -> Execution:
        """Wait for the end of an execution."""
        ends = time.monotonic() + LONGEST_S
        while (told := self.states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < ends, f"it still runs: {self._events(arn)[-3:]}"
            time.sleep(0.05)
        output = json.loads(told["output"]) if "output" in told else None
        return Execution(arn, told["status"], output, told.get("error"), told.get("cause"), self._events(arn))

    def letter(self) -> dict[str, str]:
        """Take the next letter, with its `Subject` and `Message`, from the queue behind the topic."""
        ends = time.monotonic() + LONGEST_S
        while time.monotonic() < ends:
            for message in self.sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=1).get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                body: dict[str, str] = json.loads(message["Body"])
                return body
        raise AssertionError("no letter came")

    def send_back(self, letter: dict[str, str], verb: str, **said: str) -> None:
        """Execute the letter's command, parsed as by bash, with its options replaced by those of `said`."""
        line = next(line for line in letter["Message"].splitlines() if line.startswith(f"aws stepfunctions {verb} "))
        words = shlex.split(line)
        options = dict(zip(words[3::2], words[4::2], strict=True))
        assert options.pop("--region") == "us-east-1"
        given = {SENT[option]: text for option, text in options.items()} | said
        getattr(self.states, verb.replace("-", "_"))(**given)

    def letters(self) -> int:
        """Count the letters in the queue."""
        told = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["ApproximateNumberOfMessages"])
        return int(told["Attributes"]["ApproximateNumberOfMessages"])

    def live(self) -> str:
        """Return the version that the alias points to."""
        version: str = self.functions.get_alias(FunctionName=self.function, Name="live")["FunctionVersion"]
        return version

    def approved(self) -> str:
        """Return the digest from which the agent is deployed."""
        told = self.parameters.get_parameter(Name=self.approved_parameter)
        digest: str = told["Parameter"]["Value"]
        return digest

    def _events(self, arn: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.states.get_execution_history(executionArn=arn)["events"]
        return events


@contextmanager
def deploy(aws: dict[str, str], front: Front, environment: str, patience_s: int | None = None) -> Iterator[Machine]:
    """Deploy the function in two versions, alias and approved image at the first, topic, queue and state machine.

    `patience_s` replaces the days for which an approval may be pending; two tries are a second apart.
    """
    with ExitStack() as stack:
        clients = {name: stack.enter_context(closing(_client(name, aws))) for name in SERVICES}
        one = uuid.uuid4().hex[:8]
        role = clients["iam"].create_role(RoleName=f"migrations-{one}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        function = f"aurora-migrations-runner-{environment}-{one}"
        first = clients["lambda"].create_function(
            FunctionName=function, Role=role, PackageType="Image", Code={"ImageUri": _image("1")}, Publish=True
        )
        clients["lambda"].create_alias(FunctionName=function, Name="live", FunctionVersion="1")
        clients["lambda"].update_function_code(FunctionName=function, ImageUri=_image("2"))
        second = clients["lambda"].publish_version(FunctionName=function)
        assert (first["Version"], second["Version"]) == ("1", "2")
        topic = clients["sns"].create_topic(Name=f"migrations-{one}")["TopicArn"]
        queue = clients["sqs"].create_queue(QueueName=f"letters-{one}")["QueueUrl"]
        address = clients["sqs"].get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        clients["sns"].subscribe(TopicArn=topic, Protocol="sqs", Endpoint=address["QueueArn"])
        approved = f"/aurora-migrations/{environment}-{one}/approved-digest"
        clients["ssm"].put_parameter(Name=approved, Value=lambda_front.digest("1"), Type="String")
        bare = second["FunctionArn"].removesuffix(":2")
        definition = define(
            NewVersion=f"{bare}:2", NewVersionNumber="2", Function=function, Live=f"{bare}:live", Topic=topic,
            Environment=environment, Protected="true" if environment == "prod" else "false",
            ApprovedParameter=approved, Digest=lambda_front.digest("2"),
        )  # fmt: skip
        for state in definition["States"].values():
            for retry in state.get("Retry", []):
                retry |= {"IntervalSeconds": 1, "BackoffRate": 1}
        if patience_s is not None:
            definition["States"]["Approve"]["TimeoutSeconds"] = patience_s
        made = clients["stepfunctions"].create_state_machine(
            name=f"aurora-migrations-{environment}-{one}", definition=json.dumps(definition), roleArn=role
        )
        yield Machine(
            made["stateMachineArn"], function, queue, front,
            clients["stepfunctions"], clients["sqs"], clients["sns"], clients["lambda"],
            clients["ssm"], topic, approved,
        )  # fmt: skip


def _client(service: str, aws: dict[str, str]) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def _image(version: str) -> str:
    return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/aurora-migrations@{lambda_front.digest(version)}"
