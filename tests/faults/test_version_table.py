"""The version table is asked, the ledger testifies: where they contradict each other, nothing is applied."""

import subprocess

import pytest

from support import old_runner
from support.postgres import Database, dump
from support.project import Project

APPLIES = (
    {"action": "upgrade"},
    {"action": "plan"},
    {"action": "rehearse"},
    {"action": "downgrade", "target": "base"},
    {"action": "run-migration", "target": "all"},
)
# What somebody did to the version table, what the error says, and the commands that settle it.
CONTRADICTIONS = {
    "its rows were deleted": (
        "delete from alembic_version",
        "it says `base`, and the ledger says that `016_platform_baseline`, `017_dry_run_log` were, the "
        "last one on {today}",
        ["stamp 017_dry_run_log", "stamp base"],
    ),
    "it was dropped": (
        "drop table alembic_version",
        "it says `base`, and the ledger says that `016_platform_baseline`, `017_dry_run_log` were, the "
        "last one on {today}",
        ["stamp 017_dry_run_log", "stamp base"],
    ),
    "its row was set back": (
        "update alembic_version set version_num = '016_platform_baseline'",
        "it says `016_platform_baseline`, and the ledger says that `017_dry_run_log` was applied on {today}",
        ["stamp 017_dry_run_log", "stamp 016_platform_baseline"],
    ),
    "it has an ancestor too": (
        "insert into alembic_version values ('016_platform_baseline')",
        "it says `016_platform_baseline, 017_dry_run_log`, and the revisions say that the others imply "
        "`016_platform_baseline`",
        ["stamp 017_dry_run_log"],
    ),
}


@pytest.fixture
def upgraded(project: Project, database: Database) -> Database:
    """A database at the newest revision, in which another upgrade would have something to do."""
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    project.add("018_next", "op.execute('create table next ()')", downgrade="op.drop_table('next')")
    return database


@pytest.mark.parametrize("how", CONTRADICTIONS)
def test_a_contradiction_is_refused_with_both_views(project: Project, upgraded: Database, how: str) -> None:
    statement, views, commands = CONTRADICTIONS[how]
    upgraded.execute(statement)
    before = dump(upgraded)
    today = upgraded.query("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD')")[0][0]
    for event in APPLIES:
        answer = project.ask(upgraded.url, event)
        assert answer["code"] == "history-changed", answer["message"]
        assert views.replace("{today}", today) in answer["error"]
        assert answer["hint"].endswith(": " + "; or ".join(f"`migrate {command}`" for command in commands) + ".")
    plain = project.run("alembic", "upgrade", "head", url=upgraded.url)
    assert "FAILED: history-changed: The version table is contradicted" in plain.stderr + plain.stdout
    found = [one["kind"] for one in project.ask(upgraded.url, {"action": "check"})["findings"]]
    assert "history-changed" in found
    assert dump(upgraded) == before


@pytest.mark.parametrize("how", CONTRADICTIONS)
def test_the_command_that_it_names_settles_it(project: Project, upgraded: Database, how: str) -> None:
    """The first one fits the schema; it is compared, recorded, and the upgrade goes on."""
    statement, _, commands = CONTRADICTIONS[how]
    upgraded.execute(statement)
    done = project.run("migrate", *commands[0].split(), url=upgraded.url)
    assert done.returncode == 0, done.stderr
    assert upgraded.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    answer = project.ask(upgraded.url, {"action": "upgrade"})
    assert (answer["from"], answer["to"]) == ("017_dry_run_log", "018_next"), answer["message"]


def test_the_command_for_the_other_view(project: Project, upgraded: Database) -> None:
    """The table was reverted by hand: the stamp moves nothing, and the ledger has it from then on."""
    upgraded.execute("drop table dry_run_log; update alembic_version set version_num = '016_platform_baseline'")
    wrong = project.run("migrate", "stamp", "017_dry_run_log", url=upgraded.url)
    assert "drift:" in wrong.stderr
    done = project.run("migrate", "--json", "stamp", "016_platform_baseline", url=upgraded.url)
    assert done.returncode == 0, done.stderr
    assert "now agree that the database is at `016_platform_baseline`" in done.stdout
    answer = project.ask(upgraded.url, {"action": "upgrade"})
    assert [one["revision"] for one in answer["applied"]] == ["017_dry_run_log", "018_next"]


def test_a_protected_environment_wants_confirmation(project: Project, upgraded: Database) -> None:
    upgraded.execute("delete from alembic_version")
    environ = {"ENVIRONMENT": "prod", "ALLOWED_ACTIONS": "stamp,upgrade"}
    event = {"action": "stamp", "target": "017"}
    assert project.ask(upgraded.url, event, **environ)["code"] == "confirm-needed"
    assert upgraded.query("select count(*) from alembic_version") == [(0,)]
    assert project.ask(upgraded.url, event | {"confirm": "base"}, **environ)["status"] == "success"


def test_what_is_no_contradiction(project: Project, upgraded: Database) -> None:
    """Reverted, stamped since, adopted, or repaired: what the ledger says of earlier days does not count."""
    assert project.ask(upgraded.url, {"action": "downgrade", "target": "016"})["status"] == "success"
    assert project.ask(upgraded.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    assert project.ask(upgraded.url, {"action": "repair", "target": "017"})["status"] == "success"
    upgraded.execute("drop table dry_run_log")
    assert project.ask(upgraded.url, {"action": "stamp", "target": "016"})["status"] == "success"
    assert project.ask(upgraded.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    upgraded.execute("drop schema runner cascade")
    assert project.ask(upgraded.url, {"action": "upgrade"})["status"] == "success"


def test_a_ledger_of_older_code_testifies_too(project: Project, database: Database) -> None:
    """It has no column for the version table, and all its rows are of the only project that there was."""
    old_runner.install(project)
    done = old_runner.start(project, "upgrade", url=database.url)
    _, told = done.communicate()
    assert done.returncode == 0, told
    database.execute("delete from alembic_version")
    assert project.ask(database.url, {"action": "plan"})["code"] == "history-changed"
    assert project.ask(database.url, {"action": "upgrade"})["code"] == "history-changed"
    assert project.ask(database.url, {"action": "stamp", "target": "017"})["status"] == "success"
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


PURGES = {
    "a typo": ("17_dry_run_log", "Can't locate revision"),
    "a schema that differs": ("016_platform_baseline", "drift"),
}


@pytest.mark.parametrize("why", PURGES)
@pytest.mark.parametrize("door", ["command line", "program"])
def test_a_refused_purge_keeps_the_rows(project: Project, upgraded: Database, why: str, door: str) -> None:
    """Alembic would empty the version table before it asks for the steps."""
    target, code = PURGES[why]
    done = _purge(project, upgraded, door, target)
    assert done.returncode != 0
    assert code in done.stderr + done.stdout
    assert upgraded.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def test_a_purge_wants_confirmation_where_a_stamp_does(project: Project, upgraded: Database) -> None:
    environ = {"ENVIRONMENT": "prod", "ALLOWED_ACTIONS": "stamp"}
    refused = project.run("alembic", "stamp", "--purge", "017_dry_run_log", url=upgraded.url, **environ)
    assert "confirm-needed" in refused.stderr + refused.stdout
    not_allowed = project.run("alembic", "stamp", "--purge", "017", url=upgraded.url, ENVIRONMENT="prod")
    assert "action-not-allowed" in not_allowed.stderr + not_allowed.stdout
    assert upgraded.query("select version_num from alembic_version") == [("017_dry_run_log",)]


@pytest.mark.parametrize("rows", ["('gone')", "('016_platform_baseline'), ('017_dry_run_log')", "('017_dry_run_log')"])
@pytest.mark.parametrize("door", ["command line", "program"])
def test_a_purge_replaces_whatever_rows_there_are(project: Project, upgraded: Database, rows: str, door: str) -> None:
    upgraded.execute(f"delete from alembic_version; insert into alembic_version values {rows}")
    done = _purge(project, upgraded, door, "017_dry_run_log")
    assert done.returncode == 0, done.stderr
    assert upgraded.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    assert project.ask(upgraded.url, {"action": "upgrade"})["to"] == "018_next"


@pytest.mark.parametrize("door", ["command line", "program"])
def test_ensure_version(project: Project, database: Database, door: str) -> None:
    """It makes the version table under the lock, and refuses one of somebody else."""
    assert _ensure_version(project, database, door).returncode == 0
    assert database.query("select count(*) from alembic_version") == [(0,)]
    assert _ensure_version(project, database, door).returncode == 0
    database.execute(f"create role owner_{database.name}; alter table alembic_version owner to owner_{database.name}")
    refused = _ensure_version(project, database, door)
    assert "untrusted-object" in refused.stderr + refused.stdout


def _ensure_version(project: Project, database: Database, door: str) -> "subprocess.CompletedProcess[str]":
    if door == "command line":
        return project.run("alembic", "ensure_version", url=database.url)
    program = "from alembic import command, config; command.ensure_version(config.Config('alembic.ini'))"
    return project.run("python", "-c", program, url=database.url)


def _purge(project: Project, database: Database, door: str, target: str) -> "subprocess.CompletedProcess[str]":
    if door == "command line":
        return project.run("alembic", "stamp", "--purge", target, url=database.url)
    program = (
        f"from alembic import command, config; command.stamp(config.Config('alembic.ini'), '{target}', purge=True)"
    )
    return project.run("python", "-c", program, url=database.url)


BRANCHES = {"018_a": "create table a ()", "018_b": "create table b ()"}


@pytest.fixture
def branched(project: Project, database: Database) -> Database:
    """A database at two heads."""
    for name, statement in BRANCHES.items():
        project.add(name, f"op.execute('{statement}')", downgrade=f"op.drop_table('{name[-1]}')")
    done = project.run("alembic", "upgrade", "heads", url=database.url)
    assert done.returncode == 0, done.stderr
    return database


@pytest.mark.parametrize("rows", ["version_num = '018_b'", "true"])
def test_a_lost_branch(project: Project, branched: Database, rows: str) -> None:
    """The commands for the ledger's view bring back each head, although no snapshot is of both."""
    branched.execute(f"delete from alembic_version where {rows}")
    refused = project.run("alembic", "upgrade", "heads", url=branched.url)
    assert "history-changed" in refused.stderr + refused.stdout
    hint = project.ask(branched.url, {"action": "plan"})["hint"]
    for command in hint.partition(": ")[2].partition(";")[0].split(", then "):
        done = project.run(*command.strip("`").split(), url=branched.url)
        assert done.returncode == 0, done.stderr
    assert sorted(branched.query("select version_num from alembic_version")) == [("018_a",), ("018_b",)]
    assert project.run("alembic", "upgrade", "heads", url=branched.url).returncode == 0


def test_a_stamp_of_one_branch_says_nothing_of_the_other(project: Project, branched: Database) -> None:
    branched.execute("drop table a")
    project.add("019_a", "op.execute('select 1')", after="018_a")
    branched.execute("delete from alembic_version where version_num = '018_b'")
    done = project.run("alembic", "upgrade", "heads", url=branched.url)
    assert "history-changed" in done.stderr + done.stdout
    # that of the other branch, behind the rows of both
    branched.execute(
        "insert into runner.migration_run (request_id, action, target, planned, direction, tool_version, status) "
        "values ('x', 'stamp', '018_a', '{018_a}', 'stamp', '0', 'success');"
        "insert into runner.migration_log (run_id, revision, direction, status, started_at) "
        "select max(run_id), '018_a', 'stamp', 'success', now() from runner.migration_run"
    )
    again = project.run("alembic", "upgrade", "heads", url=branched.url)
    assert "history-changed" in again.stderr + again.stdout
    # a purge speaks of the whole table
    branched.execute("drop table b")
    assert project.run("alembic", "stamp", "--purge", "017_dry_run_log", url=branched.url).returncode == 0
    done = project.run("alembic", "upgrade", "heads", url=branched.url)
    assert done.returncode == 0, done.stderr


def test_a_stamp_counts_although_its_run_was_killed(project: Project, upgraded: Database) -> None:
    """It was committed together with its row; only the run's own end is missing."""
    upgraded.execute("drop table dry_run_log")
    assert project.ask(upgraded.url, {"action": "stamp", "target": "016"})["status"] == "success"
    upgraded.execute("update runner.migration_run set status = 'interrupted' where action = 'stamp'")
    assert project.ask(upgraded.url, {"action": "plan"})["status"] == "success"


def test_a_row_that_another_one_depends_on(project: Project, database: Database) -> None:
    """It is implied like an ancestor, and a stamp removes it."""
    other = project.add("100_a", "op.execute('create table a ()')", after=None)
    path = project.add("018_b", "op.execute('create table b ()')")
    path.write_text(path.read_text() + "depends_on = '100_a'\n")
    assert other.exists()
    assert project.run("alembic", "upgrade", "heads", url=database.url).returncode == 0
    assert database.query("select version_num from alembic_version") == [("018_b",)]
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    database.execute("insert into alembic_version values ('100_a')")
    answer = project.ask(database.url, {"action": "plan"})
    assert (answer["code"], answer["hint"].endswith("`migrate stamp 018_b`.")) == ("history-changed", True)
    done = project.run("migrate", "stamp", "018_b", url=database.url)
    assert done.returncode == 0, done.stderr
    assert database.query("select version_num from alembic_version") == [("018_b",)]
