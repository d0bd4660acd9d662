"""What the ledger knows of an image: which runs it made here, and how the last of them ended."""

import threading
from contextlib import closing

import psycopg2

from support.postgres import Database
from support.project import Project

OURS = {"IMAGE_DIGEST": f"sha256:{'a' * 64}"}
OTHER = {"IMAGE_DIGEST": f"sha256:{'b' * 64}"}
RUNS = "select action, target, planned, status, finished_at is not null from runner.migration_run order by run_id"


def images(project: Project, database: Database) -> dict[str, dict]:
    """Return what `history` says of each image, by the first letter of its digest."""
    answer = project.ask(database.url, {"action": "history"})
    return {one["image_digest"][7]: one for one in answer["images"]}


def test_an_upgrade_that_finds_nothing_to_do_writes_its_run(project: Project, database: Database) -> None:
    """By every door: who asked, which image, and its whole answer, as for a run that applied something."""
    project.ask(database.url, {"action": "upgrade"})
    answer = project.ask(database.url, {"action": "upgrade", "target": "016", "actor": "ana"}, **OURS)
    project.ask(database.url, {"action": "run-migration", "target": "all"})
    assert project.run("alembic", "upgrade", "head", url=database.url).returncode == 0
    assert database.query(RUNS)[1:] == [
        ("upgrade", "016_platform_baseline", [], "success", True),
        ("run-migration", "017_dry_run_log", [], "success", True),
        ("upgrade", "017_dry_run_log", [], "success", True),
    ]
    assert database.query("select actor, image_digest, direction, heads, answer from runner.migration_run")[1] == (
        "ana",
        OURS["IMAGE_DIGEST"],
        "upgrade",
        ["017_dry_run_log"],
        answer,
    )


def test_other_verbs_that_find_nothing_to_do_write_none(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    for verb in ("downgrade", "stamp"):
        assert project.ask(database.url, {"action": verb, "target": "017"})["status"] == "success"
    assert len(database.query(RUNS)) == 1


def test_a_repeated_call_writes_its_run_once(project: Project, database: Database) -> None:
    """An answer that is given again under its key is no run."""
    project.ask(database.url, {"action": "upgrade"})
    asked = {"action": "upgrade", "idempotency_key": "k"}
    first = project.ask(database.url, asked)
    assert project.ask(database.url, asked) == first
    assert len(database.query(RUNS)) == 2


def test_a_database_that_no_run_has_written_of_gets_a_ledger(project: Project, database: Database) -> None:
    """At the head without a ledger, as after a restore of schema `public` alone."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop schema runner cascade")
    assert project.ask(database.url, {"action": "upgrade"}, **OURS)["status"] == "success"
    assert images(project, database)["a"]["to"] == "017_dry_run_log"


def test_the_last_run_of_each_image(project: Project, database: Database) -> None:
    """Its verb, how it ended, where it left the database, which heads the image has, and its last good end."""
    assert project.ask(database.url, {"action": "history"})["images"] == []
    project.ask(database.url, {"action": "upgrade", "target": "016"}, **OURS)
    known = images(project, database)["a"]
    assert (known["action"], known["direction"], known["status"]) == ("upgrade", "upgrade", "success")
    assert (known["to"], known["heads"]) == ("016_platform_baseline", ["017_dry_run_log"])
    project.add("018_bad", "op.execute('select 1/0')")
    project.ask(database.url, {"action": "upgrade"}, **OTHER)
    project.ask(database.url, {"action": "downgrade", "target": "016"}, **OURS)
    known = images(project, database)
    assert list(known) == ["a", "b"]
    assert (known["a"]["action"], known["a"]["status"]) == ("downgrade", "success")
    assert (known["b"]["status"], known["b"]["to"], known["b"]["succeeded_at"]) == ("error", "017_dry_run_log", None)
    assert known["b"]["heads"] == ["018_bad"]
    assert known["a"]["succeeded_at"] > known["a"]["started_at"]


def test_a_ledger_from_before_is_read_as_it_is_and_completed_by_the_next_run(
    project: Project, database: Database
) -> None:
    """Reading never alters it."""
    project.ask(database.url, {"action": "upgrade"}, **OURS)
    newer = "drop column heads, drop column version_table, drop column invalid_before"
    database.execute(f"alter table runner.migration_run {newer}")
    newer = "drop column version_table, drop column code_checksum, drop column downgrade_checksum"
    database.execute(f"alter table runner.migration_log {newer}")
    assert images(project, database) == {}
    project.ask(database.url, {"action": "upgrade"}, **OTHER)
    known = images(project, database)
    assert (known["a"]["heads"], known["b"]["heads"]) == (None, ["017_dry_run_log"])


def test_a_run_that_finds_nothing_to_do_does_not_end_a_partial_one(project: Project, database: Database) -> None:
    """The partial upgrade is gone on with under its plan all the same."""
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    project.add("018_first", 'op.execute("alter table leads add x int")')
    project.add("019_slow", 'op.execute("select pg_sleep(0.8)")', after="018_first")
    event = {"action": "upgrade", "plan": project.ask(database.url, {"action": "plan"})["plan"]}
    assert project.ask(database.url, event, ends_in="019_slow")["status"] == "partial"
    assert project.ask(database.url, {"action": "upgrade", "target": "018"})["applied"] == []
    again = project.ask(database.url, event)
    assert (again["status"], again["to"]) == ("success", "019_slow"), again["message"]


def test_a_locked_ledger_is_waited_for(project: Project, database: Database) -> None:
    """A success that nothing tells of would leave its image unproven."""
    project.ask(database.url, {"action": "upgrade"})
    with closing(psycopg2.connect(database.url)) as other:
        other.cursor().execute("lock table runner.migration_run in share row exclusive mode")
        refused = project.ask(database.url, {"action": "upgrade"}, timeout_s=2)
        assert (refused["code"], len(database.query(RUNS))) == ("lock-timeout", 1)
        release = threading.Timer(1, other.rollback)
        release.start()
        answer = project.ask(database.url, {"action": "upgrade"})
        release.join()
    assert (answer["status"], len(database.query(RUNS))) == ("success", 2)
