"""The metrics of the alarms and of the dashboard, by the names under which they are emitted."""

from aws_cdk import Duration, aws_cloudwatch

from infra import names

MIGRATIONS = ("AlquimistaAI/Migrations", "aurora-migrations-runner")
DISPATCH_AGENT = ("AlquimistaAI/DispatchAgent", "micro-agente-disparo-agendamento")
"""Namespace and `service` of the handlers' metrics."""
PERIOD = Duration.minutes(5)
HOUR = Duration.hours(1)
DAY = Duration.days(1)


def of_function(function: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return a metric of Lambda's for a function, all versions together."""
    return _metric("AWS/Lambda", metric, statistic, {"FunctionName": function})


def of_program(program: tuple[str, str], environment: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return a metric that the runner or the agent emits."""
    namespace, service = program
    return _metric(namespace, metric, statistic, {"environment": environment, "service": service})


def of_tenant(environment: str, tenant: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return a metric that the agent emits for a tenant, by the hour."""
    namespace, service = DISPATCH_AGENT
    dimensions = {"environment": environment, "service": service, "tenant": names.tenant(tenant)}
    return _metric(namespace, metric, statistic, dimensions).with_(period=HOUR)


def of_crashes(environment: str) -> aws_cloudwatch.MathExpression:
    """Return the errors of the agent's function without `run-busy`, which it raises so that Lambda repeats the run."""
    return aws_cloudwatch.MathExpression(
        expression="errors - FILL(busy, 0)",
        using_metrics={
            "errors": of_function(names.agent(environment), "Errors", "Sum"),
            "busy": of_program(DISPATCH_AGENT, environment, "RunBusy", "Sum"),
        },
        period=PERIOD,
        label="Errors that are no run-busy",
    )


def of_missing_runs(environment: str, tenant: str) -> aws_cloudwatch.MathExpression:
    """Return 1 for each hour of the schedule without its run of the tenant, and 0 for each other hour.

    The agent emits a tenant's `RunFailed` for the runs of its schedule alone, at the moment at which each was due.
    HOUR and DAY have a value for each hour, also without a run. They are those of UTC, three hours ahead of Brazil;
    Monday is 1. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    due = "DAY(runs) <= 5 AND HOUR(runs) >= 11 AND HOUR(runs) <= 20"
    return aws_cloudwatch.MathExpression(
        expression=f"IF({due}, IF(FILL(runs, 0) >= 1, 0, 1), 0)",
        using_metrics={"runs": of_tenant(environment, tenant, "RunFailed", "SampleCount")},
        period=HOUR,
        label=f"Hours without a run of {tenant}",
    )


def of_purges(environment: str) -> aws_cloudwatch.MathExpression:
    """Return 0 for each day with a purge; a day without one has no data."""
    purges = of_program(DISPATCH_AGENT, environment, "PurgeFailed", "SampleCount").with_(period=DAY)
    return aws_cloudwatch.MathExpression(
        expression="IF(purges >= 1, 0, 1)", using_metrics={"purges": purges}, period=DAY, label="Days without a purge"
    )


def of_executions(state_machine_arn: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return a metric of Step Functions' for a state machine."""
    return _metric("AWS/States", metric, statistic, {"StateMachineArn": state_machine_arn})


def of_schedules(group: str, metric: str) -> aws_cloudwatch.Metric:
    """Return a metric of EventBridge Scheduler's for a group of schedules."""
    return _metric("AWS/Scheduler", metric, "Sum", {"ScheduleGroup": group})


def _metric(namespace: str, metric: str, statistic: str, dimensions: dict[str, str]) -> aws_cloudwatch.Metric:
    return aws_cloudwatch.Metric(
        namespace=namespace, metric_name=metric, dimensions_map=dimensions, statistic=statistic, period=PERIOD
    )
