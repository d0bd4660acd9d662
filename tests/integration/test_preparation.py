"""A plan, a rehearsal and a run prepare the revisions in one way: `env.py` is run, and every file is loaded."""

import json
import subprocess
from pathlib import Path

import alembic
import pytest

from runner import settings
from runner.script import graph, offline
from support.postgres import Database, dump
from support.project import Project

REGISTERS = """
from alembic.operations import MigrateOperation, Operations


@Operations.register_operation("grow")
class Grow(MigrateOperation):
    def __init__(self, table):
        self.table = table

    @classmethod
    def grow(cls, operations, table):
        return operations.invoke(cls(table))


@Operations.implementation_for(Grow)
def grow(operations, operation):
    operations.execute(f"alter table {operation.table} add column grown bigint")

"""
GIVES = "import sys, types\nsys.modules['given_by_another'] = types.SimpleNamespace(table='leads')\n"
PRINTS = "print('printed by', __file__)\n"


@pytest.fixture
def at_017(project: Project, migrated: Database) -> Project:
    return project


def begin(project: Project, name: str, text: str) -> None:
    """Put `text` at the beginning of a file of `alembic/`."""
    path = project.folder / "alembic" / name
    path.write_text(text + path.read_text())


def answer(done: "subprocess.CompletedProcess[str]") -> dict:
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_what_env_py_registers_is_there_for_all_three(at_017: Project, database: Database) -> None:
    """Each in a process of its own, since Alembic keeps an operation for as long as the process lives."""
    begin(at_017, "env.py", REGISTERS)
    at_017.add("018_grow", 'op.grow("leads")')
    plan = answer(at_017.run("migrate", "--json", "plan", url=database.url))
    assert plan["revisions"][0]["sql"] == ["alter table leads add column grown bigint;"]
    assert answer(at_017.run("migrate", "--json", "rehearse", url=database.url))["ok"]
    done = answer(at_017.run("migrate", "--json", "upgrade", "--plan", plan["plan"], url=database.url))
    assert done["to"] == "018_grow"


def test_the_pass_before_a_plan_connects_to_nothing(project: Project) -> None:
    """No setting says where a database is."""
    begin(project, "env.py", "import builtins\nbuiltins.passes = getattr(builtins, 'passes', 0) + 1\n")
    revisions = graph.load(settings.read({"ALEMBIC_CONFIG": str(project.folder / "alembic.ini")}))
    offline.run_env(revisions.config, revisions.script)
    import builtins

    assert vars(builtins).pop("passes") == 1


TEMPLATE = Path(alembic.__file__).parent / "templates" / "generic" / "env.py"
ENVIRONMENTS = {
    "nothing": "from alembic import context\n",
    "Alembic's template": TEMPLATE.read_text(),
    # where Alembic itself commits what it does outside of a transaction
    "autocommit": TEMPLATE.read_text().replace(
        "connectable.connect()", "connectable.connect().execution_options(isolation_level='AUTOCOMMIT')"
    ),
}


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_an_env_py_that_does_not_call_the_runner_has_no_plan(project: Project, database: Database, env: str) -> None:
    """With it a run would do nothing, or Alembic alone: all three refuse it in the same words and change nothing."""
    (project.folder / "alembic" / "env.py").write_text(env)
    config = project.folder / "alembic.ini"
    url = database.url.replace("%", "%%").replace("postgresql:", "postgresql+psycopg2:")
    config.write_text(config.read_text().replace("[alembic]\n", f"[alembic]\nsqlalchemy.url = {url}\n"))
    before = dump(database)
    for action in ("plan", "rehearse", "upgrade"):
        refused = project.run("migrate", "--json", action, url=database.url)
        answer = json.loads(refused.stdout)
        assert (answer["code"], answer["error"]) == (
            "environment-failed", "`env.py` failed: it does not call `environment.run`, so nothing ran.",
        )  # fmt: skip
    # a check compares what it can
    assert project.run("migrate", "check", url=database.url).returncode != 0
    assert dump(database) == before


@pytest.mark.parametrize("action", ["plan", "rehearse", "upgrade"])
def test_a_revision_may_rely_on_the_import_of_another(at_017: Project, database: Database, action: str) -> None:
    """All files are imported in the order of their names, also where the database needs only one of them."""
    at_017.add("019_uses", "op.execute(f'alter table {table} add x bigint')")
    at_017.add("018_gives", 'op.execute("select 1")', after="019_uses")
    begin(at_017, "versions/019_uses.py", "from given_by_another import table\n")
    begin(at_017, "versions/018_gives.py", GIVES)
    done = answer(at_017.run("migrate", "--json", action, "019_uses", url=database.url))
    assert (done["status"], done["target"]) == ("success", "019_uses")
    assert at_017.run("alembic", "upgrade", "head", url=database.url).returncode == 0


def test_without_anything_to_run_no_file_is_imported(
    at_017: Project, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A broken file stops only what would import it."""
    seen = tmp_path_factory.mktemp("seen") / "imported"
    at_017.add("018_seen", 'op.execute("select 1")')
    begin(at_017, "versions/018_seen.py", f"open({str(seen)!r}, 'w').close()\n")
    told = []
    for action in ("plan", "upgrade", "upgrade", "current", "rehearse"):
        assert at_017.ask(database.url, {"action": action})["status"] == "success"
        told.append(seen.exists())
        seen.unlink(missing_ok=True)
    assert told == [True, True, False, False, False]


@pytest.mark.parametrize("action", ["plan", "rehearse", "upgrade", "check", "history"])
def test_what_a_revision_prints_is_no_data(at_017: Project, database: Database, action: str) -> None:
    """It goes to stderr, as what `env.py` prints."""
    at_017.add("018_prints", "print('printed by upgrade')\nop.execute('select 1')")
    begin(at_017, "versions/018_prints.py", PRINTS)
    begin(at_017, "env.py", PRINTS)
    done = at_017.run("migrate", "--json", action, url=database.url)
    assert json.loads(done.stdout)["status"] == "success"
    assert "018_prints.py" in done.stderr
    assert ("printed by upgrade" in done.stderr) == (action in ("plan", "rehearse", "upgrade"))


def test_what_a_revision_prints_is_no_sql(at_017: Project, database: Database) -> None:
    at_017.add("018_prints", "print('printed by upgrade')\nop.execute('select 1')")
    done = at_017.run("alembic", "upgrade", "017_dry_run_log:head", "--sql", url=database.url)
    assert "select 1;" in done.stdout
    assert "printed" not in done.stdout
    assert "printed by upgrade" in done.stderr


LONG = "018_an_id_that_alembics_column_cannot_hold"


@pytest.mark.parametrize("action", ["plan", "rehearse", "upgrade", "stamp"])
@pytest.mark.parametrize("fresh", [True, False])
def test_an_id_that_does_not_fit_is_refused_before_anything(
    project: Project, database: Database, action: str, fresh: bool
) -> None:
    """Also on a fresh database, where Alembic has not made its table yet; a wider column takes it."""
    if not fresh:
        assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    path = project.add(LONG, 'op.execute("select 1")')
    folder = project.folder / "alembic" / "schema"
    # without the hash of the texts that it was made from, as an older version wrote it
    lines = (folder / "017_dry_run_log.json").read_text().splitlines()
    (folder / f"{LONG}.json").write_text("\n".join(line for line in lines if "made_from" not in line))
    before = dump(database)
    refused = project.ask(database.url, {"action": action, "target": "018"})
    assert refused["code"] == "revision-failed"
    assert (
        f"its id has {len(LONG)} characters, and the version table holds 32. Nothing was changed." in refused["message"]
    )
    assert path.name in refused["hint"]
    assert ("widen" in refused["hint"]) == (not fresh)
    assert dump(database) == before
    if not fresh:
        assert (
            f"ALTER TABLE public.alembic_version ALTER COLUMN version_num TYPE varchar({len(LONG)})" in refused["hint"]
        )
        database.execute("alter table alembic_version alter column version_num type text")
        assert project.ask(database.url, {"action": action, "target": "018"})["status"] == "success"
