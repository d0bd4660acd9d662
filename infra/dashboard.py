"""The dashboard of an environment: the runner, the state machine and the agent on one page."""

from collections.abc import Callable
from functools import partial

from aws_cdk import aws_cloudwatch
from constructs import Construct

from infra import metrics, names


def draw(scope: Construct, *, environment: str, state_machine_arn: str) -> None:
    """Create the dashboard `aurora-migrations-{env}`."""
    migrations = partial(metrics.of_program, metrics.MIGRATIONS, environment)
    executions = partial(metrics.of_executions, state_machine_arn)
    agent = partial(metrics.of_program, metrics.DISPATCH_AGENT, environment)
    rows = [
        [
            _graph("Migrations", migrations, "RevisionsApplied", "MigrationFailed", "DriftFound"),
            _graph("Duration of migrations (ms)", migrations, "MigrationDuration", statistic="Maximum"),
            _graph("State machine", executions, "ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed"),
        ],
        _function("Runner", names.runner(environment)),
        [
            _graph("Agent's runs that failed", agent, "RunFailed"),
            _graph("Agent's runs (ms)", agent, "RunDuration", statistic="Maximum"),
            _graph("Leads that would be blocked (%)", agent, "BlockedShare", statistic="Average"),
        ],
        _function("Agent", names.agent(environment)),
    ]
    aws_cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=names.migrations(environment), widgets=rows)


def _function(title: str, function: str) -> list[aws_cloudwatch.IWidget]:
    counted = partial(metrics.of_function, function)
    return [
        _graph(f"{title}: invocations", counted, "Invocations", "Errors", "Throttles"),
        _graph(f"{title}: duration (ms)", counted, "Duration", statistic="Maximum"),
        _graph(f"{title}: concurrent executions", counted, "ConcurrentExecutions", statistic="Maximum"),
    ]


def _graph(
    title: str, figure: Callable[[str, str], aws_cloudwatch.Metric], *shown: str, statistic: str = "Sum"
) -> aws_cloudwatch.IWidget:
    return aws_cloudwatch.GraphWidget(title=title, left=[figure(name, statistic) for name in shown], width=8)
