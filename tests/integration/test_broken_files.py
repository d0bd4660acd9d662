"""Files that are no revision, two that are the same one, and one that was never written."""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import old_runner
from support.postgres import Database, dump, new_database, read_catalog
from support.project import Project

VERBS = {
    "upgrade": {},
    "downgrade": {"target": "-1"},
    "plan": {},
    "rehearse": {},
    "check": {},
    "current": {},
    "heads": {},
    "history": {},
    "show": {},
    "stamp": {"target": "017"},
    "repair": {"target": "017"},
    "redo": {},
    "list-migrations": {},
    "run-migration": {"target": "all"},
}
SCORE = 'op.execute("alter table leads add score bigint")'


@pytest.fixture
def at_017(project: Project, migrated: Database) -> Project:
    return project


def twice(project: Project) -> None:
    project.add("018_one", SCORE)
    path = project.add("018_other", SCORE)
    path.write_text(path.read_text().replace("'018_other'", "'018_one'"))


def twice_for_python_only(project: Project) -> None:
    """The second one's id is no plain text, so that only its import tells it."""
    twice(project)
    path = project.folder / "alembic" / "versions" / "018_other.py"
    path.write_text(path.read_text().replace("'018_one'", "'018_' + 'one'"))


def twice_in_two_places(project: Project) -> None:
    """Alembic finds the files by itself."""
    twice(project)
    versions = project.folder / "alembic" / "versions"
    more = project.folder / "more"
    more.mkdir()
    (versions / "018_other.py").rename(more / "018_other.py")
    config = project.folder / "alembic.ini"
    places = f"[alembic]\nversion_locations = {versions}:{more}\n"
    config.write_text(config.read_text().replace("[alembic]\n", places))


@pytest.mark.parametrize("make", [twice, twice_for_python_only, twice_in_two_places])
def test_two_files_with_one_id_are_named_by_every_verb(
    at_017: Project, database: Database, make: Callable[[Project], None]
) -> None:
    """Alembic takes the last one and says so in a warning; the other's work would be missing."""
    make(at_017)
    before = dump(database)
    for action, fields in VERBS.items():
        answer = at_017.ask(database.url, {"action": action, **fields})
        assert answer["code"] == "unknown-revision", action
        assert answer["error"] == "`018_one` is the id of two files, `018_one.py` and `018_other.py`."
    assert dump(database) == before


def test_two_files_with_one_id_are_named_by_the_other_doors(at_017: Project, database: Database) -> None:
    twice(at_017)
    for command in (["alembic", "upgrade", "head"], ["migrate", "new", "more"], ["migrate", "snapshot"]):
        done = at_017.run(*command, url=database.url)
        assert done.returncode != 0
        assert "`018_one.py` and `018_other.py`" in done.stderr + done.stdout
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def marked(path: Path) -> None:
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())


def in_latin_1(path: Path) -> None:
    path.write_bytes(("# -*- coding: latin-1 -*-\n" + path.read_text()).encode("latin-1"))


@pytest.mark.parametrize("write", [marked, in_latin_1])
def test_a_file_is_read_as_python_reads_it(at_017: Project, database: Database, write: Callable[[Path], None]) -> None:
    """With a byte-order mark, or in the encoding that its first lines name."""
    path = at_017.add(
        "018_score", "op.execute(\"alter table leads add notação text default 'não'\")\n"
        "op.drop_column('leads', 'tags')  # lint-allow ban-drop-column: não é lido"
    )  # fmt: skip
    write(path)
    plan = at_017.ask(database.url, {"action": "plan"})
    assert plan["ok"], plan
    assert plan["allowed"][0]["reason"] == "não é lido"
    assert at_017.ask(database.url, {"action": "rehearse"})["ok"]
    done = at_017.ask(database.url, {"action": "upgrade", "plan": plan["plan"]})
    assert done["to"] == "018_score", done
    assert database.query("select column_default from information_schema.columns where column_name = 'notação'") == [
        ("'não'::text",)
    ]
    assert at_017.ask(database.url, {"action": "current"})["status"] == "success"
    assert [one["kind"] for one in at_017.ask(database.url, {"action": "check"})["findings"]] != ["history-changed"]


def test_the_files_of_macos_are_no_revisions(at_017: Project, database: Database) -> None:
    """`._*.py` holds a file's attributes, not Python."""
    at_017.add("018_score", SCORE)
    (at_017.folder / "alembic" / "versions" / "._018_score.py").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    for action in ("current", "heads", "history", "check", "plan", "rehearse", "upgrade"):
        answer = at_017.ask(database.url, {"action": action})
        assert answer["status"] == "success", answer
    assert answer["to"] == "018_score"


def test_plain_alembic_reads_the_same_files(at_017: Project, database: Database) -> None:
    """Wherever it runs `env.py`: without those of macOS, with any encoding, and with words for one that is broken."""
    marked(at_017.add("018_score", SCORE))
    in_latin_1(at_017.add("019_note", 'op.execute("alter table leads add notação text")', after="018_score"))
    (at_017.folder / "alembic" / "versions" / "._018_score.py").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    for command in (["upgrade", "017_dry_run_log:head", "--sql"], ["upgrade", "head"], ["current"]):
        done = at_017.run("alembic", *command, url=database.url)
        assert done.returncode == 0, done.stderr
        assert "019_note" in done.stdout + done.stderr
    assert database.query("select version_num from alembic_version") == [("019_note",)]
    at_017.add("020_wrong", SCORE, after="019_note").write_text("revision =\n")
    for command in (["upgrade", "head"], ["upgrade", "head", "--sql"]):
        done = at_017.run("alembic", *command, url=database.url)
        assert done.returncode != 0
        assert "`020_wrong.py`: its import raised SyntaxError: invalid syntax" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


EMPTY = ["pass", "...", '"""Say what it does."""', "return", "return None", "'Not yet.'\npass", "# a comment\npass"]


@pytest.mark.parametrize("body", EMPTY)
def test_an_empty_revision_is_refused_before_anything(at_017: Project, database: Database, body: str) -> None:
    """Once applied it could never be written."""
    at_017.add("018_later", body)
    before = dump(database)
    planned = at_017.ask(database.url, {"action": "plan"})
    assert (planned["ok"], [(one["rule"], one["level"]) for one in planned["findings"]]) == (
        False, [("empty-revision", "error")]
    )  # fmt: skip
    for action in ("rehearse", "upgrade"):
        refused = at_017.ask(database.url, {"action": action})
        assert (refused["code"], refused["revision"]) == ("empty-revision", "018_later")
        assert refused["message"] == (
            "empty-revision: `018_later` is empty, and once it is applied its text cannot change any more. Nothing was "
            "changed. Write `upgrade()` in `018_later.py`. If it is meant to do nothing, say why in a comment there: "
            "`# lint-allow empty-revision: REASON`. If another database has applied it, leave its text as it is, and "
            "write the revision after it: `migrate new`."
        )
    assert dump(database) == before


def test_what_migrate_new_writes_is_empty_by_every_door(at_017: Project, database: Database) -> None:
    made = at_017.run("migrate", "new", "add score")
    assert made.returncode == 0, made.stderr
    for command in (["migrate", "upgrade"], ["alembic", "upgrade", "head"]):
        done = at_017.run(*command, url=database.url)
        assert done.returncode != 0
        assert "empty-revision: `018_add_score` is empty" in done.stderr + done.stdout
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


@pytest.mark.parametrize(
    "body",
    [
        "import time",
        "op.get_bind()",
        "if False:\n    pass",
        "raise NotImplementedError",
        "return op.execute('select 1')",
    ],
)
def test_a_revision_that_says_something_is_not_empty(at_017: Project, database: Database, body: str) -> None:
    at_017.add("018_says", body)
    found = at_017.ask(database.url, {"action": "plan"})["findings"]
    assert "empty-revision" not in [one["rule"] for one in found]


def test_a_comment_allows_an_empty_revision(at_017: Project, database: Database) -> None:
    """With a reason; without one it stays refused."""
    path = at_017.add("018_mark", "pass  # lint-allow empty-revision")
    assert at_017.ask(database.url, {"action": "upgrade"})["code"] == "empty-revision"
    path.write_text(path.read_text().replace("empty-revision", "empty-revision: marks the first release"))
    planned = at_017.ask(database.url, {"action": "plan"})
    assert (planned["ok"], planned["findings"]) == (True, [])
    assert [(one["rule"], one["reason"]) for one in planned["allowed"]] == [
        ("empty-revision", "marks the first release")
    ]
    assert at_017.ask(database.url, {"action": "upgrade", "plan": planned["plan"]})["to"] == "018_mark"


def test_a_merge_and_a_revision_that_another_follows_may_be_empty(at_017: Project, database: Database) -> None:
    at_017.add("018_left", "pass")
    at_017.add("018_right", "pass")
    merge = at_017.add("019_merge", "pass")
    merge.write_text(merge.read_text().replace("'017_dry_run_log'", "('018_left', '018_right')"))
    planned = at_017.ask(database.url, {"action": "plan"})
    assert (planned["ok"], planned["findings"]) == (True, [])
    assert at_017.ask(database.url, {"action": "upgrade"})["to"] == "019_merge"


@pytest.fixture
def at_empty(at_017: Project, database: Database) -> Project:
    """Return the project with an empty revision, `018_empty`, which an earlier version of the runner applied."""
    at_017.add("018_empty", "pass")
    ours = (at_017.folder / "alembic" / "env.py").read_text()
    old_runner.install(at_017)
    applied = old_runner.start(at_017, "upgrade", url=database.url)
    told = applied.communicate()[1]
    assert applied.returncode == 0, told
    assert database.query("select version_num from alembic_version") == [("018_empty",)]
    (at_017.folder / "alembic" / "env.py").write_text(ours)
    return at_017


@pytest.fixture
def fresh(database: Database) -> Iterator[Database]:
    with new_database(database.server, f"{database.name}_fresh") as made:
        yield made


def test_the_snapshot_of_an_empty_revision_is_made(at_empty: Project, database: Database) -> None:
    """In a scratch database it does not become history."""
    done = at_empty.run("migrate", "snapshot", url=database.url)
    assert done.returncode == 0, done.stderr
    assert at_empty.snapshot("018_empty") == at_empty.snapshot("017_dry_run_log")


def test_a_fresh_database_gets_there_by_the_next_revision(
    at_empty: Project, database: Database, fresh: Database
) -> None:
    """An empty one again, if its comment says why; the text that is applied elsewhere stays as it is."""
    refused = at_empty.ask(fresh.url, {"action": "upgrade"})
    assert (refused["code"], refused["applied"]) == ("empty-revision", [])
    made = at_empty.run("migrate", "new", "go on")
    assert made.returncode == 0, made.stderr
    path = at_empty.folder / "alembic" / "versions" / "019_go_on.py"
    reason = "pass  # lint-allow empty-revision: 018 is empty too, and applied"
    path.write_text(path.read_text().replace("pass", reason, 1))
    for one in (fresh, database):
        assert at_empty.ask(one.url, {"action": "upgrade"})["to"] == "019_go_on"
        assert at_empty.ask(one.url, {"action": "current"})["status"] == "success"
    assert read_catalog(fresh) == read_catalog(database)


def test_a_fresh_database_gets_there_by_the_comment(at_empty: Project, database: Database, fresh: Database) -> None:
    """It changes the text, so the database that has applied the revision accepts it by a repair."""
    path = at_empty.folder / "alembic" / "versions" / "018_empty.py"
    path.write_text(path.read_text().replace("pass", "pass  # lint-allow empty-revision: marks the release", 1))
    assert at_empty.ask(fresh.url, {"action": "upgrade"})["to"] == "018_empty"
    assert at_empty.ask(database.url, {"action": "upgrade"})["code"] == "history-changed"
    assert at_empty.ask(database.url, {"action": "repair", "target": "018_empty"})["status"] == "success"
    assert at_empty.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_an_empty_revision_that_is_applied_goes_on(at_empty: Project, database: Database) -> None:
    """It is followed and reverted like any other."""
    assert at_empty.ask(database.url, {"action": "current"})["pending"] == []
    assert at_empty.ask(database.url, {"action": "upgrade"})["status"] == "success"
    at_empty.add("019_score", SCORE, after="018_empty")
    assert at_empty.ask(database.url, {"action": "upgrade"})["to"] == "019_score"
    assert at_empty.ask(database.url, {"action": "downgrade", "target": "017", "confirm": "019_score"})["status"] == (
        "success"
    )


BROKEN = {
    "it ends the process": (
        "import sys\nsys.exit('pw=hunter2')\nrevision = '018_bad'\ndown_revision = '017_dry_run_log'\n"
    ),
    "it has no id": "x = 1\n",
    "its id is empty": "revision = ''\ndown_revision = '017_dry_run_log'\ndef upgrade():\n    1 / 0\n",
    "its id is a number": "revision = 4\ndown_revision = '017_dry_run_log'\n",
    "its id is nothing": "revision = None\ndown_revision = '017_dry_run_log'\n",
    "its id has a character that Alembic refuses": "revision = '018@x'\ndown_revision = '017_dry_run_log'\n",
    "it is UTF-16": "\xff\xfe\x00",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_named(at_017: Project, database: Database, how: str) -> None:
    """Never as `alembic.ini`'s fault, and never by a process that ends without an answer."""
    (at_017.folder / "alembic" / "versions" / "018_bad.py").write_text(BROKEN[how], "latin-1")
    for action in ("upgrade", "plan", "check", "rehearse"):
        answer = at_017.ask(database.url, {"action": action})
        assert answer["code"] == "revision-failed", answer["message"]
        assert "`018_bad`" in answer["error"] or "018_bad.py" in answer["error"]
        assert "hunter2" not in answer["message"]
    done = at_017.run("alembic", "upgrade", "head", url=database.url)
    assert done.returncode not in (0, 3)
    assert "018_bad" in done.stderr + done.stdout


def test_an_environment_that_ends_the_process(at_017: Project, database: Database) -> None:
    env = at_017.folder / "alembic" / "env.py"
    env.write_text("raise SystemExit(0)\n" + env.read_text())
    for action in ("upgrade", "plan"):
        assert at_017.ask(database.url, {"action": action})["code"] == "environment-failed"


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n{}\n", "{", "[]", '{"tables": 1}'])
def test_a_snapshot_that_cannot_be_read(at_017: Project, database: Database, text: str) -> None:
    """It is named, and the command that is named writes it again."""
    at_017.add("018_score", SCORE)
    path = at_017.folder / "alembic" / "schema" / "017_dry_run_log.json"
    path.write_text(text)
    for event in ({"action": "check"}, {"action": "stamp", "target": "017"}):
        answer = at_017.ask(database.url, event)
        assert (answer["code"], "017_dry_run_log.json" in answer["error"]) == ("settings", True), answer["message"]
    done = at_017.run("migrate", "snapshot", url=database.url)
    assert done.returncode == 0, done.stderr
    assert at_017.ask(database.url, {"action": "upgrade"})["status"] == "success"


@pytest.mark.parametrize("row", ["", "zzz", "  017_dry_run_log"])
def test_a_row_that_no_file_has(at_017: Project, database: Database, row: str) -> None:
    """Alone or beside the right one, it is an unknown revision, and the command that is named mends it."""
    database.execute("insert into alembic_version values (%s)", (row,))
    for event in ({"action": "upgrade"}, {"action": "plan"}, {"action": "downgrade", "target": "-1"}):
        assert at_017.ask(database.url, event)["code"] == "unknown-revision"
    hint = at_017.ask(database.url, {"action": "upgrade"})["hint"].split("`")[1]
    done = at_017.run(*hint.replace("REVISION", "017_dry_run_log").split(), url=database.url)
    assert done.returncode == 0, done.stderr
    assert at_017.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_a_table_that_a_plan_would_make_again(project: Project, database: Database) -> None:
    """Only IF NOT EXISTS adopts it; without that the plan has an error before the run has."""
    body = "op.create_table('made', sa.Column('id', sa.BigInteger(), primary_key=True, autoincrement=False){})"
    project.add("018_made", body.format(""), downgrade="op.drop_table('made')")
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    assert project.ask(database.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    database.execute("create table made (id bigint primary key)")
    rules = [one["rule"] for one in project.ask(database.url, {"action": "plan"})["findings"]]
    assert "table-exists" in rules
    project.add("018_made", body.format(", if_not_exists=True"), downgrade="op.drop_table('made')")
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    plan = project.ask(database.url, {"action": "plan"})
    assert "findings" in plan, plan["message"]
    assert "table-exists" not in [one["rule"] for one in plan["findings"]]
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]
