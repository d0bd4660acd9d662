"""The revisions themselves, through the front door, on a real PostgreSQL."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from runner.engine.snapshots import Snapshots
from support.postgres import Database, read_catalog
from support.project import ROOT, Project


@pytest.fixture
def whole(tmp_path: Path) -> Project:
    """Return a copy with every revision that is written, not only those that the other tests know."""
    return Project.copy_whole(tmp_path)


def test_plain_alembic_needs_nothing_but_database_url(project: Project, database: Database) -> None:
    """`alembic upgrade head` over TCP, as against a Docker PostgreSQL, goes through lock and ledger."""
    done = project.run("alembic", "upgrade", "head", url=database.url)
    assert done.returncode == 0, done.stderr
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    assert database.query("select revision, direction, status from runner.migration_log order by log_id") == [
        ("016_platform_baseline", "upgrade", "success"),
        ("017_dry_run_log", "upgrade", "success"),
    ]
    assert database.query("select action, target, status from runner.migration_run") == [
        ("upgrade", "017_dry_run_log", "success")
    ]


def test_alembic_check_finds_no_drift_at_head(whole: Project, database: Database) -> None:
    """The models say what the revisions make."""
    whole.ask(database.url, {"action": "upgrade"})
    done = whole.run("alembic", "check", url=database.url)
    assert done.returncode == 0, done.stderr
    assert "No new upgrade operations detected." in done.stdout


def test_alembic_check_sees_a_check_and_a_default_that_the_models_lack(project: Project, database: Database) -> None:
    """The comparison above looks at what Alembic leaves out by default."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("alter table leads drop constraint leads_interesse_check")
    database.execute("alter table disparos alter column attempts set default 7")
    done = project.run("alembic", "check", url=database.url)
    assert done.returncode != 0
    assert "leads_interesse_check" in done.stdout + done.stderr
    assert "attempts" in done.stdout + done.stderr


def test_up_down_up_ends_in_the_same_catalog(whole: Project, database: Database) -> None:
    """Tables, columns, types, defaults, constraints, indexes, comments, functions, triggers."""
    whole.ask(database.url, {"action": "upgrade"})
    first = read_catalog(database)
    assert len(first["tables"]) >= 8
    down = whole.ask(database.url, {"action": "downgrade", "target": "base"})
    assert (down["status"], down["to"]) == ("success", None)
    left = """
        select 'relation', relname from pg_class where relnamespace = 'public'::regnamespace
        union all select 'function', proname from pg_proc where pronamespace = 'public'::regnamespace
        union all select 'type', typname from pg_type where typnamespace = 'public'::regnamespace
        order by 1, 2
    """
    assert database.query(left) == [
        ("relation", "alembic_version"),
        ("relation", "alembic_version_pkc"),
        ("type", "_alembic_version"),
        ("type", "alembic_version"),
    ]
    whole.ask(database.url, {"action": "upgrade"})
    assert read_catalog(database) == first


def test_snapshots_are_up_to_date(whole: Project, database: Database) -> None:
    """`alembic/schema/` is what the revisions really make; `migrate snapshot` mends it."""
    for path in (whole.folder / "alembic" / "schema").iterdir():
        path.unlink()
    done = whole.run("migrate", "snapshot", url=database.url)
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_text() for path in (whole.folder / "alembic" / "schema").iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "alembic" / "schema").iterdir()}
    assert written == kept
    assert database.query("select count(*) from pg_database where datname like 'snapshot%'") == [(0,)]
    again = whole.run("migrate", "snapshot", url=database.url)
    assert (again.stdout, again.stderr) == ("", "Nothing to write: everything is up to date.\n")


def test_snapshot_follows_a_new_revision_and_forgets_a_removed_one(project: Project, database: Database) -> None:
    path = project.add("018_note", "op.add_column('leads', sa.Column('note', sa.Text()))")
    made = project.run("migrate", "snapshot", url=database.url)
    assert made.stdout == "alembic/schema/018_note.json\n"
    path.unlink()
    gone = project.run("migrate", "snapshot", url=database.url)
    assert gone.stdout == "alembic/schema/018_note.json\n"
    assert not (project.folder / "alembic" / "schema" / "018_note.json").exists()


BRANCHES = ("017_dry_run_log", "018_left", "018_right", "019_merge", "019_depends")


def test_snapshots_of_branches_hold_their_ancestors_only(project: Project, database: Database) -> None:
    """Each side of a branch is snapshotted without the other, their merge with both; an edit counts for those after."""
    project.add("018_left", "op.add_column('leads', sa.Column('a', sa.Text()))")
    project.add("018_right", "op.add_column('leads', sa.Column('b', sa.Text()))")
    merge = project.add("019_merge", "pass")
    merge.write_text(merge.read_text().replace("'017_dry_run_log'", "('018_left', '018_right')"))
    depends = project.add("019_depends", "op.execute('select 1')", after="018_left")
    depends.write_text(depends.read_text().replace("def upgrade", "depends_on = '018_right'\ndef upgrade"))
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0

    def added(revision: str) -> set[str]:
        columns = project.snapshot(revision)["tables"]["public.leads"]["columns"]
        return {"a", "b"} & set(columns)

    assert (added("018_left"), added("018_right"), added("019_merge")) == ({"a"}, {"b"}, {"a", "b"})
    config = Config(project.folder / "alembic.ini")
    assert [Snapshots(ScriptDirectory.from_config(config)).is_current(one) for one in BRANCHES] == [True] * 5
    project.add("018_right", "op.add_column('leads', sa.Column('b', sa.BigInteger()))")
    found = [Snapshots(ScriptDirectory.from_config(config)).is_current(one) for one in BRANCHES]
    assert dict(zip(BRANCHES, found, strict=True)) == {
        "017_dry_run_log": True,
        "018_left": True,
        "018_right": False,
        "019_merge": False,
        "019_depends": False,
    }


def test_revisions_do_not_import_the_models() -> None:
    """A revision is frozen in time; the models move on."""
    for path in Path(ROOT / "alembic" / "versions").glob("*.py"):
        assert "models" not in path.read_text(), path


def test_offline_sql_needs_no_database(project: Project) -> None:
    """`alembic upgrade head --sql` prints the statements and connects to nothing."""
    done = project.run("alembic", "upgrade", "head", "--sql")
    assert done.returncode == 0, done.stderr
    assert "CREATE TABLE IF NOT EXISTS dry_run_log" in done.stdout
