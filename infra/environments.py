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
"""The whole ARN: IAM compares it with the one that Secrets Manager ends in six characters of its own."""
KeyArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-f-]+$")]
Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$")]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")]
GitHubProviderArn = Annotated[
    str,
    Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token\.actions\.githubusercontent\.com$"),
]
Tenant = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,56}$")]
"""A part of a schedule's name, which 64 characters limit."""

Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]

OURS = re.compile(r"\w+")
"""The CDK's own keys hold a hyphen, a colon or a slash."""
CONTEXT = ConfigDict(extra="forbid", alias_generator=to_camel)


class InvalidContext(Exception):
    """Say what in the context is wrong and what to write there."""


@dataclass(frozen=True, kw_only=True)
class Secret:
    """Name a secret, and the key that encrypts it where that is not the account's `aws/secretsmanager`."""

    arn: str
    key_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Database:
    """Say where a cluster is and which secrets open it; its cluster, subnets and endpoint are there already."""

    __pydantic_config__ = CONTEXT
    vpc_id: VpcId
    isolated_subnet_ids: Annotated[tuple[SubnetId, ...], Field(min_length=2)]
    cluster_security_group_id: SecurityGroupId
    endpoint_security_group_id: SecurityGroupId
    secret_arn: SecretArn
    secret_key_arn: KeyArn | None = None
    agent_secret_arn: SecretArn | None = None
    """Of a login that is a member of the role `dispatch_agent`; the migrating login's where there is none."""
    agent_secret_key_arn: KeyArn | None = None
    host: str | None = None
    """The writer endpoint, for a secret that holds `username` and `password` alone, as those that RDS manages."""
    name: str | None = None

    @property
    def secret(self) -> Secret:
        """Return the secret of who migrates."""
        return Secret(arn=self.secret_arn, key_arn=self.secret_key_arn)

    @property
    def agent_secret(self) -> Secret:
        """Return the secret of the agent."""
        if self.agent_secret_arn is None:
            return self.secret
        return Secret(arn=self.agent_secret_arn, key_arn=self.agent_secret_key_arn)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hold what the context says of one environment."""

    __pydantic_config__ = CONTEXT
    database: Database | None = None
    """None: the sample stack makes one."""
    availability_zones: Annotated[tuple[Zone, ...], Field(min_length=2)] | None = None
    """Where the sample stack makes its subnets; the region's `a` and `b` where nothing else is said."""
    alarm_email: Email | None = None
    agent_tenants: tuple[Tenant, ...] = ()
    """Whose leads the agent decides on by schedule."""
    agent_batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    disparo_enabled: bool = False
    """The feature flag that the dry run records."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Hold what the context says: the environments by name, where they are, and who delivers to them."""

    __pydantic_config__ = CONTEXT
    environments: Annotated[dict[Name, Settings], Field(min_length=1)]
    region: Region = "us-east-1"
    github: Repository | None = None
    """`owner/name` of the repository whose workflows may deliver; None: none may."""
    github_provider_arn: GitHubProviderArn | None = None
    """GitHub's OIDC provider where the account has it already, for it has room for one alone; None: it is made."""


def read(context: Mapping[str, Any]) -> Context:
    """Return what `context`, that of the CDK app, says of ours; the CDK's own keys are let be.

    Raises `InvalidContext` for what is lacking, wrong, or not known.
    """
    ours = {key: value for key, value in context.items() if OURS.fullmatch(key)}
    if not ours:
        raise InvalidContext(
            "invalid-context: There is no context at all. Nothing was synthesised. "
            "Run `npx aws-cdk@2 synth` in the project's folder, which hands on that of `cdk.json`."
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
        f"{'no such key' if unknown else problem['msg']}. Nothing was synthesised. "
        f"Mend it in `cdk.json`, {f'where {keys} may stand' if unknown else 'as `docs/aws.md` describes it'}."
    )


def _keys(where: list[int | str]) -> list[str]:
    """Return which keys may stand beside the one that is wrong."""
    owner = Context if len(where) == 1 else Database if "database" in where[2:-1] else Settings
    return [field.name for field in fields(owner)]
