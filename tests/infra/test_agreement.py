"""What the cloud and the programs both know, and neither may import from the other."""

import importlib
import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import dispatch_agent.metrics
import runner.handler
import runner.project
from dispatch_agent import request, upkeep
from infra import environments, metrics, names
from runner import payloads
from runner.aws import promote
from support import synthesis
from support.synthesis import ROOT, Template


def test_the_handlers_are_there(functions: list[Template]) -> None:
    """The command of each function is a handler that can be called with an event and a context."""
    for template in functions:
        (command,) = template.one("AWS::Lambda::Function")["ImageConfig"]["Command"]
        module, _, name = command.rpartition(".")
        assert list(inspect.signature(getattr(importlib.import_module(module), name)).parameters) == [
            "event",
            "context",
        ]


def test_metrics_are_looked_for_where_they_are_emitted() -> None:
    """Namespaces and services are those of the handlers."""
    assert metrics.MIGRATIONS == (runner.handler.NAMESPACE, runner.handler.SERVICE)
    assert metrics.DISPATCH_AGENT == (dispatch_agent.metrics.NAMESPACE, dispatch_agent.metrics.SERVICE)


@pytest.mark.parametrize("metric", ["RevisionsApplied", "MigrationDuration", "MigrationFailed", "DriftFound"])
def test_the_runner_emits_what_is_watched(metric: str) -> None:
    """Each metric of an alarm or a graph stands in the runner's handler."""
    assert metric in Path(runner.handler.__file__).read_text()


@pytest.mark.parametrize(
    "metric",
    [
        "RunFailed",
        "RunDuration",
        "RunBusy",
        "BlockedShare",
        "UnreadableBlocks",
        "UnreadableContacts",
        "PurgeFailed",
        "PurgeUnfinished",
    ],
)
def test_the_agent_emits_what_is_watched(metric: str) -> None:
    """Each metric of an alarm or a graph stands beside the agent's handler."""
    assert metric in Path(dispatch_agent.metrics.__file__).read_text()


@pytest.mark.parametrize("listed", [None, '[project]\nprotected = [" Staging", "QA"]\n'], ids=["no file", "a file"])
def test_the_same_environments_are_protected(tmp_path: Path, listed: str | None) -> None:
    """Where the runner wants a plan and a confirmation, the state machine wants an approval."""
    file = tmp_path / "migrate.toml"
    if listed is not None:
        file.write_text(listed)
    known = ["dev", "prod", "eu-prod", "preprod", "prod-eu", "production", "prd", "live", "olive", "staging", "qa", "q"]
    known += [" prod", "PROD", "prod\r", "Staging ", "pr\N{ZERO WIDTH SPACE}od", "\N{CYRILLIC SMALL LETTER ER}rod", ""]
    own = runner.project.read(tmp_path)
    assert [names.is_protected(one, file) for one in known] == [own.protects(one) for one in known]
    assert {one for one in known if own.protects(one)} >= {"prod", "eu-prod", "preprod", "production", "prd", "live"}
    assert own.protects("staging") == names.is_protected("staging", file) == (listed is not None)
    assert (names.MIGRATE_TOML, names.PROTECTED) == (ROOT / runner.project.FILE, runner.project.PROTECTED)


def test_the_command_line_knows_the_functions() -> None:
    """The profiles of `migrate.toml` name the functions that are deployed, at the version that is approved."""
    profiles = tomllib.loads((ROOT / "migrate.toml").read_text())["env"]
    assert {env: profile["function"] for env, profile in profiles.items()} == {
        env: f"{names.runner(env)}:{names.LIVE}" for env in profiles
    }
    for env, profile in profiles.items():
        assert profile["agent"] == f"{names.agent(env)}:{names.LIVE}"
        assert profile["purge"] == f"{names.purge(env)}:{names.LIVE}"


def test_what_is_promoted_is_deployed() -> None:
    """`migrate promote` writes to the repository and the parameter that are deployed from."""
    assert promote.REPOSITORY == names.REPOSITORY
    assert promote.PARAMETER.format("dev") == names.digest_parameter("dev")


def test_what_the_schedules_send_is_taken(existing: dict[str, Template]) -> None:
    """The runner takes the daily check, and the agent its hourly run, as Scheduler sends them."""
    check = existing["AuroraMigrationsRunnerStack-prod"].one("AWS::Scheduler::Schedule")["Target"]["Input"]
    payloads.parse(json.loads(check))
    for schedule in existing["MicroAgenteDisparoStack-prod"].of("AWS::Scheduler::Schedule").values():
        sent = schedule["Target"]["Input"].replace("<aws.scheduler.scheduled-time>", "2026-11-23T11:00:00Z")
        asked, _ = request.parse(json.loads(sent))
        assert asked.run_id == f"2026-11-23T11:00:00Z:{asked.tenant_id}"
    purge = existing["MicroAgentePurgeStack-prod"].one("AWS::Scheduler::Schedule")["Target"]["Input"]
    upkeep.parse(json.loads(purge))
    longest = f"2026-11-23T11:00:00Z:{'t' * 63}"
    assert request.parse({"tenantId": "t", "runId": longest})[0].run_id == longest


TENANTS = ["são-josé.rn", "são-jose.rn", "loja.centro", "компания", "t" * 63]


def test_a_tenant_of_any_slug_can_be_scheduled(tmp_path: Path) -> None:
    """What the agent accepts as `tenantId` the context accepts as well; its schedule, alarms and metrics have names."""
    context = {"environments": {"dev": {"database": synthesis.database("dev"), "agentTenants": TENANTS}}}
    stacks = synthesis.synthesise(tmp_path, context, {"dev": synthesis.upgraded(synthesis.FIRST)})
    stack = stacks["MicroAgenteDisparoStack-dev"]
    found = []
    for schedule in stack.of("AWS::Scheduler::Schedule").values():
        asked = json.loads(
            schedule["Target"]["Input"].replace("<aws.scheduler.scheduled-time>", "2026-11-23T11:00:00Z")
        )
        assert request.parse(asked)[0].tenant_id == asked["tenantId"]
        assert re.fullmatch(r"[0-9a-zA-Z_.-]{1,64}", schedule["Name"])
        assert schedule["Name"] == f"hourly-{dispatch_agent.metrics.tenant_name(asked['tenantId'])}"
        found.append(schedule["Name"])
    assert len(set(found)) == len(TENANTS)
    dimensions = [
        each["Value"]
        for each in synthesis.walk(stack.resources)
        if isinstance(each, dict) and each.get("Name") == "tenant"
    ]
    assert {f"hourly-{one}" for one in dimensions} == set(found)
    alarms = [each["AlarmName"] for each in stack.of("AWS::CloudWatch::Alarm").values()]
    assert all(len(name) <= 255 and name.isascii() for name in alarms)


def test_the_context_and_an_event_name_tenants_alike() -> None:
    patterns = {json.dumps(TypeAdapter(kind).json_schema()) for kind in (environments.Tenant, request.Slug)}
    assert len(patterns) == 1
