"""The reasons for resource patterns in policy statements, the only list of them, used by cdk-nag and by the tests.

Every other statement names its resource.
"""

from dataclasses import dataclass

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct


@dataclass(frozen=True)
class Reason:
    """The allowed patterns, as a regular expression over ARNs, and why the statement cannot name the resource."""

    resources: str
    why: str


NETWORK = Reason(
    r"\*",
    "Lambda creates a function's network interfaces with its role before any interface has a name, and checks the role "
    "for these actions on every resource; the function's own code is denied them by the statement that follows. "
    "https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html",
)
TRACES = Reason(
    r"\*",
    "IAM has no resource type for traces. "
    "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html",
)
SAMPLING = Reason(
    r"\*",
    "Step Functions reads the sampling rules, which belong to the account. "
    "https://docs.aws.amazon.com/step-functions/latest/dg/xray-iam.html",
)
STREAMS = Reason(
    r".+:log-group:/aws/lambda/[^*]+:\*", "Lambda names the streams of this one log group when it creates them."
)
DELIVERY = Reason(
    r"\*",
    "IAM has no resource type for log deliveries. https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
)
LOGIN = Reason(
    r"\*",
    "A login to ECR has no resource; the actions after it have one. "
    "https://docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html",
)
EXECUTIONS = Reason(
    r".+:execution:aurora-migrations-[^*]+:\*",
    "An execution of this one state machine gets its name when it starts.",
)

REASONS = {
    "ec2:AssignPrivateIpAddresses": NETWORK,
    "ec2:CreateNetworkInterface": NETWORK,
    "ec2:DeleteNetworkInterface": NETWORK,
    "ec2:DescribeNetworkInterfaces": NETWORK,
    "ec2:DescribeSubnets": NETWORK,
    "ec2:UnassignPrivateIpAddresses": NETWORK,
    "ecr:GetAuthorizationToken": LOGIN,
    "logs:CreateLogDelivery": DELIVERY,
    "logs:CreateLogStream": STREAMS,
    "logs:DeleteLogDelivery": DELIVERY,
    "logs:DescribeLogGroups": DELIVERY,
    "logs:DescribeResourcePolicies": DELIVERY,
    "logs:GetLogDelivery": DELIVERY,
    "logs:ListLogDeliveries": DELIVERY,
    "logs:PutLogEvents": STREAMS,
    "logs:PutResourcePolicy": DELIVERY,
    "logs:UpdateLogDelivery": DELIVERY,
    "states:DescribeExecution": EXECUTIONS,
    "xray:GetSamplingRules": SAMPLING,
    "xray:GetSamplingTargets": SAMPLING,
    "xray:PutTelemetryRecords": TRACES,
    "xray:PutTraceSegments": TRACES,
}
"""By action; an action that is absent here may not be allowed on a pattern. In a key's own policy `*` is that key."""


def actions(reason: Reason) -> list[str]:
    """Return the actions that are allowed on a pattern for this reason."""
    return [action for action, given in REASONS.items() if given is reason]


def acknowledge(role: IConstruct, resource: str, *reasons: Reason) -> None:
    """Tell cdk-nag why `role` may do something on the pattern `resource`."""
    stack = Stack.of(role)
    # cdk-nag's notation of values that are known only at deployment
    spelt = resource.replace(stack.partition, "<AWS::Partition>").replace(stack.account, "<AWS::AccountId>")
    rule = f"AwsSolutions::AwsSolutions-IAM5[Resource::{spelt}]"
    why = " ".join(reason.why for reason in reasons)
    Validations.of(role).acknowledge(Acknowledgment(id=rule, reason=why))
