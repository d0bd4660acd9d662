"""Several projects in one database, each with its own version table; and images of different age beside each other."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

from runner.engine import ledger
from runner.postgres import version_table
from runner.project import VersionTable
from support import old_runner, postgres, waiting
from support.postgres import PASSWORD, Database
from support.project import UNTIL_TOLD, Project

RUNS = "select version_table, action, status from runner.migration_run order by run_id"
LOG = "select version_table, revision, direction, status from runner.migration_log order by log_id"
OURS, THEIRS = "public.alembic_version", "public.other_version"
TELL = "create table told ()"
VALID = """
    select indexrelid::regclass::text, indisvalid from pg_index where indrelid = 'shared'::regclass order by 1
"""


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return another project, whose only revision has the name of one of ours and another text."""
    return make_other(tmp_path_factory.mktemp("other"), 'version_table = "other_version"')


def make_other(folder: Path, section: str) -> Project:
    project = Project.copy(folder)
    for path in (*folder.glob("alembic/versions/*.py"), *folder.glob("alembic/schema/*.json")):
        path.unlink()
    (folder / "migrate.toml").write_text(f"[project]\n{section}\n")
    project.add("018_step", "op.execute('create table other ()')", after=None, downgrade="op.drop_table('other')")
    return project


def ended(process: "subprocess.Popen[str]") -> int:
    """Return a program's exit code, once it has ended."""
    process.communicate()
    return process.returncode


def upgrade(project: Project, database: Database, **payload: Any) -> dict[str, Any]:
    answer = project.ask(database.url, {"action": "upgrade", **payload}, IMAGE_DIGEST=f"sha256:{project.folder.name}")
    assert answer["status"] == "success", answer["message"]
    return answer


def records(project: Project, database: Database) -> dict[str, Any]:
    """Return the ledger's status of each revision that `history` shows."""
    revisions = project.ask(database.url, {"action": "history"})["revisions"]
    return {one["revision"]: one["ledger"] and one["ledger"]["status"] for one in revisions}


def test_two_at_once(project: Project, other: Project, database: Database) -> None:
    """Neither waits for the other's lock, takes its live run for a killed one, or its rows for its own."""
    project.add("018_step", UNTIL_TOLD)
    running = project.start("migrate", "--json", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    done = upgrade(other, database, idempotency_key="same")
    assert (done["from"], done["to"], done["pending"]) == (None, "018_step", [])
    database.execute(TELL)
    output, _ = running.communicate()
    assert json.loads(output)["status"] == "success"
    assert database.query(RUNS) == [(OURS, "upgrade", "success"), (THEIRS, "upgrade", "success")]
    assert set(database.query(LOG)) == {
        *((OURS, name, "upgrade", "success") for name in ("016_platform_baseline", "017_dry_run_log", "018_step")),
        (THEIRS, "018_step", "upgrade", "success"),
    }
    # another project's key repeats nothing, and neither text is taken for an edited one
    again = upgrade(project, database, idempotency_key="same")
    assert again["applied"] == []
    assert upgrade(other, database)["applied"] == []
    assert records(other, database) == {"018_step": "success"}
    images = [each.ask(database.url, {"action": "history"})["images"] for each in (project, other)]
    assert [[one["image_digest"] for one in each] for each in images] == [
        [f"sha256:{each.folder.name}"] for each in (project, other)
    ]
    checks = [project.ask(database.url, {"action": "check"})["findings"] for project in (project, other)]
    assert not [one for found in checks for one in found if one["kind"] in ("history-changed", "leftover")]


def test_all_begin_with_the_first_ledger(database: Database) -> None:
    """Each project has a lock of its own, and of two CREATE … IF NOT EXISTS at once one can fail."""
    at_once = Barrier(8)

    def prepare(_: int) -> None:
        with postgres.connect(database).execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("select 1")
            at_once.wait()
            ledger.prepare(connection)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            list(pool.map(prepare, range(8)))
            assert database.query("select count(*) from runner.migration_run") == [(0,)]
            database.execute("drop schema runner cascade")


def test_a_killed_run_is_closed_by_its_own_project(project: Project, other: Project, database: Database) -> None:
    project.add("018_step", UNTIL_TOLD)
    running = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    running.kill()
    running.communicate()
    waiting.until(database, waiting.OURS, 0)
    upgrade(other, database)
    assert database.query(RUNS) == [(OURS, "upgrade", "running"), (THEIRS, "upgrade", "success")]
    found = [
        [one for one in each.ask(database.url, {"action": "check"})["findings"] if one["kind"] == "leftover"]
        for each in (project, other)
    ]
    assert [len(each) for each in found] == [1, 0]
    assert "was killed" in found[0][0]["message"]
    database.execute(TELL)
    upgrade(project, database)
    assert database.query(RUNS)[0] == (OURS, "upgrade", "interrupted")


def test_a_ledger_made_by_an_older_image(project: Project, other: Project, database: Database) -> None:
    """Its rows are those of the only project that there was, also before somebody may change its tables."""
    old_runner.install(project)
    assert ended(old_runner.start(project, "upgrade", url=database.url)) == 0
    columns = """
        select count(*) from pg_attribute where attname = 'version_table'
          and attrelid::regclass::text in ('runner.migration_run', 'runner.migration_log')
    """
    assert database.query(columns) == [(0,)]
    (project.folder / "today").mkdir()
    today = Project.copy(project.folder / "today")
    assert set(records(today, database).values()) == {"success"}
    assert today.ask(database.url, {"action": "history"})["images"] == []
    assert records(other, database) == {"018_step": None}
    path = today.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_text(path.read_text() + "# edited\n")
    assert today.ask(database.url, {"action": "plan"})["code"] == "history-changed"
    assert_owner_is_named(other, database)
    upgrade(other, database)
    assert database.query(columns) == [(2,)]
    assert {table for table, *_ in database.query(LOG)} == {OURS, THEIRS}
    assert today.ask(database.url, {"action": "upgrade"})["code"] == "history-changed"


def test_a_plan_is_resumed_behind_another_projects_run(project: Project, other: Project, database: Database) -> None:
    """What a `partial` run left of its plan counts until the next run of its own project."""
    project.add("018_step", "op.execute('create table step ()')")
    project.add("019_step", "time.sleep(1)", after="018_step")
    plan = project.ask(database.url, {"action": "plan"})["plan"]
    partial = project.ask(database.url, {"action": "upgrade", "plan": plan}, ends_in="018_step", left_s=0.5)
    assert partial["status"] == "partial", partial["message"]
    upgrade(other, database)
    rest = project.ask(database.url, {"action": "upgrade", "plan": plan, "target": partial["target"]})
    assert rest["status"] == "success", rest["message"]


def test_killed_index_work_is_a_projects_own(project: Project, other: Project, database: Database) -> None:
    """Two projects with a revision of one name build on one table: neither clears, nor forgets, what the other left."""
    body = "with op.get_context().autocommit_block():\n    op.execute('create index concurrently on shared ({})')"
    project.add("018_step", body.format("a"))
    other.add("018_step", body.format("b"), after=None)
    assert project.ask(database.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    database.execute("create table shared (a int, b int)")
    with closing(psycopg2.connect(database.url)) as writer, writer.cursor() as cursor:
        cursor.execute("insert into shared values (1)")
        process = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        process.kill()
        process.communicate()
        waiting.until(database, waiting.OURS, 0)
    upgrade(other, database)
    assert database.query(VALID) == [("shared_a_idx", False), ("shared_b_idx", True)]
    upgrade(project, database)
    assert database.query(VALID) == [("shared_a_idx", True), ("shared_b_idx", True)]


def assert_owner_is_named(project: Project, database: Database) -> None:
    """A role with every right but ownership cannot add the columns: it is told who can."""
    role = f"r_{database.name}"
    database.execute(f"""
        create role {role} login password '{PASSWORD}';
        grant all on schema public, runner to {role};
        grant all on all tables in schema runner to {role};
        grant all on database {database.name} to {role}
    """)
    url = make_url(database.url).set(username=role, password=PASSWORD).render_as_string(hide_password=False)
    try:
        refused = project.ask(url, {"action": "upgrade"})
    finally:
        database.execute(f"drop owned by {role} cascade; drop role {role}")
    assert refused["message"] == (
        f"settings: The ledger's tables belong to `postgres`; `{role}` may not add the columns that an older image "
        "lacked. Nothing was changed. Set `DB_ROLE` to `postgres`, or run `migrate upgrade` as that role once."
    )


def test_an_older_image_beside_this_one(
    project: Project, tmp_path_factory: pytest.TempPathFactory, database: Database
) -> None:
    """They wait for each other's lock, in both orders, and write into one ledger."""
    older = Project.copy(tmp_path_factory.mktemp("older"))
    for one in (project, older):
        one.add("018_step", UNTIL_TOLD)
    old_runner.install(older)
    running = old_runner.start(older, "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    waits = project.start("migrate", "upgrade", url=database.url)
    waiting.until_said(waits, "Waiting for the migration lock, held by migrate")
    database.execute(TELL)
    assert (ended(running), ended(waits)) == (0, 0)
    assert database.query(LOG)[-1] == (OURS, "018_step", "upgrade", "success")
    database.execute("drop table told")
    for one in (project, older):
        one.add("019_step", UNTIL_TOLD, after="018_step")
    running = project.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    waits = old_runner.start(older, "upgrade", url=database.url)
    waiting.until_said(waits, "Waiting for the migration lock, held by migrate")
    database.execute(TELL)
    assert (ended(running), ended(waits)) == (0, 0)
    assert database.query(LOG)[-1] == (OURS, "019_step", "upgrade", "success")
    assert records(project, database)["019_step"] == "success"


def test_an_older_image_beside_another_project(
    project: Project, other: Project, tmp_path_factory: pytest.TempPathFactory, database: Database
) -> None:
    """It knows of no other project, and takes the other's live run for a killed one: nobody else believes that."""
    project.add("018_step", "op.execute('select 1')")
    upgrade(project, database)
    older = Project.copy(tmp_path_factory.mktemp("older"))
    older.add("018_step", "op.execute('select 1')")
    old_runner.install(older)
    other.add("018_step", UNTIL_TOLD, after=None)
    running = other.start("migrate", "upgrade", url=database.url)
    waiting.until(database, waiting.UNTOLD, 1)
    assert ended(old_runner.start(older, "upgrade", url=database.url)) == 0
    assert (OURS, "018_step", "upgrade", "interrupted") in database.query(LOG)
    assert records(project, database)["018_step"] == "success"
    assert records(other, database) == {"018_step": None}
    database.execute(TELL)
    assert ended(running) == 0
    assert (THEIRS, "upgrade", "success") in database.query(RUNS)
    assert records(other, database) == {"018_step": "success"}


@pytest.mark.parametrize(
    ("section", "table"),
    [
        ('version_table = "Odd \\" %s {x} name"', 'public."Odd "" %s {x} name"'),
        ('version_table_schema = "select"', "select.alembic_version"),
        ("version_table = \"a.b\"\nversion_table_schema = 'Other schema'", '"Other schema"."a.b"'),
    ],
)
def test_a_version_table_of_any_name(tmp_path: Path, database: Database, section: str, table: str) -> None:
    other = make_other(tmp_path, section)
    database.execute('create schema "select"; create schema "Other schema"')
    assert other.ask(database.url, {"action": "current"})["current"] == []
    assert other.ask(database.url, {"action": "plan"})["pending"] == ["018_step"]
    assert other.ask(database.url, {"action": "rehearse"})["ok"] is True
    (applied,) = upgrade(other, database)["applied"]
    assert applied["locks"] == {"other": "AccessExclusiveLock"}
    assert database.query("select distinct version_table from runner.migration_log") == [(table,)]
    assert other.ask(database.url, {"action": "current"})["current"] == ["018_step"]
    assert database.query("select to_regclass('public.alembic_version')") == [(None,)]
    assert records(other, database) == {"018_step": "success"}
    # neither our comparison nor Alembic's takes the version table for one that nobody has planned
    findings = other.ask(database.url, {"action": "check"})["findings"]
    assert findings
    assert not [
        one for one in findings if "alembic_version" in one["name"] or "a.b" in one["name"] or "Odd" in one["name"]
    ]
    sql = other.run("alembic", "upgrade", "head", "--sql", url=database.url)
    assert sql.returncode == 0, sql.stderr
    assert "INSERT INTO alembic_version" not in sql.stdout
    assert other.ask(database.url, {"action": "downgrade", "target": "base"})["status"] == "success"
    assert other.run("alembic", "upgrade", "head", url=database.url).returncode == 0
    assert other.run("migrate", "doctor", url=database.url).returncode == 0


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("version_tabel = 'x'", "has a wrong `version_tabel` in `[project]`"),
        ("version_table = 7", "has a wrong `version_table` in `[project]`"),
        ("version_table = ''", "has a wrong `version_table` in `[project]`"),
        ("version_table_schema = 'pg_temp'", "has a wrong `version_table_schema` in `[project]`"),
        (f"version_table_schema = '{'é' * 32}'", "has a wrong `version_table_schema` in `[project]`"),
        ("version_table", "cannot be read, or is not valid TOML"),
    ],
)
def test_a_wrong_section(project: Project, database: Database, section: str, told: str) -> None:
    (project.folder / "migrate.toml").write_text(f"[project]\n{section}\n")
    done = project.run("migrate", "current", url=database.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"settings: `migrate.toml` {told}. Nothing was changed. `[project]` takes `version_table` and "
        "`version_table_schema`, names of at most 63 bytes, and `protected`, a list of environments.\n"
    )


@pytest.mark.parametrize("content", ["[projects]\nversion_table = 'x'\n", "version_table = 'x'\n"])
def test_a_section_of_another_name(project: Project, database: Database, content: str) -> None:
    """It would be left out in silence, and the project would use another's version table."""
    (project.folder / "migrate.toml").write_text(content)
    answer = project.ask(database.url, {"action": "current"})
    assert answer["error"].endswith(" besides `[project]` and `[env.…]`.")


def test_a_snapshot_of_a_project_with_a_schema(tmp_path: Path, database: Database) -> None:
    """The schema exists before the first run, in the scratch database as in the project's own."""
    other = make_other(tmp_path, "version_table_schema = 'Billing 100%'")
    other.add("018_step", "op.execute('create table \"Billing 100%\".paid (n int)')", after=None)
    done = other.run("migrate", "snapshot", url=database.url)
    assert done.returncode == 0, done.stderr
    database.execute('create schema "Billing 100%"')
    assert upgrade(other, database)["to"] == "018_step"
    findings = other.ask(database.url, {"action": "check"})["findings"]
    assert [one for one in findings if one["kind"] == "drift"] == []


def test_a_missing_schema(tmp_path: Path, database: Database) -> None:
    other = make_other(tmp_path, "version_table_schema = 'nowhere'")
    assert other.ask(database.url, {"action": "current"})["current"] == []
    failed = other.ask(database.url, {"action": "upgrade"})
    assert failed["message"] == (
        "settings: The schema `nowhere`, in which the version table is to be, does not exist. Nothing was changed. "
        "Create it, or correct `version_table_schema` in `migrate.toml`."
    )


def test_a_table_that_is_no_version_table(tmp_path: Path, database: Database) -> None:
    other = make_other(tmp_path, "version_table = 'leads'")
    database.execute("create table leads (name text)")
    for action in ("current", "history", "plan", "rehearse", "check", "upgrade"):
        assert other.ask(database.url, {"action": action})["message"] == (
            "settings: `public.leads` is no version table of Alembic: it has no column `version_num`. Nothing was "
            "changed. Correct `version_table` in `migrate.toml`."
        ), action


def test_the_lock_of_an_older_image_has_its_key() -> None:
    """An image that knows only the name, without its schema, must find the same lock."""
    assert version_table.key(VersionTable()) == version_table.lock_key("migrate alembic_version")
    assert len({version_table.key(VersionTable(*names)) for names in (("x",), ("x", "y"), ("y.x",), ())}) == 4
