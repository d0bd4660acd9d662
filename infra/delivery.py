"""Delivery from a repository of GitHub: one role for each environment, and no stored key."""

from collections.abc import Iterable
from typing import Any

from aws_cdk import CfnOutput, Stack, aws_iam
from constructs import Construct

from infra import names, wildcards

ISSUER = "token.actions.githubusercontent.com"
BOOTSTRAP = "cdk-hnb659fds"
"""The qualifier of `cdk bootstrap`'s resources. https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html"""
PROMOTING = ("ecr:BatchGetImage", "ecr:PutImage")
PUSHING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
)


class DeliveryStack(Stack):
    """The role `aurora-migrations-delivery-{env}` for each environment.

    Only a job of `github` (`owner/name`) in GitHub's environment of the same name may assume it. The job deploys
    through the roles of `cdk bootstrap`, and whoever may assume its deploy role can change any stack of the account:
    only an account for each environment, or a bootstrap with its own qualifier, keeps dev's jobs away from prod.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        github: str,
        provider_arn: str | None,
        environments: Iterable[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        provider = provider_arn or _provider(self)
        known = tuple(environments)
        for environment in known:
            role = _role(self, environment, known, provider, github)
            # GitHub's variable `AWS_ROLE_ARN` of that environment
            CfnOutput(self, f"DeliveryRoleArn-{environment}", value=role.role_arn)


def _provider(stack: Stack) -> str:
    """Create GitHub's provider, of which an account has one at most, and return its ARN."""
    return aws_iam.CfnOIDCProvider(stack, "GitHub", url=f"https://{ISSUER}", client_id_list=["sts.amazonaws.com"]).ref


def _role(stack: Stack, environment: str, known: tuple[str, ...], provider: str, github: str) -> aws_iam.Role:
    who = {
        f"{ISSUER}:aud": "sts.amazonaws.com",
        f"{ISSUER}:sub": f"repo:{github}:environment:{environment}",
    }
    executions = _arn(stack, "states", f"execution:{names.migrations(environment)}:*")
    role = aws_iam.Role(
        stack,
        f"Role-{environment}",
        role_name=f"aurora-migrations-delivery-{environment}",
        assumed_by=aws_iam.WebIdentityPrincipal(provider, {"StringEquals": who}),
        description=f"What {github} may do to deliver to {environment}",
        inline_policies={
            "Deliver": aws_iam.PolicyDocument(
                statements=[
                    *_images(stack, environment),
                    *_parameters(stack, environment, known),
                    _allow(["sts:AssumeRole"], [_bootstrap(stack, role) for role in ("deploy", "file-publishing")]),
                    _allow(
                        ["states:StartExecution"],
                        [_arn(stack, "states", f"stateMachine:{names.migrations(environment)}")],
                    ),
                    _allow(wildcards.actions(wildcards.EXECUTIONS), [executions]),
                    *_proof(stack, environment, known),
                ]
            )
        },
    )
    wildcards.acknowledge(role, "*", wildcards.LOGIN)
    wildcards.acknowledge(role, executions, wildcards.EXECUTIONS)
    return role


def _images(stack: Stack, environment: str) -> list[aws_iam.PolicyStatement]:
    """Allow promotion everywhere, and building and pushing images only in unprotected environments."""
    pushing = () if names.is_protected(environment) else PUSHING
    return [
        _allow(["ecr:GetAuthorizationToken"], ["*"]),
        _allow([*PROMOTING, *pushing], [_arn(stack, "ecr", f"repository/{names.REPOSITORY}")]),
    ]


def _parameters(stack: Stack, environment: str, known: tuple[str, ...]) -> list[aws_iam.PolicyStatement]:
    """Allow recording this environment's image, and reading all recorded images, as a synthesis does."""
    promoted, approved = (
        {one: _arn(stack, "ssm", f"parameter{name(one)}") for one in known}
        for name in (names.digest_parameter, names.approved_parameter)
    )
    return [
        _allow(["ssm:GetParameter"], [*promoted.values(), *approved.values()]),
        _allow(["ssm:PutParameter"], [promoted[environment]]),
    ]


def _proof(stack: Stack, environment: str, known: tuple[str, ...]) -> list[aws_iam.PolicyStatement]:
    """Allow the delivery to a protected environment to ask the other environments for the proof of an image."""
    if not names.is_protected(environment):
        return []
    below = [one for one in known if not names.is_protected(one)]
    functions = [_arn(stack, "lambda", f"function:{names.runner(one)}:{names.LIVE}") for one in below]
    return [_allow(["lambda:InvokeFunction"], functions)] if functions else []


def _allow(actions: list[str], resources: list[str]) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(actions=actions, resources=resources)


def _arn(stack: Stack, service: str, resource: str) -> str:
    return f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}:{resource}"


def _bootstrap(stack: Stack, role: str) -> str:
    name = f"{BOOTSTRAP}-{role}-role-{stack.account}-{stack.region}"
    return f"arn:{stack.partition}:iam::{stack.account}:role/{name}"
