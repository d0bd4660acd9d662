"""See before you change: what a plan tells, and that an upgrade is held to the plan that was read."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import old_runner
from support.postgres import Database, dump
from support.project import UNTIL_TOLD, Project
from support.waiting import ASLEEP, until

SCORE = 'op.add_column("leads", sa.Column("score", sa.BigInteger()))'
NO_SCORE = 'op.drop_column("leads", "score")'
NOTHING = 'op.execute("select 1")'
ONLINE = """
if not op.get_context().as_sql:
    owner = op.get_bind().execute(sa.text("select tableowner from pg_tables where tablename = 'leads'")).scalar()
"""
FILES = "the file of a revision was edited, added or removed"
TABLES = "a table that it touches was altered, made or dropped"


@pytest.fixture
def at_017(project: Project, migrated: Database) -> Project:
    return project


def test_a_plan_from_nothing(project: Project, database: Database) -> None:
    """Each revision with its SQL as Alembic writes it, and nothing of it done: not even the ledger is made."""
    before = dump(database)
    answer = project.ask(database.url, {"action": "plan"})
    assert dump(database) == before
    assert (answer["from"], answer["target"], answer["direction"]) == (None, "017_dry_run_log", "upgrade")
    assert [one["revision"] for one in answer["revisions"]] == ["016_platform_baseline", "017_dry_run_log"]
    assert (answer["ok"], answer["findings"], answer["tables"]) == (True, [], [])
    written = project.run("alembic", "upgrade", "head", "--sql").stdout
    for one in answer["revisions"]:
        assert one["transactional"]
        assert len(one["sql"]) >= 4
        for statement in one["sql"]:
            assert statement in written


def test_a_plan_is_made_by_a_role_that_may_only_read(at_017: Project, database: Database) -> None:
    at_017.add("018_score", SCORE)
    role = f"reader_{database.name}"
    database.execute(f"""
        create role {role} login password 'reads'; grant usage on schema public, runner to {role};
        grant select on all tables in schema public, runner to {role};
    """)
    url = database.url.replace("//postgres:only-for-tests@", f"//{role}:reads@")
    assert url != database.url
    answer = at_017.ask(url, {"action": "plan"})
    assert answer["pending"] == ["018_score"]
    assert answer["plan"] == at_017.ask(database.url, {"action": "plan"})["plan"]
    database.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("target", ["-1", "016", "016_platform_baseline"])
def test_a_plan_down(at_017: Project, database: Database, target: str) -> None:
    """The way down is found by itself, and a downgrade that loses rows says how many."""
    database.execute("insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao) "
                     "select gen_random_uuid(), 'email', 'x' from generate_series(1, 3)")  # fmt: skip
    answer = at_017.ask(database.url, {"action": "plan", "target": target})
    assert (answer["direction"], answer["target"]) == ("downgrade", "016_platform_baseline")
    assert [one["sql"] for one in answer["revisions"]] == [["DROP TABLE dry_run_log;"]]
    assert [(one["rule"], one["level"]) for one in answer["findings"]] == [("downgrade-loses-rows", "error")]
    assert "`public.dry_run_log` and its 3 rows" in answer["findings"][0]["message"]
    done = at_017.ask(
        database.url,
        {"action": "downgrade", "target": target, "plan": answer["plan"], "confirm": "017_dry_run_log"},
    )
    assert (done["status"], done["to"]) == ("success", "016_platform_baseline")


def test_nothing_to_plan(at_017: Project, database: Database) -> None:
    answer = at_017.ask(database.url, {"action": "plan"})
    assert (answer["message"], answer["plan"], answer["ok"]) == (
        "Nothing to do: the database is at `017_dry_run_log`.",
        None,
        True,
    )


@pytest.mark.parametrize(
    "body",
    [
        'if op.get_bind().execute(sa.text("select count(*) from leads")).scalar(): pass',
        'if "leads" in sa.inspect(op.get_bind()).get_table_names(): pass',
        'op.get_bind().execute(sa.text("update leads set nome = :n"), {"n": "x"})',
    ],
)
def test_a_revision_that_reads_is_named_as_such(at_017: Project, database: Database, body: str) -> None:
    """Its checksum stands for its SQL; half of the SQL, or NULL for what nobody knows, is never shown."""
    path = at_017.add("018_reads", f'op.execute("select 1")\n{body}')
    at_017.add("019_score", SCORE, after="018_reads")
    answer = at_017.ask(database.url, {"action": "plan"})
    first, second = answer["revisions"]
    assert first["sql"] is None
    assert first["unrendered"].startswith("it fails without a database (")
    assert first["tables"] == ["public.leads"]
    assert second["sql"] == ["ALTER TABLE leads ADD COLUMN score BIGINT;"]
    assert [one["rule"] for one in answer["findings"]] == ["not-rendered"]
    path.write_text(path.read_text() + "# edited\n")
    refused = at_017.ask(database.url, {"action": "upgrade", "plan": answer["plan"]})
    assert (refused["code"], refused["changes"]) == ("plan-stale", [FILES])


def test_what_leaves_the_transaction_is_told(at_017: Project, database: Database) -> None:
    """An autocommit block, and one after other statements, which the engine would refuse."""
    at_017.add(
        "018_index",
        'from runner.operations import create_index_concurrently\ncreate_index_concurrently("i", "leads", ["nome"])',
    )
    at_017.add(
        "019_mixed",
        f"{SCORE}\nwith op.get_context().autocommit_block():\n    op.execute('select 1')",
        after="018_index",
    )
    answer = at_017.ask(database.url, {"action": "plan"})
    assert [one["transactional"] for one in answer["revisions"]] == [False, False]
    assert [(one["rule"], one["revision"]) for one in answer["findings"]] == [("mixed-revision", "019_mixed")]


def test_tables_are_measured_here(at_017: Project, database: Database) -> None:
    """Rows within a few percent of the truth, bytes to the letter; partitions add up, unknown rows are no zero."""
    at_017.add("018_touch", 'for name in ("leads", "split", "fresh"):\n    op.execute(f"alter table {name} add x int")')
    database.execute("""
        insert into tenants (company_name) values ('x');
        insert into leads (tenant_id, nome) select tenant_id, n::text from tenants, generate_series(1, 20000) n;
        create table split (n int) partition by range (n);
        create table split_1 partition of split for values from (0) to (500);
        create table split_2 partition of split for values from (500) to (1000);
        insert into split select generate_series(0, 999);
        create table fresh (n int);
        analyze leads, split, split_1, split_2;
    """)
    tables = {one["table"]: one for one in at_017.ask(database.url, {"action": "plan"})["tables"]}
    assert tables.keys() == {"public.leads", "public.split", "public.fresh"}
    assert tables["public.leads"]["rows"] == pytest.approx(20_000, rel=0.05)
    assert tables["public.split"]["rows"] == 1000
    assert (tables["public.fresh"]["rows"], tables["public.fresh"]["bytes"]) == (0, 0)
    assert database.query("select pg_total_relation_size('leads')") == [(tables["public.leads"]["bytes"],)]
    assert tables["public.split"]["bytes"] > 0


def edit(project: Project, _: Database) -> None:
    path = project.folder / "alembic" / "versions" / "018_score.py"
    path.write_text(path.read_text() + "# a comment\n")


def insert_revision(project: Project, _: Database) -> None:
    project.add("018_score", SCORE, after="0175_between", downgrade=NO_SCORE)
    project.add("0175_between", NOTHING)


def by_hand(statement: str):
    return lambda _, database: database.execute(statement)


CHANGES = {
    "another revision applied": (
        lambda project, database: project.ask(database.url, {"action": "upgrade", "target": "018"}),
        {},
        ["it was made at `017_dry_run_log`, and the database is at `018_score`"],
    ),
    "a revision reverted": (
        lambda project, database: project.ask(database.url, {"action": "downgrade", "target": "-1"}),
        {},
        ["it was made at `017_dry_run_log`, and the database is at `016_platform_baseline`"],
    ),
    "a column added": (by_hand("alter table leads add x int"), {}, [TABLES]),
    "an index made": (by_hand("create index i on leads (nome)"), {}, [TABLES]),
    "a comment changed": (by_hand("comment on column leads.nome is 'x'"), {}, [TABLES]),
    "the table dropped": (by_hand("drop table leads cascade"), {}, [TABLES]),
    "a type changed": (
        by_hand("alter type mood add value 'c'"),
        {},
        ["a type that it touches was altered, made or dropped"],
    ),
    "a table made that the plan makes": (by_hand("create table later (n int)"), {}, [TABLES]),
    "a file edited": (edit, {}, [FILES]),
    "a revision put between": (insert_revision, {}, [FILES]),
    "another image": (lambda *_: None, {"IMAGE_DIGEST": "sha256:b"}, ["the image is now `sha256:b`"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_that_no_longer_holds(at_017: Project, database: Database, change: str) -> None:
    """The kind of what has changed since is named, and nothing is applied."""
    make, environ, told = CHANGES[change]
    database.execute("create type mood as enum ('a'); create table moods (mood mood)")
    at_017.add("018_score", SCORE, downgrade=NO_SCORE)
    at_017.add(
        "019_more",
        'op.execute("alter type mood add value \'b\'")\nop.execute("create table later (n int)")',
        after="018_score",
    )
    plan = at_017.ask(database.url, {"action": "plan"}, IMAGE_DIGEST="sha256:a")["plan"]
    make(at_017, database)
    before = dump(database)
    answer = at_017.ask(database.url, {"action": "upgrade", "plan": plan}, **{"IMAGE_DIGEST": "sha256:a", **environ})
    assert (answer["status"], answer["code"]) == ("error", "plan-stale")
    assert answer["changes"] == told
    for sentence in told:
        assert sentence in answer["message"]
    assert "Nothing was changed. Make a new plan with `migrate plan 019_more`, and read it." in answer["message"]
    assert dump(database) == before


@pytest.mark.parametrize(
    "statement",
    ["alter table tenants add x int", "create index i on blocklist (reason)", "create table other (n int)",
     "insert into tenants (company_name) values ('x'); insert into leads (tenant_id) select tenant_id from tenants",
     "drop table dry_run_log"],
)  # fmt: skip
def test_a_plan_that_still_holds(at_017: Project, database: Database, statement: str) -> None:
    """Rows, and tables that the plan does not touch, are no change; the ledger keeps which plan was applied."""
    at_017.add("018_score", SCORE)
    plan = at_017.ask(database.url, {"action": "plan"})["plan"]
    database.execute(statement)
    answer = at_017.ask(database.url, {"action": "upgrade", "plan": plan})
    assert (answer["status"], answer["to"]) == ("success", "018_score"), answer["message"]
    assert database.query("select plan from runner.migration_run order by run_id desc limit 1") == [(plan,)]


def test_a_plan_for_another_target(at_017: Project, database: Database) -> None:
    at_017.add("018_score", SCORE)
    at_017.add("019_more", NOTHING, after="018_score")
    plan = at_017.ask(database.url, {"action": "plan", "target": "+1"})["plan"]
    answer = at_017.ask(database.url, {"action": "upgrade", "plan": plan})
    assert answer["changes"] == ["it leads to `018_score`, and the target is `019_more`"]
    assert at_017.ask(database.url, {"action": "upgrade", "plan": plan, "target": "018"})["to"] == "018_score"


@pytest.mark.parametrize("plan", ["0123456789abcdef-" + rest for rest in ("", "A", "AAAA", "_-_-_-_-")])
def test_an_id_of_no_plan(at_017: Project, database: Database, plan: str) -> None:
    at_017.add("018_score", SCORE)
    answer = at_017.ask(database.url, {"action": "upgrade", "plan": plan})
    if plan == "0123456789abcdef-":
        assert answer["error"] == "The field `plan` of `upgrade` is not the id of a plan."
    else:
        assert (answer["code"], answer["changes"]) == ("plan-stale", ["the id is incomplete"])
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def test_in_production_a_plan_is_needed(at_017: Project, database: Database) -> None:
    """By every door that upgrades; nothing to do is no change, so it needs none."""
    for event in ({"action": "upgrade"}, {"action": "run-migration", "target": "all"}):
        assert at_017.ask(database.url, event, ENVIRONMENT="prod")["status"] == "success"
    at_017.add("018_score", SCORE)
    for event in ({"action": "upgrade"}, {"action": "run-migration", "target": "018"}):
        answer = at_017.ask(database.url, event, ENVIRONMENT="prod")
        assert answer["code"] == "plan-needed"
        assert "migrate upgrade 018_score --plan ID" in answer["message"]
    plain = at_017.run("alembic", "upgrade", "head", url=database.url, ENVIRONMENT="prod")
    assert plain.returncode != 0
    assert "plan-needed" in plain.stderr + plain.stdout
    plan = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")["plan"]
    plain = at_017.run("alembic", "-x", f"plan={plan}", "upgrade", "head", url=database.url, ENVIRONMENT="prod")
    assert plain.returncode == 0, plain.stderr
    assert database.query("select version_num from alembic_version") == [("018_score",)]


def test_plain_alembic_repeats_its_own_options(at_017: Project, database: Database) -> None:
    """The command of the message is the one that failed, with its `-x`, its file and the target that it meant."""
    at_017.add("018_wrong", "op.execute('select 1/0')")
    plan = at_017.ask(database.url, {"action": "plan"})["plan"]
    given = ["alembic", "-c", "alembic.ini", "-x", "why=it is time"]
    done = at_017.run(*given, "-x", f"plan={plan}", "upgrade", "+1", url=database.url)
    (command,) = re.findall("`(alembic .*?)`", done.stderr)
    assert shlex.split(command) == [*given, "-x", f"plan={plan}", "upgrade", "018_wrong"]
    again = at_017.run(*shlex.split(command), url=database.url)
    assert "revision-failed: `018_wrong`" in again.stderr


def test_in_production_a_plan_with_errors_has_no_id(at_017: Project, database: Database) -> None:
    path = at_017.add("018_gone", 'op.drop_column("leads", "tags")')
    answer = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")
    assert (answer["status"], answer["ok"], answer["plan"]) == ("success", False, None)
    assert "In `prod` a plan with errors has no id" in answer["message"]
    elsewhere = at_017.ask(database.url, {"action": "plan"})["plan"]
    refused = at_017.ask(database.url, {"action": "upgrade", "plan": elsewhere}, ENVIRONMENT="prod")
    assert (refused["code"], refused["changes"]) == (
        "plan-stale", [f"it was made for another environment or database than `prod, {database.name}`"]
    )  # fmt: skip
    path.write_text(path.read_text() + "# lint-allow ban-drop-column: nothing has read it since 2026-09\n")
    answer = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")
    assert (answer["ok"], answer["findings"]) == (True, [])
    assert [one["rule"] for one in answer["allowed"]] == ["ban-drop-column"]
    done = at_017.ask(database.url, {"action": "upgrade", "plan": answer["plan"]}, ENVIRONMENT="prod")
    assert done["status"] == "success", done["message"]


def test_a_partial_upgrade_is_gone_on_with_under_its_plan(at_017: Project, database: Database) -> None:
    """What the run itself changed does not make the plan stale; what somebody else changed meanwhile does."""
    at_017.add("018_score", SCORE)
    at_017.add(
        "019_slow", 'op.execute("select pg_sleep(0.8)")\nop.execute("alter table leads add x int")', after="018_score"
    )
    plan = at_017.ask(database.url, {"action": "plan"})["plan"]
    event = {"action": "upgrade", "plan": plan}
    first = at_017.ask(database.url, event, ends_in="019_slow")
    assert (first["status"], first["to"]) == ("partial", "018_score"), first["message"]
    database.execute("alter table leads add y int")
    assert at_017.ask(database.url, event)["changes"] == [TABLES]
    database.execute("alter table leads drop y")
    again = at_017.ask(database.url, event)
    assert (again["status"], again["to"]) == ("success", "019_slow"), again["message"]


def test_what_an_upgrade_would_be_refused_with_is_told_before(project: Project, database: Database) -> None:
    database.execute("create table dry_run_log (log_id int)")
    assert project.ask(database.url, {"action": "plan"})["code"] == "unversioned-database"
    database.execute("drop table dry_run_log")
    project.ask(database.url, {"action": "upgrade"})
    path = project.folder / "alembic" / "versions" / "017_dry_run_log.py"
    path.write_text(path.read_text() + "# edited\n")
    project.add("018_score", SCORE)
    assert project.ask(database.url, {"action": "plan"})["code"] == "history-changed"


def test_a_table_that_will_be_adopted_is_told(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop table alembic_version; drop schema runner cascade")
    found = {one["revision"]: one["adopts"] for one in project.ask(database.url, {"action": "plan"})["revisions"]}
    assert found["017_dry_run_log"] == ["public.dry_run_log"]
    assert len(found["016_platform_baseline"]) == 7


def test_a_large_plan_leaves_its_sql_out_and_says_so(at_017: Project, database: Database) -> None:
    """The id is the same with and without, and the id of many revisions is no longer than that of one."""
    names = at_017.add_many(
        80, 'op.execute("create table {name} (n bigint)")\nop.execute("select " + repr("x" * 3000))'
    )
    answer = at_017.ask(database.url, {"action": "plan"})
    assert len(answer["revisions"]) == 80
    assert {one["sql"] for one in answer["revisions"]} == {None}
    assert answer["left_out"] == "the SQL is left out because the answer would exceed 200 kB"
    assert len(answer["plan"]) == 70
    done = at_017.ask(database.url, {"action": "upgrade", "plan": answer["plan"]})
    assert done["to"] == names[-1]


def plan_without_squawk(
    project: Project, database: Database, folder: Path, *options: str, **environ: str
) -> "subprocess.CompletedProcess[str]":
    """A Python in a folder of its own, and a PATH without it, find no squawk."""
    alone = folder / "alone"
    alone.mkdir(exist_ok=True)
    if not (alone / "python").exists():
        (alone / "python").symlink_to(Path(sys.executable).resolve())
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    known = {"PATH": "/nowhere", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2] / "src"), packages])}
    return subprocess.run(
        [alone / "python", "-c", "from runner.__main__ import main; main()", *options, "plan"],
        cwd=project.folder, capture_output=True, text=True, check=False,
        env={**known, "DATABASE_URL": database.url, **environ},
    )  # fmt: skip


FOUND = 'op.execute(f"alter table leads add column c{n} int, add constraint k{n} check (c{n} > 0)")'


def test_the_work_of_a_plan_grows_with_its_length_and_not_with_its_square(at_017: Project, database: Database) -> None:
    """Counted in calls of functions, which do not depend on the machine."""
    calls = {}
    for number in (300, 600):
        at_017.add_many(1, f"for n in range({number}):\n    {FOUND}")
        with counting_calls() as count:
            answer = at_017.ask(database.url, {"action": "plan"}, timeout_s=300)
        assert f"{number} warnings, {number} notes" in answer["message"]
        calls[number] = count.calls
    assert calls[600] < 2.2 * calls[300]


class Count:
    calls = 0

    def add(self, *_: object) -> None:
        self.calls += 1


@contextmanager
def counting_calls() -> Iterator[Count]:
    count = Count()
    sys.setprofile(count.add)
    try:
        yield count
    finally:
        sys.setprofile(None)


def test_without_squawk_the_plan_says_that_it_was_not_linted(
    at_017: Project, database: Database, tmp_path: Path
) -> None:
    at_017.add("018_index", 'op.create_index("i", "leads", ["nome"])')
    done = plan_without_squawk(at_017, database, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "no findings. The SQL was not linted because the extra `lint` is not installed. The plan id is `" in done.stderr
    )
    linted = at_017.run("migrate", "plan", url=database.url)
    assert "require-concurrent-index-creation" in linted.stdout


def test_in_production_a_plan_that_was_not_linted_has_no_id(
    at_017: Project, database: Database, tmp_path: Path
) -> None:
    at_017.add("018_score", SCORE)
    done = plan_without_squawk(at_017, database, tmp_path, "--json", ENVIRONMENT="eu-prod")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"], answer["ok"], answer["plan"]) == (4, "success", False, None)
    assert answer["message"].endswith("In `eu-prod` a plan that was not linted has no id: install the extra `lint`.")
    # nothing to do needs no id
    at_017.ask(database.url, {"action": "upgrade"})
    nothing = plan_without_squawk(at_017, database, tmp_path, "--json", ENVIRONMENT="eu-prod")
    assert (nothing.returncode, json.loads(nothing.stdout)["ok"]) == (0, True)


def test_that_a_plan_was_linted_is_part_of_its_id(at_017: Project, database: Database, tmp_path: Path) -> None:
    """A plan that was not linted holds, and is gone on with, until the environment is protected."""
    at_017.add("018_score", SCORE)
    slow = 'op.execute("select pg_sleep(0.8)")\nop.execute("alter table tenants add x int")'
    at_017.add("019_slow", slow, after="018_score")
    done = plan_without_squawk(at_017, database, tmp_path, "--json", ENVIRONMENT="staging")
    unlinted = json.loads(done.stdout)["plan"]
    linted = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="staging")["plan"]
    assert unlinted != linted
    (at_017.folder / "migrate.toml").write_text("[project]\nprotected = ['staging']\n")
    refused = at_017.ask(database.url, {"action": "upgrade", "plan": unlinted}, ENVIRONMENT="staging")
    assert (refused["code"], refused["changes"]) == ("plan-stale", ["it was not linted"])
    assert at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="staging")["plan"] == linted
    (at_017.folder / "migrate.toml").unlink()
    event = {"action": "upgrade", "plan": unlinted}
    first = at_017.ask(database.url, event, ends_in="019_slow", ENVIRONMENT="staging")
    assert (first["status"], first["to"]) == ("partial", "018_score"), first["message"]
    again = at_017.ask(database.url, event, ENVIRONMENT="staging")
    assert (again["status"], again["to"]) == ("success", "019_slow"), again["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('op.add_colum("leads", "x")', "AttributeError: module 'alembic.op' has no attribute 'add_colum'"),
        ('with op.batch_alter_table("leads") as leads:\n    leads.add_colum("x")', "AttributeError: 'BatchOperations'"),
        ('op.add_column("leads", sa.Colum("x"))', "AttributeError: module 'sqlalchemy' has no attribute 'Colum'"),
        ("op.get_context().nothing", "AttributeError: 'MigrationContext' object has no attribute 'nothing'"),
        ("op.execute(statement)", "NameError: name 'statement' is not defined"),
        ("from no_such_module import anything", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("from alembic.op import add_colum", "ImportError: cannot import name 'add_colum' from 'alembic.op'"),
        ('exec("op.execute(")', "SyntaxError."),
        ("raise NameError('ana@example.com')", "NameError."),
    ],
)
def test_a_mistake_in_the_code_is_an_error(at_017: Project, database: Database, body: str, told: str) -> None:
    """No database would change it, so in production the plan has no id."""
    at_017.add("018_wrong", f'op.execute("select 1")\n{body}')
    answer = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")
    assert (answer["ok"], answer["plan"], answer["revisions"][0]["sql"]) == (False, None, None)
    (found,) = answer["findings"]
    assert (found["rule"], found["level"], found["revision"]) == ("broken-code", "error", "018_wrong")
    assert told in found["message"]
    # raised by hand, a text may be a row's
    assert "example.com" not in str(answer)
    line = 9 + body.count("\n")
    assert found["message"].startswith(f"Its code fails in line {line}: ")
    done = at_017.ask(database.url, {"action": "upgrade"})
    assert (done["code"], done["revision"]) == ("revision-failed", "018_wrong")


@pytest.mark.parametrize(
    "body",
    [
        'op.get_bind().execute(sa.text("select 1")).scalar()',
        "sa.inspect(op.get_bind()).get_table_names()",
        'for row in op.get_bind().execute(sa.text("select 1")):\n    row.nothing',
        "op.get_bind().connection.cursor()",
        "op.get_bind().dialect.server_version_info[0] + 1",
        f"{ONLINE}op.execute(f'comment on table leads is {{owner!r}}')",
        f"{ONLINE}op.execute(''.join(f'comment on table leads is {{owner!r}}' for _ in (1,)))",
    ],
)
def test_what_only_a_database_can_answer_is_a_warning(at_017: Project, database: Database, body: str) -> None:
    """In production too the plan has an id, in which the file's checksum stands for the SQL."""
    at_017.add("018_reads", body)
    answer = at_017.ask(database.url, {"action": "plan"}, ENVIRONMENT="prod")
    assert [(one["rule"], one["level"]) for one in answer["findings"]] == [("not-rendered", "warning")]
    assert (answer["ok"], answer["plan"] is None) == (True, False)
    assert at_017.ask(database.url, {"action": "rehearse"})["ok"] == ("nothing" not in body)


def test_a_plan_may_be_used_again(at_017: Project, database: Database) -> None:
    """After a partial run under it, its end, and a downgrade, the same plan is the same again."""
    at_017.add("018_score", SCORE, downgrade=NO_SCORE)
    slow = 'op.execute("select pg_sleep(0.8)")\nop.execute("alter table leads add x int")'
    at_017.add("019_slow", slow, after="018_score", downgrade='op.drop_column("leads", "x")')
    plan = at_017.ask(database.url, {"action": "plan"})["plan"]
    assert at_017.ask(database.url, {"action": "upgrade", "plan": plan}, ends_in="019_slow")["status"] == "partial"
    assert at_017.ask(database.url, {"action": "upgrade", "plan": plan})["status"] == "success"
    assert at_017.ask(database.url, {"action": "downgrade", "target": "017"})["status"] == "success"
    assert at_017.ask(database.url, {"action": "plan"})["plan"] == plan
    assert at_017.ask(database.url, {"action": "upgrade", "plan": plan})["status"] == "success"


def test_what_is_changed_by_hand_during_a_partial_run_is_seen(at_017: Project, database: Database) -> None:
    at_017.add("018_score", SCORE)
    slow = 'op.execute("select pg_sleep(60)")\nop.execute("alter table tenants add x int")'
    at_017.add("019_slow", slow, after="018_score")
    event = {"action": "upgrade", "plan": at_017.ask(database.url, {"action": "plan"})["plan"]}
    with ThreadPoolExecutor() as pool:
        partial = pool.submit(at_017.ask, database.url, event, ends_in="019_slow", left_s=2)
        until(database, ASLEEP, 1)
        database.execute("alter table tenants add by_hand int")
        assert partial.result()["status"] == "partial"
    assert at_017.ask(database.url, event)["changes"] == [TABLES]


@pytest.mark.parametrize(
    "body",
    [
        "from alembic import context\nop.execute(f'select {int(context.is_offline_mode())}')",
        "from datetime import datetime\nop.execute(f\"select '{datetime.now()}'\")",
        "import uuid\nop.execute(f\"select '{uuid.uuid4()}'\")",
    ],
)
def test_a_plan_is_not_stale_at_once(at_017: Project, database: Database, body: str) -> None:
    """SQL that depends on how Alembic was entered, and SQL that is another each time."""
    at_017.add("018_odd", body)
    answer = at_017.ask(database.url, {"action": "plan"})
    assert at_017.ask(database.url, {"action": "upgrade", "plan": answer["plan"]})["status"] == "success"


INDEXED = """
op.create_table("many", *(sa.Column(name, sa.BigInteger(), index=True) for name in ("a", "b", "c", "d", "e")))
for name in {"one", "two", "three", "four"}:
    op.execute(f"comment on table leads is '{name}'")
"""


@pytest.mark.parametrize("processes", [6, pytest.param(50, marks=pytest.mark.long)])
def test_the_same_input_has_the_same_id(at_017: Project, database: Database, processes: int) -> None:
    """Whatever order a set has in a process: SQLAlchemy keeps a table's indexes in one, a revision may use another."""
    at_017.add("018_many", INDEXED)

    def plan(seed: int) -> dict:
        done = at_017.run("migrate", "--json", "plan", url=database.url, PYTHONHASHSEED=str(seed))
        return json.loads(done.stdout)

    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(plan, range(processes)))
    assert len({one["plan"] for one in plans}) == 1
    shown = [one["revisions"][0]["sql"] for one in plans]
    assert {len(sql) for sql in shown} == {10}
    # the indexes are shown in one order too; that of the revision's own set is what its Python makes of it
    assert len({tuple(sql[:6]) for sql in shown}) == 1
    done = at_017.ask(database.url, {"action": "upgrade", "plan": plans[0]["plan"]})
    assert done["status"] == "success", done["message"]


def test_a_plan_of_an_earlier_version_is_told_as_such(at_017: Project, database: Database) -> None:
    """Also where a run of that version left the plan of its rest: it is stale, and never an invalid payload."""
    at_017.add("018_score", SCORE)
    at_017.add("019_slow", UNTIL_TOLD + NOTHING, after="018_score")
    ours = (at_017.folder / "alembic" / "env.py").read_text()
    old_runner.install(at_017)
    plan = json.loads(old_runner.start(at_017, "--json", "plan", url=database.url).communicate()[0])["plan"]
    run = old_runner.start(at_017, "--timeout", "5", "upgrade", "--plan", plan, url=database.url)
    assert "1 of 2 revisions completed" in run.communicate()[1]
    rest = database.query("select status, plan_of_rest is not null from runner.migration_run where plan is not null")
    assert rest == [("partial", True)]
    (at_017.folder / "alembic" / "env.py").write_text(ours)
    answer = at_017.ask(database.url, {"action": "upgrade", "plan": plan})
    assert (answer["code"], answer["changes"]) == ("plan-stale", ["it was made by an earlier version of the runner"])
    assert len(plan) > 80
    database.execute("create table told ()")
    again = at_017.ask(database.url, {"action": "plan"})["plan"]
    assert at_017.ask(database.url, {"action": "upgrade", "plan": again})["to"] == "019_slow"


def test_python_that_exits_is_no_plan(at_017: Project, database: Database) -> None:
    at_017.add("018_exits", "raise SystemExit(3)")
    assert at_017.ask(database.url, {"action": "plan"})["revisions"][0]["sql"] is None


@pytest.mark.parametrize(
    ("downgrade", "lost"),
    [
        ('op.drop_table("dry_run_log")', "`public.dry_run_log` and its 3 rows"),
        ('op.execute("truncate dry_run_log")', "`public.dry_run_log` and its 3 rows"),
        ('op.execute("delete from dry_run_log where true")', "`public.dry_run_log` and its 3 rows"),
        ('op.drop_column("dry_run_log", "motivo_decisao")', "`public.dry_run_log.motivo_decisao` and its 3 rows"),
        ("op.get_bind().execute(sa.text('select 1')).scalar()", "objects that are not known beforehand"),
    ],
)
def test_a_downgrade_without_a_snapshot_loses_no_rows_unasked(
    at_017: Project, database: Database, downgrade: str, lost: str
) -> None:
    """What its SQL drops counts, also of tables that another revision made."""
    database.execute("insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao) "
                     "select gen_random_uuid(), 'email', 'x' from generate_series(1, 3)")  # fmt: skip
    at_017.add("018_loses", NOTHING, downgrade=downgrade)
    at_017.ask(database.url, {"action": "upgrade"})
    found = at_017.ask(database.url, {"action": "plan", "target": "-1"})["findings"]
    assert any(lost in one["message"] for one in found if one["rule"] == "downgrade-loses-rows")
    answer = at_017.ask(database.url, {"action": "downgrade", "target": "-1"})
    assert answer["code"] == "confirm-needed"
    assert lost in answer["message"]


def test_a_downgrade_with_an_outdated_snapshot_loses_no_rows_unasked(at_017: Project, database: Database) -> None:
    """It shows what another text made, so it counts like none where the SQL is not known either."""
    nothing, reads = "op.execute('select 1')", "op.get_bind().execute(sa.text('select 1')).scalar()"
    at_017.add("018_reads", nothing, downgrade=reads)
    assert at_017.run("migrate", "snapshot", url=database.url).returncode == 0
    at_017.ask(database.url, {"action": "upgrade"})
    assert at_017.ask(database.url, {"action": "downgrade", "target": "-1"})["status"] == "success"
    at_017.ask(database.url, {"action": "upgrade"})
    at_017.add("018_reads", f"{nothing}\n{nothing}", downgrade=reads)
    at_017.ask(database.url, {"action": "repair", "target": "018"})
    answer = at_017.ask(database.url, {"action": "downgrade", "target": "-1"})
    assert answer["error"] == (
        "Downgrading to `017_dry_run_log` drops objects that are not known beforehand (`018_reads` reads the database "
        "and has an outdated snapshot)."
    )
