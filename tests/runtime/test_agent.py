"""The agent under the real Lambda runtime: the example that callers know, end to end."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID

import pytest

from runner.postgres.version_table import lock_key
from support import agency, emulator, planted
from support.agent_log import fill, log
from support.endpoint import CREDENTIALS
from support.planted import END_OURS, END_THE_OTHERS, NOTICE, REFUSE
from support.postgres import Database
from support.project import Project

ANSWER = {"success", "leadsProcessados", "decisoes", "logs"}


def start(task: Path, environ: dict[str, str], timeout_s: int = 30) -> Any:
    return emulator.start(task, environ, handler="dispatch_agent.handler.handler", timeout_s=timeout_s)


@pytest.fixture
def agent_task(tmp_path: Path, database: Database) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    project = agency.prepare(folder, database, 12)
    return emulator.lay_out(tmp_path, project.folder)


def test_the_example(agent_task: Path, database: Database) -> None:
    """`{"tenantId":"test-001","batchSize":1}`: rows are in the log, equal to the answer."""
    with start(agent_task, {"DATABASE_URL": database.url, "MICRO_AGENT_DISPARO_ENABLED": "true"}) as function:
        answer = function.invoke({"tenantId": "test-001", "batchSize": 1})
        default = function.invoke({"tenantId": "test-001"})
        unknown = function.invoke({"tenantId": "nobody"})
    for one in (answer, default, unknown):
        assert one.keys() >= ANSWER
    assert (answer["success"], answer["leadsProcessados"], len(answer["decisoes"])) == (True, 1, 1)
    (decision,) = answer["decisoes"]
    recorded = database.query(
        "select lead_id::text, lead_nome, canal_decidido, motivo_decisao, disparo_seria_executado, razao_bloqueio, "
        f"feature_flag_enabled, ambiente from dry_run_log where run_id = '{answer['runId']}'"
    )
    assert recorded == [
        (decision["lead"]["id"], decision["lead"]["nome"], decision["canal"], decision["motivo"],
         decision["seria_executado"], decision.get("razao_bloqueio"), True, "dev")
    ]  # fmt: skip
    assert default["leadsProcessados"] == 1
    assert (unknown["success"], unknown["leadsProcessados"], unknown["decisoes"]) == (False, 0, [])
    assert database.query("select count(*) from disparos") == [(0,)]


def test_one_line_and_the_metrics_of_a_run(agent_task: Path, database: Database) -> None:
    """One structured line, decisions by channel and reason, duration, blocked share; no lead is in the log."""
    with start(agent_task, {"DATABASE_URL": database.url, "ENVIRONMENT": "prod"}) as function:
        answer = function.invoke({"tenantId": "test-001", "batchSize": 12})
        lines = function.lines()
    told = [line for line in lines if "_aws" not in line]
    assert [(line["runId"], line["leadsProcessados"]) for line in told] == [(answer["runId"], 12)]
    assert "Lead " not in json.dumps(told)
    decisions = {(m["canal"], m["bloqueio"]): m["Decisions"] for m in lines if "Decisions" in m}
    assert sum(sum(counts) for counts in decisions.values()) == 12
    assert all(reason.isascii() for _, reason in decisions)
    (run,) = [m for m in lines if "RunDuration" in m]
    blocked = 12 - sum(counted["executaria"] for counted in answer["contagens"].values())
    assert (run["RunFailed"], run["BlockedShare"]) == ([0.0], [pytest.approx(100 * blocked / 12)])
    assert run["environment"] == "prod"
    assert run["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "AlquimistaAI/DispatchAgent"


def test_the_metrics_of_a_tenant(agent_task: Path, database: Database) -> None:
    """What the alarms of a tenant read: only a run of its schedule counts as one that came, when it was due."""
    database.execute("""
        insert into blocklist (tenant_id, telefone) select tenant_id, said from tenants, unnest(array['?', 'n/a']) said;
        update tenants set slug = 'são.001';
        update leads set telefone_raw = '12345' where nome in ('Lead 1', 'Lead 2', 'Lead 4')
    """)
    due = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    event = {"tenantId": "são.001", "batchSize": 12, "onBusy": "raise"}
    scheduled = f"{due:%Y-%m-%dT%H:%M:%SZ}:são.001"
    others = [
        {"runId": "by-hand"}, {}, {"runId": scheduled, "at": "2026-11-24T10:30-03:00"}, {"runId": "x:são.001"},
        {"runId": "2026-01-05T11:00:00Z:são.001"}, {"runId": scheduled.replace("são.001", "other")},
    ]  # fmt: skip
    with start(agent_task, {"DATABASE_URL": database.url, "METRIC_TENANTS": "other,são.001"}) as function:
        first = function.invoke({**event, "runId": scheduled})
        lines = [line for line in function.lines() if "_aws" in line]
        for other in others:
            answer = function.invoke({**event, **other})
            assert answer["success"], answer
        function.invoke({"tenantId": "são.001", "spread": True})
        later = [line for line in function.lines() if "_aws" in line][len(lines) :]
    unreadable = first["ilegiveis"]["contatos"]["total"]
    assert (first["ilegiveis"]["bloqueios"]["total"], unreadable) == (2, 3)
    whole, own, run = [line for line in lines if "canal" not in line]
    values = {"UnreadableBlocks": [2.0], "UnreadableContacts": [3.0], "BlockedShare": whole["BlockedShare"]}
    assert whole.items() >= {**values, "RunFailed": [0.0], "environment": "dev"}.items()
    assert "tenant" not in whole
    name = f"sao.001-{hashlib.sha256('são.001'.encode()).hexdigest()[:8]}"
    assert own.items() >= {**values, "environment": "dev", "tenant": name}.items()
    assert sorted(own["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) == ["environment", "service", "tenant"]
    assert run.items() >= {"RunFailed": [0.0], "tenant": name}.items()
    assert run["_aws"]["Timestamp"] == due.timestamp() * 1000
    assert "RunFailed" not in own
    assert not [line for line in later if "RunFailed" in line and "tenant" in line]
    assert [line["UnreadableBlocks"] for line in later if "tenant" in line] == [[2.0]] * 5


def test_with_a_secret_of_its_own(agent_task: Path, database: Database, secrets: Any, aws: dict[str, str]) -> None:
    """The secret of a login that is a member of `dispatch_agent` and nothing else is enough."""
    login = f"agent_{database.name}"
    database.execute(f"create role {login} login password 'hidden-7' in role dispatch_agent")
    url = database.server.url
    content = {"host": url.host, "port": url.port, "dbname": database.name, "username": login, "password": "hidden-7"}
    arn = secrets.create_secret(Name=f"agent/{database.name}", SecretString=json.dumps(content))["ARN"]
    with start(agent_task, {**aws, "DB_SECRET_ARN": arn}) as function:
        answer = function.invoke({"tenantId": "test-001", "batchSize": 3})
        text = function.log.read_text()
    assert (answer["success"], answer["leadsProcessados"]) == (True, 3), answer
    assert "hidden-7" not in text + json.dumps(answer)
    database.execute(f"drop owned by {login}; drop role {login}")


def test_asked_again_with_its_run_id_it_decides_once(agent_task: Path, database: Database) -> None:
    """The run's id is the request's by default, and the answer tells it."""
    with start(agent_task, {"DATABASE_URL": database.url}) as function:
        first = function.invoke({"tenantId": "test-001", "batchSize": 12})
        again = function.invoke({"tenantId": "test-001", "batchSize": 12, "runId": first["runId"]})
        told = [line["request_id"] for line in function.lines() if "runId" in line]
    assert (first["leadsProcessados"], again["leadsProcessados"]) == (12, 0)
    assert told[0] == first["runId"]


def test_a_busy_run_is_an_answer_or_an_error_that_lambda_repeats(agent_task: Path, database: Database) -> None:
    """A caller that waits gets the answer; with `onBusy` the invocation fails, which is why Lambda repeats it."""
    ((tenant,),) = database.query("select tenant_id::text from tenants")
    event = {"tenantId": "test-001", "runId": "held"}
    with (
        start(agent_task, {"DATABASE_URL": database.url}, timeout_s=7) as function,
        database.server.connect(database.name) as other,
    ):
        function.invoke({"tenantId": "nobody"})
        other.cursor().execute("select pg_advisory_lock(%s)", (lock_key(f"dispatch {tenant} held"),))
        answered = function.invoke(event)
        raised = function.invoke({**event, "onBusy": "raise"})
        other.cursor().execute("select pg_advisory_unlock_all()")
        repeated = function.invoke({**event, "onBusy": "raise"})
        unknown = function.invoke({"tenantId": "nobody", "onBusy": "raise"})
        lines = function.lines()
    failed = [metric["RunFailed"] for metric in lines if "RunFailed" in metric]
    assert (answered["success"], answered["code"]) == (False, "run-busy")
    assert raised["errorType"] == "RunBusy"
    assert raised["errorMessage"] == (
        "Another invocation of the run `held` is in progress. This one recorded nothing. Repeat when it has ended."
    )
    assert (repeated["success"], repeated["leadsProcessados"]) == (True, 1), repeated
    assert (unknown["success"], unknown["code"]) == (False, "unknown-tenant")
    # what Lambda repeats has not failed
    assert failed == [[1.0], [1.0], [0.0], [1.0]]
    (busy,) = [metric for metric in lines if "RunBusy" in metric]
    (told,) = [line for line in lines if line.get("code") == "run-busy" and line["level"] == "INFO"]
    assert (busy["RunBusy"], busy["environment"]) == ([1.0], "dev")
    # as Lambda's metric of errors, which is of the moment at which an invocation began
    ended = datetime.fromisoformat(told["timestamp"]).timestamp() * 1000
    assert ended - busy["_aws"]["Timestamp"] == pytest.approx(told["duration_ms"], abs=100)


def test_a_busy_blocklist_is_an_error_that_lambda_repeats(agent_task: Path, database: Database) -> None:
    """While another run of the tenant writes the blocklist's keys, an invocation waits, and then fails like that."""
    ((tenant,),) = database.query("select tenant_id::text from tenants")
    database.execute("insert into blocklist (tenant_id, telefone) select tenant_id, '(11) 90000-0012' from tenants")
    event = {"tenantId": "test-001", "runId": "r", "batchSize": 12, "onBusy": "raise"}
    with (
        start(agent_task, {"DATABASE_URL": database.url}, timeout_s=7) as function,
        database.server.connect(database.name) as other,
    ):
        function.invoke({"tenantId": "nobody"})
        other.cursor().execute("select pg_advisory_lock(%s)", (lock_key(f"dispatch blocklist {tenant}"),))
        raised = function.invoke(event)
        other.cursor().execute("select pg_advisory_unlock_all()")
        repeated = function.invoke(event)
    assert (raised["errorType"], raised["errorMessage"]) == (
        "RunBusy", "Another run of the tenant is reading what is new in the blocklist. Repeat when it has ended."
    )  # fmt: skip
    assert (repeated["success"], repeated["leadsProcessados"]) == (True, 12), repeated
    assert repeated["contagens"]["whatsapp"]["bloqueios"]["bloqueado a pedido da pessoa (LGPD)"] == 1


def test_no_person_is_in_the_log_after_a_fault(agent_task: Path, database: Database) -> None:
    """Its lines, its metrics, what the runtime writes, and answers but for the names of `decisoes`."""
    planted.plant(database)
    answers = []
    with start(agent_task, {"DATABASE_URL": database.url}, timeout_s=8) as function:
        function.invoke({"tenantId": "nobody"})
        for act in (END_OURS, END_THE_OTHERS, REFUSE, NOTICE, "perform pg_sleep(60)"):
            database.execute("truncate dry_run_log")
            with planted.fault(database, act, 5):
                answers.append(function.invoke({"tenantId": "test-001", "batchSize": 12}))
        text = function.log.read_text()
    planted.refuse(text, *answers)
    assert [one["success"] for one in answers] == [False, False, False, True, False], answers
    assert "RunFailed" in text


def test_the_command_line_invokes_the_functions(agent_task: Path, database: Database, project: Project) -> None:
    """`stats`, `purge` and `dry-run` with `--env` say what they say here, by the functions that migrate.toml names."""
    ((tenant,),) = database.query("select tenant_id::text from tenants")
    fill(database, UUID(tenant), 3, days=100)
    log(database, UUID(tenant), "whatsapp", 5)
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "x"\nagent = "function"\npurge = "function"\n')
    with start(agent_task, {"DATABASE_URL": database.url}) as function:
        known = {**CREDENTIALS, "AWS_ENDPOINT_URL_LAMBDA": function.url}

        def run(*words: str) -> "CompletedProcess[str]":
            return project.run("dispatch-agent", "--env", "dev", *words, **known)

        there = run("stats", "--tenant", "test-001", "--json")
        here = project.run("dispatch-agent", "stats", "--tenant", "test-001", "--json", url=database.url)
        purged, again = run("purge", "--older-than", "90d"), run("purge", "--older-than", "90d", "--json")
        decided = run("dry-run", "--tenant", "test-001", "--batch", "2", "--json")
        unknown = run("stats", "--tenant", "nobody")
    assert (there.returncode, there.stdout) == (0, here.stdout), there.stderr
    assert purged.stderr.startswith("Deleted 3 rows from before "), purged
    assert json.loads(again.stdout)["deleted"] == 0
    assert json.loads(decided.stdout)["leadsProcessados"] == 2
    assert (unknown.returncode, unknown.stderr.split(":")[0]) == (1, "unknown-tenant")


def test_no_function_to_invoke(project: Project) -> None:
    """Each reason is a sentence: no such key, nothing that answers, and an order that only works here."""
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "x"\nagent = "function"\n')
    known = {**CREDENTIALS, "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9"}
    lacking = project.run("dispatch-agent", "--env", "dev", "purge", "--older-than", "90d", **known)
    assert (lacking.returncode, "lacks `purge`" in lacking.stderr) == (1, True), lacking
    silent = project.run("dispatch-agent", "--env", "dev", "stats", **known)
    assert (silent.returncode, silent.stderr.split(":")[0]) == (1, "function-unreachable"), silent
    both = project.run("dispatch-agent", "--env", "dev", "--local", "stats", **known)
    assert (both.returncode, "exclude each other" in both.stderr) == (2, True), both
