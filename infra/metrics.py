"""The metrics of the alarms and of the dashboard, by the names under which they are emitted."""

from aws_cdk import Duration, aws_cloudwatch

MIGRATIONS = ("AlquimistaAI/Migrations", "aurora-migrations-runner")
DISPATCH_AGENT = ("AlquimistaAI/DispatchAgent", "micro-agente-disparo-agendamento")
"""Namespace and `service` of the handlers' metrics."""
PERIOD = Duration.minutes(5)


def of_function(function: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return a metric of Lambda's for a function, all versions together."""
    return _metric("AWS/Lambda", metric, statistic, {"FunctionName": function})


def of_program(program: tuple[str, str], environment: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return a metric that the runner or the agent emits."""
    namespace, service = program
    return _metric(namespace, metric, statistic, {"environment": environment, "service": service})


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
