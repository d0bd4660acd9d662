"""The state machine of a migration, executed: moto runs the states, the real runtime runs the real handler."""

import json
import platform
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jmespath
import pytest

from support import application, emulator, lambda_front, runbook, state_machine
from support.lambda_front import Front
from support.postgres import Database
from support.project import Project
from support.state_machine import Machine

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux", reason="the Runtime Interface Emulator runs on Linux only"
)

HEAD = "023_agent_purge"
NOTHING = "op.execute('select 1')"
WAITING = "op.execute('select pg_sleep(60)')"
SHORT_S = 10
"""Many times what an invocation needs for its start, its plan and one revision; a test waits for the rest of it."""
# Each invocation finishes one revision and then runs out of its time in the next.
ONE_AT_A_TIME = """
op.execute('select pg_sleep(60) where (select count(*) from runner.migration_run where actor = $$ana$$) < {place}')
"""
UP_TO_UPGRADE = ["Begin", "Route", "ReadAlias", "Plan", "Planned", "MoveAlias", "Upgrade", "Upgraded"]
DONE = ["Check", "Checked", "RecordImage", "TellSuccess", "Done"]
FAILED = ["WriteFailure", "TellFailure", "Failed"]
ASKING = ["Begin", "Route", "ReadAlias", "Plan", "Planned", "WriteQuestion", "Approve"]

UNKNOWN: list[tuple[Any, str, str]] = [
    ({"action": "upgrade", "plan": "1234567890abcdef-x"}, "invalid-payload", "Route"),
    ({"action": "upgrade", "target": "0 17"}, "invalid-payload", "Plan"),
    ({"action": "upgrade", "target": 17}, "invalid-payload", "Plan"),
    ({"action": "drop"}, "invalid-payload", "Route"),
    ({"action": ["upgrade"]}, "invalid-payload", "Route"),
    ({}, "invalid-payload", "Route"),
    ([1], "invalid-payload", "Route"),
    ("upgrade", "invalid-payload", "Route"),
    (None, "invalid-payload", "Route"),
    ({"action": "run-migration", "target": "all"}, "plan-needed", "Route"),
    ({"action": "rehearse"}, "action-not-allowed", "Read"),
    ({"action": "history", "limit": "all"}, "invalid-payload", "Read"),
]

Deploy = Callable[..., Machine]


@pytest.fixture
def new(tmp_path: Path) -> Project:
    """The revisions of the image that is deployed, to which a test adds its own."""
    return Project.copy_whole(_made(tmp_path / "new"))


@pytest.fixture
def deploy(
    new: Project, database: Database, aws: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deploy]:
    """Deploy version 1 with the revisions up to 023, which `live` runs, and version 2 with those of `new`."""
    old = emulator.lay_out(tmp_path / "old", Project.copy_whole(_made(tmp_path / "old")).folder)
    state_machine.plug_jsonata(monkeypatch)
    _configure(aws, execute=True)
    with ExitStack() as stack:

        def made(
            environment: str = "dev", *, patience_s: int | None = None, timeout_s: int = 30, **environ: str
        ) -> Machine:
            tasks = {"1": old, "2": emulator.lay_out(_made(tmp_path / "deployed"), new.folder)}
            known = {"DATABASE_URL": database.url, "ENVIRONMENT": environment, **environ}
            front = Front(aws["AWS_ENDPOINT_URL"], tasks, known, timeout_s)
            stack.enter_context(lambda_front.serve(front))
            # where moto's tasks look for AWS
            monkeypatch.setenv("MOTO_PORT", str(front.port))
            return stack.enter_context(state_machine.deploy(aws, front, environment, patience_s))

        yield made
    _configure(aws, execute=False)


def test_an_upgrade_is_planned_by_the_new_version_and_done_by_the_alias(
    new: Project, database: Database, deploy: Deploy
) -> None:
    """Where nothing is protected, one start is enough; the ledger names who asked, and a letter says what was done."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy()
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert execution.states == [*UP_TO_UPGRADE, *DONE], execution.cause
    assert _asked(machine) == [("plan", "2", "2"), ("upgrade", "live", "2"), ("check", "live", "2")]
    planned, upgraded, _ = (one.payload for one in machine.front.invoked)
    assert planned["target"] == "head"
    assert upgraded["target"] == "024_one"
    name = execution.arn.rpartition(":")[2]
    ledger = database.query("select actor, idempotency_key, plan, status from runner.migration_run")
    assert ledger == [("ana", name, upgraded["plan"], "success")]
    told = execution.output
    assert re.fullmatch(r"From `base` to `024_one`: 9 revisions applied in \d+ ms\.", told.pop("message"))
    assert told.pop("check").startswith("The database is at `024_one`: no problems.")
    assert told == {
        "status": "success", "action": "upgrade", "environment": "dev", "version": "2", "from": "base", "to": "024_one",
        "plan": upgraded["plan"], "applied": 9, "invocations": 1, "actor": "ana", "approver": None, "told": True,
    }  # fmt: skip
    letter = machine.letter()
    assert letter["Subject"] == "Migration of dev: done"
    assert letter["Message"].splitlines()[2] == "From `base` to `024_one`: 9 of 9 revisions applied in 1 invocation."
    assert (machine.live(), machine.letters()) == ("2", 0)
    assert machine.approved() == lambda_front.digest("2")


def test_an_upgrade_of_a_protected_environment_waits_for_approval(
    new: Project, database: Database, deploy: Deploy
) -> None:
    """Until the letter's token comes back neither alias nor database is touched; who approved is in the ledger."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy("prod")
    arn = machine.start({"action": "upgrade", "target": "024", "actor": "ana"})
    letter = machine.letter()
    assert letter["Subject"] == "Migration of prod: approval needed"
    assert _asked(machine) == [("plan", "2", "2")]
    assert (machine.live(), _at(database)) == ("1", None)
    plan = _plan_as_the_letter_says(machine, arn, letter["Message"])
    assert f"\nPlan: {plan['plan']}\n" in letter["Message"]
    assert plan["revisions"][-1]["sql"] == ["select 1;"]
    for line in ("Approve the upgrade of `prod`?", "From: base", "To: 024_one", "Revisions: 9", "Asked for by: ana"):
        assert line in letter["Message"].splitlines()
    machine.send_back(letter, "send-task-success", output='{"approver": "bruno"}')
    execution = machine.wait(arn)
    assert execution.states == [*ASKING, "Approved", *UP_TO_UPGRADE[5:], *DONE], execution.cause
    assert _asked(machine)[1:] == [("upgrade", "live", "2"), ("check", "live", "2")]
    assert database.query("select actor, plan from runner.migration_run") == [("ana, approved by bruno", plan["plan"])]
    assert (execution.output["approver"], machine.live(), _at(database)) == ("bruno", "2", "024_one")
    assert "Approved by: bruno" in machine.letter()["Message"]
    kept = [one["stateExitedEventDetails"] for one in execution.events if "stateExitedEventDetails" in one]
    assert "select 1;" in json.dumps(plan)
    assert "select 1;" not in json.dumps(kept)


def test_the_commands_of_the_letter_fit_both_shells(deploy: Deploy) -> None:
    """As they are they only want a name: bash reads the JSON whole, PowerShell takes it from a file."""
    machine = deploy("prod")
    arn = machine.start({"action": "upgrade", "actor": "ana"})
    letter = machine.letter()
    powershell = next(line for line in letter["Message"].splitlines() if line.startswith("Set-Content"))
    first, _, second = powershell.partition("; ")
    assert json.loads(first.removeprefix("Set-Content approval.json ").strip("'")) == {"approver": "YOUR NAME"}
    # single quotes mean the same in both, and nothing else of it means anything
    options = "--task-output file://approval.json --task-token '[^'$`]+'"
    assert re.fullmatch(f"aws stepfunctions send-task-success --region us-east-1 {options}", second)
    machine.send_back(letter, "send-task-success")
    execution = machine.wait(arn)
    assert (execution.error, execution.states[-3:]) == ("approval-unsigned", FAILED)
    assert machine.live() == "1"


def test_a_refusal_changes_nothing(new: Project, database: Database, deploy: Deploy) -> None:
    """The execution says that it was refused, and so does a letter."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy("prod")
    arn = machine.start({"action": "upgrade"})
    machine.send_back(machine.letter(), "send-task-failure", cause="not on a Friday")
    execution = machine.wait(arn)
    assert (execution.status, execution.error, execution.states) == ("FAILED", "refused", [*ASKING, *FAILED])
    assert "Nothing was changed, and `live` is unchanged." in (execution.cause or "")
    letter = machine.letter()
    assert letter["Subject"] == "Migration of prod: failed"
    assert letter["Message"].startswith("`upgrade` of `prod` failed at `Approve`: refused\n")
    assert f"Asked for by: execution {arn.rpartition(':')[2]}" in letter["Message"]
    assert (machine.live(), _at(database), len(machine.front.invoked)) == ("1", None, 1)
    assert machine.approved() == lambda_front.digest("1")


def test_an_approval_expires(new: Project, database: Database, deploy: Deploy) -> None:
    """Nobody answers: the execution ends by itself, and nothing is changed."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy("prod", patience_s=1)
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert (execution.error, execution.states) == ("approval-expired", [*ASKING, *FAILED])
    assert [machine.letter()["Subject"] for _ in range(2)] == [
        "Migration of prod: approval needed",
        "Migration of prod: failed",
    ]
    assert (machine.live(), _at(database)) == ("1", None)


def test_an_old_approval_does_not_bring_an_old_image_back(new: Project, database: Database, deploy: Deploy) -> None:
    """Who approves after another execution has moved the alias is told so; alias and database stay."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy("prod")
    arn = machine.start({"action": "upgrade", "actor": "ana"})
    letter = machine.letter()
    machine.functions.update_alias(FunctionName=machine.function, Name="live", FunctionVersion="$LATEST")
    machine.send_back(letter, "send-task-success", output='{"approver": "bruno"}')
    execution = machine.wait(arn)
    assert execution.states == [*ASKING, "Approved", "MoveAlias", *FAILED]
    assert "PreconditionFailed" in (execution.error or "")
    assert (machine.live(), _at(database)) == ("$LATEST", None)


def test_partial_is_gone_on_with_under_the_same_plan(new: Project, database: Database, deploy: Deploy) -> None:
    """Four revisions of which each takes an invocation: three times `partial`, then done, approved once."""
    _prepare(new, database)
    after = HEAD
    for place in range(1, 5):
        name = f"{23 + place:03d}_step"
        new.add(name, ONE_AT_A_TIME.format(place=place), after=after)
        after = name
    machine = deploy(timeout_s=SHORT_S)
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    again = ["Upgrade", "Upgraded"]
    assert execution.states == [*UP_TO_UPGRADE, *again, *again, *again, *DONE], execution.cause
    payloads = [one.payload for one in machine.front.invoked if one.payload["action"] == "upgrade"]
    assert len(payloads) == 4
    assert payloads == [payloads[0]] * 4
    runs = database.query("select status, plan from runner.migration_run where actor = 'ana' order by run_id")
    assert runs == [("partial", payloads[0]["plan"])] * 3 + [("success", payloads[0]["plan"])]
    assert (execution.output["applied"], execution.output["invocations"], _at(database)) == (4, 4, "027_step")
    assert "4 of 4 revisions applied in 4 invocations." in machine.letter()["Message"]


def test_no_progress_ends_the_loop(new: Project, database: Database, deploy: Deploy) -> None:
    """A revision that no invocation has the time for fails as `deadline`, after one try."""
    _prepare(new, database)
    new.add("024_waiting", WAITING, after=HEAD)
    machine = deploy(timeout_s=SHORT_S)
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert (execution.error, execution.states) == ("deadline", [*UP_TO_UPGRADE[:-1], *FAILED])
    assert (machine.live(), _at(database)) == ("2", HEAD)
    assert "failed at `Upgrade`: deadline\n\ndeadline: " in machine.letter()["Message"]


def test_a_revision_that_fails(new: Project, database: Database, deploy: Deploy) -> None:
    """The execution carries the runner's code and message: which line of which revision, and which state is left."""
    _prepare(new, database)
    new.add("024_one", NOTHING, after=HEAD)
    new.add("025_bad", "op.execute('select 1/0')", after="024_one")
    machine = deploy()
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert (execution.error, execution.states) == ("revision-failed", [*UP_TO_UPGRADE[:-1], *FAILED])
    message = "revision-failed: `025_bad` failed in line 8 of `025_bad.py`: DivisionByZero (22012), in `select …/…`."
    assert (execution.cause or "").startswith(message)
    assert "1 of 2 revisions completed. The database is at `024_one`" in machine.letter()["Message"]
    assert (machine.live(), _at(database)) == ("2", "024_one")


def test_a_function_that_dies(new: Project, database: Database, deploy: Deploy) -> None:
    """What Lambda says of a crash is told as it is, and is not tried again."""
    _prepare(new, database)
    new.add("024_dies", "import os; os._exit(3)", after=HEAD)
    new.add("025_one", NOTHING, after="024_dies")
    machine = deploy()
    execution = machine.run({"action": "upgrade", "target": "025", "actor": "ana"})
    assert execution.states[-3:] == FAILED
    assert execution.error == "Runtime.ExitError"
    assert [action for action, *_ in _asked(machine)].count("upgrade") <= 1
    assert "Runtime exited with error" in machine.letter()["Message"]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_plan_with_errors_is_the_end(new: Project, database: Database, deploy: Deploy, environment: str) -> None:
    """Nobody is asked, the alias stays, and the findings are told, wherever it is."""
    _prepare(new, database)
    new.add("024_bad", "op.execute('alter table leads rename column nome to name')", after=HEAD)
    machine = deploy(environment)
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert (execution.error, execution.states) == (
        "plan-with-errors",
        ["Begin", "Route", "ReadAlias", "Plan", "Planned", *FAILED],
    )
    assert "024_bad, renaming-column: " in (execution.cause or "")
    letter = machine.letter()
    assert (letter["Subject"], machine.letters()) == (f"Migration of {environment}: failed", 0)
    assert (machine.live(), _at(database)) == ("1", HEAD)


def test_drift_after_the_upgrade(new: Project, database: Database, deploy: Deploy) -> None:
    """The check that follows fails the execution, though the upgrade itself is done; what it found is told."""
    _prepare(new, database)
    new.add("024_one", NOTHING, after=HEAD)
    database.execute("create table by_hand (id int)")
    machine = deploy()
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert (execution.error, execution.states) == ("check-failed", [*UP_TO_UPGRADE, "Check", "Checked", *FAILED])
    problem = "models, by_hand: The database at `024_one` has this table, and the models do not."
    assert problem in machine.letter()["Message"]
    assert (machine.live(), _at(database)) == ("2", "024_one")
    assert machine.approved() == lambda_front.digest("1")


def test_an_image_that_cannot_be_recorded(database: Database, deploy: Deploy) -> None:
    """The execution fails though the upgrade is done, and says so; another one records the image."""
    machine = deploy()
    machine.front.denials["AmazonSSM.PutParameter"] = lambda_front.deny("AccessDeniedException")
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    # moto says `ssm` where AWS says `Ssm`
    assert (execution.error or "").lower() == "ssm.accessdeniedexception"
    assert execution.states[-4:] == ["RecordImage", *FAILED]
    assert f"the image is not recorded in `{machine.approved_parameter}`" in machine.letter()["Message"]
    assert (machine.live(), _at(database), machine.approved()) == ("2", HEAD, lambda_front.digest("1"))
    machine.front.denials.clear()
    again = machine.run({"action": "upgrade", "actor": "ana"})
    assert (again.status, machine.approved()) == ("SUCCEEDED", lambda_front.digest("2")), again.cause


def test_targets_that_are_not_the_head(new: Project, database: Database, deploy: Deploy) -> None:
    """Revisions that stay pending are no failure where they were not asked for; a plan that goes down is refused.

    The agent's image stays too, for the schema of the new one is not there.
    """
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy()
    there = machine.run({"action": "upgrade", "target": "023", "actor": "ana"})
    assert (there.status, there.output["to"], _at(database)) == ("SUCCEEDED", HEAD, HEAD), there.cause
    assert (there.states[-3:], machine.approved()) == (["Checked", "TellSuccess", "Done"], lambda_front.digest("1"))
    checked = machine.run({"action": "check"})
    assert (checked.status, checked.output["ok"]) == ("SUCCEEDED", False), checked.cause
    assert {one["kind"] for one in checked.output["findings"] if one["level"] == "error"} == {"pending"}
    behind = machine.run({"action": "upgrade", "target": "017", "actor": "ana"})
    assert (behind.error, behind.states) == (
        "not-an-upgrade",
        ["Begin", "Route", "ReadAlias", "Plan", "Planned", *FAILED],
    )
    assert _at(database) == HEAD


def test_a_new_image_without_revisions(database: Database, new: Project, deploy: Deploy) -> None:
    """It wants approval, moves the alias and writes the run that proves it; then there is nothing left to approve."""
    _prepare(new, database)
    machine = deploy("prod")
    arn = machine.start({"action": "upgrade", "actor": "ana"})
    letter = machine.letter()
    assert "Plan: none, because the database does not change" in letter["Message"].splitlines()
    assert machine.live() == "1"
    machine.send_back(letter, "send-task-success", output='{"approver": "bruno"}')
    execution = machine.wait(arn)
    assert execution.states == [*ASKING, "Approved", *UP_TO_UPGRADE[5:], *DONE], execution.cause
    assert f"Nothing to do: the database is at `{HEAD}`." in machine.letter()["Message"]
    assert (machine.live(), machine.approved()) == ("2", lambda_front.digest("2"))
    again = machine.run({"action": "upgrade", "actor": "carla"})
    assert again.states == [*UP_TO_UPGRADE[:5], "Upgrade", "Upgraded", *DONE], again.cause
    assert [one.payload["plan"] for one in machine.front.invoked if one.payload["action"] == "upgrade"] == [None, None]
    told = machine.run({"action": "history"}).output["images"]
    proven = [(one["image_digest"], one["status"], one["to"]) for one in told if one["image_digest"]]
    assert proven == [(lambda_front.digest("2"), "success", HEAD)]
    actors = database.query("select actor from runner.migration_run where image_digest is not null order by run_id")
    assert actors == [("ana, approved by bruno",), ("carla",)]


def test_reading(new: Project, database: Database, deploy: Deploy) -> None:
    """What is in use answers, and what is to come is planned by the new version; no letter, no approval."""
    _prepare(new, database)
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy("prod")
    checked = machine.run({"action": "check"})
    assert (checked.status, checked.output["ok"]) == ("SUCCEEDED", True), checked.cause
    planned = machine.run({"action": "plan", "target": "024"})
    assert planned.output["revisions"][0]["sql"] == ["select 1;"]
    assert _asked(machine) == [("check", "live", "1"), ("plan", "2", "2")]
    assert checked.states == planned.states == ["Begin", "Route", "Read", "Answered", "Answer"]
    assert machine.letters() == 0


def test_a_daily_check_that_finds_something(new: Project, database: Database, deploy: Deploy) -> None:
    """It fails the execution and sends what it found."""
    _prepare(new, database)
    database.execute("create table by_hand (id int)")
    machine = deploy("prod")
    execution = machine.run({"action": "check"})
    assert (execution.error, execution.states[-4:]) == ("check-failed", ["WriteNo", *FAILED])
    assert "drift, by_hand: " in (execution.cause or "").replace("public.", "")
    assert machine.letter()["Message"].startswith("`check` of `prod` failed at `check`: check-failed\n\nThe data")


def test_what_is_not_known_is_refused(deploy: Deploy) -> None:
    """Whatever is sent in, the execution ends with a code and a letter, before anybody is asked."""
    machine = deploy("prod")
    for event, code, state in UNKNOWN:
        execution = machine.run(event)
        assert (execution.error, execution.states[-3:]) == (code, FAILED), (event, execution.cause)
        assert f"failed at `{state}`: {code}\n" in machine.letter()["Message"], event
    assert (machine.letters(), machine.live()) == (0, "1")


def test_any_other_change_of_a_protected_environment_waits_for_approval(
    new: Project, database: Database, deploy: Deploy
) -> None:
    """A downgrade that the runner's settings allow is asked for in the same way, and answers as a whole."""
    _prepare(new, database)
    machine = deploy("prod", ALLOWED_ACTIONS="downgrade")
    arn = machine.start({"action": "downgrade", "target": "-1", "confirm": HEAD, "actor": "ana"})
    letter = machine.letter()
    assert letter["Message"].startswith('Approve `downgrade` in `prod`?\n\nSent: {"action":"downgrade","target":"-1"')
    assert _at(database) == HEAD
    machine.send_back(letter, "send-task-success", output='{"approver": "bruno"}')
    execution = machine.wait(arn)
    assert execution.states[2:] == ["WriteQuestion", "Approve", "Approved", "Change", "Answered", "Answer"]
    assert execution.output["to"] == _at(database) == "022_blocklist_keys"
    assert database.query("select actor from runner.migration_run order by run_id desc limit 1") == [
        ("ana, approved by bruno",)
    ]


def test_a_session_is_ended_in_a_protected_environment(new: Project, database: Database, deploy: Deploy) -> None:
    """As the operators' runbook says: with its `ALLOWED_ACTIONS`, after an approval, by pid and id."""
    _prepare(new, database)
    machine = deploy("prod", ALLOWED_ACTIONS=runbook.allowed())
    with application.holding(database) as pid:
        seen = machine.run(json.loads(runbook.step("lock-timeout", "activity").payload)).output["sessions"]
        (session,) = (one["session"] for one in seen if one["pid"] == pid)
        arn = machine.start(json.loads(runbook.step("lock-timeout", "end-session", pid=pid, session=session).payload))
        machine.send_back(machine.letter(), "send-task-success", output='{"approver": "bruno"}')
        assert machine.wait(arn).output["ended"]
        assert database.query(f"select from pg_stat_activity where pid = {pid}") == []


def test_elsewhere_a_change_goes_straight_through(new: Project, database: Database, deploy: Deploy) -> None:
    """It is asked for once: a service exception may have come after the work, and a second step down is another one."""
    _prepare(new, database)
    machine = deploy()
    machine.front.losses["downgrade"] = lambda_front.refuse(500, "ServiceException")
    execution = machine.run({"action": "downgrade", "target": "-1"})
    assert execution.states == ["Begin", "Route", "Change", *FAILED]
    assert execution.error == "Lambda.ServiceException"
    assert _at(database) == "022_blocklist_keys"
    assert "Check the database with the action `current`" in machine.letter()["Message"]


def test_throttling_and_lost_answers_are_tried_again(new: Project, database: Database, deploy: Deploy) -> None:
    """An upgrade whose answer was lost is asked for again by the same key, and applies nothing twice."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy()
    machine.front.refusals.append(lambda_front.refuse(429, "TooManyRequestsException"))
    machine.front.refusals.append(lambda_front.refuse(409, "ResourceConflictException"))
    machine.front.losses["upgrade"] = lambda_front.refuse(500, "ServiceException")
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert (execution.status, execution.output["applied"]) == ("SUCCEEDED", 9), execution.cause
    assert [action for action, *_ in _asked(machine)] == ["plan", "upgrade", "upgrade", "check"]
    assert database.query("select status from runner.migration_run") == [("success",)]
    assert database.query("select count(*) from runner.migration_log") == [(9,)]


def test_an_alias_that_takes_a_moment_to_settle(new: Project, database: Database, deploy: Deploy) -> None:
    """The version before refuses what it does not know, and is asked again until the new one answers."""
    _prepare(new, database)
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy()
    machine.front.settling = 1
    execution = machine.run({"action": "upgrade", "actor": "ana"})
    assert execution.states == [*UP_TO_UPGRADE, *DONE], execution.cause
    assert _asked(machine)[1:3] == [("upgrade", "live", "1"), ("upgrade", "live", "2")]
    assert database.query("select status from runner.migration_run where actor = 'ana'") == [("success",)]
    assert _at(database) == "024_one"


def test_a_plan_that_is_stale(new: Project, database: Database, deploy: Deploy) -> None:
    """What changed between plan and approval ends the execution, after the tries that an alias may need."""
    new.add("024_one", NOTHING, after=HEAD)
    machine = deploy("prod")
    arn = machine.start({"action": "upgrade", "actor": "ana"})
    letter = machine.letter()
    assert new.ask(database.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    machine.send_back(letter, "send-task-success", output='{"approver": "bruno"}')
    execution = machine.wait(arn)
    assert (execution.error, execution.states[-4:]) == ("plan-stale", ["Upgrade", *FAILED])
    assert _asked(machine)[1:] == [("upgrade", "live", "2")] * 3
    assert (_at(database), machine.approved()) == ("017_dry_run_log", lambda_front.digest("1"))


def test_however_long_a_cause_is_it_is_told(deploy: Deploy) -> None:
    """AWS may say 32 kB, in letters of three bytes; the execution and the letter take as much as they hold."""
    machine = deploy()
    cause = "\u20ac" * 32_000
    machine.front.refusals.append(lambda_front.refuse(403, "AccessDeniedException", cause))
    execution = machine.run({"action": "upgrade", "actor": "\u20ac" * 5000})
    assert (execution.error, execution.states[-4:]) == ("Lambda.AccessDeniedException", ["Plan", *FAILED])
    assert (execution.cause or "").startswith(cause[:20_000])
    assert cause[:20_000] in machine.letter()["Message"]


def test_without_a_topic(new: Project, database: Database, deploy: Deploy) -> None:
    """That nobody can be told makes no failure of what is done, and hides none."""
    _prepare(new, database)
    machine = deploy()
    machine.sns.delete_topic(TopicArn=machine.topic)
    done = machine.run({"action": "upgrade", "actor": "ana"})
    assert (done.status, done.output["told"]) == ("SUCCEEDED", False)
    failed = machine.run({"action": "upgrade", "target": "099"})
    assert (failed.error, failed.states[-3:]) == ("unknown-revision", FAILED)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _configure(aws: dict[str, str], *, execute: bool) -> None:
    wanted = json.dumps({"stepfunctions": {"execute_state_machine": execute}}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{aws['AWS_ENDPOINT_URL']}/moto-api/config", wanted)):
        pass


def _prepare(project: Project, database: Database) -> None:
    """Bring the database to where version 1 has it."""
    assert project.ask(database.url, {"action": "upgrade"})["to"] == HEAD


def _asked(machine: Machine) -> list[tuple[str, str, str]]:
    """Return the action, the qualifier and the version that ran, of each invocation."""
    return [(one.payload["action"], one.arn.rpartition(":")[2], one.version) for one in machine.front.invoked]


def _at(database: Database) -> str | None:
    if database.query("select to_regclass('public.alembic_version')") == [(None,)]:
        return None
    found = database.query("select version_num from public.alembic_version")
    return str(found[0][0])


def _plan_as_the_letter_says(machine: Machine, arn: str, message: str) -> dict[str, Any]:
    """Return the plan's answer by the query of the letter's command, over the history that moto keeps."""
    line = next(line for line in message.splitlines() if " get-execution-history " in line)
    assert f"--execution-arn {arn} " in line
    query = re.findall(r"--query '([^']+)'", line)[0]
    history = machine.states.get_execution_history(executionArn=arn)
    plan: dict[str, Any] = json.loads(jmespath.search(query, history))["Payload"]
    return plan
