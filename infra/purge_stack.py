"""The deletion of the agent's old decisions: a function with a login of its own, a daily schedule, alarms."""

from typing import Any

from aws_cdk import CfnOutput, Duration, Stack, aws_sns
from constructs import Construct

from infra import alarms, names
from infra.environments import Database, Settings
from infra.function import DatabaseFunction, warn_of_login
from infra.schedules import Schedules

COMMAND = "dispatch_agent.handler.handler"
EACH_NIGHT = "30 3 * * ? *"
"""Long before the first run of the day."""
AN_HOUR = Duration.hours(1)


class PurgeStack(Stack):
    """The function that may delete, from the image `digest`, run each night for all tenants."""

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
        name = names.purge(environment)
        if database.purge_secret_arn is None:
            warn_of_login(self, name, f"environments.{environment}.database.purgeSecretArn", "dispatch_agent_purge")
        purge = DatabaseFunction(
            self,
            "Purge",
            name=name,
            command=COMMAND,
            environment=environment,
            database=database,
            secret=database.purge_secret,
            digest=digest,
            variables={"ALLOWED_ACTIONS": "purge"},
        )
        # as in the agent's stack: nothing else moves this alias
        live = purge.alias(purge.version.version)
        purge.try_again(live, attempts=2, within=AN_HOUR)
        schedules = Schedules(self, "Schedules", name=name, action="lambda:InvokeFunction", target=live.ref)
        schedules.add(
            "daily-purge",
            cron=EACH_NIGHT,
            payload={"action": "purge", "olderThan": f"{settings.retention_days}d"},
            description=f"Delete decisions older than {settings.retention_days} days",
            attempts=3,
            within=AN_HOUR,
        )
        topic = aws_sns.Topic.from_topic_arn(
            self, "Operators", self.format_arn(service="sns", resource=names.migrations(environment))
        )
        watches = [*alarms.of_function(name), *alarms.of_purge(environment), *alarms.of_schedules(name)]
        alarms.raise_alarms(self, topic, *watches)
        CfnOutput(self, "MicroAgentePurgeFunctionName", value=name)
