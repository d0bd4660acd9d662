"""What `cdk` is told: the context of `cdk.json`, and the image that is recorded for each environment."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import digest, environments
from infra.digest import InvalidDigest
from infra.environments import InvalidContext
from support.synthesis import FIRST, ROOT, SECOND, SECRET, database

REGION = "sa-east-1"
"""No other test records a digest there."""
DATABASE_KEYS = (
    "`vpcId`, `isolatedSubnetIds`, `clusterSecurityGroupId`, `endpointSecurityGroupId`, `secretArn`, `secretKeyArn`, "
    "`agentSecretArn`, `agentSecretKeyArn`, `purgeSecretArn`, `purgeSecretKeyArn`, `host`, `name`"
)
ENVIRONMENT_KEYS = (
    "`database`, `availabilityZones`, `alarmEmail`, `agentTenants`, `agentBatchSize`, `retentionDays`, `disparoEnabled`"
)
OUR_KEYS = "`environments`, `region`, `github`, `githubProviderArn`"


@pytest.mark.parametrize(
    ("context", "where", "reason", "known"),
    [
        ({"region": "us-east-1"}, "environments", "Field required", None),
        ({"environments": {"dev": {}}, "Region": "sa-east-1"}, "Region", "there is no such key", OUR_KEYS),
        ({"environments": {"dev": {}}, "git_hub": "a/b"}, "git_hub", "there is no such key", OUR_KEYS),
        ({"environments": {"dev": {}}, "regoin": "x"}, "regoin", "there is no such key", OUR_KEYS),
        (
            {"environments": {"dev": {}}, "githubProviderArn": "token.actions.githubusercontent.com"},
            "githubProviderArn",
            "String should match pattern '^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider"
            "/token\\.actions\\.githubusercontent\\.com$'",
            None,
        ),
        (
            {"environments": {"dev": {"alarmMail": "a@b"}}},
            "environments.dev.alarmMail",
            "there is no such key",
            ENVIRONMENT_KEYS,
        ),
        (
            {"environments": {"Prod": {}}},
            "environments.Prod",
            "String should match pattern '^[a-z][a-z0-9-]{0,19}$'",
            None,
        ),
        (
            {"environments": {"dev": {"database": {**database("dev"), "vpcid": "vpc-1"}}}},
            "environments.dev.database.vpcid",
            "there is no such key",
            DATABASE_KEYS,
        ),
        (
            {"environments": {"dev": {"database": {**database("dev"), "vpcId": "10.0.0.0/16"}}}},
            "environments.dev.database.vpcId",
            "String should match pattern '^vpc-[0-9a-f]{8,17}$'",
            None,
        ),
    ],
)
def test_a_context_that_is_not_understood(context: dict[str, Any], where: str, reason: str, known: str | None) -> None:
    """What is lacking, misspelt or wrong is named with its path, and a key that is not known with those that are."""
    with pytest.raises(InvalidContext) as refused:
        environments.read(context)
    assert str(refused.value) == (
        f"invalid-context: `{where}` in the context is wrong: {reason}. "
        f"Nothing was synthesised. Correct it in `cdk.json`"
        f"{', as `docs/aws.md` describes it' if known is None else f'; the keys there are {known}'}."
    )


def test_no_context_at_all() -> None:
    """Who runs the app by hand is told what runs it."""
    with pytest.raises(InvalidContext, match="The context is empty"):
        environments.read({})


@pytest.mark.parametrize("arn", [SECRET.format("dev")[:-7], "aurora/dev", SECRET.format("dev") + "*"])
def test_a_secret_by_less_than_its_arn(arn: str) -> None:
    """A secret's name, a pattern, an ARN without its last six characters are refused: IAM would compare in vain."""
    with pytest.raises(InvalidContext, match=r"environments\.dev\.database\.secretArn"):
        environments.read({"environments": {"dev": {"database": {**database("dev"), "secretArn": arn}}}})


@pytest.mark.parametrize("days", [0, -1, 3651, "90d", 1.5, None])
def test_a_retention_that_is_no_number_of_days(days: object) -> None:
    with pytest.raises(InvalidContext, match=r"environments\.dev\.retentionDays"):
        environments.read({"environments": {"dev": {"retentionDays": days}}})


def test_the_cdks_own_keys_are_let_be() -> None:
    """A feature flag, what the command line adds and what it caches are not ours to refuse."""
    theirs = {"@aws-cdk/core:a": True, "aws:cdk:enable-path-metadata": True, "cli-telemetry": False}
    assert environments.read({"environments": {"dev": {}}, **theirs}).environments.keys() == {"dev"}


def test_the_projects_own_context() -> None:
    """The `cdk.json` of the project is understood as it is."""
    context = environments.read(json.loads((ROOT / "cdk.json").read_text())["context"])
    assert context.environments.keys() == {"dev", "prod"}


@pytest.fixture
def record(aws: dict[str, str]) -> Any:
    """Record a value as what was promoted to dev, or approved there, in a region of its own, until the test ends."""
    ssm = boto3.client(
        "ssm",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    name = "/aurora-migrations/dev/{}"
    yield lambda value, of="image-digest": ssm.put_parameter(
        Name=name.format(of), Value=value, Type="String", Overwrite=True
    )
    ssm.delete_parameters(Names=[name.format(of) for of in ("image-digest", "approved-image-digest")])


@pytest.fixture
def synth(aws: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the app as `cdk` does: the command of `cdk.json`, the context and the folder in the environment."""

    def run(**changed: str) -> subprocess.CompletedProcess[str]:
        project = json.loads((ROOT / "cdk.json").read_text())
        context = {**project["context"], "region": REGION}
        environ = {
            **os.environ,
            **aws,
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(tmp_path),
            **changed,
        }
        command = project["app"].replace("python", sys.executable, 1).split()
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_the_recorded_digest_is_deployed(
    record: Callable[..., Any], synth: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """What SSM has is the functions' image: what was promoted the runner's, what was approved the agent's.

    An environment without an image has no functions, and it is said.
    """
    record(SECOND)
    record(FIRST, of="approved-image-digest")
    done = synth()
    assert done.returncode == 0, done.stderr
    assert (
        "no-image: `/aurora-migrations/prod/image-digest` is not set, so `prod` gets no function stacks." in done.stderr
    )
    assert "`migrate promote --to prod --from <the environment below>`." in done.stderr
    assert "/dev/" not in done.stderr
    stacks = {path.name.partition(".")[0] for path in tmp_path.glob("*.template.json")}
    assert stacks == {
        "AuroraMigrationsRegistryStack",
        "AuroraMigrationsSampleDatabaseStack-dev",
        "AuroraMigrationsRunnerStack-dev",
        "MicroAgenteDisparoStack-dev",
        "MicroAgentePurgeStack-dev",
        "AuroraMigrationsSampleDatabaseStack-prod",
    }
    for stack, image in (("AuroraMigrationsRunnerStack-dev", SECOND), ("MicroAgenteDisparoStack-dev", FIRST)):
        assert f"@{image}" in (tmp_path / f"{stack}.template.json").read_text()
    network = (tmp_path / "AuroraMigrationsSampleDatabaseStack-dev.template.json").read_text()
    assert f'"{REGION}a"' in network


def test_the_agent_waits_for_the_approval(
    record: Callable[..., Any], synth: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """What was promoted and never approved gets the runner and no agent, and what brings the agent is said."""
    record(FIRST)
    done = synth()
    assert done.returncode == 0, done.stderr
    assert (
        "no-approved-image: `/aurora-migrations/dev/approved-image-digest` is not set, so `dev` gets no agent. Deploy "
        "its other stacks, start the state machine `aurora-migrations-dev`, and when that has succeeded run "
        "`cdk deploy MicroAgenteDisparoStack-dev`.\n"
    ) in done.stderr
    stacks = {path.name.partition(".")[0] for path in tmp_path.glob("*-dev.template.json")}
    assert stacks == {"AuroraMigrationsSampleDatabaseStack-dev", "AuroraMigrationsRunnerStack-dev"}


@pytest.mark.parametrize(
    ("parameter", "writer"),
    [
        ("image-digest", "`migrate promote`"),
        ("approved-image-digest", "the state machine `aurora-migrations-dev`"),
    ],
)
def test_a_parameter_that_is_no_digest(
    record: Callable[..., Any], aws: dict[str, str], monkeypatch: pytest.MonkeyPatch, parameter: str, writer: str
) -> None:
    """A tag where a digest should be is refused: what it points to could be another image tomorrow."""
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    record("git-0123abc", of=parameter)
    with pytest.raises(InvalidDigest) as refused:
        digest.read(["dev"], REGION)
    assert str(refused.value) == (
        f"invalid-digest: `/aurora-migrations/dev/{parameter}` holds no image digest. Nothing was synthesised. "
        f"Record one: {writer} writes `sha256:` and 64 hexadecimal digits."
    )


def test_without_credentials(synth: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Whoever may not ask gets no templates at all, rather than some that lack every function."""
    nobody = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nowhere",
    }
    done = synth(**nobody)
    assert done.returncode == 1
    assert done.stderr == (
        "digest-unreadable: Could not read from SSM which image each environment runs (NoCredentialsError). Nothing "
        "was synthesised. Check the credentials, the permission `ssm:GetParameter` on `/aurora-migrations/*`, the "
        "region and the network, then repeat.\n"
    )
