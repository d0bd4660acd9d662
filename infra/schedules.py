"""Schedules: their targets, times and retries."""

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import Duration, Stack, aws_iam, aws_scheduler
from constructs import Construct

TIME_ZONE = "America/Sao_Paulo"


class Schedules(Construct):
    """A group of schedules `name`, and a role that may do `action` to `target` and nothing else."""

    def __init__(self, scope: Construct, construct_id: str, *, name: str, action: str, target: str) -> None:
        super().__init__(scope, construct_id)
        self._target = target
        self._group = aws_scheduler.CfnScheduleGroup(self, "Group", name=name)
        stack = Stack.of(self)
        # no schedule outside this group may use the role
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        group = stack.format_arn(service="scheduler", resource="schedule-group", resource_name=name)
        own = {"aws:SourceAccount": stack.account, "aws:SourceArn": group}
        self._role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("scheduler.amazonaws.com", conditions={"StringEquals": own}),
            description=f"What the schedules {name} may start",
            inline_policies={
                "Start": aws_iam.PolicyDocument(
                    statements=[aws_iam.PolicyStatement(actions=[action], resources=[target])]
                )
            },
        )

    def add(
        self, name: str, *, cron: str, payload: Mapping[str, Any], description: str, attempts: int, within: Duration
    ) -> None:
        """Send `payload` to the target at the times of `cron`, in Brazil's time zone, with retries during `within`."""
        aws_scheduler.CfnSchedule(
            self,
            name,
            name=name,
            group_name=self._group.ref,
            description=description,
            schedule_expression=f"cron({cron})",
            schedule_expression_timezone=TIME_ZONE,
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=self._target,
                role_arn=self._role.role_arn,
                input=json.dumps(payload),
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=attempts, maximum_event_age_in_seconds=int(within.to_seconds())
                ),
            ),
        )
