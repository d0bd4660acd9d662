"""The environments that the context of `cdk.json` describes, typed once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
VpcId = Annotated[str, Field(pattern=r"^vpc-[0-9a-f]{8,17}$")]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]
SecretArn = Annotated[
    str, Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+-[A-Za-z0-9]{6}$")
]
"""The whole ARN: IAM compares it with Secrets Manager's, which ends in six random characters."""
KeyArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-f-]+$")]
Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$")]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")]
GitHubProviderArn = Annotated[
    str,
    Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\.actions\.githubusercontent\.com$"),
]
Tenant = Annotated[str, Field(pattern=r"^[\w.-]{1,63}$")]
"""A slug or an id, as the agent accepts it in an event."""

Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]

OURS = re.compile(r"\w+")
"""Keys of this app; the CDK's own keys contain a hyphen, a colon or a slash."""
CONTEXT = ConfigDict(extra="forbid", alias_generator=to_camel)


class InvalidContext(Exception):
    """An error about the context: the wrong entry, and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret, and the key that encrypts it where that is not the account's `aws/secretsmanager`."""

    arn: str
    key_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Database:
    """An existing cluster: its network and its secrets; its subnets and its endpoint exist too."""

    __pydantic_config__ = CONTEXT
    vpc_id: VpcId
    isolated_subnet_ids: Annotated[tuple[SubnetId, ...], Field(min_length=2)]
    cluster_security_group_id: SecurityGroupId
    endpoint_security_group_id: SecurityGroupId
    secret_arn: SecretArn
    secret_key_arn: KeyArn | None = None
    agent_secret_arn: SecretArn | None = None
    """The secret of a login that is a member of the role `dispatch_agent`; without it the migrating login's."""
    agent_secret_key_arn: KeyArn | None = None
    purge_secret_arn: SecretArn | None = None
    """The secret of a login that is a member of the role `dispatch_agent_purge`; without it the migrating login's."""
    purge_secret_key_arn: KeyArn | None = None
    host: str | None = None
    """The writer endpoint, for a secret with `username` and `password` only, as RDS manages them."""
    name: str | None = None

    @property
    def secret(self) -> Secret:
        """Return the migrating login's secret."""
        return Secret(arn=self.secret_arn, key_arn=self.secret_key_arn)

    @property
    def agent_secret(self) -> Secret:
        """Return the agent's secret."""
        if self.agent_secret_arn is None:
            return self.secret
        return Secret(arn=self.agent_secret_arn, key_arn=self.agent_secret_key_arn)

    @property
    def purge_secret(self) -> Secret:
        """Return the secret of the function that deletes old decisions."""
        if self.purge_secret_arn is None:
            return self.secret
        return Secret(arn=self.purge_secret_arn, key_arn=self.purge_secret_key_arn)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one environment in the context."""

    __pydantic_config__ = CONTEXT
    database: Database | None = None
    """None: the sample stack creates one."""
    availability_zones: Annotated[tuple[Zone, ...], Field(min_length=2)] | None = None
    """The zones of the sample stack's subnets; by default the region's `a` and `b`."""
    alarm_email: Email | None = None
    agent_tenants: tuple[Tenant, ...] = ()
    """The tenants whose leads the agent decides on by schedule."""
    agent_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """The age in days at which the agent's decisions are deleted."""
    disparo_enabled: bool = False
    """The feature flag that the dry run records."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The whole context: the environments by name, their region, and the repository that delivers to them."""

    __pydantic_config__ = CONTEXT
    environments: Annotated[dict[Name, Settings], Field(min_length=1)]
    region: Region = "us-east-1"
    github: Repository | None = None
    """`owner/name` of the repository whose workflows may deliver; None allows none."""
    github_provider_arn: GitHubProviderArn | None = None
    """The account's existing OIDC provider for GitHub, of which it can have only one; None creates it."""


def read(context: Mapping[str, Any]) -> Context:
    """Return the settings in `context`, that of the CDK app, and ignore the CDK's own keys.

    Raises `InvalidContext` for a missing, wrong or unknown key.
    """
    ours = {key: value for key, value in context.items() if OURS.fullmatch(key)}
    if not ours:
        raise InvalidContext(
            "invalid-context: The context is empty. Nothing was synthesised. "
            "Run `npx aws-cdk@2 synth` in the project's folder, where it reads `cdk.json`."
        )
    try:
        return TypeAdapter(Context).validate_python(ours)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    where = [part for part in problem["loc"] if part != "[key]"]
    unknown = problem["type"] == "unexpected_keyword_argument"
    keys = ", ".join(f"`{to_camel(name)}`" for name in _keys(where))
    raise InvalidContext(
        f"invalid-context: `{'.'.join(map(str, where))}` in the context is wrong: "
        f"{'there is no such key' if unknown else problem['msg']}. Nothing was synthesised. "
        f"Correct it in `cdk.json`{f'; the keys there are {keys}' if unknown else ', as `docs/aws.md` describes it'}."
    )


def _keys(where: list[int | str]) -> list[str]:
    """Return the keys that are allowed at the place of the wrong one."""
    owner = Context if len(where) == 1 else Database if "database" in where[2:-1] else Settings
    return [field.name for field in fields(owner)]
