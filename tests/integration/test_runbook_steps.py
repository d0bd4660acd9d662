"""The steps of the operators' runbook, taken as they stand: from the message that sends there to success."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from support import application, runbook
from support.postgres import Database
from support.project import Project

NOTE = "op.execute('alter table leads add column note text')"
Take = Callable[..., dict[str, Any]]


@pytest.fixture
def take(project: Project, database: Database) -> Take:
    """A function that takes a step of a section, at 017 in `dev`."""
    assert project.ask(database.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    return lambda heading, verb, **data: project.ask(
        database.url, json.loads(runbook.step(heading, verb, **data).payload)
    )


def test_the_three_questions(take: Take) -> None:
    now, before, there = (take("As três perguntas", verb) for verb in ("current", "history", "activity"))
    assert now["running"] is None
    assert now["current"] == ["017_dry_run_log"]
    assert before["revisions"][0]["ledger"]["status"] == "success"
    assert there["status"] == "success"


def test_what_prod_answers(take: Take, project: Project, database: Database) -> None:
    """A step goes through, requires a plan or is refused there, as its row says; nothing is changed by any of them."""
    project.add("018_note", NOTE)
    steps = {one.payload: one.there for section in runbook.sections() for one in section.steps if "`" not in one.there}
    told = {"sim": None, "com aprovação": "plan-needed", runbook.ALLOWANCE: "action-not-allowed"}
    assert set(steps.values()) == told.keys()
    for payload, there in steps.items():
        answer = project.ask(database.url, json.loads(payload), ENVIRONMENT="prod")
        assert answer.get("code") == told[there], (payload, answer)
    assert take("As três perguntas", "current")["current"] == ["017_dry_run_log"]


def test_lock_timeout(take: Take, project: Project, database: Database) -> None:
    project.add("018_note", NOTE)
    with application.holding(database) as pid:
        refused = project.ask(database.url, {"action": "upgrade"}, timeout_s=4, LOCK_TIMEOUT_MS="200")
        assert refused["code"] == "lock-timeout"
        first = take("lock-timeout", "activity")["sessions"][0]
        assert first["pid"] == pid
        # it blocks nobody any more, so that its id comes from the refusal
        asked = take("Encerrar a sessão que bloqueia", "end-session", pid=pid)
        assert (asked["code"], first["session"] in asked["message"]) == ("confirm-needed", True)
        ended = take("lock-timeout", "end-session", pid=pid, session=first["session"])
        assert ended["message"].startswith(f"Ended the session of pid {pid} ")
    assert take("lock-timeout", "upgrade")["to"] == "018_note"


def test_history_changed_in_words(take: Take, project: Project) -> None:
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_text(path.read_text() + "\n# a word more\n")
    assert take("Repetir", "upgrade")["code"] == "history-changed"
    assert take("history-changed", "repair", revision="017_dry_run_log")["status"] == "success"
    assert take("Repetir", "upgrade")["status"] == "success"


def test_history_changed_in_what_runs(take: Take, project: Project, database: Database) -> None:
    path = project.add("018_note", NOTE, downgrade="op.drop_column('leads', 'note')")
    assert take("Repetir", "upgrade")["status"] == "success"
    path.write_text(path.read_text().replace("column note text", "column note varchar(9)"))
    assert take("Repetir", "upgrade")["code"] == "history-changed"
    assert take("history-changed", "redo")["status"] == "success"
    assert take("Repetir", "upgrade")["message"].startswith("Nothing to do")
    query = "select character_maximum_length from information_schema.columns where column_name = 'note'"
    assert database.query(query) == [(9,)]


def test_drift(take: Take, database: Database) -> None:
    database.execute("alter table leads add column by_hand int")
    assert take("drift", "stamp", revision="017_dry_run_log")["code"] == "drift"
    database.execute("alter table leads drop column by_hand")
    assert take("drift", "stamp", revision="017_dry_run_log")["status"] == "success"
    assert "drift" not in found(take("drift", "check"))


def test_invalid_index(take: Take, database: Database) -> None:
    database.execute("create index broken on leads (nome)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'broken'::regclass")
    assert "invalid-index" in found(take("invalid-index", "check"))
    assert take("invalid-index", "repair")["status"] == "success"
    assert "invalid-index" not in found(take("invalid-index", "check"))


def found(check: dict[str, Any]) -> set[str]:
    """Return the kinds of what a check has found; the models are those of later revisions here."""
    return {one["kind"] for one in check["findings"]}


def test_rows_that_would_be_lost(take: Take, project: Project, database: Database) -> None:
    project.add("018_kept", "op.execute('create table kept (id int)')", downgrade="op.drop_table('kept')")
    assert take("Repetir", "upgrade")["status"] == "success"
    database.execute("insert into kept values (1)")
    assert take("Voltar atrás", "plan")["status"] == "success"
    assert take("Voltar atrás", "downgrade")["code"] == "confirm-needed"
    assert take("Confirmar", "downgrade", revision="017_dry_run_log")["code"] == "confirm-needed"
    reverted = take("Confirmar", "downgrade", revision="018_kept")
    assert [one["direction"] for one in reverted["applied"]] == ["downgrade"]


def test_plan_stale(take: Take, project: Project, database: Database) -> None:
    path = project.add("018_note", NOTE)
    held = take("plan-stale", "plan")["plan"]
    path.write_text(path.read_text().replace("column note text", "column note varchar(9)"))
    assert project.ask(database.url, {"action": "upgrade", "plan": held})["code"] == "plan-stale"
    assert take("plan-stale", "plan")["plan"] != held
    assert take("plan-stale", "upgrade")["to"] == "018_note"


def test_lock_hold_exceeded(take: Take, project: Project, database: Database) -> None:
    project.add("018_slow", f"{NOTE}\nop.execute('select pg_sleep(0.5)')")
    stopped = project.ask(database.url, {"action": "rehearse", "max_lock_hold_ms": 50})
    assert stopped["code"] == "lock-hold-exceeded"
    assert take("lock-hold-exceeded", "rehearse")["ok"]


def test_partial(take: Take, project: Project, database: Database) -> None:
    project.add("018_note", NOTE)
    project.add("019_slow", "op.execute('select pg_sleep(case when exists (select from pg_class where "
                            "relname = $$told$$) then 0 else 60 end)')", after="018_note")  # fmt: skip
    assert project.ask(database.url, {"action": "upgrade"}, ends_in="019_slow")["status"] == "partial"
    database.execute("create table told ()")
    assert take("Repetir", "upgrade")["to"] == "019_slow"
