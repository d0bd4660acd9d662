"""Advice that once led nowhere: each message is followed here, by what it says, to where it promises."""

import shlex
from contextlib import closing

import psycopg2
import pytest

from runner.answer import Json
from support import waiting
from support.postgres import Database
from support.project import Project

INDEX = (
    "with op.get_context().autocommit_block():\n    op.execute('create index concurrently leads_nome on leads (nome)')"
)


@pytest.fixture
def at_017(project: Project, migrated: Database) -> Project:
    return project


@pytest.mark.parametrize(
    ("target", "meant"),
    [("17", "017_dry_run_log"), ("17_dry", "017_dry_run_log"), ("016_platform_basline", "016_platform_baseline")],
)
def test_the_revision_that_was_meant(project: Project, database: Database, target: str, meant: str) -> None:
    answer = project.ask(database.url, {"action": "show", "target": target})
    assert answer["hint"] == f"Did you mean `{meant}`? List them with `migrate history`."


def test_nothing_is_guessed(project: Project, database: Database) -> None:
    """Two that are as near, or none."""
    for target in ("1", "099", "nothing_like_it"):
        assert (
            project.ask(database.url, {"action": "show", "target": target})["hint"]
            == "List them with `migrate history`."
        )


@pytest.mark.parametrize(("limit", "told"), [("0", "1 to 10,000"), ("10001", "1 to 10,000")])
def test_a_number_out_of_its_range(project: Project, database: Database, limit: str, told: str) -> None:
    done = project.run("migrate", "history", "--limit", limit, url=database.url)
    assert done.returncode == 2
    assert done.stderr.endswith(f"Give a number from {told}.\n")


def test_heads_are_merged_under_the_next_number(at_017: Project, database: Database) -> None:
    """The command of the message is run as it stands, and then the one that was refused."""
    at_017.add("018_left", "op.execute('select 1')")
    right = at_017.add("018_right", "op.execute('select 2')")
    right.write_text(right.read_text().replace("018_left", "017_dry_run_log"))
    refused = at_017.run("migrate", "upgrade", url=database.url)
    merge, again = (refused.stderr.split("`")[at] for at in (-4, -2))
    assert at_017.run(*shlex.split(merge), url=database.url).returncode == 0
    assert (at_017.folder / "alembic" / "versions" / "019_merge.py").exists()
    done = at_017.run(*shlex.split(again), url=database.url)
    assert done.returncode == 0, done.stderr
    assert database.query("select version_num from alembic_version") == [("019_merge",)]


def test_history_of_a_database_ahead_of_the_image(at_017: Project, database: Database) -> None:
    """An image that was rolled back lists what it does not have, as the ledger knows it."""
    path = at_017.add("018_note", "op.execute('alter table leads add column note text')")
    digest = f"sha256:{'7' * 64}"
    at_017.ask(database.url, {"action": "upgrade", "actor": "ana"}, IMAGE_DIGEST=digest)
    path.unlink()
    answer = at_017.ask(database.url, {"action": "history"})
    assert answer["status"] == "success", answer
    assert [(one["revision"], one["state"], one["description"]) for one in answer["revisions"]] == [
        ("018_note", "applied", "not in this image"),
        ("017_dry_run_log", "applied", answer["revisions"][1]["description"]),
        ("016_platform_baseline", "applied", answer["revisions"][2]["description"]),
    ]
    assert answer["message"] == (
        f"2 of 2 revisions applied. The database is at `018_note`, which this image lacks; `{digest}` has it."
    )
    assert answer["revisions"][0]["ledger"]["actor"] == "ana"


def test_a_killed_build_is_one_finding_and_the_next_run_mends_it(at_017: Project, database: Database) -> None:
    """Neither pending, nor drift, nor an invalid index by itself: all of it is what the killed run left."""
    at_017.snapshot("017_dry_run_log")
    at_017.add("018_index", INDEX)
    before = found(at_017, database)
    with closing(psycopg2.connect(database.url)) as old, old.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read; select count(*) from tenants")
        process = at_017.start("migrate", "upgrade", url=database.url)
        waiting.until(database, "select count(*) from pg_index where not indisvalid", 1)
        waiting.until(database, waiting.BLOCKED, 1)
        process.kill()
        process.communicate()
        waiting.until(database, waiting.OURS, 0)
    after = found(at_017, database)
    (left,) = [one for one in after if one not in before]
    assert left["kind"] == "leftover"
    assert left["message"].endswith("was killed in `018_index`, and left `public.leads_nome` invalid.")
    assert "`migrate upgrade`" in left["help"]
    assert at_017.run("migrate", "upgrade", url=database.url).returncode == 0
    assert {one["kind"] for one in found(at_017, database)} <= {"models", "not-compared"}


def test_invalid_indexes_are_cleared_without_naming_a_revision(at_017: Project, database: Database) -> None:
    """The advice of `check` is run as it stands; the texts of revisions stay as they are recorded."""
    database.execute("create index broken on leads (nome)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'broken'::regclass")
    recorded = database.query("select count(*) from runner.migration_log")
    (problem,) = [one for one in found(at_017, database) if one["kind"] == "invalid-index"]
    command = problem["help"].split("`")[1]
    assert command == "migrate repair"
    done = at_017.run(*command.split(), url=database.url)
    assert (done.returncode, done.stderr) == (0, "Cleared 1 leftover.\n")
    assert database.query("select count(*) from runner.migration_log") == recorded
    assert not [one for one in found(at_017, database) if one["kind"] == "invalid-index"]


def test_an_invalid_index_in_production(at_017: Project, database: Database) -> None:
    """There `repair` is refused by default, so the advice is a revision, which every environment takes."""
    database.execute("create index broken on leads (nome)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'broken'::regclass")
    prod = {"ENVIRONMENT": "prod"}
    (problem,) = [one for one in found(at_017, database, **prod) if one["kind"] == "invalid-index"]
    assert problem["help"] == (
        "Drop it in a revision (`DROP INDEX CONCURRENTLY` in an autocommit block), or with `migrate repair` where "
        "`ALLOWED_ACTIONS` names `repair`; what an interrupted revision left, `migrate upgrade` builds again."
    )
    drop = "op.execute('DROP INDEX CONCURRENTLY IF EXISTS broken')"
    at_017.add("018_drop", f"with op.get_context().autocommit_block():\n    {drop}")
    plan = at_017.ask(database.url, {"action": "plan"}, **prod)["plan"]
    done = at_017.ask(database.url, {"action": "upgrade", "plan": plan}, **prod)
    assert done["status"] == "success", done
    assert not [one for one in found(at_017, database, **prod) if one["kind"] == "invalid-index"]


def test_a_contradiction_in_production(at_017: Project, database: Database) -> None:
    """A stamp is refused there by default: the advice says where it is allowed, and a program gets no step."""
    database.execute("update alembic_version set version_num = '016_platform_baseline'")
    answer = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")
    assert answer["code"] == "history-changed"
    for head in ("017_dry_run_log", "016_platform_baseline"):
        assert f"`migrate stamp {head}` where `ALLOWED_ACTIONS` names `stamp`" in answer["hint"]
    assert answer["next"] is None


def found(project: Project, database: Database, **environ: str) -> list[Json]:
    findings: list[Json] = project.ask(database.url, {"action": "check"}, **environ)["findings"]
    return findings
