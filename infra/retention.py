"""Retention of logs and of resources."""

from aws_cdk import RemovalPolicy, aws_logs

from infra import names


def of_logs(environment: str) -> aws_logs.RetentionDays:
    """Return the retention of logs: 30 days in a protected environment, 7 elsewhere."""
    protected = names.is_protected(environment)
    return aws_logs.RetentionDays.ONE_MONTH if protected else aws_logs.RetentionDays.ONE_WEEK


def of_resource(environment: str) -> RemovalPolicy:
    """Return the removal policy of resources with data.

    A rolled-back creation deletes its resources in any case: they are empty, and their names would block the next try.
    """
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if names.is_protected(environment) else RemovalPolicy.DESTROY
