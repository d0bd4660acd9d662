"""A plan without a database: what a pre-commit hook and CI can know of a change, and what they are told they cannot."""

import itertools
import json
import re
import select
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from runner.errors import InvalidSettings
from runner.preview import sizes_file
from support.postgres import Database
from support.project import ROOT, Project

INDEX = 'op.create_index("i", "leads", ["nome"])'
RULE = "require-concurrent-index-creation"
DROP = 'op.drop_column("leads", "tags")'


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """Return a socket to which nothing may connect; the kernel would accept a connection by itself."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening
        assert select.select([listening], [], [], 0)[0] == []


def url_of(listening: socket.socket) -> str:
    return f"postgresql://u:p@127.0.0.1:{listening.getsockname()[1]}/x?sslmode=disable"


def plan(project: Project, ends: str, *words: str, **environ: str) -> dict[str, Any]:
    done = project.run("migrate", "plan", "--offline", ends, "--json", *words, **environ)
    assert done.returncode in (0, 1, 4), done.stderr
    return {**json.loads(done.stdout), "exit": done.returncode}


def write_sizes(project: Project, **rows: int | None) -> Path:
    tables = [{"table": f"public.{name}", "rows": number, "bytes": 8192} for name, number in rows.items()]
    told = {"status": "success", "action": "sizes", "message": "m", "tables": tables, "server_version": "15.3"}
    path = project.folder / "sizes.json"
    path.write_text(json.dumps(told))
    return path


def rules(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["level"], one["rule"]) for one in answer["findings"]]


@pytest.mark.parametrize("address", ["closed", "none"])
def test_nothing_is_connected_to(project: Project, nobody: socket.socket, address: str) -> None:
    """Neither where the environment names a database, nor where it names none, and whatever the answer is."""
    known = {"DATABASE_URL": url_of(nobody)} if address == "closed" else {}
    answer = plan(project, "base:head", **known)
    assert (answer["exit"], answer["ok"], answer["findings"], answer["plan"]) == (0, True, [], None)
    assert (answer["from"], answer["to"], answer["target"]) == (None, None, "017_dry_run_log")
    assert [one["revision"] for one in answer["revisions"]] == ["016_platform_baseline", "017_dry_run_log"]
    project.add("018_index", INDEX)
    answer = plan(project, "017:head", **known)
    assert (answer["exit"], answer["pending"], rules(answer)) == (4, ["018_index"], [("error", RULE)])
    assert plan(project, "017:099", **known)["exit"] == 1


def test_the_message_says_what_it_cannot_know(project: Project) -> None:
    project.add("018_index", INDEX)
    done = project.run("migrate", "plan", "--offline", "017:head")
    assert done.stderr == (
        "From `017_dry_run_log` to `018_index`: 1 revision to apply; 1 error. A plan without a database has no id. "
        "Every table counts as large, since no sizes were given: write them where the database is reached, with "
        "`migrate sizes --json > sizes.json`, and pass `--sizes sizes.json`. Not checked: whether an applied revision "
        "was edited since it ran; whether a table that a revision creates exists already.\n"
        "Correct 1 error before you apply this plan, in `alembic/versions/018_index.py:8`: the findings say how. Or "
        f"allow it with its reason, in a comment such as `# lint-allow {RULE}: REASON`. Then plan again.\n"
    )
    assert f"error\t{RULE}\t018_index\tleads\talembic/versions/018_index.py:8\t" in done.stdout


@pytest.mark.parametrize(
    ("rows", "level"), [(9_999, "warning"), (10_000, "error"), (None, "error")], ids=["few", "many", "never analysed"]
)
def test_the_level_follows_the_sizes(project: Project, rows: int | None, level: str) -> None:
    project.add("018_index", INDEX)
    answer = plan(project, "017:head", "--sizes", str(write_sizes(project, leads=rows)))
    assert (rules(answer), answer["exit"]) == ([(level, RULE)], 0 if level == "warning" else 4)
    assert answer["tables"] == [{"table": "public.leads", "rows": rows, "bytes": 8192}]
    assert "no sizes were given" not in answer["message"]


def test_the_findings_are_those_of_the_database(project: Project, database: Database) -> None:
    """With the file that production wrote, as far as a database is not needed: one and the same lint."""
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    database.execute("insert into tenants (company_name) values ('x'); analyze tenants")
    database.execute(
        "insert into leads (tenant_id, nome) select tenant_id, 'x' from tenants, generate_series(1, 20000)"
    )
    database.execute("analyze leads")
    (project.folder / "sizes.json").write_text(project.run("migrate", "sizes", "--json", url=database.url).stdout)
    project.add("018_index", f'{INDEX}\nop.create_index("j", "tenants", ["slug"])\n{DROP}')
    project.add("019_view", 'op.execute("drop function if exists f(); truncate leads")', after="018_index")
    project.add("020_new", 'op.create_table("t", sa.Column("n"))\nop.create_index("k", "t", ["n"])', after="019_view")
    there = project.ask(database.url, {"action": "plan"})
    here = plan(project, "017:head", "--sizes", "sizes.json")
    assert {level for level, _ in rules(here)} == {"error", "warning"}
    for field in ("findings", "allowed", "revisions", "tables", "linter", "ok", "direction", "target", "pending"):
        assert here[field] == there[field], field


def test_the_hook_in_the_document(project: Project) -> None:
    """What is pasted into `.pre-commit-config.yaml` runs, with the file that the document names."""
    (entry,) = re.findall(r"entry: migrate (.+)", (ROOT / "docs" / "offline.md").read_text())
    write_sizes(project, leads=20_000)
    project.add("018_index", INDEX)
    done = project.run("migrate", *entry.split())
    assert done.returncode == 4, done.stderr
    assert RULE in done.stdout


def test_a_downgrade(project: Project) -> None:
    """TO below FROM is a downgrade; the rows that it would lose are not counted, which is told."""
    answer = plan(project, "head:016")
    assert (answer["direction"], answer["target"]) == ("downgrade", "016_platform_baseline")
    assert [one["sql"] for one in answer["revisions"]] == [["DROP TABLE dry_run_log;"]]
    assert answer["findings"] == []
    assert "the rows that the downgrade loses" in answer["not_checked"]


@pytest.mark.parametrize(
    ("ends", "pending"),
    [
        ("-1:head", ["020_merge"]),
        ("018_a:020_merge", ["019_b", "020_merge"]),
        ("017:+1", None),
        ("020:head", []),
        ("-4:head", ["017_dry_run_log", "019_b", "018_a", "020_merge"]),
        ("-5:016", ["016_platform_baseline"]),
        ("-6:head", None),
        ("017:-1", ["017_dry_run_log"]),
        ("base:016", ["016_platform_baseline"]),
    ],
)
def test_the_ends(project: Project, ends: str, pending: list[str] | None) -> None:
    """Relative ones too: `-1:head` is the newest revision, here one that merges two branches."""
    project.add("018_a", INDEX)
    project.add("019_b", INDEX)
    project.add("020_merge", "pass  # lint-allow empty-revision: merges", after=("018_a", "019_b"))
    answer = plan(project, ends)
    if pending is None:
        assert (answer["exit"], answer["code"]) == (1, "unknown-revision")
    else:
        assert answer["pending"] == pending


def test_without_a_snapshot_the_sizes_name_the_tables(project: Project) -> None:
    """Without them any table may exist; with them one that exists is not taken for one that the plan creates."""
    project.add("018_step", 'op.execute("select 1")')
    project.add("019_t", 'op.execute("create table if not exists leads (n int)")\n' + INDEX, after="018_step")
    answer = plan(project, "018:head")
    assert "the objects of the database, since there is no snapshot of `018_step`" in answer["not_checked"]
    assert (RULE in {rule for _, rule in rules(answer)}, answer["tables"]) == (True, [])
    answer = plan(project, "018:head", "--sizes", str(write_sizes(project, leads=50_000)))
    assert ("error", RULE) in rules(answer)


def test_without_a_snapshot_each_object_counts_as_there(project: Project) -> None:
    """With and without sizes, which name the tables only; and the answer says what it cannot know."""
    project.add("018_step", 'op.execute("select 1")')
    statements = (
        "alter table leads rename nome to name",
        "alter table leads drop constraint leads_pkey cascade",
        "drop index leads_nome",
        "alter type mood rename value 'new' to 'fresh'",
        "drop extension pg_trgm cascade",
        "alter view cheap rename column price to cost",
        "create table parted (n bigint) partition by range (n)",
        "create table parted_1 partition of parted for values from (1) to (2)",
        "create table parted_2 (n bigint)",
        "alter table parted attach partition parted_2 for values from (2) to (3)",
    )
    project.add("019_all", f"for one in {statements!r}: op.execute(one)", after="018_step")
    for words in ((), ("--sizes", str(write_sizes(project, leads=1)))):
        answer = plan(project, "018:head", *words)
        assert sorted(rules(answer)) == [
            ("error", "ban-drop-extension"),
            ("error", "cascade-drops"),
            ("error", "cascade-drops"),
            ("error", "renaming-column"),
            ("error", "renaming-column"),
            ("error", "renaming-object"),
            ("warning", "ban-drop-constraint"),
            ("warning", "require-concurrent-index-deletion"),
        ]
        assert answer["not_checked"][3].startswith("whether a table is partitioned")


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("alter type mood rename to moods", "renaming-object"),
        ("alter schema s rename to s2", "renaming-object"),
        ("alter function f(int) rename to g", "renaming-object"),
        ("alter view v rename to w", "renaming-object"),
        ("alter table v rename to w", "renaming-table"),
    ],
)
def test_an_allowance_of_renaming_a_table_is_one_of_what_may_be_none(
    project: Project, statement: str, rule: str
) -> None:
    """Without a snapshot, plans called each of them `renaming-table`; revisions that allow that cannot be edited."""
    project.add("018_step", 'op.execute("select 1")')
    project.add(
        "019_rename", f"op.execute({statement!r})  # lint-allow renaming-table: nobody names it", after="018_step"
    )
    answer = plan(project, "018:head")
    assert (answer["findings"], [one["rule"] for one in answer["allowed"]]) == ([], [rule])


def test_a_table_that_the_file_lacks_is_told(project: Project) -> None:
    project.add("018_index", INDEX)
    answer = plan(project, "017:head", "--sizes", str(write_sizes(project, tenants=1)))
    assert rules(answer) == [("error", RULE)]
    assert answer["not_checked"][-1] == (
        "the rows of `public.leads`, which the file of sizes lacks and which therefore count as many"
    )


def test_a_snapshot_of_another_text_is_refused(project: Project) -> None:
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_text(path.read_text() + "\n# edited\n")
    project.add("018_index", INDEX)
    answer = plan(project, "017:head")
    assert (answer["exit"], answer["code"]) == (1, "settings")
    assert answer["error"].startswith("The snapshot of `017_dry_run_log` was made before that revision")


PLAIN = """
from alembic import context
from sqlalchemy import create_engine

def run_online():
    with create_engine({url!r}).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

if context.is_offline_mode():
    context.configure(url={url!r}, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run_online()
"""


def test_a_project_with_an_environment_of_alembics(project: Project, nobody: socket.socket) -> None:
    """Its `env.py` connects by itself wherever it is not offline, and prints SQL where it is."""
    for path in (*project.folder.glob("alembic/versions/*.py"), *project.schema.glob("*.json")):
        path.unlink()
    project.add("018_step", 'op.execute("create table other (n int)")', after=None)
    project.add("019_index", 'op.create_index("i", "other", ["n"])', after="018_step")
    (project.folder / "alembic" / "env.py").write_text(PLAIN.format(url=url_of(nobody)))
    done = project.run("migrate", "plan", "--offline", "018:head", "--json")
    assert (done.returncode, done.stderr) == (4, "")
    assert rules(json.loads(done.stdout)) == [("error", RULE)]


def test_what_a_revision_prints_is_not_in_the_data(project: Project) -> None:
    project.add("018_prints", "print('loud')\n" + INDEX)
    assert plan(project, "017:head")["exit"] == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--offline", "017"], "--offline takes FROM:TO, such as `017:head`, `base:head`, or `-1:head`"),
        (["--offline", "017:"], "--offline takes FROM:TO"),
        (["head", "--offline", "017:head"], "--offline FROM:TO names the target"),
        (["--sizes", "x.json"], "--sizes belongs to --offline"),
        (["--offline", "017:head", "--local"], "reads no database, so it accepts neither"),
        (["--offline", "017:head", "--env", "dev"], "reads no database, so it accepts neither"),
        (["--offline", "017:head", "--function", "f"], "reads no database, so it accepts neither"),
    ],
)
def test_usage(project: Project, words: list[str], told: str) -> None:
    done: CompletedProcess[str] = project.run("migrate", "plan", *words)
    assert done.returncode == 2
    assert told in done.stderr


FILE: dict[str, Any] = {"status": "success", "action": "sizes", "server_version": "15.3", "tables": []}
LEADS = {"table": "public.leads", "rows": 1, "bytes": 1}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not exist"),
        (b"{", "cannot be read as JSON"),
        (b"\xff", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        ([], "is no answer of `migrate sizes --json`; input should be"),
        ({**FILE, "action": "plan"}, "its `action` is wrong: input should be 'sizes'"),
        ({**FILE, "status": "error"}, "its `status` is wrong: input should be 'success'"),
        ({**FILE, "tables": [LEADS, {**LEADS, "rows": "7"}]}, "its `tables.1.rows` is wrong"),
        ({**FILE, "tables": [{**LEADS, "rows": -1}]}, "its `tables.0.rows` is wrong"),
        ({**FILE, "tables": [{"rows": 1, "bytes": 1}]}, "its `tables.0.table` is wrong: field required"),
        ({**FILE, "server_version": "15; drop"}, "its `server_version` is wrong"),
    ],
    ids=itertools.count(),
)
def test_a_file_that_is_no_file_of_sizes(tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InvalidSettings) as caught:
        sizes_file.read(path)
    assert told in caught.value.sentence
    assert "given.json" in caught.value.sentence
    assert caught.value.advice == "Write one where the database is reached: `migrate sizes --json > sizes.json`."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_as_a_shell_writes_it(tmp_path: Path, encoding: str) -> None:
    """PowerShell's `>` writes UTF-16; a newer runner's file has more fields."""
    path = tmp_path / "sizes.json"
    path.write_text(json.dumps({**FILE, "tables": [LEADS | {"new": 1}], "new": 1}), encoding=encoding)
    assert [*sizes_file.read(path).tables] == ["public.leads"]
