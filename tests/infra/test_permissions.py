"""Who may do what: as little as there is, on things that have names, with a written reason for each exception."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra import wildcards
from support.synthesis import GITHUB, KEY, ROOT, SECOND, SECRET, Template, synthesise, walk, written

KEY_POLICY = "AWS::KMS::Key"


def allowed(template: Template) -> list[dict[str, Any]]:
    return [statement for statement in template.statements() if statement["Effect"] == "Allow"]


def without_keys(template: Template) -> Template:
    """Leave out the keys, in whose own policies `*` is that key."""
    kept = {name: each for name, each in template.resources.items() if each["Type"] != KEY_POLICY}
    return Template(template.stack, template.tags, {"Resources": kept})


def test_every_pattern_has_its_reason(every: list[Template]) -> None:
    """What is allowed on a pattern is an action of the table of reasons, on a pattern like that; each one is needed."""
    used = set()
    for template in every:
        for statement in allowed(without_keys(template)):
            assert not [action for action in statement["Action"] if "*" in action]
            for pattern in (text for text in map(written, statement["Resource"]) if "*" in text or "?" in text):
                for action in statement["Action"]:
                    assert re.fullmatch(wildcards.REASONS[action].resources, pattern), (template.stack, action)
                used |= set(statement["Action"])
    assert used == wildcards.REASONS.keys()
    assert all(len(reason.why) > 40 for reason in wildcards.REASONS.values())


def test_who_may_use_a_key(every: list[Template]) -> None:
    """A key's own policy lets its account administer it, and this account's alarms write with it."""
    for template in every:
        for key in template.of(KEY_POLICY).values():
            account, alarms = key["KeyPolicy"]["Statement"]
            assert written(account["Principal"]["AWS"]) == "arn:{AWS::Partition}:iam::{AWS::AccountId}:root"
            assert alarms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
            assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
            assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_nothing_is_open_to_everybody(every: list[Template]) -> None:
    """No statement allows an unnamed principal, no rule names the internet, no managed policy of AWS is borrowed."""
    for template in every:
        assert all(statement.get("Principal") != "*" for statement in allowed(template))
        assert "0.0.0.0/0" not in template.text
        assert "::/0" not in template.text
        assert "ManagedPolicyArns" not in template.text
        assert 'PubliclyAccessible": true' not in template.text


def test_the_way_out(every: list[Template]) -> None:
    """A function's group lets out to the database and the secrets endpoint alone, the other groups nowhere."""
    nowhere = "255.255.255.255/32"  # the CDK's way to say nowhere: without any rule AWS adds one that lets all out
    for template in every:
        for group in template.of("AWS::EC2::SecurityGroup").values():
            assert "SecurityGroupIngress" not in group
            ports = {rule["FromPort"] for rule in group["SecurityGroupEgress"] if rule.get("CidrIp") != nowhere}
            assert ports == ({5432, 443} if template.of("AWS::Lambda::Function") else set())
            assert all(
                "DestinationSecurityGroupId" in rule
                for rule in group["SecurityGroupEgress"]
                if rule["FromPort"] in ports
            )


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize(
    ("stack", "secret"),
    [("AuroraMigrationsRunnerStack", ""), ("MicroAgenteDisparoStack", "-agent"), ("MicroAgentePurgeStack", "-purge")],
)
def test_a_function_reads_its_own_secret(
    existing: dict[str, Template], environment: str, stack: str, secret: str
) -> None:
    """Each function may read one secret, by its whole ARN, and decrypt through Secrets Manager alone."""
    template = existing[f"{stack}-{environment}"]
    reading = [each for each in allowed(template) if "secretsmanager:GetSecretValue" in each["Action"]]
    assert [each["Resource"] for each in reading] == [[SECRET.format(environment + secret)]]
    keys = [each for each in allowed(template) if each["Resource"] == [KEY]]
    through = {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}
    assert [(each["Action"], each["Condition"]) for each in keys] == ([] if secret else [(["kms:Decrypt"], through)])


def test_in_prod_the_state_machine_alone_invokes_the_runner(every: list[Template]) -> None:
    """Of all that is deployed for prod, or shared, one role may invoke the runner: by the new version and by `live`."""
    invokers = set()
    for template in every:
        assert not template.of("AWS::Lambda::Permission")
        assert not template.of("AWS::Lambda::Url")
        for name, resource in template.resources.items():
            for statement in allowed(Template(template.stack, {}, {"Resources": {name: resource}})):
                if "lambda:InvokeFunction" in statement["Action"] and template.environment != "dev":
                    targets = {short(written(target)) for target in statement["Resource"]}
                    invokers.add((template.stack, short(name), *sorted(targets)))
    assert invokers == {
        ("AuroraMigrationsRunnerStack-prod", "MigrationRole", "{RunnerFunctionCurrentVersion", "{RunnerLive"),
        ("MicroAgenteDisparoStack-prod", "SchedulesRole", "{AgentLive"),
        ("MicroAgentePurgeStack-prod", "SchedulesRole", "{PurgeLive"),
        ("AuroraMigrationsDeliveryStack", "Roleprod", "live"),
    }


def short(name: str) -> str:
    """Return a logical id without its hash, or the end of an ARN."""
    return re.sub("[0-9A-F]{8}.*", "", name).rpartition(":")[2]


def test_a_functions_code_cannot_make_network_interfaces(functions: list[Template]) -> None:
    """What Lambda needs to put a function into a network is denied to the function's own code."""
    for template in functions:
        (denied,) = (each for each in template.statements() if each["Effect"] == "Deny" and "ec2:" in str(each))
        (given,) = (each for each in allowed(template) if "ec2:" in str(each))
        assert denied["Action"] == given["Action"]
        (itself,) = denied["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]
        assert written(itself).endswith(f":function:{template.one('AWS::Lambda::Function')['FunctionName']}")


def test_the_state_machine_may_do_what_it_does(existing: dict[str, Template]) -> None:
    """The definition's tasks and the role's rights are the same, but for its log, its traces and the topic's key."""
    template = existing["AuroraMigrationsRunnerStack-prod"]
    definition = json.loads(template.one("AWS::StepFunctions::StateMachine")["DefinitionString"])
    tasks = {each["Resource"] for each in walk(definition) if isinstance(each, dict) and each.get("Type") == "Task"}
    (role,) = (
        role for name, role in template.of("AWS::IAM::Role").items() if "states.amazonaws.com" in json.dumps(role)
    )
    granted = {
        action
        for statement in Template("", {}, {"Resources": {"Role": role["Policies"]}}).statements()
        for action in statement["Action"]
        if action not in wildcards.REASONS
    }
    assert granted == {_action(task) for task in tasks} | {"kms:Decrypt", "kms:GenerateDataKey"}


def _action(task: str) -> str:
    """Return the action of IAM that a task's resource needs."""
    call = task.removeprefix("arn:aws:states:::").removesuffix(".waitForTaskToken").removeprefix("aws-sdk:")
    service, _, name = call.partition(":")
    return "lambda:InvokeFunction" if call == "lambda:invoke" else f"{service}:{name[0].upper()}{name[1:]}"


def test_the_definition_gets_what_it_asks_for(existing: dict[str, Template]) -> None:
    """Every name that the definition leaves open is filled in, and none is given that it does not ask for."""
    machine = existing["AuroraMigrationsRunnerStack-prod"].one("AWS::StepFunctions::StateMachine")
    asked = {part.partition("}")[0] for part in machine["DefinitionString"].split("${")[1:]}
    assert machine["DefinitionSubstitutions"].keys() == asked
    assert json.loads(machine["DefinitionString"]) == json.loads((ROOT / "infra/migration.asl.json").read_text())
    given = machine["DefinitionSubstitutions"]
    assert (given["Environment"], given["Protected"]) == ("prod", "true")
    assert given["ApprovedParameter"] == "/aurora-migrations/prod/approved-image-digest"
    assert given["Digest"] == SECOND


def test_the_state_machine_tells_no_data_to_its_log(existing: dict[str, Template]) -> None:
    """Its log has each event and none of the data, which can hold a plan's SQL and the token of a question."""
    for environment in ("dev", "prod"):
        machine = existing[f"AuroraMigrationsRunnerStack-{environment}"].one("AWS::StepFunctions::StateMachine")
        assert machine["LoggingConfiguration"]["Level"] == "ALL"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
        assert machine["TracingConfiguration"] == {"Enabled": True}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_who_delivers(existing: dict[str, Template], environment: str) -> None:
    """A job of that repository in GitHub's environment of that name; it promotes to that environment alone."""
    provider = existing["AuroraMigrationsDeliveryStack"].one("AWS::IAM::OIDCProvider")
    assert provider["Url"] == "https://token.actions.githubusercontent.com"
    assert provider["ClientIdList"] == ["sts.amazonaws.com"]
    role, statements = _delivery(existing, environment)
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:{GITHUB}:environment:{environment}",
        }
    }
    assert _parameters(statements, "ssm:PutParameter") == {f"/aurora-migrations/{environment}/image-digest"}
    assert _parameters(statements, "ssm:GetParameter") == {
        f"/aurora-migrations/{one}/{name}"
        for one in ("dev", "prod")
        for name in ("image-digest", "approved-image-digest")
    }


def _parameters(statements: list[dict[str, Any]], action: str) -> set[str]:
    """Return the names of the parameters that an action is allowed on."""
    resources = [resource for each in statements if action in each["Action"] for resource in each["Resource"]]
    return {written(resource).partition(":parameter")[2] for resource in resources}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_state_machine_alone_records_what_was_approved(every: list[Template], environment: str) -> None:
    """Of all that is deployed, one role may write the parameter that the agent is deployed from, and only that one."""
    approved = f"/aurora-migrations/{environment}/approved-image-digest"
    writers = set()
    for template in every:
        for name, resource in template.resources.items():
            statements = allowed(Template(template.stack, {}, {"Resources": {name: resource}}))
            writers.add((template.stack, short(name), *_parameters(statements, "ssm:PutParameter")))
    own = (f"AuroraMigrationsRunnerStack-{environment}", "MigrationRole", approved)
    assert {writer for writer in writers if approved in writer} == {own}


def test_an_account_has_one_provider(tmp_path: Path) -> None:
    """GitHub's provider is not made where the context names the one that is there, and every role trusts that one."""
    arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    context = {"environments": {"dev": {}, "prod": {}}, "github": GITHUB, "githubProviderArn": arn}
    delivery = synthesise(tmp_path, context, {})["AuroraMigrationsDeliveryStack"]
    assert not delivery.of("AWS::IAM::OIDCProvider")
    trusted = [
        statement["Principal"]["Federated"]
        for role in delivery.of("AWS::IAM::Role").values()
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
    ]
    assert trusted == [arn, arn]


def test_only_what_traces_samples_them(functions: list[Template]) -> None:
    """The state machine asks for the sampling rules as its tracing needs; a function's role has no right to them."""
    for template in functions:
        samplers = {
            short(name)
            for name, role in template.of("AWS::IAM::Role").items()
            if {"xray:GetSamplingRules", "xray:GetSamplingTargets"}
            & {
                action
                for each in Template("", {}, {"Resources": {"Role": role["Policies"]}}).statements()
                for action in each["Action"]
            }
        }
        assert samplers == ({"MigrationRole"} if "Runner" in template.stack else set())


def test_prod_gets_only_what_was_built_for_dev(existing: dict[str, Template]) -> None:
    """Whoever delivers to prod can give an image another tag, and cannot upload one; only for prod is dev asked."""
    actions = {env: {a for each in _delivery(existing, env)[1] for a in each["Action"]} for env in ("dev", "prod")}
    assert "ecr:UploadLayerPart" in actions["dev"]
    assert not {action for action in actions["prod"] if "Upload" in action or "InitiateLayer" in action}
    for environment, proving in (("dev", []), ("prod", ["aurora-migrations-runner-dev:live"])):
        invoked = [
            written(resource)
            for each in _delivery(existing, environment)[1]
            if "lambda:InvokeFunction" in each["Action"]
            for resource in each["Resource"]
        ]
        assert [name.rpartition("function:")[2] for name in invoked] == proving


def test_delivery_has_no_right_that_nothing_uses(existing: dict[str, Template]) -> None:
    """Promotion gets and puts manifests, and a job asks an execution how it ended; neither lists images or events."""
    actions = {env: {a for each in _delivery(existing, env)[1] for a in each["Action"]} for env in ("dev", "prod")}
    assert actions["prod"] == {
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:PutImage",
        "lambda:InvokeFunction",
        "ssm:GetParameter",
        "ssm:PutParameter",
        "states:DescribeExecution",
        "states:StartExecution",
        "sts:AssumeRole",
    }
    assert {action for action in actions["dev"] - actions["prod"] if not action.startswith("ecr:")} == set()


def test_nobody_delivers_unasked(sample: dict[str, Template]) -> None:
    """Without `github` in the context there is neither a provider nor a role for it."""
    assert not [template for template in sample.values() if "github" in template.text.lower()]


def _delivery(existing: dict[str, Template], environment: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    roles = existing["AuroraMigrationsDeliveryStack"].of("AWS::IAM::Role").values()
    (role,) = (each for each in roles if each["RoleName"] == f"aurora-migrations-delivery-{environment}")
    return role, list(Template("", {}, {"Resources": {"Role": role["Policies"]}}).statements())
