"""How long things are kept."""

from aws_cdk import RemovalPolicy, aws_logs

from infra import names


def of_logs(environment: str) -> aws_logs.RetentionDays:
    """Return how long logs are kept: 30 days where mistakes are dear, 7 elsewhere."""
    protected = names.is_protected(environment)
    return aws_logs.RetentionDays.ONE_MONTH if protected else aws_logs.RetentionDays.ONE_WEEK


def of_resource(environment: str) -> RemovalPolicy:
    """Return what becomes of what holds data when its stack is deleted.

    What a creation that is rolled back leaves behind is empty, and its name would stand in the way of the next try.
    """
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if names.is_protected(environment) else RemovalPolicy.DESTROY
