"""Every answer has at most 200 kB, says what is missing, and ends the command as a whole one would."""

import json
import re
import uuid
from typing import Any

import pytest

from runner.length import LONGEST_ANSWER, LONGEST_TEXT
from support.postgres import Database
from support.project import Project

MANY = 3000
DOMAINS = (
    f"do $$ begin for n in 1..{MANY} loop execute format('create domain d_%s_{'x' * 40} as int', n); end loop; end $$"
)


def bounded(answer: dict[str, Any], *places: str) -> None:
    assert len(json.dumps(answer)) <= LONGEST_ANSWER
    assert answer["left_out"].endswith("left out because the answer would exceed 200 kB")
    for place in places:
        assert f"`{place}`" in answer["left_out"]


def test_an_error_with_thousands_of_differences(project: Project, database: Database) -> None:
    """By every road: the answer, the raised error, the command line, the ledger."""
    columns = [f"c{number}" for number in range(1500)]
    tables = ("wide", "wider")
    rows = ", ".join(f"{name} int" for name in columns)
    path = project.add("018_wide", "".join(f"op.execute('create table {table} ({rows})')\n" for table in tables))
    schema = project.folder / "alembic" / "schema"
    known = project.snapshot("017_dry_run_log")["tables"]
    wide = {f"public.{table}": {"columns": dict.fromkeys(columns, "integer")} for table in tables}
    (schema / f"{path.stem}.json").write_text(json.dumps({"tables": {**known, **wide}}))
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    for table in tables:
        database.execute(f"create table {table} ({rows.replace(' int', ' text')})")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["status"], answer["code"], answer["to"]) == ("error", "unversioned-database", "017_dry_run_log")
    bounded(answer, "differences")
    # the message lists a few of them
    assert re.search(r"; and \d{4} more\.", answer["error"])
    assert answer["message"].endswith(answer["hint"])
    assert "Nothing was changed." in answer["message"]
    with pytest.raises(Exception, match=r"^unversioned-database: ") as caught:
        project.ask(database.url, {"action": "upgrade", "on_error": "raise"})
    assert len(json.dumps(str(caught.value))) <= LONGEST_TEXT
    done = project.run("migrate", "--json", "upgrade", url=database.url)
    assert done.returncode == 1
    bounded(json.loads(done.stdout))
    done = project.run("migrate", "upgrade", url=database.url)
    assert (done.returncode, "\nNot the whole answer: " in done.stderr) == (1, True)


def test_drift_in_thousands_of_places(project: Project, database: Database) -> None:
    """As an error of `stamp`, and as the findings of `check`, which still are a no."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute(DOMAINS)
    answer = project.ask(database.url, {"action": "stamp", "target": "017"})
    assert answer["code"] == "drift"
    bounded(answer, "differences", "entries")
    assert len(answer["differences"]) > 300
    done = project.run("migrate", "--json", "check", url=database.url)
    assert done.returncode == 4
    found = json.loads(done.stdout)
    bounded(found, "findings")
    assert (found["status"], found["ok"], len(found["findings"]) > 100) == ("success", False, True)
    done = project.run("migrate", "check", "--markdown", url=database.url)
    assert (done.returncode, "_Not the whole answer: " in done.stdout) == (4, True)


def test_thousands_of_locks_and_pending_revisions(project: Project, database: Database) -> None:
    """The stored answer is bounded as well, and a repeated call gets it as it is."""
    body = f"""
        op.execute("do $$ begin for n in 1..{MANY} loop "
                   "execute format('create table t_%s_{"x" * 40} ()', n); end loop; end $$")
    """
    project.add("018_many", body)
    project.add("019_after", "op.execute('select 1')", after="018_many")
    key = str(uuid.uuid4())
    event = {"action": "upgrade", "target": "018", "idempotency_key": key}
    answer = project.ask(database.url, event)
    assert (answer["status"], answer["to"]) == ("success", "018_many"), answer["message"]
    bounded(answer)
    assert answer["applied"][-1]["revision"] == "018_many"
    ((stored,),) = database.query(f"select answer from runner.migration_run where idempotency_key = '{key}'")
    assert stored == answer
    assert project.ask(database.url, event) == answer


def test_thousands_of_pending_revisions(project: Project, database: Database) -> None:
    """Read without Alembic, as `current` does; the other lists of ids are cut alike."""
    project.ask(database.url, {"action": "upgrade"})
    names = [f"{number:04d}_{'x' * 70}" for number in range(18, 18 + MANY)]
    versions = project.folder / "alembic" / "versions"
    for after, name in zip(["017_dry_run_log", *names], names, strict=False):
        (versions / f"{name}.py").write_text(f'"""x"""\nrevision = "{name}"\ndown_revision = "{after}"\n')
    answer = project.ask(database.url, {"action": "current"})
    bounded(answer, "pending")
    assert (answer["current"], answer["heads"]) == (["017_dry_run_log"], [names[-1]])
    assert answer["pending"] == names[: len(answer["pending"])]
    assert f"; {MANY} revisions pending." in answer["message"]
