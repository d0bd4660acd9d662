"""A plan ends in the line that applies it, with the options of the call, or says what to correct first."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dispatch_agent import cli as agent
from runner import cli, next_step, results
from runner.answer import Json
from runner.aws import state_machine
from runner.aws.environments import Environment
from runner.next_step import Door, NextStep
from runner.output import console, plan_end
from runner.output.options import Options
from support.postgres import Database
from support.project import Project

PROGRAMS = Path(sys.executable).parent


def last_line(project: Project, database: Database, *command: str) -> list[str]:
    done = project.run("migrate", *command, url=database.url)
    return shlex.split(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("target", [[], ["016"], ["+1"]])
def test_the_line_applies_the_plan(project: Project, database: Database, target: list[str]) -> None:
    """Copied as it is, it does what was planned, and nothing else."""
    line = last_line(project, database, "plan", *target)
    plan = json.loads(project.run("migrate", "plan", *target, "--json", url=database.url).stdout)["plan"]
    assert line == ["migrate", "upgrade", *target, "--plan", plan]
    done = project.run(*line, url=database.url)
    assert (done.returncode, "applied in" in done.stderr) == (0, True), done.stderr
    assert last_line(project, database, "plan", "016" if target else "017")[0] == "Nothing"


def test_a_downgrade_that_loses_rows(project: Project, database: Database) -> None:
    """Nobody can correct that: the line says what is lost with it, and has the confirmation that it takes."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute(
        "insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao) select gen_random_uuid(), 'none', 'x'"
    )
    told = project.run("migrate", "plan", "-1", url=database.url).stderr.splitlines()
    assert told[-2] == "It deletes rows: keep a copy if they may be needed again. Apply it with:"
    line = shlex.split(told[-1])
    assert line[-2:] == ["--confirm", "017_dry_run_log"]
    done = project.run(*line, url=database.url)
    assert (done.returncode, "reverted" in done.stderr) == (0, True), done.stderr


def test_what_to_correct_first(project: Project, database: Database) -> None:
    """A plan with errors ends in their places, and in no line that would apply it."""
    project.ask(database.url, {"action": "upgrade"})
    project.add("018_gone", "op.drop_column('leads', 'nome')\nop.drop_table('disparos')")
    done = project.run("migrate", "plan", url=database.url)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == (
        "Correct 2 errors before you apply this plan, in `alembic/versions/018_gone.py:8`, "
        "`alembic/versions/018_gone.py:9`: the findings say how. Or allow each with its reason, in a comment such as "
        "`# lint-allow ban-drop-column: REASON`. Then run `migrate plan` again."
    )
    assert "upgrade --plan" not in done.stderr


@pytest.mark.parametrize(
    ("local", "env", "function", "program"),
    [
        (False, None, None, "migrate"),
        (True, None, None, "migrate --local"),
        (False, "dev", None, "migrate --env dev"),
        (False, None, "runner:live", "migrate --function runner:live"),
    ],
)  # fmt: skip
def test_the_options_of_the_call(
    capsys: pytest.CaptureFixture[str], local: bool, env: str | None, function: str | None, program: str
) -> None:
    """They select the database, so the line repeats them; the other commands to copy have them too."""
    options = Options(local, "tables", None, env, function)
    revision = {"revision": "018", "description": "d", "direction": "upgrade", "transactional": True, "checksum": "c",
                "tables": [], "adopts": [], "sql": [], "unrendered": None}  # fmt: skip
    answer = {"status": "success", "action": "plan", "message": "m", "from": "017", "to": "017", "target": "018",
              "direction": "upgrade", "plan": "1f-2x", "ok": True, "revisions": [revision], "tables": [],
              "findings": [], "allowed": [], "linter": "squawk 2"}  # fmt: skip
    assert (
        console.show(
            answer, "tables", door=next_step.command_line(options.words), same=NextStep("upgrade", {"target": "018"})
        )
        == 0
    )
    assert capsys.readouterr().err.splitlines()[-1] == f"{program} upgrade 018 --plan 1f-2x"


def test_production_starts_the_state_machine(project: Project, database: Database) -> None:
    """The function there has one caller, which makes the plan anew and asks for the approval."""
    environment = Environment("--env prod", "arn:aws:lambda:eu-west-1:12:function:g:live", "eu-west-1", None, "prod")
    told = end(project.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod"), state_machine.door(environment, []))
    assert told == (
        "Apply it with:",
        "aws stepfunctions start-execution --region eu-west-1 --state-machine-arn "
        "arn:aws:states:eu-west-1:12:stateMachine:aurora-migrations-prod "
        """--input '{"action":"upgrade","target":"017_dry_run_log"}'""",
    )


def end(answer: Json, door: Door = next_step.HERE) -> tuple[str, str] | None:
    return plan_end.find(results.read(answer), door, None)


def test_what_production_refuses_is_not_offered(project: Project, database: Database) -> None:
    """A downgrade there has a way forward, unless it is allowed by name; elsewhere it is applied."""
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    down = {"action": "plan", "target": "-1"}
    told = end(project.ask(database.url, down, ENVIRONMENT="prod"))
    assert told == (
        "This environment does not allow `downgrade`, so the plan cannot be applied. Undo the change by a revision of "
        "its own (`migrate new`), or name `downgrade` in `ALLOWED_ACTIONS`.",
        "",
    )
    for allowed in ({}, {"ENVIRONMENT": "prod", "ALLOWED_ACTIONS": "plan,downgrade"}):
        told = end(project.ask(database.url, down, **allowed))
        assert told is not None
        assert told[1].startswith("migrate downgrade 016_platform_baseline --plan ")


def test_a_comment_is_not_offered_for_what_fails_all_the_same(project: Project, database: Database) -> None:
    """Only what the run would do can be allowed."""
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    project.add("018_wrong", "op.execute('alter tabel leads add column note text')")
    told = end(project.ask(database.url, {"action": "plan"}))
    assert told is not None
    assert "lint-allow" not in told[0]
    project.add("018_wrong", "op.execute('alter tabel leads add column note text')\nop.drop_table('disparos')")
    told = end(project.ask(database.url, {"action": "plan"}))
    assert told is not None
    other = "Or allow what is not `syntax-error` with its reason, in a comment such as `# lint-allow ban-drop-table: "
    assert other in told[0]


def test_a_reader_of_the_first_lines(project: Project, database: Database) -> None:
    """`plan | head` exits with 0 on both sides of the pipe, and its words still end in the line."""
    project.add_many(
        40, "op.execute('create table {name} (n int)')\nop.execute('comment on table {name} is $$" + "x" * 4000 + "$$')"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {PROGRAMS / 'migrate'} plan | head -n 1; echo ${{PIPESTATUS[*]}}"],
        cwd=project.folder, env={"PATH": os.environ["PATH"], "HOME": str(project.folder), "DATABASE_URL": database.url},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["plan\ttarget", "0 0"]
    assert done.stderr.splitlines()[-1].startswith("migrate upgrade --plan ")


@pytest.mark.parametrize(("program", "app"), [("migrate", cli.app), ("dispatch-agent", agent.app)])
def test_help_cuts_no_description(project: Project, program: str, app: typer.Typer) -> None:
    """The list has each command's whole description, at 80 columns."""
    whole = project.run(program, "--help", COLUMNS="80").stdout
    listed = " ".join(whole.split())
    for command in app.registered_commands:
        assert " ".join(str(command.callback.__doc__).split()) in listed, command.name
    assert max(map(len, whole.splitlines())) <= 80
