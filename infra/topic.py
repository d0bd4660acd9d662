"""The encrypted topic of an environment's alarms and questions, and its subscriber."""

from aws_cdk import Stack, aws_iam, aws_kms, aws_sns, aws_sns_subscriptions
from constructs import Construct

from infra import names, retention

CLOUDWATCH = "cloudwatch.amazonaws.com"


class OperatorsTopic(Construct):
    """The topic `aurora-migrations-{env}`, with `email` as its subscriber where it is given.

    CloudWatch cannot use the account's `aws/sns` key, so the topic has a key of its own.
    """

    def __init__(self, scope: Construct, construct_id: str, *, environment: str, email: str | None) -> None:
        super().__init__(scope, construct_id)
        # other accounts' alarms must not use the key or the topic through the same service principal
        account = {"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
        cloudwatch = aws_iam.ServicePrincipal(CLOUDWATCH, conditions=account)
        self.key = aws_kms.Key(
            self,
            "Key",
            description=f"Notifications of {names.migrations(environment)}",
            enable_key_rotation=True,
            removal_policy=retention.of_resource(environment),
        )
        self.key.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[cloudwatch], actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=["*"]
            )
        )
        self.topic = aws_sns.Topic(
            self, "Topic", topic_name=names.migrations(environment), master_key=self.key, enforce_ssl=True
        )
        # this policy replaces the default one, which allowed CloudWatch to publish
        self.topic.add_to_resource_policy(
            aws_iam.PolicyStatement(principals=[cloudwatch], actions=["sns:Publish"], resources=[self.topic.topic_arn])
        )
        if email is not None:
            self.topic.add_subscription(aws_sns_subscriptions.EmailSubscription(email))
