"""The alarms: their metrics, thresholds, and texts with the next step."""

from dataclasses import dataclass

from aws_cdk import aws_cloudwatch, aws_cloudwatch_actions, aws_sns
from constructs import Construct

from infra import metrics, names
from infra.function import TIMEOUT

# Early enough to act before the first run that ends at its deadline.
NEARLY_MS = 0.9 * TIMEOUT.to_milliseconds()
UNTIL_NEXT = aws_cloudwatch.TreatMissingData.IGNORE
"""The alarm keeps its state until the next run: missing data do not end a failure."""
NEVER_CAME = aws_cloudwatch.TreatMissingData.BREACHING
"""What a schedule should have brought is missing, and so are the data."""
BAND = 3
"""The width of what is expected, in standard deviations."""
AT_ONCE = aws_cloudwatch.TreatMissingData.NOT_BREACHING


@dataclass(frozen=True, kw_only=True)
class Watch:
    """An alarm's metric, its threshold and its text."""

    name: str
    metric: aws_cloudwatch.IMetric
    at_least: float = 1
    says: str
    missing: aws_cloudwatch.TreatMissingData = AT_ONCE


def raise_alarms(scope: Construct, topic: aws_sns.ITopic, *watches: Watch) -> None:
    """Create an alarm for each watch, which notifies `topic`."""
    for watch in watches:
        aws_cloudwatch.Alarm(
            scope,
            f"Alarm-{watch.name}",
            alarm_name=watch.name,
            alarm_description=watch.says,
            metric=watch.metric,
            threshold=watch.at_least,
            evaluation_periods=1,
            comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=watch.missing,
        ).add_alarm_action(aws_cloudwatch_actions.SnsAction(topic))


@dataclass(frozen=True, kw_only=True)
class Jump:
    """An alarm for values above what CloudWatch expects, by the last weeks' hours and days, and its text."""

    name: str
    metric: aws_cloudwatch.Metric
    says: str


def raise_jumps(scope: Construct, topic: aws_sns.ITopic, *jumps: Jump) -> None:
    """Create an alarm for each jump, which notifies `topic`."""
    for jump in jumps:
        aws_cloudwatch.AnomalyDetectionAlarm(
            scope,
            f"Alarm-{jump.name}",
            alarm_name=jump.name,
            alarm_description=jump.says,
            metric=jump.metric,
            std_devs=BAND,
            evaluation_periods=1,
            comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_UPPER_THRESHOLD,
            treat_missing_data=UNTIL_NEXT,
        ).add_alarm_action(aws_cloudwatch_actions.SnsAction(topic))


def of_function(function: str, errors: aws_cloudwatch.IMetric | None = None) -> list[Watch]:
    """Return watches for invocations that ended without an answer, or nearly reached the time-out.

    `errors` replaces Lambda's own metric.
    """
    return [
        Watch(
            name=f"{function}-errors",
            metric=errors or metrics.of_function(function, "Errors", "Sum"),
            says=f"An invocation of `{function}` failed: it raised an error for its caller, crashed, or reached its "
            "time-out. Everything committed remains, and the rest was rolled back. "
            f"Read the last lines of the log `/aws/lambda/{function}`, then run it again.",
        ),
        Watch(
            name=f"{function}-duration",
            metric=metrics.of_function(function, "Duration", "Maximum"),
            at_least=NEARLY_MS,
            says=f"`{function}` ran for 90 % of its {TIMEOUT.to_minutes():.0f} minutes. It stops cleanly before its "
            "time-out. Split what takes so long: a revision, or the agent's batch.",
        ),
    ]


def of_runner(environment: str, state_machine_arn: str) -> list[Watch]:
    """Return watches for failed migrations, drift, and failed executions of the state machine."""
    machine = names.migrations(environment)
    # in an unprotected environment people also call the function directly, without an execution
    log = f"/aws/lambda/{names.runner(environment)}"
    answer = f"the execution of the state machine `{machine}` or the function's log `{log}`"
    return [
        Watch(
            name=f"{machine}-migration-failed",
            metric=metrics.of_program(metrics.MIGRATIONS, environment, "MigrationFailed", "Maximum"),
            missing=UNTIL_NEXT,
            says=f"A migration of `{environment}` failed. The revision that failed was rolled back, and earlier ones "
            f"remain. Read the message and its next step: {answer} holds them.",
        ),
        Watch(
            name=f"{machine}-drift",
            metric=metrics.of_program(metrics.MIGRATIONS, environment, "DriftFound", "Maximum"),
            missing=UNTIL_NEXT,
            says=f"`check` found errors in the database of `{environment}`: drift, an edited revision, an invalid "
            f"index. Nothing was changed. Correct or accept each of them: {answer} lists them.",
        ),
        Watch(
            name=f"{machine}-executions-failed",
            metric=metrics.of_executions(state_machine_arn, "ExecutionsFailed", "Sum"),
            says=f"An execution of the state machine `{machine}` failed. Everything its migration committed remains. "
            "Open the execution: its error names the step that failed and what to do next.",
        ),
    ]


def of_agent(environment: str) -> list[Watch]:
    """Return watches for runs that the agent reports as failed."""
    function = names.agent(environment)
    return [
        Watch(
            name=f"{function}-run-failed",
            metric=metrics.of_program(metrics.DISPATCH_AGENT, environment, "RunFailed", "Maximum"),
            missing=UNTIL_NEXT,
            says=f"A run of `{function}` answered `success: false`. The decisions that it recorded remain. "
            f"Read its `code` in the log `/aws/lambda/{function}` and correct the cause; the next run then continues.",
        )
    ]


def of_schedules(group: str) -> list[Watch]:
    """Return watches for schedules that could not start their target."""
    return [
        Watch(
            name=f"{group}-schedule-dropped",
            metric=metrics.of_schedules(group, "InvocationDroppedCount"),
            says=f"A schedule of the group `{group}` could not invoke its target, so a run did not begin. Nothing was "
            "changed. Check the permissions of the schedule's role, then start the run by hand.",
        )
    ]


def of_tenant(environment: str, tenant: str) -> list[Watch]:
    """Return watches for a scheduled tenant's missing runs, and for rows of its blocklist that block nobody."""
    function = names.agent(environment)
    named = names.tenant(tenant)
    of_it = f"{function}-{named}"
    return [
        Watch(
            name=f"{of_it}-run-missing",
            metric=metrics.of_missing_runs(environment, tenant),
            missing=NEVER_CAME,
            says=f"No run that the schedule of `{tenant}` starts in `{function}` ended for one of its hours. Nothing "
            f"was decided for it. Check that the schedule `hourly-{named}` is enabled, and read the function's log.",
        ),
        Watch(
            name=f"{of_it}-unreadable-blocks",
            metric=metrics.of_tenant(environment, tenant, "UnreadableBlocks", "Maximum"),
            missing=UNTIL_NEXT,
            says=f"The blocklist of `{tenant}` in `{environment}` has rows that name nobody, so they block nobody. "
            "Somebody may be contacted against their will. "
            'Correct the rows: `{"action":"stats"}` lists their ids under `ilegiveis`.',
        ),
    ]


def of_jumps(environment: str, tenant: str) -> list[Jump]:
    """Return alarms for a scheduled tenant's share of blocked leads, and for its unreadable contacts."""
    function = names.agent(environment)
    of_it = f"{function}-{names.tenant(tenant)}"
    return [
        Jump(
            name=f"{of_it}-blocked-share",
            metric=metrics.of_tenant(environment, tenant, "BlockedShare", "Average"),
            says=f"More of the leads of `{tenant}` in `{environment}` would be blocked than in its last weeks. "
            "Nothing was sent. Read the reasons with `dispatch-agent stats`, and look for a change in limits, "
            "blocklist or import.",
        ),
        Jump(
            name=f"{of_it}-unreadable-contacts",
            metric=metrics.of_tenant(environment, tenant, "UnreadableContacts", "Sum"),
            says=f"More contacts of leads of `{tenant}` in `{environment}` have nothing to send to than in its last "
            "weeks. Those leads are skipped. Look at the leads under `ilegiveis` in a run's answer, and correct the "
            "import.",
        ),
    ]


def of_purge(environment: str) -> list[Watch]:
    """Return watches for a purge that failed, that did not finish, and that did not come."""
    function = names.purge(environment)
    return [
        Watch(
            name=f"{function}-purge-failed",
            metric=metrics.of_program(metrics.DISPATCH_AGENT, environment, "PurgeFailed", "Maximum"),
            missing=UNTIL_NEXT,
            says=f"`{function}` could not delete the old decisions. Those that it deleted are gone, the others remain. "
            f"Read its `code` in the log `/aws/lambda/{function}`; the next purge then continues.",
        ),
        Watch(
            name=f"{function}-purge-unfinished",
            metric=metrics.of_program(metrics.DISPATCH_AGENT, environment, "PurgeUnfinished", "Maximum"),
            missing=UNTIL_NEXT,
            says=f"The time of `{function}` ran out before all old decisions of `{environment}` were deleted. Those "
            "that it deleted are gone, the others remain. Invoke it again until `finished` is true; the next purge "
            "continues too.",
        ),
        Watch(
            name=f"{function}-purge-missing",
            metric=metrics.of_purges(environment),
            missing=NEVER_CAME,
            says=f"`{function}` has not run for a day, so old decisions of `{environment}` remain. Nothing was "
            "deleted. Check that the schedule `daily-purge` is enabled, then invoke the function.",
        ),
    ]
