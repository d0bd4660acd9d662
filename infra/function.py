"""A function of the image that can connect to the database and its secret, and to nothing else."""

from collections.abc import Mapping

from aws_cdk import Annotations, Duration, RemovalPolicy, Stack, aws_ec2, aws_ecr, aws_iam, aws_lambda, aws_logs
from constructs import Construct

from infra import names, retention, wildcards
from infra.environments import Database, Secret

TIMEOUT = Duration.minutes(15)
"""Lambda's maximum; the runner's own deadline is earlier."""
NEWEST = "$LATEST"


class DatabaseFunction(Construct):
    """A function of the image `digest`, with its role, its log, its security group and its version.

    `variables` are added to its environment. This construct also allows the function's group into the cluster's and
    the secrets endpoint's group, so that neither depends on this stack, and nobody has to open a port by hand.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        command: str,
        environment: str,
        database: Database,
        secret: Secret,
        digest: str,
        variables: Mapping[str, str],
    ) -> None:
        super().__init__(scope, construct_id)
        self.security_group_id = _security_group(self, name, database)
        self.log_group = aws_logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{name}",
            retention=retention.of_logs(environment),
            removal_policy=retention.of_resource(environment),
        )
        self.function = aws_lambda.DockerImageFunction(
            self,
            "Function",
            function_name=name,
            code=aws_lambda.DockerImageCode.from_ecr(
                aws_ecr.Repository.from_repository_name(self, "Repository", names.REPOSITORY),
                tag_or_digest=digest,
                cmd=[command],
            ),
            architecture=aws_lambda.Architecture.X86_64,
            timeout=TIMEOUT,
            memory_size=1024,
            tracing=aws_lambda.Tracing.ACTIVE,
            log_group=self.log_group,
            role=_role(self, name, secret).without_policy_updates(),
            environment=_variables(environment, database, secret, digest) | dict(variables),
            current_version_options=aws_lambda.VersionOptions(removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE),
        )
        _place(self.function, database, self.security_group_id)
        self.version = self.function.current_version

    def alias(self, version: str) -> aws_lambda.CfnAlias:
        """Create the alias `live`, pointing to `version`; its `ref` is its ARN."""
        return aws_lambda.CfnAlias(
            self, "Live", function_name=self.function.function_name, function_version=version, name=names.LIVE
        )

    def try_again(self, alias: aws_lambda.CfnAlias, *, attempts: int, within: Duration) -> None:
        """Set how often Lambda repeats a failed asynchronous invocation, and how long it keeps the event."""
        for qualifier in (NEWEST, names.LIVE):
            aws_lambda.CfnEventInvokeConfig(
                self,
                f"Asynchronous-{qualifier.strip('$')}",
                function_name=self.function.function_name,
                qualifier=qualifier,
                maximum_retry_attempts=attempts,
                maximum_event_age_in_seconds=int(within.to_seconds()),
            ).add_resource_dependency(alias)


def warn_of_login(scope: Construct, name: str, key: str, role: str) -> None:
    """Have the synthesis warn that a function of the agent has no login of its own, and what to set."""
    Annotations.of(scope).add_warning_v2(
        "aurora-migrations:login-of-the-runner",
        f"`{name}` logs in as the migrating login, which may change every table. Set `{key}` in `cdk.json` to the "
        f"secret of a login that is a member of the role `{role}`.",
    )


def _variables(environment: str, database: Database, secret: Secret, digest: str) -> dict[str, str]:
    address = {"DB_HOST": database.host, "DB_NAME": database.name}
    given = {key: value for key, value in address.items() if value is not None}
    return {"ENVIRONMENT": environment, "DB_SECRET_ARN": secret.arn, "IMAGE_DIGEST": digest, **given}


def _place(function: aws_lambda.Function, database: Database, security_group_id: str) -> None:
    # the construct's `vpc` requires an object for each subnet, and adds a managed policy that is wider than ours
    function.node.default_child.vpc_config = aws_lambda.CfnFunction.VpcConfigProperty(
        subnet_ids=list(database.isolated_subnet_ids), security_group_ids=[security_group_id]
    )


def _security_group(scope: Construct, name: str, database: Database) -> str:
    """Create the function's group, with two outgoing rules and no incoming one, and the rules at the other ends."""
    ways = {
        "Database": (5432, database.cluster_security_group_id, "PostgreSQL"),
        "Secret": (443, database.endpoint_security_group_id, "the Secrets Manager endpoint"),
    }
    group = aws_ec2.CfnSecurityGroup(
        scope,
        "SecurityGroup",
        vpc_id=database.vpc_id,
        group_description=f"{name}: out to the database and the secrets endpoint, nothing in",
        security_group_egress=[
            aws_ec2.CfnSecurityGroup.EgressProperty(
                ip_protocol="tcp",
                from_port=port,
                to_port=port,
                destination_security_group_id=other,
                description=f"to {what}",
            )
            for port, other, what in ways.values()
        ],
    )
    for way, (port, other, what) in ways.items():
        aws_ec2.CfnSecurityGroupIngress(
            scope,
            f"{way}Ingress",
            group_id=other,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            source_security_group_id=group.attr_group_id,
            description=f"{name} to {what}",
        )
    return group.attr_group_id


def _role(scope: Construct, name: str, secret: Secret) -> aws_iam.Role:
    stack = Stack.of(scope)
    log = f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:/aws/lambda/{name}:*"
    itself = f"arn:{stack.partition}:lambda:{stack.region}:{stack.account}:function:{name}"
    role = aws_iam.Role(
        scope,
        "Role",
        assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
        description=f"What {name} may do",
        inline_policies={
            "Function": aws_iam.PolicyDocument(
                statements=[
                    aws_iam.PolicyStatement(actions=wildcards.actions(wildcards.STREAMS), resources=[log]),
                    aws_iam.PolicyStatement(actions=wildcards.actions(wildcards.TRACES), resources=["*"]),
                    aws_iam.PolicyStatement(actions=wildcards.actions(wildcards.NETWORK), resources=["*"]),
                    aws_iam.PolicyStatement(
                        effect=aws_iam.Effect.DENY,
                        actions=wildcards.actions(wildcards.NETWORK),
                        resources=["*"],
                        conditions={"ArnEquals": {"lambda:SourceFunctionArn": [itself]}},
                    ),
                    *_reading(stack, secret),
                ]
            )
        },
    )
    wildcards.acknowledge(role, "*", wildcards.TRACES, wildcards.NETWORK)
    wildcards.acknowledge(role, log, wildcards.STREAMS)
    return role


def _reading(stack: Stack, secret: Secret) -> list[aws_iam.PolicyStatement]:
    """Allow reading one secret, and decrypting with its key through Secrets Manager alone."""
    reading = [aws_iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret.arn])]
    if secret.key_arn is not None:
        through = {"kms:ViaService": f"secretsmanager.{stack.region}.amazonaws.com"}
        reading.append(
            aws_iam.PolicyStatement(
                actions=["kms:Decrypt"], resources=[secret.key_arn], conditions={"StringEquals": through}
            )
        )
    return reading
