"""The answers that operators have parsed for years, field for field, through the real Lambda runtime."""

import json
import re
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from support import emulator
from support.postgres import Database

REVISIONS = ["016_platform_baseline", "017_dry_run_log"]
REQUEST_ID = re.compile(r"^[0-9a-f-]{36}$")


def test_run_migration(task: Path, database: Database) -> None:
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        first = function.invoke({"action": "run-migration", "target": "017"})
        again = function.invoke({"action": "run-migration", "target": "017"})
    for answer, applied in ((first, REVISIONS), (again, [])):
        assert answer["status"] == "success"
        assert answer["migration"] == "017"
        assert answer["message"] == "Migration 017 executed successfully"
        assert [one["revision"] for one in answer["applied"]] == applied
        assert "error" not in answer
        assert REQUEST_ID.match(answer["request_id"])
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def test_run_migration_all(task: Path, database: Database) -> None:
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        first = function.invoke({"action": "run-migration", "target": "all"})
        again = function.invoke({"action": "run-migration", "target": "all"})
    assert (first["status"], first["message"]) == ("success", "All migrations executed successfully")
    assert first["executedMigrations"] == REVISIONS
    assert (again["status"], again["message"]) == ("success", "All migrations executed successfully")
    assert again["executedMigrations"] == []


def test_list_migrations_needs_no_database(task: Path) -> None:
    with emulator.start(task, {}) as function:
        answer = function.invoke({"action": "list-migrations"})
    assert {key: answer[key] for key in ("status", "message", "executedMigrations")} == {
        "status": "success",
        "message": "Available migrations listed",
        "executedMigrations": REVISIONS,
    }


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"action": "run-migration", "target": "099"}, "unknown-revision"),
        ({"action": "run-migration"}, "invalid-payload"),
        ({"action": "run-migrations", "target": "017"}, "invalid-payload"),
        ({"action": ["run-migration"]}, "invalid-payload"),
        ({}, "invalid-payload"),
        (None, "invalid-payload"),
    ],
)
def test_anything_that_fails(task: Path, database: Database, event: object, code: str) -> None:
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        answer = function.invoke(event)
    assert answer["status"] == "error"
    assert answer["code"] == code
    assert isinstance(answer["message"], str)
    assert answer["message"].startswith(f"{code}: {answer['error']}")


def test_a_revision_that_fails(task: Path, database: Database) -> None:
    bad = task / "alembic" / "versions" / "018_bad.py"
    bad.write_text(
        'from alembic import op\nrevision = "018_bad"\ndown_revision = "017_dry_run_log"\n'
        'def upgrade():\n    op.execute("select 1/0")\n'
    )
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        answer = function.invoke({"action": "run-migration", "target": "all"})
    assert (answer["status"], answer["code"], answer["line"]) == ("error", "revision-failed", 5)
    assert answer["error"] == "`018_bad` failed in line 5 of `018_bad.py`: DivisionByZero (22012), in `select …/…`."
    assert [one["revision"] for one in answer["applied"]] == REVISIONS


def test_called_with_boto3(task: Path, database: Database) -> None:
    """What an operator's SDK sees: status 200, the answer as payload, no FunctionError."""
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        client = boto3.client(
            "lambda",
            endpoint_url=function.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
        )
        result = client.invoke(FunctionName="function", Payload=json.dumps({"action": "upgrade"}))
        answer = json.loads(result["Payload"].read())
        client.close()
    assert result["StatusCode"] == 200
    assert "FunctionError" not in result
    assert (answer["status"], answer["from"], answer["to"], answer["target"]) == (
        "success",
        None,
        "017_dry_run_log",
        "017_dry_run_log",
    )


def test_a_failure_is_raised_where_the_caller_asks_for_it(task: Path, database: Database) -> None:
    """The runtime's error object carries the error's class, to catch by, and the whole message."""
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        answer = function.invoke({"action": "upgrade", "target": "099", "on_error": "raise"})
    assert answer["errorType"] == "UnknownRevision"
    assert answer["errorMessage"] == (
        'unknown-revision: No revision is called `099`. Nothing was changed. List them with `{"action":"history"}`.'
    )
