"""The app: its stacks, their names and their tags."""

from collections.abc import Mapping

from aws_cdk import App, Environment, Stack, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra import names
from infra.agent_stack import AgentStack
from infra.delivery import DeliveryStack
from infra.digest import Recorded
from infra.environments import Context, Database, Settings
from infra.purge_stack import PurgeStack
from infra.registry import RegistryStack
from infra.runner_stack import RunnerStack
from infra.sample_database import SampleDatabaseStack


def build(app: App, *, context: Context, recorded: Mapping[str, Recorded]) -> None:
    """Add to `app` the registry, the roles for delivery, and each environment with its recorded images.

    An environment without an image gets its network at most: a function requires an image. Without an approved
    image it gets no agent.
    """
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    place = Environment(region=context.region)
    registry = RegistryStack(app, "AuroraMigrationsRegistryStack", env=place)
    _tag(registry, environment="shared", component="Registry")
    if context.github is not None:
        delivery = DeliveryStack(
            app,
            "AuroraMigrationsDeliveryStack",
            github=context.github,
            provider_arn=context.github_provider_arn,
            environments=context.environments,
            env=place,
        )
        _tag(delivery, environment="shared", component="Delivery")
    for environment, chosen in context.environments.items():
        database = chosen.database or _sample(app, environment, chosen, place)
        if environment in recorded:
            _functions(app, environment, chosen, database, recorded[environment], place, registry)


def _sample(app: App, environment: str, settings: Settings, place: Environment) -> Database:
    stack = SampleDatabaseStack(
        app,
        f"AuroraMigrationsSampleDatabaseStack-{environment}",
        environment=environment,
        availability_zones=settings.availability_zones or (f"{place.region}a", f"{place.region}b"),
        env=place,
    )
    _tag(stack, environment=environment, component="SampleDatabase")
    return stack.database


def _functions(
    app: App,
    environment: str,
    settings: Settings,
    database: Database,
    recorded: Recorded,
    place: Environment,
    registry: Stack,
) -> None:
    runner = RunnerStack(
        app,
        f"AuroraMigrationsRunnerStack-{environment}",
        environment=environment,
        settings=settings,
        database=database,
        digest=recorded.promoted,
        env=place,
    )
    runner.add_stack_dependency(registry)
    _tag(runner, environment=environment, component="MigrationRunner")
    if recorded.approved is None:
        return
    agent = AgentStack(
        app,
        f"MicroAgenteDisparoStack-{environment}",
        environment=environment,
        settings=settings,
        database=database,
        digest=recorded.approved,
        env=place,
    )
    purge = PurgeStack(
        app,
        f"MicroAgentePurgeStack-{environment}",
        environment=environment,
        settings=settings,
        database=database,
        digest=recorded.approved,
        env=place,
    )
    purge.add_stack_dependency(runner)
    _tag(purge, environment=environment, component="MicroAgentePurge")
    agent.add_stack_dependency(runner)
    # so that deploying the agent deploys the deletion of what it records
    agent.add_stack_dependency(purge)
    _tag(agent, environment=environment, component="MicroAgenteDisparo")


def _tag(stack: Stack, *, environment: str, component: str) -> None:
    """Tag a stack and all its resources, here alone: IAM refuses two tags that differ only by case."""
    for key, value in {
        "Project": names.PROJECT,
        "Environment": environment,
        "Component": component,
        "ManagedBy": "CDK",
    }.items():
        Tags.of(stack).add(key, value)
