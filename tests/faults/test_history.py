"""An applied revision that was edited since is refused, through every door."""

import json
import py_compile
from pathlib import Path

import pytest

from support import emulator
from support.postgres import Database
from support.project import Project


def edit(project: Project) -> Path:
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_bytes(path.read_bytes() + b"#")
    return path


@pytest.fixture
def edited(project: Project, migrated: Database) -> Path:
    """One byte more in an applied revision, its bytecode from before beside it."""
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    py_compile.compile(str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    project.add("018_next", "op.execute('create table next ()')")
    return edit(project)


def test_one_byte_more(project: Project, tmp_path_factory, database: Database, edited: Path) -> None:
    """Named with the day it ran and both checksums; nothing is applied through any door."""
    ran_at, recorded = database.query(
        "select to_char(started_at at time zone 'UTC', 'YYYY-MM-DD'), checksum from runner.migration_log "
        "where revision = '017_dry_run_log'"
    )[0]
    answer = project.ask(database.url, {"action": "upgrade"})
    found = project.ask(None, {"action": "show", "target": "017"})["revisions"][0]["checksum"]
    message = (
        f"history-changed: `017_dry_run_log` was edited after it ran here on {ran_at} (recorded {recorded[:8]}…, file "
        f"{found[:8]}…); only comments, docstrings or layout changed. Nothing was changed. "
        "Accept the new text with `migrate repair 017_dry_run_log`, or put the old text back."
    )
    assert answer["message"] == message
    assert project.run("migrate", "upgrade", url=database.url).stderr == message + "\n"
    plain = project.run("alembic", "upgrade", "head", url=database.url)
    assert f"FAILED: {message}" in plain.stderr + plain.stdout
    task = emulator.lay_out(tmp_path_factory.mktemp("lambda"), project.folder)
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        said = message.replace("migrate repair 017_dry_run_log", '{"action":"repair","target":"017_dry_run_log"}')
        assert function.invoke({"action": "run-migration", "target": "all"})["message"] == said
    down = project.ask(database.url, {"action": "downgrade", "target": "016"})
    assert down["message"] == message
    assert database.query("select to_regclass('next')") == [(None,)]


COMMENTS = [
    ("    op.execute('create table t ()')", "    # why\n    op.execute(\n        'create table t ()'\n    )"),
    ("    op.execute('create table t ()')", '    """Make it."""\n    op.execute(\'create table t ()\')'),
    ("    op.execute('create table t ()')", '    op.execute("create table t ()")  # lint-allow x: y'),
    ('"""words"""', '"""Other words."""'),
]


@pytest.mark.parametrize(("old", "new"), COMMENTS, ids=["layout", "docstring", "quotes", "module"])
def test_only_words_changed(project: Project, database: Database, old: str, new: str) -> None:
    """Then a repair is safe, comes first and says nothing of a difference."""
    path = project.add("018_words", "op.execute('create table t ()')")
    project.ask(database.url, {"action": "upgrade"})
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["error"].endswith("; only comments, docstrings or layout changed.")
    assert answer["hint"] == "Accept the new text with `migrate repair 018_words`, or put the old text back."
    answer = project.ask(database.url, {"action": "repair", "target": "018"})
    assert answer["message"] == "Recorded the present text of `018_words`, and cleared 0 leftovers."
    assert "accepted-edit" not in [one["kind"] for one in project.ask(database.url, {"action": "check"})["findings"]]


@pytest.mark.parametrize(
    ("old", "new"),
    [("create table t ()", "create table t (a int)"), ("import time\n", ""), ("'018_words'\n", "'018_words'\nX = 1\n")],
    ids=["statement", "import", "name"],
)
def test_what_runs_changed(project: Project, database: Database, old: str, new: str) -> None:
    """The old text comes first, then `redo`, which is for the newest one; `repair` says what stays different."""
    path = project.add("018_words", "op.execute('create table t ()')")
    project.ask(database.url, {"action": "upgrade"})
    path.write_text(path.read_text().replace(old, new))
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["error"].endswith("; what it runs changed.")
    assert answer["hint"] == (
        "Put the old text back; or revert it and apply the new text with `migrate redo`; or accept the new text with "
        "`migrate repair 018_words`: the database stays as the old text made it, and `migrate check` says so."
    )


def test_a_docstring_that_is_read_is_no_comment(project: Project, database: Database) -> None:
    path = project.add("018_words", "op.execute(upgrade.__doc__ or __doc__)")
    path.write_text(path.read_text().replace('"""words"""', '"""select 1"""'))
    project.ask(database.url, {"action": "upgrade"})
    path.write_text(path.read_text().replace('"""select 1"""', '"""select 2"""'))
    assert project.ask(database.url, {"action": "upgrade"})["error"].endswith("; what it runs changed.")


def test_an_older_row_does_not_say_what_ran(project: Project, database: Database) -> None:
    """Its ledger has no column for it: `check` and `plan` read it as it is, and nothing is claimed."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("alter table runner.migration_log drop column code_checksum, drop column downgrade_checksum")
    edit(project)
    answer = project.ask(database.url, {"action": "plan"})
    assert answer["error"].endswith("…).")
    assert answer["hint"].startswith("Put the old text back; or revert it")
    assert found(project, database)["history-changed"] == "error"
    assert project.ask(database.url, {"action": "repair", "target": "017"})["status"] == "success"
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_check_stays_red_until_the_schema_agrees(project: Project, database: Database) -> None:
    """A repair of what runs something else: without a snapshot of the new text nothing says that the schema agrees."""
    path = project.add("018_words", "op.execute('create table t ()')", downgrade="op.execute('drop table t')")
    project.ask(database.url, {"action": "upgrade"})
    old = path.read_text()
    path.write_text(old.replace("create table t ()", "create table t (a int)"))
    answer = project.ask(database.url, {"action": "repair", "target": "018"})
    assert answer["message"] == (
        "Recorded the present text of `018_words`, and cleared 0 leftovers. It runs something else than what ran here: "
        "the database stays as the old text made it, and `migrate check` reports that until the schema is the one of "
        "the new text's snapshot."
    )
    assert found(project, database)["accepted-edit"] == "error"
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    assert found(project, database)["drift"] == "error"
    database.execute("alter table t add a int")
    assert found(project, database)["accepted-edit"] == "note"
    # the text that ran is a repair without a difference
    path.write_text(old)
    assert "; only comments" in project.ask(database.url, {"action": "upgrade"})["error"]
    project.ask(database.url, {"action": "repair", "target": "018"})
    assert "accepted-edit" not in found(project, database)


def found(project: Project, database: Database) -> dict[str, str]:
    """Return the level of each kind of finding."""
    return {one["kind"]: one["level"] for one in project.ask(database.url, {"action": "check"})["findings"]}


def test_line_endings_do_not_count_a_comment_does(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    path.write_bytes(path.read_bytes() + b"# a comment\r\n")
    assert project.ask(database.url, {"action": "upgrade"})["code"] == "history-changed"


def test_repair_accepts_the_new_text(project: Project, database: Database, edited: Path) -> None:
    """The revision is not run again; its new checksum is recorded, and the upgrade goes on."""
    done = project.run("migrate", "--json", "repair", "017", "--actor", "ana", url=database.url)
    answer = json.loads(done.stdout)
    assert answer["message"] == "Recorded the present text of `017_dry_run_log`, and cleared 0 leftovers."
    assert database.query(
        "select l.direction, l.status, r.action, r.actor from runner.migration_log l "
        "join runner.migration_run r using (run_id) order by log_id desc limit 1"
    ) == [("stamp", "success", "repair", "ana")]
    assert project.ask(database.url, {"action": "upgrade"})["to"] == "018_next"


def test_repair_of_what_is_not_applied(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade", "target": "016"})
    answer = project.ask(database.url, {"action": "repair", "target": "017"})
    assert answer["message"] == (
        "unknown-revision: `017_dry_run_log` is not applied here, so there is nothing to repair. Nothing was changed. "
        "List the applied revisions with `migrate history`."
    )


def test_repair_drops_what_a_failed_build_left(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    database.execute("create table t as select 1 as a from generate_series(1, 2)")
    with pytest.raises(Exception, match="could not create unique index"):
        database.execute("create unique index concurrently t_a on t (a)")
    answer = project.ask(database.url, {"action": "repair", "target": "017"})
    assert answer["cleared"] == ["public.t_a"]
    assert database.query("select count(*) from pg_index where not indisvalid") == [(0,)]


def test_no_record_means_adopted(project: Project, database: Database) -> None:
    """A revision that was stamped before there was a ledger is not called changed."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop schema runner cascade")
    edit(project)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_an_earlier_image_is_named_when_reverting(project: Project, database: Database) -> None:
    """What another image applied is reverted with a word of warning."""
    project.ask(database.url, {"action": "upgrade"}, IMAGE_DIGEST="sha256:old")
    answer = project.ask(database.url, {"action": "downgrade", "target": "-1"}, IMAGE_DIGEST="sha256:new")
    assert answer["status"] == "success"
    assert answer["warnings"] == ["`017_dry_run_log` was applied by another image, `sha256:old`."]
