"""`spread`: a day of sends to all leads, through both doors; it reads and nothing else."""

import json
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispatch_agent import handler
from support import agency, terminal
from support.agency import OPEN, ask
from support.postgres import Database

SPREAD = {"tenantId": "test-001", "spread": True}
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_a_day_hour_by_hour(database: Database, tmp_path: Path) -> None:
    """From 11:00 on a hundred an hour until the five hundred of the day; a run right now would send ten."""
    agency.prepare(tmp_path, database, 700)
    database.execute(f"""
        update leads set telefone_raw = null where nome = 'Lead 7';
        insert into disparos (tenant_id, lead_id, canal, status, scheduled_at)
        select tenant_id, lead_id, 'whatsapp', 'pending', '{(OPEN + timedelta(hours=1)).isoformat()}'
        from leads where nome like 'Lead 1_';
    """)
    answer = ask(database, SPREAD)
    assert (answer["success"], answer["leadsProcessados"], answer["decisoes"]) == (True, 700, []), answer
    assert answer["contagens"] == {
        "whatsapp": {"executaria": 490, "bloqueios": {"limite por dia atingido": 209}},
        "none": {"executaria": 0, "bloqueios": {"nenhum canal disponível": 1}},
    }
    assert answer["horas"][0] == {
        "hora": "2026-11-23T11:00:00-03:00", "whatsapp": 100, "email": 0, "calendar": 0, "total": 100
    }  # fmt: skip
    assert [one["total"] for one in answer["horas"]] == [100, 90, 100, 100, 100, 0, 0]
    assert answer["logs"] == ["simulação de 23/11/2026: 490 de 700 leads receberiam; nada foi registrado nem enviado."]
    assert "cursor" not in answer
    assert database.query("select count(*) from dry_run_log") == [(0,)]
    assert ask(database, {"tenantId": "test-001", "batchSize": 700})["contagens"]["whatsapp"]["executaria"] == 10


@pytest.fixture
def migrated(database: Database, tmp_path: Path) -> Database:
    agency.prepare(tmp_path, database, 3)
    return database


def test_what_does_not_go_with_it(migrated: Database) -> None:
    lead = "00000000-0000-0000-0000-000000000001"
    for field, value in {"batchSize": 5, "leadId": lead, "runId": "r", "cursor": "e30"}.items():
        answer = ask(migrated, {**SPREAD, field: value})
        assert (answer["code"], f"`{field}`" in answer["error"]) == ("invalid-payload", True), answer
    assert ask(migrated, {**SPREAD, "spread": "yes"})["code"] == "invalid-payload"
    assert ask(migrated, {**SPREAD, "tenantId": "nobody"})["code"] == "unknown-tenant"
    assert ask(migrated, {**SPREAD, "spread": False})["leadsProcessados"] == 1


def test_the_time_runs_out(migrated: Database) -> None:
    answer = ask(migrated, SPREAD, seconds=3)
    assert (answer["success"], answer["code"], answer["leadsProcessados"]) == (False, "deadline", 0)
    assert answer["error"] == (
        "The time ran out before the simulation had read all leads. It records nothing. "
        "Repeat with more time; on a command line, with `--timeout`."
    )


def test_a_login_that_may_only_read_is_enough(migrated: Database) -> None:
    """A replica is too, and no run waits for it."""
    migrated.execute(f"alter database {migrated.name} set default_transaction_read_only = on")
    assert ask(migrated, SPREAD)["leadsProcessados"] == 3


def test_the_function_measures_no_decisions(
    migrated: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A simulated day must not move the blocked share, on which an alarm watches."""
    monkeypatch.setenv("DATABASE_URL", migrated.url)
    context: Any = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 60_000)
    assert handler.handler(SPREAD, context)["leadsProcessados"] == 3
    metrics = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line]
    assert [{"Decisions", "BlockedShare", "RunFailed"} & one.keys() for one in metrics] == [{"RunFailed"}]


def test_the_command_line(database: Database, tmp_path: Path) -> None:
    """A table that fits into 80 columns on a terminal, lines with tabs on a pipe."""
    project = agency.prepare(tmp_path, database, 30)
    command = ("dispatch-agent", "dry-run", "--tenant", "test-001", "--spread")
    # so that all go in one minute, also in the last one of a working day
    environ = {"LIMIT_PER_MINUTE": "1000", "DATABASE_URL": database.url}
    piped = project.run(*command, **environ)
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout.splitlines()[0] == "hora\twhatsapp\temail\tcalendar\ttotal"
    # above them there is a line of progress where it took long
    assert piped.stderr.splitlines()[-2:] == [
        "30 of 30 leads would be sent to that day. Nothing was recorded or sent.",
        "  whatsapp: 30 seriam executados",
    ]
    code, seen = terminal.run(project.folder, *command, columns=80, **environ)
    assert code == 0, seen
    lines = ESCAPE.sub("", seen).splitlines()
    assert any(line.startswith("┃ hora ") and line.endswith(" total ┃") for line in lines)
    assert max(map(len, lines)) <= 80
    with_batch = project.run(*command, "--batch", "9")
    assert (with_batch.returncode, "--spread is about all leads" in with_batch.stderr) == (2, True)
    assert database.query("select count(*) from dry_run_log") == [(0,)]
