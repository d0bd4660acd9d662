"""Who is told of what, in which words, and what begins by itself."""

import json
from typing import Any

import pytest

from support.synthesis import Template, written

NAMES = {
    "aurora-migrations-runner-{}-errors": ("AWS/Lambda", "Errors", 1, "notBreaching"),
    "aurora-migrations-runner-{}-duration": ("AWS/Lambda", "Duration", 810_000, "notBreaching"),
    "aurora-migrations-{}-migration-failed": ("AlquimistaAI/Migrations", "MigrationFailed", 1, "ignore"),
    "aurora-migrations-{}-drift": ("AlquimistaAI/Migrations", "DriftFound", 1, "ignore"),
    "aurora-migrations-{}-executions-failed": ("AWS/States", "ExecutionsFailed", 1, "notBreaching"),
    "aurora-migrations-{}-schedule-dropped": ("AWS/Scheduler", "InvocationDroppedCount", 1, "notBreaching"),
    "micro-agente-disparo-agendamento-{}-dry-run-errors": ("AWS/Lambda", "Errors", 1, "notBreaching"),
    "micro-agente-disparo-agendamento-{}-dry-run-duration": ("AWS/Lambda", "Duration", 810_000, "notBreaching"),
    "micro-agente-disparo-agendamento-{}-dry-run-run-failed": ("AlquimistaAI/DispatchAgent", "RunFailed", 1, "ignore"),
    "micro-agente-disparo-agendamento-{}-dry-run-schedule-dropped": (
        "AWS/Scheduler",
        "InvocationDroppedCount",
        1,
        "notBreaching",
    ),
}


def alarms(templates: dict[str, Template], environment: str) -> list[dict[str, Any]]:
    return [
        alarm
        for template in templates.values()
        if template.environment == environment
        for alarm in template.of("AWS::CloudWatch::Alarm").values()
    ]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_what_wakes_somebody(existing: dict[str, Template], environment: str) -> None:
    """Errors, failed migrations, drift, failures of the agent, runs that nearly time out, and what did not begin."""
    found = {
        alarm["AlarmName"]: (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"], alarm["TreatMissingData"])
        for alarm in alarms(existing, environment)
    }
    assert found == {name.format(environment): said for name, said in NAMES.items()}
    assert {a["ComparisonOperator"] for a in alarms(existing, environment)} == {"GreaterThanOrEqualToThreshold"}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_an_alarm_says_what_happened_and_what_to_do(existing: dict[str, Template], environment: str) -> None:
    """Each describes itself in at least three sentences, with the names of this environment, and tells its topic."""
    for alarm in alarms(existing, environment):
        said = alarm["AlarmDescription"]
        assert environment in said
        assert len(said.split(". ")) >= 3, said
        assert said.endswith(".")
        (told,) = alarm["AlarmActions"]
        assert written(told).startswith("{OperatorsTopic") or written(told).endswith(
            f":aurora-migrations-{environment}"
        )


@pytest.mark.parametrize("watched", ["migration-failed", "drift"])
def test_an_alarm_leads_to_whoever_was_asked(existing: dict[str, Template], watched: str) -> None:
    """What the runner found stands in the execution, or in the function's log where people call it themselves."""
    (alarm,) = (a for a in alarms(existing, "dev") if a["AlarmName"] == f"aurora-migrations-dev-{watched}")
    assert "the execution of the state machine `aurora-migrations-dev`" in alarm["AlarmDescription"]
    assert "the function's log `/aws/lambda/aurora-migrations-runner-dev`" in alarm["AlarmDescription"]


def test_a_program_is_watched_in_its_own_environment(existing: dict[str, Template]) -> None:
    """The metrics that the programs emit are looked for under the dimensions that they emit."""
    for environment in ("dev", "prod"):
        for alarm in alarms(existing, environment):
            if alarm["Namespace"].startswith("AlquimistaAI/"):
                dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
                service = {
                    "AlquimistaAI/Migrations": "aurora-migrations-runner",
                    "AlquimistaAI/DispatchAgent": "micro-agente-disparo-agendamento",
                }[alarm["Namespace"]]
                assert dimensions == {"environment": environment, "service": service}


def test_the_topic_is_encrypted_and_lets_alarms_in(existing: dict[str, Template]) -> None:
    """Nothing is published unencrypted, this account's alarms may publish, and the address of the context reads it."""
    for environment in ("dev", "prod"):
        template = existing[f"AuroraMigrationsRunnerStack-{environment}"]
        assert template.one("AWS::SNS::Topic")["KmsMasterKeyId"]["Fn::GetAtt"][0] in template.of("AWS::KMS::Key")
        assert template.one("AWS::KMS::Key")["EnableKeyRotation"] is True
        denied, given = template.one("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
        assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert (given["Effect"], given["Principal"]) == ("Allow", {"Service": "cloudwatch.amazonaws.com"})
        assert given["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        subscription = template.one("AWS::SNS::Subscription")
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", f"{environment}@example.com")


def test_nobody_is_written_to_unasked(sample: dict[str, Template]) -> None:
    """Without an address in the context there is a topic and no subscription."""
    template = sample["AuroraMigrationsRunnerStack-prod"]
    assert template.of("AWS::SNS::Topic")
    assert not template.of("AWS::SNS::Subscription")


def test_somebody_has_to_be_asked(existing: dict[str, Template], sample: dict[str, Template]) -> None:
    """A protected environment that has no address is warned of, with what to write where; no other stack is."""
    silent = "AuroraMigrationsRunnerStack-prod"
    (warning,) = sample[silent].messages
    assert warning.partition(" [ack: ")[0] == (
        "`prod` is protected and has no `alarmEmail`, so nobody receives its alarms and its requests for "
        "approval, and an upgrade expires unapproved. Set `environments.prod.alarmEmail` in `cdk.json`, or subscribe "
        "an address to the topic `aurora-migrations-prod`."
    )
    others = [*existing.values(), *(template for name, template in sample.items() if name != silent)]
    assert not [message for template in others for message in template.messages]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_daily_check(existing: dict[str, Template], environment: str) -> None:
    """Each morning, in Brazil's time, the state machine is started with a check."""
    schedule = existing[f"AuroraMigrationsRunnerStack-{environment}"].one("AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 6 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "America/Sao_Paulo"
    assert written(schedule["Target"]["Arn"]).startswith("{MigrationStateMachine")
    assert json.loads(schedule["Target"]["Input"]) == {"action": "check"}
    assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600}


def test_the_agent_in_business_hours(existing: dict[str, Template], sample: dict[str, Template]) -> None:
    """Each hour from 8 to 17, Monday to Friday in Brazil's time, a run for each tenant; a retry is the same run."""
    schedules = existing["MicroAgenteDisparoStack-prod"].of("AWS::Scheduler::Schedule").values()
    assert {each["Name"] for each in schedules} == {"hourly-test-001", "hourly-test-002"}
    for schedule in schedules:
        assert schedule["ScheduleExpression"] == "cron(0 8-17 ? * MON-FRI *)"
        assert schedule["ScheduleExpressionTimezone"] == "America/Sao_Paulo"
        assert written(schedule["Target"]["Arn"]).startswith("{AgentLive")
        assert json.loads(schedule["Target"]["Input"]) == {
            "tenantId": schedule["Name"].removeprefix("hourly-"),
            "batchSize": 250,
            "runId": f"<aws.scheduler.scheduled-time>:{schedule['Name'].removeprefix('hourly-')}",
            "onBusy": "raise",
        }
    assert not sample["MicroAgenteDisparoStack-prod"].of("AWS::Scheduler::Schedule")


def test_a_schedule_may_start_one_thing(functions: list[Template]) -> None:
    """A schedule's role may do one thing to one target, and only the schedules of its own group may take it."""
    for template in functions:
        for schedule in template.of("AWS::Scheduler::Schedule").values():
            role = template.of("AWS::IAM::Role")[schedule["Target"]["RoleArn"]["Fn::GetAtt"][0]]
            (policy,) = role["Policies"]
            (statement,) = policy["PolicyDocument"]["Statement"]
            assert statement["Action"] in ("states:StartExecution", "lambda:InvokeFunction")
            assert statement["Resource"] == schedule["Target"]["Arn"]
            (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
            group = template.of("AWS::Scheduler::ScheduleGroup")[schedule["GroupName"]["Ref"]]["Name"]
            assert written(trust["Condition"]["StringEquals"]["aws:SourceArn"]).endswith(f":schedule-group/{group}")


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_dashboard(existing: dict[str, Template], environment: str) -> None:
    """One page shows the runner, the state machine and the agent of its environment."""
    template = existing[f"AuroraMigrationsRunnerStack-{environment}"]
    board = json.loads(written(template.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))
    shown = {figure[1] for widget in board["widgets"] for figure in widget["properties"]["metrics"]}
    assert shown >= {"RevisionsApplied", "MigrationFailed", "DriftFound", "MigrationDuration"}
    assert shown >= {"ExecutionsFailed", "Errors", "Throttles", "RunFailed", "RunDuration", "BlockedShare"}
    named = {figure[3] for widget in board["widgets"] for figure in widget["properties"]["metrics"]}
    assert {
        f"aurora-migrations-runner-{environment}",
        f"micro-agente-disparo-agendamento-{environment}-dry-run",
    } < named
