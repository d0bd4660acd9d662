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
def edited(project: Project, database: Database) -> Path:
    """One byte more in an applied revision, its bytecode from before beside it."""
    project.ask(database.url, {"action": "upgrade"})
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
        f"{found[:8]}…). Nothing was changed. Restore the file, or accept the new text with "
        "`migrate repair 017_dry_run_log`."
    )
    assert answer["message"] == message
    assert project.run("migrate", "upgrade", url=database.url).stderr == message + "\n"
    plain = project.run("alembic", "upgrade", "head", url=database.url)
    assert f"FAILED: {message}" in plain.stderr + plain.stdout
    task = emulator.lay_out(tmp_path_factory.mktemp("lambda"), project.folder)
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        assert function.invoke({"action": "run-migration", "target": "all"})["message"] == message
    down = project.ask(database.url, {"action": "downgrade", "target": "016"})
    assert down["message"] == message
    assert database.query("select to_regclass('next')") == [(None,)]


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
