"""What went wrong in the field cannot happen again: what went wrong, and the tests that show it."""

import re
from pathlib import Path

import pytest

from support.synthesis import Template, database, walk, written

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
RESERVED = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "TZ",
}
FAILURES = {
    "`AWS_REGION` set in the function's environment, a reserved variable": ["test_aws_region_set_by_hand"],
    "subnets with a way out asked for, which the network lacks": ["test_subnets_that_the_network_lacks"],
    "the cluster's group opened by hand, since the rule made a cycle": [
        "test_the_way_into_the_cluster_opened_by_hand",
        "infra/test_deployment.py::test_the_way_to_the_database_is_open",
    ],
    "two stacks that depended on each other": ["test_two_stacks_that_depend_on_each_other"],
    "tags that differ only by case": ["infra/test_templates.py::test_tags"],
    "migrations looked for in the wrong folder, a driver missing": [
        "test_migrations_and_driver_left_out_of_the_package"
    ],
    "TLS without verification": [
        "test_certificates_not_verified",
        "faults/test_lost_connections.py::test_certificates",
    ],
    "the secrets endpoint open to the whole network": ["test_a_secrets_endpoint_open_to_the_whole_network"],
    "a second run that fails": [
        "test_a_second_run_that_fails",
        "runtime/test_contract.py::test_run_migration",
        "infra/test_deployment.py::test_a_second_deployment_changes_nothing",
    ],
    "no rollback, no record of what ran": [
        "test_no_record_of_what_ran",
        "integration/test_cli.py::test_history_says_who_when_and_how_long",
    ],
}
FUNCTION_STACKS = ("AuroraMigrationsRunnerStack", "MicroAgenteDisparoStack", "MicroAgentePurgeStack")
WAYS = {5432: "clusterSecurityGroupId", 443: "endpointSecurityGroupId"}


def test_every_failure_has_its_test() -> None:
    """The tests that the list names are there."""
    for names in FAILURES.values():
        for name in names:
            path, _, test = name.rpartition("::")
            text = (Path(__file__).parents[1] / path if path else Path(__file__)).read_text()
            assert re.search(rf"^def {test}\(", text, re.MULTILINE), name


def test_aws_region_set_by_hand(functions: list[Template]) -> None:
    """No function sets a variable that Lambda reserves, so that no deployment is refused for one."""
    for template in functions:
        variables = template.one("AWS::Lambda::Function")["Environment"]["Variables"].keys()
        assert not {name for name in variables if name in RESERVED or name.startswith("AWS_")}


def test_subnets_that_the_network_lacks(
    existing: dict[str, Template], sample: dict[str, Template], every: list[Template]
) -> None:
    """A function is put into the isolated subnets it is given, and nothing anywhere routes to the internet."""
    for stack in FUNCTION_STACKS:
        given = existing[f"{stack}-dev"].one("AWS::Lambda::Function")["VpcConfig"]["SubnetIds"]
        assert given == database("dev")["isolatedSubnetIds"]
        made = sample[f"{stack}-dev"].one("AWS::Lambda::Function")["VpcConfig"]["SubnetIds"]
        assert all("IsolatedSubnet" in written(subnet) for subnet in made)
    kinds = {resource["Type"] for template in every for resource in template.resources.values()}
    assert "AWS::EC2::VPC" in kinds
    assert not kinds & {
        "AWS::EC2::EIP",
        "AWS::EC2::EgressOnlyInternetGateway",
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
        "AWS::EC2::VPCGatewayAttachment",
    }


@pytest.mark.parametrize("stack", FUNCTION_STACKS)
def test_the_way_into_the_cluster_opened_by_hand(existing: dict[str, Template], stack: str) -> None:
    """Each function's own stack lets its own group, and no other, into the cluster's and the endpoint's group."""
    template = existing[f"{stack}-prod"]
    (group,) = template.of("AWS::EC2::SecurityGroup")
    own = {"Fn::GetAtt": [group, "GroupId"]}
    assert template.one("AWS::Lambda::Function")["VpcConfig"]["SecurityGroupIds"] == [own]
    rules = template.of("AWS::EC2::SecurityGroupIngress").values()
    assert {rule["FromPort"]: rule["GroupId"] for rule in rules} == {
        port: database("prod")[key] for port, key in WAYS.items()
    }
    for rule in rules:
        assert rule["SourceSecurityGroupId"] == own
        assert (rule["ToPort"], rule["IpProtocol"]) == (rule["FromPort"], "tcp")


def test_two_stacks_that_depend_on_each_other(every: list[Template]) -> None:
    """Every stack of both environments is synthesised; values go one way, and never into the database's stack."""
    imports = {
        (template.stack, each["Fn::ImportValue"].partition(":")[0])
        for template in every
        for each in walk(template.resources)
        if isinstance(each, dict) and "Fn::ImportValue" in each
    }
    assert {(user.rpartition("-")[0], source.rpartition("-")[0]) for user, source in imports} == {
        (stack, "AuroraMigrationsSampleDatabaseStack") for stack in FUNCTION_STACKS
    }


def test_migrations_and_driver_left_out_of_the_package(functions: list[Template]) -> None:
    """A function is the image that was tested, by its digest: nothing is packaged on the way, no folder is named."""
    for template in functions:
        function = template.one("AWS::Lambda::Function")
        assert function["Code"].keys() == {"ImageUri"}
        assert "@sha256:" in written(function["Code"]["ImageUri"])
        assert not function.keys() & {"Handler", "Runtime", "Layers"}
        assert "ALEMBIC_CONFIG" not in function["Environment"]["Variables"]


def test_certificates_not_verified(functions: list[Template]) -> None:
    """No function is told to verify less, or to go another way than by its secret: what is left is `verify-full`."""
    for template in functions:
        variables = template.one("AWS::Lambda::Function")["Environment"]["Variables"].keys()
        assert not variables & {"DB_SSLMODE", "PGSSLMODE", "PGSSLROOTCERT", "DATABASE_URL", "DB_IAM_AUTH"}


def test_a_secrets_endpoint_open_to_the_whole_network(
    existing: dict[str, Template], sample: dict[str, Template], every: list[Template]
) -> None:
    """Only the sample stack makes an endpoint, whose group lets nobody in; each function lets itself in."""
    assert not [template for template in existing.values() if template.of("AWS::EC2::VPCEndpoint")]
    for environment in ("dev", "prod"):
        template = sample[f"AuroraMigrationsSampleDatabaseStack-{environment}"]
        endpoint = template.one("AWS::EC2::VPCEndpoint")
        assert (endpoint["VpcEndpointType"], endpoint["PrivateDnsEnabled"]) == ("Interface", True)
        (group,) = endpoint["SecurityGroupIds"]
        assert "SecurityGroupIngress" not in template.of("AWS::EC2::SecurityGroup")[group["Fn::GetAtt"][0]]
    for template in every:
        for rule in template.of("AWS::EC2::SecurityGroupIngress").values():
            assert not rule.keys() & {"CidrIp", "CidrIpv6", "SourcePrefixListId"}


def test_a_second_run_that_fails(functions: list[Template]) -> None:
    """Readers and a second run get through to the lock: no function has a concurrency of its own to run out of."""
    for template in functions:
        assert "ReservedConcurrentExecutions" not in template.one("AWS::Lambda::Function")
        assert "ProvisionedConcurrencyConfig" not in template.one("AWS::Lambda::Alias")


def test_no_record_of_what_ran(functions: list[Template]) -> None:
    """The ledger's row says which image ran: the digest that the function is made from, and a version that is kept."""
    for template in functions:
        function = template.one("AWS::Lambda::Function")
        digest = function["Environment"]["Variables"]["IMAGE_DIGEST"]
        assert written(function["Code"]["ImageUri"]).endswith(f"@{digest}")
        assert template.of("AWS::Lambda::Version")
