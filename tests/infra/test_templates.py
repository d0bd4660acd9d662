"""What is made is called, tagged, kept and run as the domain says."""

import re
from pathlib import Path

import pytest

from infra.digest import Recorded
from support import synthesis
from support.synthesis import FIRST, SECOND, SECRET, Template, synthesise, upgraded, written

RETENTION_DAYS = {"dev": 7, "prod": 30}
COMMANDS = {
    "AuroraMigrationsRunnerStack": "runner.handler.handler",
    "MicroAgenteDisparoStack": "dispatch_agent.handler.handler",
    "MicroAgentePurgeStack": "dispatch_agent.handler.handler",
}


def test_every_stack_of_both_environments_is_there(existing: dict[str, Template], sample: dict[str, Template]) -> None:
    """Each environment has its runner and its agent; only one without a database gets the sample of one."""
    functions = {f"{stack}-{env}" for stack in COMMANDS for env in RETENTION_DAYS}
    assert existing.keys() == functions | {"AuroraMigrationsRegistryStack", "AuroraMigrationsDeliveryStack"}
    samples = {f"AuroraMigrationsSampleDatabaseStack-{env}" for env in RETENTION_DAYS}
    assert sample.keys() == functions | samples | {"AuroraMigrationsRegistryStack"}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_names(existing: dict[str, Template], environment: str) -> None:
    """Functions, logs, outputs, state machine, topic and dashboard have the names that operators know."""
    runner = existing[f"AuroraMigrationsRunnerStack-{environment}"]
    agent = existing[f"MicroAgenteDisparoStack-{environment}"]
    name = f"aurora-migrations-{environment}"
    assert runner.one("AWS::Lambda::Function")["FunctionName"] == f"aurora-migrations-runner-{environment}"
    assert (
        agent.one("AWS::Lambda::Function")["FunctionName"] == f"micro-agente-disparo-agendamento-{environment}-dry-run"
    )
    assert {
        "MigrationRunnerFunctionName",
        "MigrationRunnerFunctionArn",
        "MigrationRunnerSecurityGroupId",
    } < runner.body["Outputs"].keys()
    assert runner.one("AWS::StepFunctions::StateMachine")["StateMachineName"] == name
    assert runner.one("AWS::SNS::Topic")["TopicName"] == name
    assert runner.one("AWS::CloudWatch::Dashboard")["DashboardName"] == name
    assert (
        existing["AuroraMigrationsRegistryStack"].one("AWS::ECR::Repository")["RepositoryName"] == "aurora-migrations"
    )


def test_logs_are_kept_for_a_while(functions: list[Template]) -> None:
    """Each function writes to a log group of its own name, kept 7 days in dev and 30 in prod."""
    for template in functions:
        function = template.one("AWS::Lambda::Function")
        logs = template.of("AWS::Logs::LogGroup")
        log = logs[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert log["LogGroupName"] == f"/aws/lambda/{function['FunctionName']}"
        assert {each["RetentionInDays"] for each in logs.values()} == {RETENTION_DAYS[template.environment]}


def test_tags(every: list[Template]) -> None:
    """Each stack, and each resource that takes tags, has our four in PascalCase, none that differs by case alone."""
    for template in every:
        assert set(template.tags) == {"Project", "Environment", "Component", "ManagedBy"}
        assert (template.tags["Project"], template.tags["ManagedBy"]) == ("AlquimistaAI", "CDK")
        for name, resource in template.resources.items():
            tags = resource.get("Properties", {}).get("Tags")
            if isinstance(tags, list):
                keys = [tag["Key"] for tag in tags]
                assert len({key.lower() for key in keys}) == len(keys), name
                assert template.tags.items() <= {tag["Key"]: tag["Value"] for tag in tags}.items(), name
    tagged = {
        resource["Type"] for template in every for resource in template.resources.values() if "Tags" in str(resource)
    }
    assert {"AWS::IAM::Role", "AWS::Lambda::Function", "AWS::ECR::Repository", "AWS::RDS::DBCluster"} < tagged


def test_a_function_is_the_image_by_its_digest(functions: list[Template]) -> None:
    """The image is named by digest, which the function knows too; 15 minutes, 1 GiB, X-Ray, no reserved concurrency."""
    for template in functions:
        function = template.one("AWS::Lambda::Function")
        digest = {"dev": FIRST, "prod": SECOND}[template.environment]
        assert function["PackageType"] == "Image"
        assert written(function["Code"]["ImageUri"]) == (
            f"{{AWS::AccountId}}.dkr.ecr.us-east-1.{{AWS::URLSuffix}}/aurora-migrations@{digest}"
        )
        assert function["Environment"]["Variables"]["IMAGE_DIGEST"] == digest
        assert function["ImageConfig"] == {"Command": [COMMANDS[template.stack.rpartition("-")[0]]]}
        assert (function["Timeout"], function["MemorySize"]) == (900, 1024)
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert "ReservedConcurrentExecutions" not in function


def test_the_agent_runs_what_was_approved(tmp_path: Path) -> None:
    """Between promotion and approval the runner is made from the new image, the agent still from the one before."""
    context = {"environments": {"prod": {"database": synthesis.database("prod"), "alarmEmail": "prod@example.com"}}}
    stacks = synthesise(tmp_path, context, {"prod": Recorded(promoted=SECOND, approved=FIRST)})
    for stack, digest in (("AuroraMigrationsRunnerStack-prod", SECOND), ("MicroAgenteDisparoStack-prod", FIRST)):
        function = stacks[stack].one("AWS::Lambda::Function")
        assert written(function["Code"]["ImageUri"]).endswith(f"@{digest}")
        assert function["Environment"]["Variables"]["IMAGE_DIGEST"] == digest
    machine = stacks["AuroraMigrationsRunnerStack-prod"].one("AWS::StepFunctions::StateMachine")
    assert machine["DefinitionSubstitutions"]["Digest"] == SECOND


def test_no_agent_before_the_first_approval(tmp_path: Path) -> None:
    """Where nothing was approved yet there is the runner, which an approval needs, and no agent."""
    context = {"environments": {"prod": {"database": synthesis.database("prod"), "alarmEmail": "prod@example.com"}}}
    stacks = synthesise(tmp_path, context, {"prod": Recorded(promoted=SECOND, approved=None)})
    assert stacks.keys() == {"AuroraMigrationsRegistryStack", "AuroraMigrationsRunnerStack-prod"}


def test_variables(existing: dict[str, Template], sample: dict[str, Template]) -> None:
    """A function is told its environment, its secret and its image; and the address, where RDS manages the secret."""
    runner, agent, purge = (
        existing[f"{stack}-prod"].one("AWS::Lambda::Function")["Environment"]["Variables"] for stack in COMMANDS
    )
    assert runner == {"ENVIRONMENT": "prod", "DB_SECRET_ARN": SECRET.format("prod"), "IMAGE_DIGEST": SECOND}
    assert agent == runner | {
        "DB_SECRET_ARN": SECRET.format("prod-agent"),
        "MICRO_AGENT_DISPARO_ENABLED": "false",
        "ALLOWED_ACTIONS": "dry-run,stats",
        "METRIC_TENANTS": "test-001,test-002",
    }
    assert purge == runner | {"DB_SECRET_ARN": SECRET.format("prod-purge"), "ALLOWED_ACTIONS": "purge"}
    managed = sample["MicroAgenteDisparoStack-prod"].one("AWS::Lambda::Function")["Environment"]["Variables"]
    assert "EndpointAddress" in written(managed["DB_HOST"])
    assert (managed["DB_NAME"], managed["MICRO_AGENT_DISPARO_ENABLED"]) == ("alquimista", "true")


def test_versions_are_kept(functions: list[Template]) -> None:
    """A version outlives the deployment that replaces it, so that there is always one to go back to."""
    for template in functions:
        (version,) = (each for each in template.resources.values() if each["Type"] == "AWS::Lambda::Version")
        assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_a_creation_that_fails_leaves_no_name_taken(every: list[Template]) -> None:
    """What is kept is kept from a deletion, not from a rolled-back creation, whose next try needs the same names."""
    kept = {
        resource["Type"]: resource["DeletionPolicy"]
        for template in every
        for resource in template.resources.values()
        if resource.get("DeletionPolicy", "Delete") not in ("Delete", "Snapshot")
    }
    assert kept.keys() == {
        "AWS::ECR::Repository",
        "AWS::KMS::Key",
        "AWS::Lambda::Version",
        "AWS::Logs::LogGroup",
        "AWS::StepFunctions::StateMachine",
    }
    assert set(kept.values()) == {"RetainExceptOnCreate"}


def test_only_the_state_machine_moves_the_runner(existing: dict[str, Template], tmp_path: Path) -> None:
    """The runner's alias has the same text with every image, so no deployment moves it; the version is another."""
    before = existing["AuroraMigrationsRunnerStack-prod"]
    context = {"environments": {"prod": {"database": synthesis.database("prod"), "alarmEmail": "prod@example.com"}}}
    after = synthesise(tmp_path, context, {"prod": upgraded(FIRST)})["AuroraMigrationsRunnerStack-prod"]
    assert after.of("AWS::Lambda::Alias") == before.of("AWS::Lambda::Alias")
    assert after.one("AWS::Lambda::Alias")["FunctionVersion"] == "$LATEST"
    assert after.of("AWS::Lambda::Version").keys().isdisjoint(before.of("AWS::Lambda::Version"))
    changed = {name for name, each in after.resources.items() if before.resources.get(name) != each}
    assert {re.sub("[0-9A-F]{8}.*", "", name) for name in changed} == {
        "RunnerFunction",
        "RunnerFunctionCurrentVersion",
        "MigrationRole",
        "MigrationStateMachine",
    }


def test_the_agents_alias_goes_with_its_version(existing: dict[str, Template]) -> None:
    """Nobody else moves the agent's alias, so it points to the version that its stack publishes."""
    for environment in ("dev", "prod"):
        agent = existing[f"MicroAgenteDisparoStack-{environment}"]
        (version,) = agent.of("AWS::Lambda::Version")
        alias = agent.one("AWS::Lambda::Alias")
        assert (alias["Name"], alias["FunctionVersion"]) == ("live", {"Fn::GetAtt": [version, "Version"]})


def test_asynchronous_invocations(functions: list[Template]) -> None:
    """Lambda never repeats a migration by itself; a run of the agent it may, within the hour."""
    for template in functions:
        said = {
            each["Qualifier"]: (each["MaximumRetryAttempts"], each["MaximumEventAgeInSeconds"])
            for each in template.of("AWS::Lambda::EventInvokeConfig").values()
        }
        once, hourly = (0, 60), (2, 3600)
        expected = once if "Runner" in template.stack else hourly
        assert said == {"$LATEST": expected, "live": expected}


def test_the_registry(existing: dict[str, Template]) -> None:
    """A tag is written once, images are scanned, only what has no tag expires, and the repository is never deleted."""
    registry = existing["AuroraMigrationsRegistryStack"]
    repository = registry.one("AWS::ECR::Repository")
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert '"tagStatus":"untagged"' in repository["LifecyclePolicy"]["LifecyclePolicyText"]
    assert repository["LifecyclePolicy"]["LifecyclePolicyText"].count("tagStatus") == 1
    (resource,) = registry.resources.values()
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_sample_database(sample: dict[str, Template], environment: str) -> None:
    """Aurora Serverless v2, encrypted, its password kept by RDS, in isolated subnets; in prod it cannot be deleted."""
    template = sample[f"AuroraMigrationsSampleDatabaseStack-{environment}"]
    cluster = template.one("AWS::RDS::DBCluster")
    assert (cluster["Engine"], cluster["DatabaseName"]) == ("aurora-postgresql", "alquimista")
    assert (cluster["StorageEncrypted"], cluster["ManageMasterUserPassword"]) == (True, True)
    assert "MasterUserPassword" not in cluster
    assert cluster["DeletionProtection"] is (environment == "prod")
    instance = template.one("AWS::RDS::DBInstance")
    assert (instance["DBInstanceClass"], instance["PubliclyAccessible"]) == ("db.serverless", False)
    subnets = template.of("AWS::EC2::Subnet").values()
    assert [subnet["AvailabilityZone"] for subnet in subnets] == ["us-east-1a", "us-east-1b"]
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)
    (resource,) = (each for each in template.resources.values() if each["Type"] == "AWS::RDS::DBCluster")
    assert resource["DeletionPolicy"] == "Snapshot"
