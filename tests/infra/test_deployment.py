"""The stacks deployed for real, over CloudFormation's API, to a moto server; and deployed again."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from support.synthesis import FIRST, SECOND, Template, synthesise, upgraded, walk

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")  # moto says what it skips; see SKIPPED

SKIPPED = {
    "AWS::CloudWatch::Alarm",
    "AWS::IAM::OIDCProvider",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::RDS::DBCluster",
    "AWS::Scheduler::Schedule",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
}
"""What moto's CloudFormation does not know; the tests of the templates are all that proves these."""
REGION = "us-east-2"
"""Where no other test makes anything; within a process every server of moto is the same one."""
RUNNER = "AuroraMigrationsRunnerStack-dev"
AGENT = "MicroAgenteDisparoStack-dev"
SAMPLE = "AuroraMigrationsSampleDatabaseStack-dev"


@dataclass(frozen=True)
class Cloud:
    """The APIs of a moto server, in a region of its own."""

    url: str

    def api(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def deploy(self, template: Template) -> dict[str, str]:
        """Create or update a stack, and return its outputs."""
        cloudformation = self.api("cloudformation")
        body = json.dumps(without_gaps(template.body))
        options = {"StackName": template.stack, "TemplateBody": body, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        try:
            cloudformation.describe_stacks(StackName=template.stack)
        except ClientError:
            cloudformation.create_stack(**options)
        else:
            cloudformation.update_stack(**options)
        (stack,) = cloudformation.describe_stacks(StackName=template.stack)["Stacks"]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def changes(self, template: Template) -> tuple[str, list[Any]]:
        """Ask what deploying would change, by a change set; return why there is none, and the changes."""
        cloudformation = self.api("cloudformation")
        body = json.dumps(without_gaps(template.body))
        asked = {"StackName": template.stack, "ChangeSetName": "again"}
        cloudformation.create_change_set(**asked, ChangeSetType="UPDATE", TemplateBody=body)
        answer = cloudformation.describe_change_set(**asked)
        cloudformation.delete_change_set(**asked)
        return answer.get("StatusReason", ""), answer.get("Changes", [])

    def physical(self, stack: str) -> dict[str, str]:
        """Return what each resource of a stack is called in the cloud."""
        found = self.api("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for each in found
            if "LogicalResourceId" in each
        }


def without_gaps(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what moto cannot make, or fails at; what is merely skipped stays."""
    body = copy.deepcopy(body)
    for name, resource in list(body["Resources"].items()):
        if resource["Type"] in ("AWS::RDS::DBCluster", "AWS::RDS::DBInstance"):  # no clusters, and instances want one
            del body["Resources"][name]
            body["Outputs"] = {
                key: each for key, each in body["Outputs"].items() if name not in json.dumps(each["Value"])
            }
        if resource["Type"] == "AWS::KMS::Key":  # fails at tags
            del resource["Properties"]["Tags"]
    for each in walk(body):
        if isinstance(each, dict) and each.get("Fn::GetAtt", ["", ""])[1] == "Version":  # knows no number of a version
            each.clear()
            each["Ref"] = "AWS::NoValue"
    return body


@pytest.fixture(scope="session")
def cloud(aws: dict[str, str]) -> Cloud:
    """A region as `cdk bootstrap` leaves it."""
    cloud = Cloud(aws["AWS_ENDPOINT_URL"])
    cloud.api("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    return cloud


@pytest.fixture(scope="session")
def network(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The network of the sample stack once it is deployed, and a secret: what somebody has who has a database."""
    context = {"region": REGION, "environments": {"dev": {}}}
    ids = cloud.deploy(synthesise(tmp_path_factory.mktemp("network"), context, {"dev": upgraded(FIRST)})[SAMPLE])
    secret = cloud.api("secretsmanager").create_secret(Name="aurora/dev", SecretString="{}")["ARN"]
    return {
        "vpcId": _output(ids, "ExportsOutputRefNetwork1C"),
        "isolatedSubnetIds": [_output(ids, f"ExportsOutputRefNetworkIsolatedSubnet{number}") for number in (1, 2)],
        "clusterSecurityGroupId": _output(ids, "ExportsOutputFnGetAttClusterGroup"),
        "endpointSecurityGroupId": _output(ids, "ExportsOutputFnGetAttEndpointGroup"),
        "secretArn": secret,
    }


def _output(outputs: dict[str, str], start: str) -> str:
    (value,) = (each for name, each in outputs.items() if name.startswith(start))
    return value


@pytest.fixture(scope="session")
def first(network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """The templates of dev beside that network, with the first image."""
    return _synthesise(network, tmp_path_factory.mktemp("first"), "dev", FIRST)


def _synthesise(network: dict[str, Any], folder: Path, environment: str, digest: str) -> dict[str, Template]:
    settings = {"database": network, "alarmEmail": "dev@example.com", "agentTenants": ["test-001"]}
    context = {"region": REGION, "environments": {environment: settings}, "github": "alquimista-ai/migrations"}
    return synthesise(folder, context, {environment: upgraded(digest)})


@pytest.fixture(scope="session")
def outputs(cloud: Cloud, first: dict[str, Template]) -> dict[str, dict[str, str]]:
    """The outputs of each stack, deployed in the order of their dependencies."""
    return {name: cloud.deploy(template) for name, template in first.items()}


def test_what_moto_skips(every: list[Template]) -> None:
    """The list of what only the templates prove is whole and true."""
    from moto.cloudformation.parsing import get_model_map

    kinds = {resource["Type"] for template in every for resource in template.resources.values()}
    assert kinds - get_model_map().keys() == SKIPPED


def test_the_outputs(cloud: Cloud, outputs: dict[str, dict[str, str]]) -> None:
    """The three outputs that operators read lead to the function and to its group."""
    runner = outputs[RUNNER]
    function = cloud.api("lambda").get_function_configuration(FunctionName=runner["MigrationRunnerFunctionName"])
    assert runner["MigrationRunnerFunctionName"] == "aurora-migrations-runner-dev"
    assert runner["MigrationRunnerFunctionArn"] == function["FunctionArn"]
    assert function["VpcConfig"]["SecurityGroupIds"] == [runner["MigrationRunnerSecurityGroupId"]]
    machine = cloud.api("stepfunctions").describe_state_machine(stateMachineArn=runner["MigrationStateMachineArn"])
    assert machine["name"] == "aurora-migrations-dev"


@pytest.mark.parametrize("function", ["aurora-migrations-runner-dev", "micro-agente-disparo-agendamento-dev-dry-run"])
def test_the_functions(cloud: Cloud, outputs: dict[str, Any], network: dict[str, Any], function: str) -> None:
    """Each runs the image of the digest for 15 minutes with 1 GiB in the isolated subnets, and has a version."""
    deployed = cloud.api("lambda").get_function(FunctionName=function)
    configuration = deployed["Configuration"]
    assert deployed["Code"]["ImageUri"] == f"123456789012.dkr.ecr.{REGION}.amazonaws.com/aurora-migrations@{FIRST}"
    assert (configuration["Timeout"], configuration["MemorySize"]) == (900, 1024)
    assert configuration["VpcConfig"]["SubnetIds"] == network["isolatedSubnetIds"]
    variables = configuration["Environment"]["Variables"]
    assert (
        variables.items()
        >= {
            "ENVIRONMENT": "dev",
            "DB_SECRET_ARN": network["secretArn"],
            "IMAGE_DIGEST": FIRST,
        }.items()
    )
    assert "1" in _versions(cloud, function)


def _versions(cloud: Cloud, function: str) -> dict[str, str]:
    """Return the digest of each published version."""
    found = cloud.api("lambda").list_versions_by_function(FunctionName=function)["Versions"]
    return {
        each["Version"]: each["Environment"]["Variables"]["IMAGE_DIGEST"]
        for each in found
        if each["Version"] != "$LATEST"
    }


def test_the_way_to_the_database_is_open(cloud: Cloud, outputs: dict[str, Any], network: dict[str, Any]) -> None:
    """The three functions' groups, and nothing else, are let into the cluster's group and into the endpoint's."""
    ec2 = cloud.api("ec2")
    own = {
        _group(cloud, function)
        for function in (
            "aurora-migrations-runner-dev",
            "micro-agente-disparo-agendamento-dev-dry-run",
            "micro-agente-disparo-agendamento-dev-purge",
        )
    }
    for port, key in ((5432, "clusterSecurityGroupId"), (443, "endpointSecurityGroupId")):
        (group,) = ec2.describe_security_groups(GroupIds=[network[key]])["SecurityGroups"]
        for rule in group["IpPermissions"]:
            assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"], rule["Ipv6Ranges"]) == (port, port, [], [])
        assert {pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]} == own


def _group(cloud: Cloud, function: str) -> str:
    (group,) = cloud.api("lambda").get_function_configuration(FunctionName=function)["VpcConfig"]["SecurityGroupIds"]
    return str(group)


def test_logs_registry_and_network(cloud: Cloud, outputs: dict[str, Any], network: dict[str, Any]) -> None:
    """Logs are kept for 7 days, tags in the registry are written once, and the network leads nowhere else."""
    groups = cloud.api("logs").describe_log_groups(logGroupNamePrefix="/aws/")["logGroups"]
    assert {each["logGroupName"]: each["retentionInDays"] for each in groups} == {
        "/aws/lambda/aurora-migrations-runner-dev": 7,
        "/aws/lambda/micro-agente-disparo-agendamento-dev-dry-run": 7,
        "/aws/lambda/micro-agente-disparo-agendamento-dev-purge": 7,
        "/aws/vendedlogs/states/aurora-migrations-dev": 7,
    }
    (repository,) = cloud.api("ecr").describe_repositories(repositoryNames=["aurora-migrations"])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    of_network = [{"Name": "vpc-id", "Values": [network["vpcId"]]}]
    tables = cloud.api("ec2").describe_route_tables(Filters=of_network)["RouteTables"]
    assert {route.get("GatewayId") for table in tables for route in table["Routes"]} == {"local"}


def test_a_second_deployment_changes_nothing(
    cloud: Cloud, outputs: dict[str, Any], first: dict[str, Template], network: dict[str, Any], tmp_path: Path
) -> None:
    """Synthesised anew from the same context and digest, every stack's change set is empty, and all is as it was."""
    again = _synthesise(network, tmp_path, "dev", FIRST)
    assert again == first
    before = {name: cloud.physical(name) for name in first}
    versions = _versions(cloud, "aurora-migrations-runner-dev")
    for name, template in again.items():
        reason, changes = cloud.changes(template)
        assert (changes, "didn't contain changes" in reason) == ([], True), name
        assert cloud.deploy(template) == outputs[name]
    assert {name: cloud.physical(name) for name in first} == before
    assert _versions(cloud, "aurora-migrations-runner-dev") == versions


def test_a_new_image(cloud: Cloud, network: dict[str, Any], tmp_path: Path) -> None:
    """A new digest changes the function, publishes a version, keeps the old one, and leaves what is called `live`."""
    stack, function, lambdas = "AuroraMigrationsRunnerStack-prod", "aurora-migrations-runner-prod", cloud.api("lambda")
    cloud.deploy(_synthesise(network, tmp_path / "first", "prod", FIRST)[stack])
    lambdas.create_alias(FunctionName=function, Name="live", FunctionVersion="1")  # where the state machine put it
    before = cloud.physical(stack)
    template = _synthesise(network, tmp_path / "second", "prod", SECOND)[stack]
    cloud.deploy(_with_old_version(template, before))
    cloud.deploy(template)
    assert lambdas.get_function(FunctionName=function)["Code"]["ImageUri"].endswith(f"@{SECOND}")
    assert _versions(cloud, function) == {"1": FIRST, "2": SECOND}
    assert lambdas.get_alias(FunctionName=function, Name="live")["FunctionVersion"] == "1"
    assert _others(cloud.physical(stack)) == _others(before)


def _others(physical: dict[str, str]) -> dict[str, str]:
    return {name: each for name, each in physical.items() if "CurrentVersion" not in name}


def _with_old_version(template: Template, before: dict[str, str]) -> Template:
    """Return the template before its new version: moto makes what is new before it changes what is there."""
    (new,) = template.of("AWS::Lambda::Version")
    (old,) = before.keys() - _others(before)
    return Template(template.stack, template.tags, json.loads(template.text.replace(new, old)))
