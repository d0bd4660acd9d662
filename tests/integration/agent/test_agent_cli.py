"""`dispatch-agent` as a person and as a script meet it."""

import json
import re
import subprocess
import sys

import pytest

from dispatch_agent import cli
from support import terminal
from support.agent_log import OURS, fill, rows
from support.postgres import Database
from support.project import Project

EVENT = {"tenantId": "test-001", "batchSize": 3, "runId": "r1"}
ANSWER = {
    "success": True,
    "leadsProcessados": 3,
    "decisoes": [
        {
            "lead": {"id": str(OURS), "nome": "Ana\tda\x1b[2J\nSilva"},
            "canal": "whatsapp",
            "motivo": "1 telefone válido",
            "seria_executado": True,
        },
        {
            "lead": {"id": str(OURS), "nome": None},
            "canal": "none",
            "motivo": "0 contatos válidos",
            "seria_executado": False,
            "razao_bloqueio": "nenhum canal disponível",
        },
    ],
    "logs": ["read 3 leads"],
    "runId": "r1",
    "contagens": {
        "whatsapp": {"executaria": 1, "bloqueios": {"fora do horário comercial": 1}},
        "none": {"executaria": 0, "bloqueios": {"nenhum canal disponível": 1}},
    },
}


def shown(answer: dict, *, as_json: bool = False, debug: bool = False) -> int:
    return cli.show(answer, EVENT, cli.Options(local=False, as_json=as_json, debug=debug))


def test_decisions_go_to_stdout_and_words_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What a name may hold neither ends a line nor reaches the terminal."""
    assert shown(ANSWER) == 0
    seen = capsys.readouterr()
    assert seen.out.splitlines() == [
        "id\tlead\tcanal\tseria_executado\tmotivo",
        f"{OURS}\tAna da [2J Silva\twhatsapp\tsim\t1 telefone válido",
        f"{OURS}\t\tnone\tnão\tnenhum canal disponível",
    ]
    assert seen.err.splitlines() == [
        "3 leads decided on in run `r1`, the first 2 shown. Nothing was sent.",
        "  whatsapp: 1 seria executado; 1 fora do horário comercial",
        "  none: 0 seriam executados; 1 nenhum canal disponível",
    ]


def test_partly_done_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(ANSWER | {"cursor": "c9"}) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        "The time ran out. Continue with `dispatch-agent dry-run --tenant test-001 --batch 3 --run-id r1 --cursor c9`."
    )


def test_what_ran_in_a_function_continues_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.show(ANSWER | {"cursor": "c9"}, EVENT, cli.Options(False, False, False, env="dev")) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        "The time ran out. Continue with `dispatch-agent --env dev dry-run --tenant test-001 --batch 3 --run-id r1 "
        "--cursor c9`."
    )


def test_another_moment_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the decisions sees that they are none of now, and goes on at the same moment."""
    at = "2026-11-24T08:30:00-03:00"
    event = EVENT | {"at": at}
    assert (
        cli.show(ANSWER | {"momento": at, "cursor": "c9"}, event, cli.Options(False, as_json=False, debug=False)) == 3
    )
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"Decided as at {at}, not as at this moment."
    assert told[-1].endswith(f"--run-id r1 --at {at} --cursor c9`.")


def test_what_names_nobody_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"bloqueios": {"total": 1, "ids": [str(OURS)]}, "contatos": {"total": 2, "leads": [str(OURS)]}}
    assert shown(ANSWER | {"ilegiveis": told}) == 0
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"  1 row of the blocklist names nobody, and blocks nobody: {OURS}",
        "  2 contacts of leads have nothing to send to.",
    ]


def test_json_is_the_raw_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(ANSWER | {"cursor": "c9"}, as_json=True) == 3
    assert json.loads(capsys.readouterr().out) == ANSWER | {"cursor": "c9"}


@pytest.mark.parametrize(("code", "exit_code"), [("database-unreachable", 1), ("invalid-payload", 2)])
def test_a_run_that_failed(code: str, exit_code: int, capsys: pytest.CaptureFixture[str]) -> None:
    failed = ANSWER | {"success": False, "code": code, "error": "Something happened."}
    assert shown(failed, debug=True) == exit_code
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", f"read 3 leads\n{code}: Something happened.\n")


@pytest.mark.parametrize(
    "command",
    [
        ["nonsense"],
        ["dry-run"],
        ["dry-run", "--tenant", "t", "--batch", "0"],
        ["dry-run", "--tenant", "t", "--timeout", "0"],
        ["purge"],
        ["purge", "--older-than"],
        ["stats", "--days", "0"],
        ["stats", "--days", "367"],
        ["sample-data", "--leads", "0"],
        ["sample-data", "--seed", "x"],
        ["--no-such-option", "stats"],
    ],
)
def test_usage_errors_need_no_database(project: Project, command: list[str]) -> None:
    done = project.run("dispatch-agent", *command)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", [["stats"], ["sample-data"], ["purge", "--older-than", "2d"]])
def test_failures_are_sentences(project: Project, database: Database, command: list[str]) -> None:
    """No database named, none there, none migrated: each says what to do, as JSON too."""
    unnamed = project.run("dispatch-agent", *command)
    assert (unnamed.returncode, unnamed.stderr.split(":")[0]) == (1, "settings")
    absent = project.run("dispatch-agent", *command, url=f"{database.url}_absent")
    assert (absent.returncode, absent.stderr.split(":")[0]) == (1, "database-unreachable")
    bare = project.run("dispatch-agent", *command, url=database.url)
    assert bare.returncode == 1
    assert bare.stderr.startswith("schema-behind: The database lacks a table or a column that the agent needs. ")
    assert bare.stderr.endswith("Run `migrate upgrade`, then repeat.\n")
    as_json = json.loads(project.run("dispatch-agent", *command, "--json", url=database.url).stdout)
    assert (as_json["success"], as_json["code"]) == (False, "schema-behind")


def test_frames_only_with_debug(project: Project, database: Database) -> None:
    assert "stats.py:" not in project.run("dispatch-agent", "stats", url=database.url).stderr
    dry_run = project.run("dispatch-agent", "dry-run", "--tenant", "t", url=database.url)
    assert dry_run.stderr.startswith("schema-behind: ")
    assert "run.py:" not in dry_run.stderr
    debugged = project.run("dispatch-agent", "dry-run", "--tenant", "t", "--debug", url=database.url)
    assert "run.py:" in debugged.stderr
    debug = project.run("dispatch-agent", "stats", "--debug", url=database.url).stderr
    assert "stats.py:" in debug
    assert "dry_run_log" not in debug, "the text of an exception goes no further"


def test_a_role_that_may_not(project: Project, migrated: Database) -> None:
    role = f"reader_{migrated.name}"
    fill(migrated, OURS, 1, days=3)
    migrated.execute(f"create role {role}; grant select on dry_run_log to {role}")
    try:
        done = project.run("dispatch-agent", "purge", "--older-than", "2d", url=migrated.url, DB_ROLE=role)
    finally:
        migrated.execute(f"drop owned by {role}; drop role {role}")
    assert done.returncode == 1
    assert done.stderr == (
        "settings: The database role lacks a required privilege (SQLSTATE 42501). Deleted 0 rows in 0 transactions "
        "before that. Have the privilege granted, or connect as a role that has it.\n"
    )


def test_help_loads_little() -> None:
    """Faker and plotext are loaded by the command that draws."""
    program = "import sys; import dispatch_agent.cli; print({'faker', 'plotext', 'boto3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


PROGRESS = """
from dispatch_agent import console
import time
started = time.monotonic()
with console.progress() as tell:
    for number in range(1, 13):
        tell(f"{number}000 leads", number=number * 1000, total=12000)
        time.sleep(0.2)
print(time.monotonic() - started)
"""


def test_progress_is_a_bar_on_a_terminal_and_a_line_now_and_then_elsewhere(project: Project) -> None:
    """A log is spared a line for each chunk of a large run."""
    code, seen = terminal.run(project.folder, "python", "-c", PROGRESS)
    assert code == 0, seen
    # it is drawn ten times a second, so that of the twelve some are seen on the way, and which is chance
    assert re.search(r"\b([1-9]|1[01])000/12000", seen), seen
    assert "━" in seen
    piped = project.run("python", "-c", PROGRESS)
    # a line a second at most, of the twelve
    assert 1 <= len(piped.stderr.splitlines()) <= float(piped.stdout), piped


@pytest.fixture
def sampled(tmp_path_factory: pytest.TempPathFactory, database: Database) -> tuple[Project, Database]:
    """A database at the head, with leads; needs the run itself."""
    project = Project.copy_whole(tmp_path_factory.mktemp("whole"))
    project.ask(database.url, {"action": "upgrade"})
    done = project.run("dispatch-agent", "sample-data", "--leads", "60", url=database.url)
    assert done.returncode == 0, done.stderr
    return project, database


def test_a_dry_run_is_recorded_and_shown(sampled: tuple[Project, Database]) -> None:
    project, database = sampled
    done = project.run("dispatch-agent", "dry-run", "--tenant", "test-001", "--batch", "10", "--json", url=database.url)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["leadsProcessados"], len(answer["decisoes"])) == (10, 10)
    assert sum(rows(database).values()) == 10
    lead = answer["decisoes"][0]["lead"]["id"]
    one = project.run("dispatch-agent", "dry-run", "--tenant", "test-001", "--lead", lead, url=database.url)
    assert [line.split("\t")[0] for line in one.stdout.splitlines()] == ["id", lead]
    unknown = project.run("dispatch-agent", "dry-run", "--tenant", "nobody", url=database.url)
    assert unknown.returncode in (1, 2)
    assert "`nobody`" in unknown.stderr


def test_a_dry_run_on_a_terminal(sampled: tuple[Project, Database]) -> None:
    project, database = sampled
    noon = ("--at", "2026-03-03T12:00-03:00")
    code, seen = terminal.run(
        project.folder, "dispatch-agent", "dry-run", "--tenant", "test-001", "--batch", "60", *noon,
        columns=80, DATABASE_URL=database.url,
    )  # fmt: skip
    assert code == 0, seen
    assert re.search(r"lead +canal +seria_executado\x1b\[0m\r\n", seen)
    assert "\r\n    motivo: WhatsApp para o primeiro telefone, com " in seen
    assert "60 leads decided on in run `" in seen
