"""The templates that the CDK app writes for a context, as plain data."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import node
from infra.digest import Recorded

node.use_packaged()  # before anything imports the CDK

ROOT = Path(__file__).parents[2]
FIRST = "sha256:" + "a1" * 32
SECOND = "sha256:" + "b2" * 32
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:aurora/{}-AbCdEf"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0f0f0f0f-1111-2222-3333-444444444444"
GITHUB = "alquimista-ai/migrations"


@dataclass(frozen=True)
class Template:
    """A stack's name, tags and template, and the synthesis's messages about it."""

    stack: str
    tags: dict[str, str]
    body: dict[str, Any]
    messages: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        return self.tags["Environment"]

    @property
    def resources(self) -> dict[str, Any]:
        return self.body["Resources"]

    @property
    def text(self) -> str:
        return json.dumps(self.body)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of a kind, by logical id."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}

    def one(self, kind: str) -> dict[str, Any]:
        """Return the properties of the only resource of a kind."""
        (properties,) = self.of(kind).values()
        return properties

    def statements(self) -> Iterator[dict[str, Any]]:
        """Yield every statement of every policy, with actions and resources as lists."""
        for each in walk(self.resources):
            if isinstance(each, dict) and "Effect" in each:
                yield {**each, "Action": listed(each["Action"]), "Resource": listed(each.get("Resource", []))}


def database(environment: str) -> dict[str, Any]:
    """Return the context of an existing database."""
    digit = "abcdef0123456789"[len(environment)]
    return {
        "vpcId": f"vpc-{digit * 17}",
        "isolatedSubnetIds": [f"subnet-{digit * 16}1", f"subnet-{digit * 16}2"],
        "clusterSecurityGroupId": f"sg-{digit * 16}c",
        "endpointSecurityGroupId": f"sg-{digit * 16}e",
        "secretArn": SECRET.format(environment),
        "secretKeyArn": KEY,
        "agentSecretArn": SECRET.format(f"{environment}-agent"),
        "purgeSecretArn": SECRET.format(f"{environment}-purge"),
    }


def upgraded(digest: str) -> Recorded:
    """Return the recorded digests after an environment was upgraded with its promoted image."""
    return Recorded(promoted=digest, approved=digest)


def flags() -> dict[str, Any]:
    """Return the CDK's own settings in the project's `cdk.json`."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    return {key: value for key, value in context.items() if key.startswith("@")}


def synthesise(folder: Path, context: Mapping[str, Any], recorded: Mapping[str, Recorded]) -> dict[str, Template]:
    """Write the templates into `folder` and return them by stack. cdk-nag's findings are raised."""
    from aws_cdk import App

    from infra import environments
    from infra.app import build

    app = App(outdir=str(folder), analytics_reporting=False, context={**flags(), **context})
    build(app, context=environments.read(context), recorded=recorded)
    return {
        stack.stack_name: Template(
            stack.stack_name,
            stack.tags,
            json.loads(Path(stack.template_full_path).read_text()),
            tuple(str(message.entry.data) for message in stack.messages),
        )
        for stack in app.synth().stacks
    }


def walk(data: Any) -> Iterator[Any]:
    """Yield `data` and everything within it."""
    yield data
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from walk(each)


def listed(value: Any) -> list[Any]:
    """Return the one or the several values of a policy's element as a list."""
    return value if isinstance(value, list) else [value]


def written(value: Any) -> str:
    """Return an ARN as one text, with values that are known only at deployment in braces."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(written(part) for part in parts)
    if "Ref" in value:
        return f"{{{value['Ref']}}}"
    if "Fn::GetAtt" in value:
        return f"{{{'.'.join(value['Fn::GetAtt'])}}}"
    return f"{{{value['Fn::ImportValue']}}}"
