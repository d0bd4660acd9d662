"""The runner beside its database: function, state machine, daily check, alarms, dashboard."""

from typing import Any

from aws_cdk import Annotations, CfnOutput, Duration, Stack
from constructs import Construct

from infra import alarms, dashboard, names
from infra.environments import Database, Settings
from infra.function import NEWEST, DatabaseFunction
from infra.schedules import Schedules
from infra.state_machine import MigrationStateMachine
from infra.topic import OperatorsTopic

COMMAND = "runner.handler.handler"


class RunnerStack(Stack):
    """The runner of `environment`, from the image `digest`, and the state machine that calls it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: str,
        settings: Settings,
        database: Database,
        digest: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        name = names.runner(environment)
        operators = OperatorsTopic(self, "Operators", environment=environment, email=settings.alarm_email)
        if names.is_protected(environment) and settings.alarm_email is None:
            Annotations.of(self).add_warning_v2("aurora-migrations:nobody-is-asked", _nobody_asked(environment))
        runner = DatabaseFunction(
            self,
            "Runner",
            name=name,
            command=COMMAND,
            environment=environment,
            database=database,
            secret=database.secret,
            digest=digest,
            variables={},
        )
        # after its creation only the state machine moves the alias: CloudFormation changes an alias only when its
        # text in the template changes, and this text never does
        live = runner.alias(NEWEST)
        # a retry would do no harm, but it would come unexpectedly, after the failure has been reported
        runner.try_again(live, attempts=0, within=Duration.minutes(1))
        machine = MigrationStateMachine(
            self, "Migration", environment=environment, runner=runner, live=live.ref, digest=digest, operators=operators
        )
        _check_daily(self, environment, machine)
        alarms.raise_alarms(
            self,
            operators.topic,
            *alarms.of_function(name),
            *alarms.of_runner(environment, machine.arn),
            *alarms.of_schedules(names.migrations(environment)),
        )
        dashboard.draw(self, environment=environment, state_machine_arn=machine.arn)
        CfnOutput(self, "MigrationRunnerFunctionName", value=runner.function.function_name)
        CfnOutput(self, "MigrationRunnerFunctionArn", value=runner.function.function_arn)
        CfnOutput(self, "MigrationRunnerSecurityGroupId", value=runner.security_group_id)
        CfnOutput(self, "MigrationStateMachineArn", value=machine.arn)


def _nobody_asked(environment: str) -> str:
    return (
        f"`{environment}` is protected and has no `alarmEmail`, so nobody receives its alarms and its "
        "requests for approval, and an upgrade expires unapproved. "
        f"Set `environments.{environment}.alarmEmail` in `cdk.json`, or subscribe an address to the topic "
        f"`{names.migrations(environment)}`."
    )


def _check_daily(scope: Construct, environment: str, machine: MigrationStateMachine) -> None:
    """Schedule a `check` each morning, through the state machine, which alone may invoke the runner."""
    Schedules(
        scope, "Schedules", name=names.migrations(environment), action="states:StartExecution", target=machine.arn
    ).add(
        "daily-check",
        cron="0 6 * * ? *",
        payload={"action": "check"},
        description="Pending revisions, drift, edited history, invalid indexes",
        # a repeated check does no harm, since it only reads; after an hour people can start one themselves
        attempts=3,
        within=Duration.hours(1),
    )
