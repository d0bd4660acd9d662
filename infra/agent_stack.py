"""The dispatch agent beside its database: function, business hours, alarms."""

from typing import Any

from aws_cdk import CfnOutput, Duration, Stack, aws_sns
from constructs import Construct

from infra import alarms, metrics, names
from infra.environments import Database, Settings
from infra.function import DatabaseFunction, warn_of_login
from infra.schedules import Schedules

COMMAND = "dispatch_agent.handler.handler"
WORKING_HOURS = "0 8-17 ? * MON-FRI *"
"""Each hour from 08:00 on; the last run ends before 18:00, the end of business hours."""
SCHEDULED = "<aws.scheduler.scheduled-time>"
"""Scheduler replaces this by the scheduled moment, the same for each try of an invocation, unlike its execution id.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
"""
AN_HOUR = Duration.hours(1)


class AgentStack(Stack):
    """The dispatch agent of `environment`, from the image `digest`, run each hour for each tenant of its settings."""

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
        name = names.agent(environment)
        if database.agent_secret_arn is None:
            warn_of_login(self, name, f"environments.{environment}.database.agentSecretArn", "dispatch_agent")
        agent = DatabaseFunction(
            self,
            "Agent",
            name=name,
            command=COMMAND,
            environment=environment,
            database=database,
            secret=database.agent_secret,
            digest=digest,
            variables={
                "MICRO_AGENT_DISPARO_ENABLED": str(settings.disparo_enabled).lower(),
                "ALLOWED_ACTIONS": "dry-run,stats",
                **({"METRIC_TENANTS": ",".join(settings.agent_tenants)} if settings.agent_tenants else {}),
            },
        )
        # nothing else moves this alias, so it points to the version that this stack publishes
        live = agent.alias(agent.version.version)
        # Lambda resumes a crashed run, but not during the next hour's run
        agent.try_again(live, attempts=2, within=AN_HOUR)
        # by name: an export would bind the two stacks, so that neither could be changed first
        topic = aws_sns.Topic.from_topic_arn(
            self, "Operators", self.format_arn(service="sns", resource=names.migrations(environment))
        )
        watches = [*alarms.of_function(name, metrics.of_crashes(environment)), *alarms.of_agent(environment)]
        alarms.raise_alarms(self, topic, *watches)
        if settings.agent_tenants:
            _run_hourly(self, name, live.ref, settings)
            alarms.raise_alarms(self, topic, *alarms.of_schedules(name))
        for tenant in settings.agent_tenants:
            alarms.raise_alarms(self, topic, *alarms.of_tenant(environment, tenant))
            alarms.raise_jumps(self, topic, *alarms.of_jumps(environment, tenant))
        CfnOutput(self, "MicroAgenteDisparoFunctionName", value=name)
        CfnOutput(self, "MicroAgenteDisparoFunctionArn", value=agent.function.function_arn)


def _run_hourly(scope: Construct, name: str, live: str, settings: Settings) -> None:
    schedules = Schedules(scope, "Schedules", name=name, action="lambda:InvokeFunction", target=live)
    for tenant in settings.agent_tenants:
        schedules.add(
            f"hourly-{names.tenant(tenant)}",
            cron=WORKING_HOURS,
            payload={
                "tenantId": tenant,
                "batchSize": settings.agent_batch_size,
                "runId": f"{SCHEDULED}:{tenant}",
                # nobody reads the answer, and Lambda repeats only what failed
                "onBusy": "raise",
            },
            description=f"Decide for the leads of {tenant}",
            # a repeated runId decides on no lead twice; after an hour the next run begins
            attempts=3,
            within=AN_HOUR,
        )
