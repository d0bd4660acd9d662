"""Targets are resolved once and answered as absolute; what is shown and recorded is what is there."""

import hashlib
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from runner import commands
from runner.deadline import Deadline
from runner.postgres import version_table
from runner.project import VersionTable
from support.postgres import Database
from support.project import Project


@pytest.mark.parametrize(
    ("event", "end", "target"),
    [
        ({"action": "upgrade", "target": "+1"}, "018_a", "018_a"),
        ({"action": "upgrade", "target": "+2"}, "019_b", "019_b"),
        ({"action": "upgrade", "target": "018"}, "018_a", "018_a"),
        ({"action": "upgrade", "target": "head"}, "019_b", "019_b"),
        ({"action": "upgrade", "target": "016"}, "017_dry_run_log", "016_platform_baseline"),
        ({"action": "downgrade", "target": "-1"}, "016_platform_baseline", "016_platform_baseline"),
        ({"action": "downgrade", "target": "-2"}, None, "base"),
        ({"action": "downgrade", "target": "base"}, None, "base"),
        ({"action": "downgrade", "target": "017"}, "017_dry_run_log", "017_dry_run_log"),
    ],
)
def test_targets(project: Project, database: Database, event: dict, end: str | None, target: str) -> None:
    project.add("018_a", "pass")
    project.add("019_b", "op.execute('select 1')", after="018_a")
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    answer = project.ask(database.url, event)
    assert (answer["status"], answer["to"], answer["target"]) == ("success", end, target)


def test_a_step_down_is_ambiguous_at_a_merge_and_at_two_heads(project: Project, database: Database) -> None:
    """Alembic would choose a side by itself, and the answer's target would mean both."""
    project.add("018_left", "pass")
    project.add("018_right", "pass")
    merge = project.add("019_merge", "pass")
    merge.write_text(merge.read_text().replace("'017_dry_run_log'", "('018_left', '018_right')"))
    project.ask(database.url, {"action": "upgrade"})
    at_the_merge = project.ask(database.url, {"action": "downgrade", "target": "-1"})
    assert at_the_merge["error"] == "`-1` is ambiguous at `019_merge`."
    project.ask(database.url, {"action": "downgrade", "target": "018_left"})
    answer = project.ask(database.url, {"action": "current"})
    assert len(answer["current"]) == 2
    at_two_heads = project.ask(database.url, {"action": "downgrade", "target": "-1"})
    assert "is ambiguous: the database is at" in at_two_heads["error"]
    assert project.ask(database.url, {"action": "downgrade", "target": "017"})["to"] == "017_dry_run_log"


def test_show_and_the_ledger_know_the_files_checksum(project: Project, database: Database) -> None:
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    expected = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    shown = project.ask(None, {"action": "show", "target": "017"})["revisions"][0]
    assert shown["checksum"] == expected == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (shown["revision"], shown["down_revision"], shown["is_head"]) == (
        "017_dry_run_log",
        "016_platform_baseline",
        True,
    )
    assert shown["text"].startswith("Dry-run log: what the dispatch agent would have done.")
    project.ask(database.url, {"action": "upgrade"}, AWS_LAMBDA_FUNCTION_VERSION="7", IMAGE_DIGEST="sha256:ab")
    assert database.query("select checksum from runner.migration_log where revision = '017_dry_run_log'") == [
        (expected,)
    ]
    assert database.query("select function_version, image_digest, actor from runner.migration_run") == [
        ("7", "sha256:ab", None)
    ]


def test_no_revisions_at_all(project: Project, database: Database) -> None:
    """Looked for in the wrong folder, they are not a success that applies nothing."""
    for path in (project.folder / "alembic" / "versions").iterdir():
        path.unlink()
    for action in ("upgrade", "heads", "list-migrations", "current"):
        answer = project.ask(database.url, {"action": action})
        assert answer["message"] == (
            f"settings: There is no revision in `{project.folder}/alembic/versions`. Nothing was changed. Point "
            "`script_location` in `alembic.ini` to the folder that has them, or create one with `migrate new`."
        )
    (project.folder / "alembic" / "versions").rmdir()
    assert project.run("migrate", "new", "first").stdout == "alembic/versions/001_first.py\n"


def test_a_revision_runs_as_if_it_were_the_first_time(project: Project, database: Database) -> None:
    """What a process imported to plan with is imported anew to upgrade with."""
    path = project.add("018_counted", "op.execute(f'create table t_{next(numbers)} ()')")
    path.write_text(
        path.read_text().replace("def upgrade", "import itertools\nnumbers = itertools.count(1)\ndef upgrade")
    )
    statements = project.ask(database.url, {"action": "plan"})
    assert statements["status"] == "success"
    before = project.ask(database.url, {"action": "upgrade"})
    assert before["status"] == "success"
    names = database.query("select relname from pg_class where relname ~ '^t_[0-9]+$'")
    again = project.ask(database.url, {"action": "downgrade", "target": "017_dry_run_log", "confirm": "018_counted"})
    assert (again["status"], names) == ("success", [("t_1",)])


def test_a_revision_that_is_edited_while_the_run_waits(project: Project, database: Database) -> None:
    """The ledger's checksum is that of the text that ran."""
    path = project.add("018_edited", "pass")
    environ = {"ALEMBIC_CONFIG": str(project.folder / "alembic.ini"), "DATABASE_URL": database.url}
    with ThreadPoolExecutor() as pool, closing(database.server.connect(database.name)) as other:
        other.cursor().execute("select pg_advisory_lock(%s)", (version_table.key(VersionTable()),))
        waiting = threading.Event()
        run = pool.submit(
            commands.execute, {"action": "upgrade"}, environ, "edited", Deadline.after(30),
            lambda *_, **__: waiting.set(),
        )  # fmt: skip
        assert waiting.wait(20)
        path.write_text(path.read_text().replace("pass", "op.execute('select 1')", 1))
        other.close()
        answer = run.result().document
    assert answer["error"] == "`018_edited` failed: it was edited after the run began."
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_a_broken_alembic_ini_is_not_quoted(project: Project, database: Database) -> None:
    (project.folder / "alembic.ini").write_text("DATABASE_URL=postgresql://u:hunter2@h/d\n")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["message"] == (
        "settings: `alembic.ini` does not lead to any revisions (MissingSectionHeaderError). Nothing was changed. "
        "Correct it: `script_location` names the folder that has `env.py` and `versions/`."
    )


def test_a_revision_without_its_functions(project: Project, database: Database) -> None:
    path = project.add("018_half", "pass")
    path.write_text(path.read_text().partition("def upgrade")[0])
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["error"] == "`018_half` failed: it has no function `upgrade`."


def test_system_exit_in_a_revision_is_a_failure_of_it(project: Project, database: Database) -> None:
    project.add("018_exit", "raise SystemExit('maria@example.com')")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["error"] == "`018_exit` failed in line 8 of `018_exit.py`: SystemExit."
    assert database.query("select status from runner.migration_run") == [("error",)]


@pytest.mark.parametrize(
    "trick",
    ["globals()['down_revi' + 'sion'] = '016_platform_baseline'", "globals().update({'depends' + '_on': 'x'})"],
)
def test_a_head_that_is_another_when_it_runs_is_refused(project: Project, database: Database, trick: str) -> None:
    """Revisions are told apart by the text of their files; what runs has to say the same."""
    path = project.add("018_odd", "op.execute('create table odd ()')")
    path.write_text(path.read_text().replace("def upgrade", f"{trick}\ndef upgrade"))
    answer = project.ask(database.url, {"action": "upgrade"})
    name = "down_revision" if "down" in trick else "depends_on"
    assert answer["error"] == f"`018_odd` failed: its `{name}` differs from what its text says."
    assert database.query("select to_regclass('odd'), to_regclass('alembic_version')") == [(None, None)]
