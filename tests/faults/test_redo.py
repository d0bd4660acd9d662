"""`redo` reverts the newest revision by the `downgrade()` with which it ran, and applies its present text."""

import json
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from support import old_runner, waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

NARROW, WIDE = (f"op.execute('create table scores (score {type_})')" for type_ in ("smallint", "bigint"))
DROP = "op.execute('drop table scores')"
REDO = {"action": "redo"}
RUNS = "select direction, status, idempotency_key from runner.migration_run where action = 'redo' order by run_id"
LOG = """
    select l.revision, l.direction, l.status from runner.migration_log l join runner.migration_run r using (run_id)
    where action = 'redo' order by log_id
"""


@pytest.fixture
def applied(project: Project, database: Database) -> Project:
    """A project whose newest revision has run."""
    project.add("018_score", NARROW, downgrade=DROP)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    return project


def edit(project: Project, upgrade: str = WIDE, downgrade: str = DROP) -> Path:
    return project.add("018_score", upgrade, downgrade=downgrade)


def kind(database: Database) -> str:
    """Return the type of the column, `none` without the table."""
    return str(
        database.query(
            "select coalesce((select format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = to_regclass('scores') and attname = 'score'), 'none')"
        )[0][0]
    )


def test_the_new_text_replaces_the_old(applied: Project, database: Database) -> None:
    """An edited revision that every other verb refuses; afterwards nothing is edited any more."""
    edit(applied)
    assert applied.ask(database.url, {"action": "upgrade"})["code"] == "history-changed"
    asked = {**REDO, "idempotency_key": "k", "actor": "ana"}
    answer = applied.ask(database.url, asked)
    assert (answer["status"], answer["from"], answer["to"], answer["target"]) == ("success", *("018_score",) * 3)
    assert [(one["revision"], one["direction"], one["locks"]) for one in answer["applied"]] == [
        ("018_score", "downgrade", {"scores": "AccessExclusiveLock"}),
        ("018_score", "upgrade", {"scores": "AccessExclusiveLock"}),
    ]
    assert answer["message"].startswith("`018_score`: Reverted it and applied its present text, in ")
    assert kind(database) == "bigint"
    assert database.query(RUNS) == [
        ("downgrade", "success", None),
        ("upgrade", "success", "k"),
    ]
    assert database.query(LOG) == [("018_score", "downgrade", "success"), ("018_score", "upgrade", "success")]
    # Lambda's own retry of a call runs nothing
    assert applied.ask(database.url, asked) == answer
    assert len(database.query(RUNS)) == 2
    assert applied.ask(database.url, {"action": "upgrade"})["applied"] == []
    # what did not change can be redone as well
    done = applied.run("migrate", "redo", url=database.url)
    assert (done.returncode, len(database.query(RUNS))) == (0, 4), done.stderr


def test_rows_that_are_lost_are_confirmed(applied: Project, database: Database) -> None:
    """In any environment, and before anything is changed."""
    database.execute("insert into scores values (1), (2)")
    edit(applied)
    assert applied.ask(database.url, REDO)["message"] == (
        "confirm-needed: Reverting `018_score` drops `public.scores` and its 2 rows. Nothing was changed. "
        "Run the same command with `--confirm 018_score`."
    )
    assert (kind(database), database.query(RUNS)) == ("smallint", [])
    assert applied.run("migrate", "redo", "--confirm", "018_score", url=database.url).returncode == 0
    assert kind(database) == "bigint"


def test_a_failed_upgrade_is_applied_by_the_next_call(applied: Project, database: Database) -> None:
    """Its revision is reverted, and a repeated `redo` must not revert the one before; nor after a failed `upgrade`."""
    edit(applied, "op.execute('select 1/0')")
    answer = applied.ask(database.url, REDO)
    assert (answer["code"], answer["to"], answer["pending"]) == ("revision-failed", "017_dry_run_log", ["018_score"])
    assert "1 of 2 revisions completed. The database is at `017_dry_run_log`, and the failed" in answer["message"]
    assert database.query(LOG) == [("018_score", "downgrade", "success"), ("018_score", "upgrade", "failed")]
    assert applied.ask(database.url, {"action": "upgrade"})["code"] == "revision-failed"
    assert applied.ask(database.url, REDO)["code"] == "revision-failed"
    assert applied.ask(database.url, {"action": "current"})["current"] == ["017_dry_run_log"]
    path = edit(applied)
    path.rename(path.with_suffix(".txt"))
    assert applied.ask(database.url, REDO)["message"] == (
        "unknown-revision: The last `redo` reverted `018_score`, which no file has now. Nothing was changed. "
        "Revert another one by name with `migrate downgrade REVISION`, then run `migrate upgrade`."
    )
    edit(applied)
    answer = applied.ask(database.url, REDO)
    assert answer["message"].startswith("`018_score`: An earlier `redo` had reverted it; applied its present text, in ")
    assert (kind(database), [one["direction"] for one in answer["applied"]]) == ("bigint", ["upgrade"])


def test_the_time_runs_out_in_the_second_half(applied: Project, database: Database) -> None:
    """A `partial` answer, and whoever repeats the call gets to the end."""
    edit(applied, f"{WIDE}\n{UNTIL_TOLD}")
    answer = applied.ask(database.url, REDO, ends_in="018_score", left_s=2)
    assert (answer["status"], answer["code"], kind(database)) == ("partial", "deadline", "none")
    database.execute("create table told ()")
    assert applied.ask(database.url, REDO)["status"] == "success"
    assert kind(database) == "bigint"


@pytest.mark.parametrize("half", ["downgrade", "upgrade"])
def test_an_interrupted_one_is_repeated(applied: Project, database: Database, half: str) -> None:
    """Ctrl-C in either half rolls that half back; the same command then comes to the end."""
    told = f"{{}}\n{UNTIL_TOLD}"
    bodies = {"upgrade": WIDE, "downgrade": DROP}
    path = edit(applied, **{**bodies, half: told.format(bodies[half])})
    applied.ask(database.url, {"action": "repair", "target": "018"})
    process = applied.start("migrate", "redo", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert kind(database) == ("smallint" if half == "downgrade" else "none")
    database.execute("create table told ()")
    assert applied.run("migrate", "redo", url=database.url).returncode == 0, path
    assert kind(database) == "bigint"


@pytest.mark.parametrize("half", ["downgrade", "upgrade"])
def test_a_killed_one_is_repeated(applied: Project, database: Database, half: str) -> None:
    """The next call writes in which half it was, and comes to the end."""
    bodies = {"upgrade": WIDE, "downgrade": DROP}
    edit(applied, **{**bodies, half: f"{bodies[half]}\n{UNTIL_TOLD}"})
    applied.ask(database.url, {"action": "repair", "target": "018"})
    process = applied.start("migrate", "redo", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    process.kill()
    process.communicate()
    waiting.terminate(database, "the migration's")
    database.execute("create table told ()")
    assert applied.ask(database.url, REDO)["status"] == "success"
    assert kind(database) == "bigint"
    halves = [(direction, status) for _, direction, status in database.query(LOG)]
    done = [("downgrade", "success"), ("upgrade", "success")]
    interrupted = [*done[:1], ("upgrade", "interrupted"), *done[1:]]
    assert halves == (interrupted if half == "upgrade" else [("downgrade", "interrupted"), *done])


@pytest.mark.parametrize("half", ["downgrade", "upgrade"])
def test_a_lost_connection_repeats_one_half(applied: Project, database: Database, half: str) -> None:
    """What was committed is read from the version table, and is not done twice."""
    bodies = {"upgrade": WIDE, "downgrade": DROP}
    edit(applied, **{**bodies, half: f"{bodies[half]}\n{UNTIL_TOLD}"})
    applied.ask(database.url, {"action": "repair", "target": "018"})
    process = applied.start("migrate", "--json", "redo", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    waiting.terminate(database, "the migration's")
    waiting.until_said(process, "The connection was lost; reconnecting")
    database.execute("create table told ()")
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert [one["direction"] for one in json.loads(stdout)["applied"]] == ["downgrade", "upgrade"]
    assert kind(database) == "bigint"
    assert database.query(LOG)[-2:] == [("018_score", "downgrade", "success"), ("018_score", "upgrade", "success")]
    assert [status for _, status, _ in database.query(RUNS)] == ["success", "success"]


def test_a_lock_is_waited_for_in_each_half(applied: Project, database: Database) -> None:
    """A half that did not get its lock is rolled back and tried again, from where the database is."""
    edit(applied, f"{WIDE}\nop.execute('alter table leads add x int')")
    holders = [closing(database.server.connect(database.name)) for _ in range(2)]
    with holders[0] as scores, holders[1] as leads:
        for holder, table in ((scores, "scores"), (leads, "leads")):
            holder.cursor().execute(f"begin; lock table {table} in access share mode")
        process = applied.start("migrate", "redo", url=database.url, LOCK_TIMEOUT_MS="200")
        for holder, left in ((scores, "smallint"), (leads, "none")):
            waiting.until_said(process, "Retrying `018_score`; it was rolled back.")
            assert kind(database) == left
            holder.cursor().execute("rollback")
            if holder is scores:
                waiting.until(database, "select count(*) from pg_class where relname = 'scores'", 0)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert kind(database) == "bigint"


def test_an_edited_downgrade_is_not_run(applied: Project, database: Database, tmp_path: Path) -> None:
    """Its text is in git: the commit is named. `repair` accepts the present one, and the way goes on."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD")
    path = edit(applied, downgrade="op.execute('drop table if exists scores')")
    git(tmp_path, "commit", "-q", "-a", "-m", "second")
    hint = f"Put the old text back: `git restore --source={commit} alembic/versions/018_score.py`; or revert it"
    done = applied.run("migrate", "upgrade", url=database.url)
    assert hint in done.stderr
    done = applied.run("migrate", "redo", url=database.url)
    show = f"git show {commit}:./alembic/versions/018_score.py"
    assert done.stderr == (
        "history-changed: `downgrade()` of `018_score` was edited after it ran, so it may not revert what ran here. "
        f"Nothing was changed. Take `downgrade()` from commit {commit} (`{show}`), then run `migrate redo` again; or "
        "accept the present text with `migrate repair 018_score`.\n"
    )
    assert "drop table scores" in git(tmp_path, "show", f"{commit}:./{path.relative_to(tmp_path)}")
    # a row of an older image does not have the checksum, and git has the text
    database.execute("update runner.migration_log set downgrade_checksum = null, code_checksum = null")
    assert applied.ask(database.url, REDO)["code"] == "history-changed"
    assert applied.run("migrate", "repair", "018", url=database.url).returncode == 0
    assert applied.run("migrate", "redo", url=database.url).returncode == 0
    assert kind(database) == "bigint"


def test_a_downgrade_that_nobody_knows(applied: Project, database: Database) -> None:
    """The row of an older image does not say how it was, and there is no git."""
    database.execute("update runner.migration_log set downgrade_checksum = null, code_checksum = null")
    edit(applied)
    message = applied.ask(database.url, REDO)["message"]
    assert message.startswith(
        "history-changed: It is not known whether `downgrade()` of `018_score` was edited after it ran, so it may not "
        "revert what ran here. Nothing was changed. No commit of `"
    )
    assert kind(database) == "smallint"


def test_what_a_downgrade_uses_counts(project: Project, database: Database) -> None:
    """A name of the file that `downgrade()` uses is a part of it; one that only `upgrade()` uses is none."""
    path = project.add("018_score", f"{NARROW}\nUNUSED", downgrade="op.execute('drop table ' + TABLE)")
    path.write_text(path.read_text() + "TABLE = 'scores'\nUNUSED = 1\n")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    path.write_text(path.read_text().replace("UNUSED = 1", "UNUSED = 2"))
    assert project.ask(database.url, REDO)["status"] == "success"
    path.write_text(path.read_text().replace("'scores'", "'leads'"))
    assert "`downgrade()` of `018_score` was edited" in project.ask(database.url, REDO)["message"]


def test_nothing_and_several(project: Project, database: Database) -> None:
    """Without one newest revision, there is nothing that could be meant."""
    assert project.ask(database.url, REDO)["message"] == (
        "unknown-revision: Nothing is applied here. Nothing was changed. Apply the revisions with `migrate upgrade`."
    )
    for name in ("018_a", "018_b"):
        project.add(name, f"op.execute('create table t{name} ()')", downgrade=f"op.execute('drop table t{name}')")
        assert project.ask(database.url, {"action": "upgrade", "target": name})["status"] == "success"
    assert project.ask(database.url, REDO)["message"] == (
        "unknown-revision: The database is at `018_a` and `018_b`, so no revision is the newest one. Nothing was "
        "changed. Revert by name with `migrate downgrade REVISION`, then run `migrate upgrade`."
    )
    merge = project.add("019_merge", "op.execute('create table m ()')", downgrade="op.execute('drop table m')")
    merge.write_text(merge.read_text().replace("'017_dry_run_log'", "('018_a', '018_b')"))
    assert project.ask(database.url, {"action": "upgrade"})["to"] == "019_merge"
    merge.write_text(merge.read_text().replace("create table m ()", "create table m (a int)"))
    assert project.ask(database.url, REDO)["to"] == "019_merge"
    assert database.query("select count(*) from pg_attribute where attrelid = 'm'::regclass and attnum > 0") == [(1,)]


def test_an_edit_further_down_is_refused(applied: Project, database: Database) -> None:
    """Only the text of the revision that is reverted may be another one."""
    path = applied.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_text(path.read_text() + "NEW = 1\n")
    answer = applied.ask(database.url, REDO)
    assert (answer["code"], answer["revision"]) == ("history-changed", "017_dry_run_log")
    assert "migrate redo" not in answer["hint"]


def test_in_a_protected_environment(applied: Project, database: Database) -> None:
    """Not allowed, not offered; where it is allowed by name, it requires confirmation."""
    edit(applied)
    assert applied.ask(database.url, REDO, ENVIRONMENT="prod")["code"] == "action-not-allowed"
    hint = applied.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")["hint"]
    assert "migrate redo" not in hint
    assert "accept the new text with `migrate repair 018_score` where `ALLOWED_ACTIONS` names `repair`: " in hint
    hint = applied.ask(database.url, {"action": "plan"}, ALLOWED_ACTIONS="plan,repair")["hint"]
    assert "migrate redo" not in hint
    assert "where `ALLOWED_ACTIONS`" not in hint
    allowed = {"ENVIRONMENT": "prod", "ALLOWED_ACTIONS": "redo"}
    assert applied.ask(database.url, REDO, **allowed)["message"] == (
        "confirm-needed: `redo` in `prod` requires confirmation. Nothing was changed. "
        "Run the same command with `--confirm 018_score`."
    )
    assert applied.ask(database.url, {**REDO, "confirm": "018_score"}, **allowed)["status"] == "success"


def test_autocommit_blocks(project: Project, database: Database) -> None:
    """Both halves may be outside a transaction; what a failed one left is built again by the next call."""
    database.execute("create table t as select 1 as a, n as b from generate_series(1, 2) n")
    block = "with op.get_context().autocommit_block():\n    op.execute('{}')"
    made, dropped = "create {} concurrently t_x on t ({})", block.format("drop index concurrently t_x")
    project.add("018_index", block.format(made.format("index", "a")), downgrade=dropped)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    project.add("018_index", block.format(made.format("unique index", "a")), downgrade=dropped)
    answer = project.ask(database.url, REDO)
    assert (answer["code"], answer["to"], answer["leftovers"]) == ("revision-failed", "017_dry_run_log", [])
    project.add("018_index", block.format(made.format("unique index", "b")), downgrade=dropped)
    assert project.ask(database.url, REDO)["status"] == "success"
    assert database.query("select pg_get_indexdef('t_x'::regclass, 1, true)") == [("b",)]


def test_an_older_image_goes_on(applied: Project, database: Database) -> None:
    """It reads what a `redo` wrote, and writes rows that say less; then nothing is claimed of them."""
    edit(applied)
    assert applied.ask(database.url, REDO)["status"] == "success"
    env = applied.folder / "alembic" / "env.py"
    today = env.read_text()
    old_runner.install(applied)
    path = applied.add("019_later", "op.execute('create table later ()')", after="018_score")
    for words in (["upgrade"], ["history"]):
        process = old_runner.start(applied, *words, url=database.url)
        told = process.communicate()
        assert process.returncode == 0, told
    env.write_text(today)
    path.write_text(path.read_text() + "# edited\n")
    answer = applied.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["error"].endswith("…).")) == ("history-changed", True)
    assert "migrate redo" in answer["hint"]


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", folder, "-c", "user.name=ana", "-c", "user.email=ana@example.com", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
