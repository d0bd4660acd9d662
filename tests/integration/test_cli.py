"""The command line as a person and as a script meet it."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import terminal
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

MIGRATE = Path(sys.executable).parent / "migrate"
NEW = "The embedded database {}. Make its schema with `migrate --local upgrade`.\n"


def test_data_go_to_stdout_and_words_to_stderr(project: Project, database: Database) -> None:
    done = project.run("migrate", "upgrade", url=database.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.sub(r"\d+ ms", "N ms", done.stderr).splitlines() == [
        "Applying `016_platform_baseline` (1 of 2).",
        "Applied `016_platform_baseline` in N ms (1 of 2).",
        "Applying `017_dry_run_log` (2 of 2).",
        "Applied `017_dry_run_log` in N ms (2 of 2).",
        "From `base` to `017_dry_run_log`: 2 revisions applied in N ms.",
    ]
    done = project.run("migrate", "current", url=database.url)
    assert done.stdout == "017_dry_run_log\n"
    assert done.stderr == "The database is at `017_dry_run_log`; nothing is pending.\n"
    again = project.run("migrate", "upgrade", url=database.url)
    assert (again.returncode, again.stderr) == (0, "Nothing to do: the database is at `017_dry_run_log`.\n")


def test_plain_alembic_says_that_there_was_nothing_to_do(project: Project, database: Database) -> None:
    """In one line, and in none with `-q`; a run that applies something has Alembic's own lines."""
    first = project.run("alembic", "upgrade", "head", url=database.url)
    assert (first.returncode, first.stdout) == (0, ""), first.stderr
    again = project.run("alembic", "upgrade", "head", url=database.url)
    assert (again.returncode, again.stdout) == (0, "Nothing to do: the database is at `017_dry_run_log`.\n")
    quiet = project.run("alembic", "-q", "upgrade", "head", url=database.url)
    assert (quiet.returncode, quiet.stdout) == (0, "")


def test_history_says_who_when_and_how_long(project: Project, database: Database) -> None:
    project.run("migrate", "upgrade", "016", "--actor", "ana", url=database.url, IMAGE_DIGEST="sha256:" + "a" * 64)
    lines = [line.split("\t") for line in project.run("migrate", "history", url=database.url).stdout.splitlines()]
    assert lines[0] == ["revision", "follows", "description", "state", "when (UTC)", "took", "who", "image"]
    assert lines[1][:4] == [
        "017_dry_run_log",
        "016_platform_baseline",
        "Dry-run log: what the dispatch agent would have done.",
        "pending",
    ]
    assert lines[2][0:2] == ["016_platform_baseline", "base"]
    assert lines[2][3] == "applied"
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[2][4])
    assert re.match(r"\d+ ms", lines[2][5])
    assert lines[2][6:] == ["ana", "sha256:aaaaaaaaaaaa"]
    limited = project.run("migrate", "history", "--limit", "1", url=database.url)
    assert len(limited.stdout.splitlines()) == 2


def test_json_is_the_raw_answer_on_either_side_of_the_verb(project: Project, database: Database) -> None:
    for command in (["migrate", "--json", "upgrade"], ["migrate", "upgrade", "--json"]):
        done = project.run(*command, url=database.url)
        assert json.loads(done.stdout)["to"] == "017_dry_run_log"
    failed = project.run("migrate", "upgrade", "099", "--json", url=database.url)
    assert (failed.returncode, json.loads(failed.stdout)["code"]) == (1, "unknown-revision")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["current"], 0),
        (["downgrade", "-1"], 0),
        (["upgrade", "+1"], 1),
        (["upgrade", "099"], 1),
        (["upgrade", "a b"], 2),
        (["downgrade"], 2),
        (["downgrade", "--no-such-option"], 2),
        (["nonsense"], 2),
        (["history", "--limit", "0"], 2),
        (["--timeout", "0", "current"], 2),
    ],
)
def test_exit_codes(project: Project, database: Database, command: list[str], code: int) -> None:
    project.ask(database.url, {"action": "upgrade"})
    done = project.run("migrate", *command, url=database.url)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_traceback_only_with_debug(project: Project, database: Database) -> None:
    """Where it happened is told with --debug, without the text of the exception."""
    project.add("018_bad", "raise ValueError('planted')")
    plain = project.run("migrate", "upgrade", url=database.url)
    assert "018_bad.py:8 upgrade" not in plain.stderr
    debug = project.run("migrate", "--debug", "upgrade", url=database.url)
    assert "018_bad.py:8 upgrade" in debug.stderr
    assert "planted" not in debug.stderr


def test_a_table_and_a_bar_on_a_terminal(project: Project, database: Database) -> None:
    """A person sees a table with lines and a bar; a pipe sees neither."""
    _, seen = _on_a_terminal(project, database, "upgrade")
    assert "━" in seen
    assert "2/2" in seen
    code, seen = _on_a_terminal(project, database, "history")
    assert code == 0
    assert "┃" in seen
    assert "017_dry_run_log" in seen
    assert "\x1b[" in seen
    piped = project.run("migrate", "history", url=database.url)
    assert "┃" not in piped.stdout
    assert "\x1b[" not in piped.stdout + piped.stderr


def _on_a_terminal(project: Project, database: Database, *command: str) -> tuple[int, str]:
    return terminal.run(project.folder, "migrate", *command, DATABASE_URL=database.url)


def test_interrupted_in_a_statement(project: Project, database: Database) -> None:
    """Ctrl-C cancels the statement at once: rolled back, said, lock free, and the next run goes through."""
    path = project.add("018_slow", "op.execute('select pg_sleep(60)')")
    process = subprocess.Popen(
        [MIGRATE, "upgrade"],
        cwd=project.folder,
        env={"DATABASE_URL": database.url, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for(
        database, "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
    )
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith(
        "interrupted: The run was interrupted. 2 of 3 revisions completed. The database is at `017_dry_run_log`, "
        "and the failed revision was rolled back. Run `migrate upgrade` again to continue.\n"
    )
    assert database.query("select status, error_code from runner.migration_log order by log_id desc limit 1") == [
        ("failed", "interrupted")
    ]
    path.write_text(path.read_text().replace("pg_sleep(60)", "pg_sleep(0)"))
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_two_terminals(project: Project, database: Database) -> None:
    """The second one says whom it waits for, waits, finds nothing left to do, and is a success."""
    project.add("018_until_told", UNTIL_TOLD)
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    with project.start("migrate", "upgrade", url=database.url) as first:
        _wait_for(
            database,
            "select count(*) from pg_stat_activity where query like '%while not exists%' and pid <> pg_backend_pid()",
        )
        reading = project.run("migrate", "current", url=database.url)
        with project.start("migrate", "upgrade", url=database.url) as second:
            assert second.stderr is not None
            said = second.stderr.readline()
            database.execute("create table told ()")
            said += second.stderr.read()
        first.communicate()
    assert reading.stdout == "017_dry_run_log\n"
    assert first.returncode == 0
    assert second.returncode == 0
    assert re.match(
        r"Waiting for the migration lock, held by migrate [0-9a-f-]{36} \S+, pid \d+, connected since "
        r"\d\d:\d\d:\d\d UTC\.\nNothing to do: the database is at `018_until_told`\.\n$",
        said,
    ), said


def test_lock_held_past_the_deadline(project: Project, database: Database) -> None:
    """Who holds it is named, and nothing was changed."""
    project.add("018_slow", "op.execute('select pg_sleep(60)')")
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    environ = {"DATABASE_URL": database.url, "PATH": os.environ["PATH"]}
    first = subprocess.Popen([MIGRATE, "upgrade"], cwd=project.folder, env=environ, stderr=subprocess.PIPE, text=True)
    _wait_for(
        database, "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
    )
    started = time.monotonic()
    answer = project.ask(database.url, {"action": "upgrade"}, timeout_s=1)
    took_s = time.monotonic() - started
    first.kill()
    first.communicate()
    told = re.fullmatch(
        rf"lock-held: Another run holds the migration lock of `{database.name}` \(migrate [0-9a-f-]{{36}} \S+, "
        r"pid \d+, connected since \d\d:\d\d:\d\d UTC\), and did not release it within (\d+) s\. Nothing was changed\. "
        r"Watch it with `migrate current`, and run the same command again when it has ended\.",
        answer["message"],
    )
    assert told, answer["message"]
    assert int(told[1]) <= round(took_s)


def _wait_for(database: Database, question: str) -> None:
    ends = time.monotonic() + 60
    while database.query(question) == [(0,)]:
        assert time.monotonic() < ends, question
        select.select([], [], [], 0.05)


def test_reset_is_for_the_embedded_server_only(project: Project, database: Database) -> None:
    """A database that the environment names is not touched, nor is one of a function."""
    project.run("migrate", "upgrade", url=database.url)
    for words in (["reset"], ["--env", "dev", "reset"]):
        done = project.run("migrate", *words, url=database.url)
        assert done.returncode == 2
        assert "it is for the embedded PostgreSQL only: `migrate reset --local`." in " ".join(done.stderr.split())
    assert project.run("migrate", "--local", "--env", "dev", "reset", url=database.url).returncode == 2
    assert project.run("migrate", "current", url=database.url).stdout == "017_dry_run_log\n"


def test_the_embedded_database_is_made_new(project: Project) -> None:
    """Twice, with a session connected, half deleted, and where there is none: empty afterwards, and it runs."""
    psql = ("python", "-m", "runner.postgres.embedded", "psql")
    data = project.folder / ".postgres"
    try:
        first = project.run("migrate", "reset", "--local")
        assert first.stderr == NEW.format("is new and empty; there was none before")
        assert project.run("migrate", "--local", "upgrade").returncode == 0
        connected = project.start(*psql, "-c", "select pg_sleep(600)", url="")
        running = "select count(*) from pg_stat_activity where query like '%sleep(600)' and pid <> pg_backend_pid()"
        while project.run(*psql, "-Atc", running).stdout != "1\n":
            assert connected.poll() is None
        # whatever `DATABASE_URL` says
        again = project.run("migrate", "reset", "--local", url="postgresql://nobody@nowhere/none")
        assert (again.returncode, again.stderr) == (0, NEW.format("is new and empty, and the old data are deleted"))
        assert "terminating connection" in connected.communicate()[1]
        assert "is at `base`; 2 revisions pending." in project.run("migrate", "--local", "current").stderr
        project.run("python", "-m", "runner.postgres.embedded", "stop")
        # what an interrupted one leaves
        (data / "PG_VERSION").unlink()
        refused = project.run("migrate", "--local", "current")
        assert (refused.returncode, "`migrate reset --local`" in refused.stderr) == (1, True)
        assert project.run("migrate", "reset", "--local").returncode == 0
        assert project.run("migrate", "--local", "upgrade").returncode == 0
    finally:
        project.run("python", "-m", "runner.postgres.embedded", "stop")


def test_embedded_is_asked_for_by_name(project: Project) -> None:
    """`--local` and `DATABASE_URL=embedded:` are the same server, whose data outlive the process."""
    try:
        upgraded = project.run("migrate", "--local", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        named = project.run("migrate", "current", url="embedded:")
        assert named.stdout == "017_dry_run_log\n"
        tables = project.run(
            "python", "-m", "runner.postgres.embedded", "psql", "-Atc", "select count(*) from dry_run_log"
        )
        assert tables.stdout == "0\n"
        assert (project.folder / ".postgres" / "PG_VERSION").exists()
        plain = project.run("alembic", "current", url="embedded:")
        assert plain.stdout == "017_dry_run_log (head)\n"
    finally:
        project.run("python", "-m", "runner.postgres.embedded", "stop")
    assert not (project.folder / ".postgres" / "postmaster.pid").exists()
    again = project.run("migrate", "current", "--local")
    project.run("python", "-m", "runner.postgres.embedded", "stop")
    assert again.stdout == "017_dry_run_log\n"
