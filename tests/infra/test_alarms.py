"""Who is told of what, in which words, and what begins by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import synthesis
from support.synthesis import Template, written

AGENT = "AlquimistaAI/DispatchAgent"
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
    "micro-agente-disparo-agendamento-{}-purge-errors": ("AWS/Lambda", "Errors", 1, "notBreaching"),
    "micro-agente-disparo-agendamento-{}-purge-duration": ("AWS/Lambda", "Duration", 810_000, "notBreaching"),
    "micro-agente-disparo-agendamento-{}-purge-purge-failed": (AGENT, "PurgeFailed", 1, "ignore"),
    "micro-agente-disparo-agendamento-{}-purge-purge-unfinished": (AGENT, "PurgeUnfinished", 1, "ignore"),
    "micro-agente-disparo-agendamento-{}-purge-purge-missing": (AGENT, "PurgeFailed", 1, "breaching"),
    "micro-agente-disparo-agendamento-{}-purge-schedule-dropped": (
        "AWS/Scheduler",
        "InvocationDroppedCount",
        1,
        "notBreaching",
    ),
    **{
        f"micro-agente-disparo-agendamento-{{}}-dry-run-{tenant}-{kind}": (AGENT, metric, threshold, missing)
        for tenant in ("test-001", "test-002")
        for kind, metric, threshold, missing in (
            ("run-missing", "RunFailed", 1, "breaching"),
            ("unreadable-blocks", "UnreadableBlocks", 1, "ignore"),
            ("blocked-share", "BlockedShare", None, "ignore"),
            ("unreadable-contacts", "UnreadableContacts", None, "ignore"),
        )
    },
}


def alarms(templates: dict[str, Template], environment: str) -> list[dict[str, Any]]:
    return [
        alarm
        for template in templates.values()
        if template.environment == environment
        for alarm in template.of("AWS::CloudWatch::Alarm").values()
    ]


def metric(alarm: dict[str, Any]) -> dict[str, Any]:
    """Return the metric of an alarm, also of one on an expression about a metric."""
    if "MetricName" in alarm:
        return alarm
    stat = next(each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each)
    return stat["Metric"]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_what_wakes_somebody(existing: dict[str, Template], environment: str) -> None:
    """Errors, failed migrations, drift, failures of the agent, runs that nearly time out, and what did not begin."""
    found = {
        alarm["AlarmName"]: (
            metric(alarm)["Namespace"],
            metric(alarm)["MetricName"],
            alarm.get("Threshold"),
            alarm["TreatMissingData"],
        )
        for alarm in alarms(existing, environment)
    }
    assert found == {name.format(environment): said for name, said in NAMES.items()}
    for alarm in alarms(existing, environment):
        above = "GreaterThanUpperThreshold" if "ThresholdMetricId" in alarm else "GreaterThanOrEqualToThreshold"
        assert alarm["ComparisonOperator"] == above


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_run_that_did_not_come(existing: dict[str, Template], environment: str) -> None:
    """Each hour from 8 to 17 of Brazil on weekdays, which is 11 to 20 of UTC, has a run of each tenant."""
    (alarm,) = (a for a in alarms(existing, environment) if a["AlarmName"].endswith("test-001-run-missing"))
    (expression,) = (each for each in alarm["Metrics"] if "Expression" in each)
    assert expression["Expression"] == (
        "IF(DAY(runs) <= 5 AND HOUR(runs) >= 11 AND HOUR(runs) <= 20, IF(FILL(runs, 0) >= 1, 0, 1), 0)"
    )
    (runs,) = (each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each)
    assert (runs["Stat"], runs["Period"]) == ("SampleCount", 3600)
    assert {"Name": "tenant", "Value": "test-001"} in runs["Metric"]["Dimensions"]


def test_a_busy_run_is_no_crash(existing: dict[str, Template]) -> None:
    """Lambda counts what is raised as an error; what the agent raises so that Lambda repeats it is subtracted."""
    (alarm,) = (a for a in alarms(existing, "prod") if a["AlarmName"].endswith("dry-run-errors"))
    (expression,) = (each for each in alarm["Metrics"] if "Expression" in each)
    assert expression["Expression"] == "errors - FILL(busy, 0)"
    found = {each["Id"]: each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each}
    names = {key: (stat["Metric"]["MetricName"], stat["Stat"], stat["Period"]) for key, stat in found.items()}
    assert names == {"errors": ("Errors", "Sum", 300), "busy": ("RunBusy", "Sum", 300)}


def test_the_daily_purge(existing: dict[str, Template], tmp_path: Path) -> None:
    """Each night, by the function with the login that may delete; after 90 days, or as many as the context says."""
    context = {"environments": {"dev": {"database": synthesis.database("dev"), "retentionDays": 30}}}
    shorter = synthesis.synthesise(tmp_path, context, {"dev": synthesis.upgraded(synthesis.FIRST)})
    for stacks, environment, age in ((existing, "prod", "90d"), (shorter, "dev", "30d")):
        schedule = stacks[f"MicroAgentePurgeStack-{environment}"].one("AWS::Scheduler::Schedule")
        assert (schedule["Name"], schedule["ScheduleExpression"]) == ("daily-purge", "cron(30 3 * * ? *)")
        assert written(schedule["Target"]["Arn"]).startswith("{PurgeLive")
        assert json.loads(schedule["Target"]["Input"]) == {"action": "purge", "olderThan": age}


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
            watched = metric(alarm)
            if watched["Namespace"].startswith("AlquimistaAI/"):
                dimensions = {each["Name"]: each["Value"] for each in watched["Dimensions"]}
                assert dimensions.pop("tenant", "test-001") in ("test-001", "test-002")
                service = {
                    "AlquimistaAI/Migrations": "aurora-migrations-runner",
                    "AlquimistaAI/DispatchAgent": "micro-agente-disparo-agendamento",
                }[watched["Namespace"]]
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
    """A protected environment that has no address is warned of, with what to write where."""
    (warning,) = sample["AuroraMigrationsRunnerStack-prod"].messages
    assert warning.partition(" [ack: ")[0] == (
        "`prod` is protected and has no `alarmEmail`, so nobody receives its alarms and its requests for "
        "approval, and an upgrade expires unapproved. Set `environments.prod.alarmEmail` in `cdk.json`, or subscribe "
        "an address to the topic `aurora-migrations-prod`."
    )
    assert not [message for template in existing.values() for message in template.messages]


def test_a_function_of_the_agent_has_a_login_of_its_own(sample: dict[str, Template]) -> None:
    """The synthesis warns of one that logs in as the migrating login, with what to set."""
    for environment in ("dev", "prod"):
        for stack, function, key, role in (
            ("MicroAgenteDisparoStack", "dry-run", "agentSecretArn", "dispatch_agent"),
            ("MicroAgentePurgeStack", "purge", "purgeSecretArn", "dispatch_agent_purge"),
        ):
            (warning,) = sample[f"{stack}-{environment}"].messages
            assert warning.partition(" [ack: ")[0] == (
                f"`micro-agente-disparo-agendamento-{environment}-{function}` logs in as the migrating login, which "
                f"may change every table. Set `environments.{environment}.database.{key}` in `cdk.json` to the secret "
                f"of a login that is a member of the role `{role}`."
            )


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
