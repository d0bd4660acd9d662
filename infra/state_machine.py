"""The state machine of a migration: its definition, its role, its log."""

from pathlib import Path

from aws_cdk import Stack, aws_iam, aws_logs, aws_stepfunctions
from constructs import Construct

from infra import names, retention, wildcards
from infra.function import DatabaseFunction
from infra.topic import OperatorsTopic

DEFINITION = Path(__file__).with_name("migration.asl.json")


class MigrationStateMachine(Construct):
    """The state machine `aurora-migrations-{env}`, defined by `migration.asl.json`.

    It alone moves the alias `live`, so it gets both the alias's ARN and the version just published. It alone records
    `digest`, the image of that version, as the approved one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        runner: DatabaseFunction,
        live: str,
        digest: str,
        operators: OperatorsTopic,
    ) -> None:
        super().__init__(scope, construct_id)
        name = names.migrations(environment)
        self.machine = aws_stepfunctions.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            definition_body=aws_stepfunctions.DefinitionBody.from_string(DEFINITION.read_text("utf-8")),
            definition_substitutions={
                "NewVersion": runner.version.function_arn,
                "NewVersionNumber": runner.version.version,
                "Function": runner.function.function_name,
                "Live": live,
                "Topic": operators.topic.topic_arn,
                "Environment": environment,
                "Protected": str(names.is_protected(environment)).lower(),
                "ApprovedParameter": names.approved_parameter(environment),
                "Digest": digest,
            },
            role=_role(self, environment, runner, live, operators).without_policy_updates(),
            tracing_enabled=True,
            logs=aws_stepfunctions.LogOptions(
                destination=_log(self, name, environment),
                level=aws_stepfunctions.LogLevel.ALL,
                # without data: they include a plan's SQL and the token of an approval, which IAM protects separately
                include_execution_data=False,
            ),
            removal_policy=retention.of_resource(environment),
        )

    @property
    def arn(self) -> str:
        """Return the state machine's ARN."""
        return self.machine.state_machine_arn


def _log(scope: Construct, name: str, environment: str) -> aws_logs.LogGroup:
    # with this prefix the log needs no entry in the account's one policy for log deliveries, whose size is limited
    # https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
    return aws_logs.LogGroup(
        scope,
        "Log",
        log_group_name=f"/aws/vendedlogs/states/{name}",
        retention=retention.of_logs(environment),
        removal_policy=retention.of_resource(environment),
    )


def _role(
    scope: Construct, environment: str, runner: DatabaseFunction, live: str, operators: OperatorsTopic
) -> aws_iam.Role:
    stack = Stack.of(scope)
    approved = (
        f"arn:{stack.partition}:ssm:{stack.region}:{stack.account}:parameter{names.approved_parameter(environment)}"
    )

    def allow(actions: list[str], resources: list[str]) -> aws_iam.PolicyStatement:
        return aws_iam.PolicyStatement(actions=actions, resources=resources)

    role = aws_iam.Role(
        scope,
        "Role",
        assumed_by=aws_iam.ServicePrincipal(
            "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
        ),
        description="What the migrations' state machine may do",
        inline_policies={
            "Migration": aws_iam.PolicyDocument(
                statements=[
                    allow(["lambda:InvokeFunction"], [runner.version.function_arn, live]),
                    allow(["lambda:GetAlias", "lambda:UpdateAlias"], [runner.function.function_arn]),
                    allow(["ssm:PutParameter"], [approved]),
                    allow(["sns:Publish"], [operators.topic.topic_arn]),
                    allow(["kms:Decrypt", "kms:GenerateDataKey"], [operators.key.key_arn]),
                    allow(wildcards.actions(wildcards.DELIVERY), ["*"]),
                    allow(wildcards.actions(wildcards.TRACES), ["*"]),
                    allow(wildcards.actions(wildcards.SAMPLING), ["*"]),
                ]
            )
        },
    )
    wildcards.acknowledge(role, "*", wildcards.DELIVERY, wildcards.TRACES, wildcards.SAMPLING)
    return role
