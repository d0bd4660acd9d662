"""The figures that alarms and the dashboard look at, by the names under which they are emitted."""

from aws_cdk import Duration, aws_cloudwatch

MIGRATIONS = ("AlquimistaAI/Migrations", "aurora-migrations-runner")
DISPATCH_AGENT = ("AlquimistaAI/DispatchAgent", "micro-agente-disparo-agendamento")
"""Namespace and `service`, as the handlers say."""
PERIOD = Duration.minutes(5)


def of_function(function: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return what Lambda counts of a function, all versions together."""
    return _metric("AWS/Lambda", metric, statistic, {"FunctionName": function})


def of_program(program: tuple[str, str], environment: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return what the runner or the agent emits itself."""
    namespace, service = program
    return _metric(namespace, metric, statistic, {"environment": environment, "service": service})


def of_executions(state_machine_arn: str, metric: str, statistic: str) -> aws_cloudwatch.Metric:
    """Return what Step Functions counts of a state machine."""
    return _metric("AWS/States", metric, statistic, {"StateMachineArn": state_machine_arn})


def of_schedules(group: str, metric: str) -> aws_cloudwatch.Metric:
    """Return what EventBridge Scheduler counts of a group of schedules."""
    return _metric("AWS/Scheduler", metric, "Sum", {"ScheduleGroup": group})


def _metric(namespace: str, metric: str, statistic: str, dimensions: dict[str, str]) -> aws_cloudwatch.Metric:
    return aws_cloudwatch.Metric(
        namespace=namespace, metric_name=metric, dimensions_map=dimensions, statistic=statistic, period=PERIOD
    )
