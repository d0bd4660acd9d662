"""`check` finds what is not as it should be with a database, at any revision, and nothing on a clean one."""

import os
import re
import signal
from pathlib import Path

import pytest

from support import old_runner
from support.postgres import Database, dump
from support.project import ROOT, Project
from support.waiting import ASLEEP, LOCKED, until

HEAD = max(path.stem for path in (ROOT / "alembic" / "versions").glob("*.py"))
"""The models say what it makes."""


@pytest.fixture
def at_head(tmp_path: Path, database: Database) -> Project:
    project = Project.copy_whole(tmp_path)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    return project


def add(project: Project, revision: str, body: str) -> Path:
    return project.add(revision, body, after=HEAD)


def check(project: Project, database: Database) -> dict:
    answer = project.ask(database.url, {"action": "check"})
    assert answer["status"] == "success", answer["message"]
    return answer


def kinds(answer: dict) -> list[tuple[str, str]]:
    return [(one["kind"], one["name"]) for one in answer["findings"]]


def test_a_clean_database(at_head: Project, database: Database) -> None:
    """Nothing is found, nothing is left out, and nothing is written."""
    before = dump(database)
    answer = check(at_head, database)
    assert (answer["ok"], answer["findings"], answer["accepted"], answer["not_compared"]) == (True, [], [], [])
    assert answer["message"] == f"The database is at `{HEAD}`: no problems."
    assert dump(database) == before
    assert at_head.run("migrate", "check", url=database.url).returncode == 0


def test_what_is_pending(project: Project, database: Database) -> None:
    """At base, and in between: where the models say more than the database has, they are not compared."""
    assert kinds(check(project, database)) == [("pending", "016_platform_baseline"), ("pending", "017_dry_run_log")]
    project.ask(database.url, {"action": "upgrade", "target": "016"})
    answer = check(project, database)
    assert kinds(answer) == [("pending", "017_dry_run_log")]
    assert answer["not_compared"] == ["the models, because they describe the head"]
    assert project.run("migrate", "check", url=database.url).returncode == 4


def test_drift_at_a_revision_that_is_not_the_head(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade", "target": "016"})
    database.execute("create function f() returns int language sql as 'select 1'; comment on table leads is 'x'")
    answer = check(project, database)
    assert kinds(answer) == [("pending", "017_dry_run_log"), ("drift", "public.f()"), ("drift", "public.leads")]


def test_drift_is_told_once(at_head: Project, database: Database) -> None:
    """The models see the same column; it is drift, with the entry that would accept it."""
    database.execute("alter table leads add column x int, drop column contato_nome")
    answer = check(at_head, database)
    assert kinds(answer) == [("drift", "public.leads.contato_nome"), ("drift", "public.leads.x")]
    assert answer["findings"][1]["message"] == "`public.leads.x` (columns): expected none, found `integer`"
    assert answer["findings"][1]["entry"] == (
        '[[accepted]]\nat = ["tables", "public.leads", "columns", "x"]\nfound = "integer"\nreason = ""\n'
    )


def test_accepted_drift_hides_nothing_new(at_head: Project, database: Database) -> None:
    """The entry that the answer gives is taken once it has a reason; another change of the same thing is new drift."""
    database.execute("alter table leads add column x int")
    entry = check(at_head, database)["findings"][0]["entry"]
    file = at_head.folder / "alembic" / "accepted_drift.toml"
    file.write_text(entry)
    assert at_head.ask(database.url, {"action": "check"})["code"] == "settings"
    file.write_text(entry.replace('reason = ""', 'reason = "for the report of March"'))
    answer = check(at_head, database)
    assert (answer["ok"], answer["findings"]) == (True, [])
    assert [(one["name"], one["reason"]) for one in answer["accepted"]] == [
        ("public.leads.x", "for the report of March")
    ]
    database.execute("alter table leads alter x type bigint")
    assert [kind for kind, _ in kinds(check(at_head, database))] == ["drift", "accepted-drift"]
    database.execute("alter table leads drop x")
    answer = check(at_head, database)
    assert (answer["ok"], kinds(answer)) == (True, [("accepted-drift", "public.leads.x")])
    assert answer["findings"][0]["level"] == "note"


def test_the_models_against_the_head(at_head: Project, database: Database) -> None:
    """A revision without its model, seen by Alembic's comparison once its snapshot says that the column belongs."""
    add(at_head, "900_score", 'op.add_column("leads", sa.Column("score", sa.BigInteger()))\n'
               'op.create_index("leads_score", "leads", ["score"])\n'
               'op.alter_column("tenants", "slug", type_=sa.Text())\n'
               'op.create_table("visits", sa.Column("id", sa.BigInteger(), primary_key=True))\n'
               'op.drop_column("leads", "contato_nome")')  # fmt: skip
    at_head.ask(database.url, {"action": "upgrade"})
    assert at_head.run("migrate", "snapshot", url=database.url).returncode == 0
    found = check(at_head, database)["findings"]
    assert {one["kind"] for one in found} == {"models"}
    assert {one["name"]: one["message"] for one in found} == {
        "leads.score": "The database at `900_score` has this column, and the models do not.",
        "leads.leads_score": "The database at `900_score` has this index, and the models do not.",
        "leads.contato_nome": "The models have this column, and the database at `900_score` does not.",
        "tenants.slug": "Its type differs between the models and the database at `900_score`.",
        "visits": "The database at `900_score` has this table, and the models do not.",
    }


def test_every_edited_revision_is_named(at_head: Project, database: Database) -> None:
    for name in ("016_platform_baseline", "017_dry_run_log"):
        path = at_head.folder / "alembic" / "versions" / f"{name}.py"
        path.write_text(path.read_text() + "# edited\n")
    answer = check(at_head, database)
    assert kinds(answer) == [("history-changed", "016_platform_baseline"), ("history-changed", "017_dry_run_log")]
    assert "was edited after it ran here" in answer["findings"][0]["message"]


def test_an_invalid_index_and_constraints_that_were_never_proven(at_head: Project, database: Database) -> None:
    """One that its revision left unproven is only a note; one made by hand is drift as well."""
    add(at_head, "900_check", "from runner import operations\n"
               'operations.add_check_not_valid("later", "leads", "interesse > 1")')  # fmt: skip
    at_head.ask(database.url, {"action": "upgrade"})
    assert at_head.run("migrate", "snapshot", url=database.url).returncode == 0
    answer = check(at_head, database)
    assert kinds(answer) == [("unvalidated-constraint", "leads.later"), ("models", "leads.later")]
    database.execute("""
        alter table tenants add constraint by_hand check (slug <> '') not valid;
        create index broken on tenants (cnpj);
        update pg_index set indisvalid = false where indexrelid = 'broken'::regclass
    """)
    answer = check(at_head, database)
    assert kinds(answer) == [
        ("drift", "public.tenants.by_hand"),
        ("drift", "public.tenants.broken"),
        ("invalid-index", "public.broken"),
        ("unvalidated-constraint", "leads.later"),
        ("unvalidated-constraint", "tenants.by_hand"),
        ("models", "leads.later"),
    ]
    assert [one["level"] for one in answer["findings"]] == ["error", "error", "error", "note", "error", "error"]


NARROW = 'op.add_column("leads", sa.Column("score", sa.SmallInteger()))'
WIDE = 'op.add_column("leads", sa.Column("score", sa.BigInteger()))'


def without_models(project: Project) -> None:
    """Make `env.py` name no models, as Alembic's own template does."""
    env = project.folder / "alembic" / "env.py"
    env.write_text(env.read_text().replace("return Base.metadata", "return None"))


def forget_texts(project: Project, revision: str) -> None:
    """Make a snapshot one that an older version wrote."""
    path = project.schema / f"{revision}.json"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "made_from" not in line))
    assert path.read_text().splitlines(keepends=True) != lines


@pytest.mark.parametrize("edited", ["900_score", "901_later"])
def test_a_snapshot_older_than_the_text(at_head: Project, database: Database, edited: str) -> None:
    """An edit that `repair` has accepted, of the head or before it, cannot hide behind the snapshot of the old text."""
    without_models(at_head)
    add(at_head, "900_score", NARROW)
    at_head.add("901_later", "op.execute('select 1')", after="900_score")
    assert at_head.run("migrate", "snapshot", url=database.url).returncode == 0
    at_head.ask(database.url, {"action": "upgrade"})
    assert (check(at_head, database)["ok"], kinds(check(at_head, database))) == (True, [])
    if edited == "900_score":
        add(at_head, "900_score", WIDE)
    else:
        at_head.add("901_later", WIDE.replace("score", "rank"), after="900_score")
    assert kinds(check(at_head, database)) == [("history-changed", edited)]
    at_head.ask(database.url, {"action": "repair", "target": edited})
    done = at_head.run("migrate", "check", url=database.url)
    assert done.returncode == 4
    answer = check(at_head, database)
    assert kinds(answer) == [("snapshot", "901_later")]
    assert answer["findings"][0]["message"] == (
        "Its snapshot was made before it, or a revision before it, was edited: drift may be hidden."
    )
    assert answer["findings"][0]["help"] == "Run `migrate snapshot`, then `migrate check` again."
    assert at_head.run("migrate", "snapshot", url=database.url).returncode == 0
    column = "score" if edited == "900_score" else "rank"
    assert kinds(check(at_head, database)) == [("drift", f"public.leads.{column}")]


def test_a_snapshot_of_an_older_version(at_head: Project, database: Database) -> None:
    """It does not say which text it was made from: a note, whatever else is found, and no error."""
    forget_texts(at_head, HEAD)
    answer = check(at_head, database)
    assert (answer["ok"], kinds(answer)) == (True, [("snapshot", HEAD)])
    assert answer["findings"][0]["level"] == "note"
    assert at_head.run("migrate", "check", url=database.url).returncode == 0
    assert at_head.run("migrate", "snapshot", url=database.url).stdout == f"alembic/schema/{HEAD}.json\n"
    assert kinds(check(at_head, database)) == []


def test_an_older_runner_reads_a_snapshot(at_head: Project, database: Database) -> None:
    """It takes the name of the hash for an empty kind of object, and compares the same catalog."""
    old_runner.install(at_head)
    for words in (["check"], ["stamp", HEAD]):
        process = old_runner.start(at_head, *words, url=database.url)
        told = process.communicate()
        assert process.returncode == 0, told


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("return None", "the models, because `env.py` names none"),
        ("from elsewhere import Base", "the models, because `elsewhere` cannot be imported"),
    ],
    ids=["no models", "not installed"],
)
def test_nothing_is_compared(at_head: Project, database: Database, line: str, reason: str) -> None:
    """Without a snapshot and without models no difference can be found, and that is not to be well."""
    env = at_head.folder / "alembic" / "env.py"
    env.write_text(env.read_text().replace("from models import Base", line))
    add(at_head, "900_score", NARROW)
    at_head.ask(database.url, {"action": "upgrade"})
    answer = check(at_head, database)
    assert (answer["ok"], kinds(answer)) == (False, [("not-compared", "900_score")])
    assert answer["not_compared"] == ["the catalog, because there is no snapshot of `900_score`", reason]
    assert at_head.run("migrate", "check", url=database.url).returncode == 4
    assert at_head.run("migrate", "snapshot", url=database.url).returncode == 0
    answer = check(at_head, database)
    assert (answer["ok"], answer["not_compared"]) == (True, [reason])


def test_an_environment_that_compares_nothing(at_head: Project, database: Database) -> None:
    """Its `env.py` runs no comparison of ours, and that is said."""
    (at_head.folder / "alembic" / "env.py").write_text("from alembic import context\n")
    answer = check(at_head, database)
    assert answer["not_compared"] == ["the models, because `env.py` does not call `environment.run`"]


def test_what_a_killed_run_left(at_head: Project, database: Database) -> None:
    """While it runs it is no leftover; once it is killed it is, until the next run has noted it."""
    add(at_head, "900_slow", 'op.execute("select pg_sleep(30)")')
    process = at_head.start("migrate", "upgrade", url=database.url)
    until(database, ASLEEP, 1)
    assert kinds(check(at_head, database)) == [("pending", "900_slow")]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    until(database, ASLEEP, 0)
    until(database, LOCKED, 0)
    found = check(at_head, database)["findings"]
    assert [one["kind"] for one in found] == ["pending", "leftover"]
    assert "was killed" in found[1]["message"]
    add(at_head, "900_slow", "op.execute('select 1')")
    at_head.ask(database.url, {"action": "upgrade"})
    assert "leftover" not in {kind for kind, _ in kinds(check(at_head, database))}


def test_several_heads_and_a_stranger(at_head: Project, database: Database) -> None:
    add(at_head, "900_a", "pass")
    add(at_head, "900_b", "pass")
    assert [kind for kind, _ in kinds(check(at_head, database))] == ["multiple-heads", "pending", "pending"]
    database.execute("update alembic_version set version_num = '099_elsewhere'")
    found = check(at_head, database)
    assert [kind for kind, _ in kinds(found)] == ["multiple-heads", "unknown-revision", "not-compared"]
    assert found["not_compared"][0].startswith("the catalog, because there is no snapshot of `099_elsewhere`")


def test_behind_somebody_who_locks_a_table(at_head: Project, database: Database) -> None:
    """A view's text needs a lock on it: the answer says so in time, and is no bug of ours."""
    database.execute("create view seen as select 1 as n")
    other = database.server.connect(database.name)
    other.autocommit = False
    other.cursor().execute("lock table seen in access exclusive mode")
    answer = at_head.ask(database.url, {"action": "check"}, LOCK_TIMEOUT_MS="300")
    other.close()
    assert answer["code"] == "lock-timeout"
    assert answer["message"].startswith("lock-timeout: A table this command reads is locked by another session")


def test_markdown_for_a_pull_request(at_head: Project, database: Database) -> None:
    """Tables whose cells end nothing, and the entries folded."""
    database.execute("alter table leads add column \"a|b\" int; comment on table leads is '<b>x|y</b>'")
    done = at_head.run("migrate", "check", "--markdown", url=database.url)
    assert done.returncode == 4
    lines = done.stdout.splitlines()
    assert lines[0] == "### `migrate check`"
    rows = [line for line in lines if line.startswith("| error")]
    assert len(rows) == 2
    for row in rows:
        assert row.replace("\\|", "").count("|") == 6
        # in a code span nothing is a tag, and an entity would stay one
        assert "<b>" not in re.sub("`[^`]*`", "", row)
    assert "<details><summary>To accept the drift, with a reason for each</summary>" in lines
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["plan"], ["rehearse"], ["history"], ["check"]])
def test_each_report_is_markdown_too(at_head: Project, database: Database, command: list[str]) -> None:
    add(at_head, "900_score", 'op.add_column("leads", sa.Column("score", sa.BigInteger()))')
    done = at_head.run("migrate", *command, "--markdown", url=database.url)
    assert done.stdout.startswith(f"### `migrate {command[0]}`\n\n")
    assert "| --- |" in done.stdout
    assert "900_score" in done.stdout


def test_plain_alembics_check_agrees(at_head: Project, database: Database) -> None:
    assert at_head.run("alembic", "check", url=database.url).returncode == 0
    database.execute("alter table leads add column x int")
    assert at_head.run("alembic", "check", url=database.url).returncode != 0
