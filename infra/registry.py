"""The registry of the images."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack, aws_ecr, aws_iam
from constructs import Construct

from infra import names


class RegistryStack(Stack):
    """The repository `aurora-migrations`, one for all environments of this account and region.

    A tag cannot be overwritten, and only an image without any tag expires. Every deployed image has the tags of its
    build and of its promotions, so it never expires.
    """

    def __init__(self, scope: Construct, construct_id: str, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        repository = aws_ecr.Repository(
            self,
            "Repository",
            repository_name=names.REPOSITORY,
            image_tag_mutability=aws_ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            lifecycle_rules=[
                aws_ecr.LifecycleRule(
                    description="What a push left behind without a tag",
                    tag_status=aws_ecr.TagStatus.UNTAGGED,
                    max_image_age=Duration.days(14),
                )
            ],
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        repository.add_to_resource_policy(_pulling(self))


def _pulling(stack: Stack) -> aws_iam.PolicyStatement:
    """Allow this account's functions to pull; otherwise Lambda adds a policy of its own, which the template lacks.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
    """
    functions = f"arn:{stack.partition}:lambda:{stack.region}:{stack.account}:function:*"
    return aws_iam.PolicyStatement(
        principals=[aws_iam.ServicePrincipal("lambda.amazonaws.com")],
        actions=["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        conditions={"ArnLike": {"aws:SourceArn": functions}},
    )
