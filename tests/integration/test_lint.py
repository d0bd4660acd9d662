"""What is unsafe is found, its safe twin is not; what squawk cannot know is known here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import Database, Server, new_database
from support.project import Project

BASE = """
    op.execute("create type mood as enum ('a', 'b')")
    op.execute("create domain score as int")
    op.execute("create table parts (n bigint, at date not null) partition by range (at)")
    op.execute("create table parts_1 partition of parts for values from ('2026-01-01') to ('2027-01-01')")
    op.execute("create unique index leads_externo on leads (lead_id_externo)")
    op.execute("create table visits (visit_id uuid not null, lead_id uuid, at timestamptz, mood mood)")
    op.execute("create unique index visits_id on visits (visit_id)")
    op.execute("create schema reports")
    op.execute("create materialized view reports.daily as select 1 as n")
    op.execute("create view people as select nome from leads")
    op.execute("create view callers as select lead_id from visits")
    op.execute("create sequence tickets")
    op.execute("create function rank_of(n bigint) returns bigint language sql as 'select n'")
    op.execute("create function rank_of_all(text) returns bigint language sql as 'select 1'")
    op.execute("create type colour as enum ('red')")
"""
HELPERS = "from runner import operations\n"

# rule of squawk, or what a run refuses: (the unsafe revision, its safe twin)
TABLE = {
    "prefer-robust-stmts": (
        "with op.get_context().autocommit_block():\n"
        '    op.create_index("i", "leads", ["nome"], postgresql_concurrently=True)',
        HELPERS + 'operations.create_index_concurrently("i", "leads", ["nome"])',
    ),
    "ban-create-domain-with-constraint": (
        'op.execute("create domain grade as int check (value > 0)")',
        'op.execute("create domain grade as int")',
    ),
    "require-enum-value-ordering": (
        "op.execute(\"alter type mood add value 'c'\")",
        "op.execute(\"alter type mood add value 'c' after 'b'\")",
    ),
    "prefer-bigint-over-int": (
        'op.add_column("leads", sa.Column("visits", sa.Integer()))',
        'op.add_column("leads", sa.Column("visits", sa.BigInteger()))',
    ),
    "prefer-timestamp-tz": (
        'op.add_column("leads", sa.Column("seen_at", sa.DateTime()))',
        'op.add_column("leads", sa.Column("seen_at", sa.DateTime(timezone=True)))',
    ),
    "prefer-text-field": (
        'op.add_column("leads", sa.Column("origin", sa.String(20)))',
        'op.add_column("leads", sa.Column("origin", sa.Text()))',
    ),
    "ban-char-field": (
        'op.add_column("leads", sa.Column("uf", sa.CHAR(2)))',
        'op.add_column("leads", sa.Column("uf", sa.Text()))',
    ),
    "identifier-too-long": (
        f'op.add_column("leads", sa.Column("{"x" * 64}", sa.Text()))',
        f'op.add_column("leads", sa.Column("{"x" * 63}", sa.Text()))',
    ),
    "transaction-nesting": ('op.execute("begin")', 'op.execute("select 1")'),
    "mixed-revision": (
        'op.add_column("leads", sa.Column("x", sa.Text()))\n'
        'with op.get_context().autocommit_block():\n    op.execute("select 1")',
        'op.add_column("leads", sa.Column("x", sa.Text()))',
    ),
}


@pytest.fixture(scope="module")
def base(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Database]]:
    """A database that is at 018, for plans only: a plan changes nothing, so all tests share it."""
    with new_database(server, "lint") as database:
        project = Project.copy(tmp_path_factory.mktemp("lint"))
        project.add("018_base", BASE)
        assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
        database.execute("""
            insert into tenants (company_name) values ('x');
            insert into leads (tenant_id) select tenant_id from tenants, generate_series(1, 20000);
            analyze leads, tenants;
        """)
        yield project, database


def plan(base: tuple[Project, Database], folder: Path, body: str, **more: str) -> dict:
    project = Project.copy(folder)
    project.add("018_base", BASE)
    project.add("019_change", body, after="018_base", **more)
    answer = project.ask(base[1].url, {"action": "plan"})
    assert answer["status"] == "success", answer["message"]
    assert answer["linter"].startswith("squawk ")
    return answer


@pytest.mark.parametrize("case", TABLE)
def test_the_unsafe_one_is_found(base: tuple[Project, Database], tmp_path: Path, case: str) -> None:
    found = plan(base, tmp_path, TABLE[case][0])["findings"]
    assert case.partition(" ")[0] in {one["rule"] for one in found}
    for one in found:
        assert one["revision"] == "019_change"
        assert one["message"]


@pytest.mark.parametrize("case", TABLE)
def test_its_safe_twin_is_not(base: tuple[Project, Database], tmp_path: Path, case: str) -> None:
    assert plan(base, tmp_path, TABLE[case][1])["findings"] == []


@pytest.mark.parametrize(
    ("table", "rows", "level"),
    [("leads", 20_000, "error"), ("tenants", None, "warning"), ("visits", 0, "warning")],
)
def test_the_level_depends_on_the_rows_here(
    base: tuple[Project, Database], tmp_path: Path, table: str, rows: int | None, level: str
) -> None:
    """The same statement stops the application on a large table and is over at once on a small one."""
    column = {"leads": "nome", "tenants": "slug", "visits": "lead_id"}[table]
    (found,) = plan(base, tmp_path, f'op.create_index("i", "{table}", ["{column}"])')["findings"]
    assert (found["level"], found["table"]) == (level, table)
    assert found["rows"] == (pytest.approx(rows, rel=0.05) if rows is not None else 1)


def test_rows_that_nobody_counted_yet_count_as_many(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    database.execute("set track_counts = off; insert into tenants (company_name) select 'x' from generate_series(1, 9)")
    project.add("018_index", 'op.create_index("i", "tenants", ["status"])')
    answer = project.ask(database.url, {"action": "plan"})
    assert [(one["level"], one["rows"]) for one in answer["findings"]] == [("error", None)]


def test_what_the_same_plan_makes_is_nobodys_yet(base: tuple[Project, Database], tmp_path: Path) -> None:
    """An index, a column and an update on a table of an earlier revision of this plan are no findings."""
    project = Project.copy(tmp_path)
    project.add("018_base", BASE)
    project.add(
        "019_table", 'op.create_table("calls", sa.Column("id", sa.Integer(), primary_key=True))', after="018_base"
    )
    body = (
        'op.add_column("calls", sa.Column("name", sa.String(9), nullable=False))\n'
        'op.create_index("calls_name", "calls", ["name"])\n'
        "op.execute(\"update calls set name = 'x'\")"
    )
    project.add("020_more", body, after="019_table")
    answer = project.ask(base[1].url, {"action": "plan"})
    assert (len(answer["revisions"]), answer["findings"]) == (2, [])
    project.add("020_more", body.replace('"calls"', '"leads"').replace("calls set", "leads set"), after="019_table")
    found = project.ask(base[1].url, {"action": "plan"})["findings"]
    assert {"adding-required-field", "require-concurrent-index-creation", "unbounded-write"} <= {
        one["rule"] for one in found
    }


def test_a_table_that_is_there_already_is_not_made(base: tuple[Project, Database], tmp_path: Path) -> None:
    """IF NOT EXISTS does nothing to what is there: a new index reads its rows, one that is there is not built."""
    make = 'op.execute("create table if not exists leads (n int)")\n'
    found = plan(base, tmp_path, make + 'op.create_index("i", "leads", ["nome"], if_not_exists=True)')["findings"]
    assert [one["rule"] for one in found] == ["require-concurrent-index-creation"]
    there = 'op.create_index("leads_externo", "leads", ["lead_id_externo"], if_not_exists=True)'
    again = tmp_path / "again"
    again.mkdir()
    assert plan(base, again, make + there)["findings"] == []


ALLOWED = 'op.drop_column("leads", "tags")  # lint-allow ban-drop-column: nothing has read it since 2026-09'


@pytest.mark.parametrize(
    ("body", "found", "allowed"),
    [
        (ALLOWED, [], ["ban-drop-column"]),
        ('# lint-allow ban-drop-column\nop.drop_column("leads", "tags")',
         ["ban-drop-column", "suppression-without-reason"], []),
        ("op.execute('select 1')  # lint-allow ban-drop-column: it is gone already", ["unused-suppression"], []),
        ('op.drop_column("leads", "tags")  # lint-allow no-such-rule: because',
         ["ban-drop-column", "unused-suppression"], []),
        ("op.execute('select 1 -- # lint-allow ban-drop-column: in a string')", [], []),
    ],
)  # fmt: skip
def test_a_comment_allows_with_a_reason(
    base: tuple[Project, Database], tmp_path: Path, body: str, found: list[str], allowed: list[str]
) -> None:
    """One without a reason allows nothing, one that nothing needs is told."""
    answer = plan(base, tmp_path, body)
    assert sorted(one["rule"] for one in answer["findings"]) == found
    assert [one["rule"] for one in answer["allowed"]] == allowed


def test_a_comment_counts_for_the_direction_that_it_stands_in(base: tuple[Project, Database], tmp_path: Path) -> None:
    down = 'op.execute("update leads set nome = null")  # lint-allow unbounded-write: few rows by then'
    answer = plan(base, tmp_path, 'op.add_column("leads", sa.Column("x", sa.Text()))', downgrade=down)
    assert (answer["findings"], answer["allowed"]) == ([], [])


def test_what_a_fresh_database_does_not_need_is_not_idle(base: tuple[Project, Database], tmp_path: Path) -> None:
    """From nothing the table is made in the same plan; the comment is for the databases that have it."""
    project = Project.copy(tmp_path)
    project.add("018_base", BASE)
    project.add("019_change", ALLOWED, after="018_base")
    with new_database(base[1].server, "lint_fresh") as fresh:
        assert project.ask(fresh.url, {"action": "plan"})["findings"] == []


def test_an_allowance_of_what_other_databases_have_is_not_idle(base: tuple[Project, Database], tmp_path: Path) -> None:
    """Its file may be applied elsewhere, and cannot be edited any more; a rule's former id is known, too."""
    body = """
        # lint-allow work-under-lock: at night
        # lint-allow update-all-rows: at night
        # lint-allow truncate: at night
        # lint-allow cascade-drops: at night
        op.add_column("calls", sa.Column("x", sa.Text()))
        op.execute("update calls set x = 'x'; truncate calls; drop table calls cascade")
    """
    project = Project.copy(tmp_path)
    project.add("018_base", BASE)
    project.add("019_calls", 'op.create_table("calls", sa.Column("id", sa.BigInteger()))', after="018_base")
    project.add("020_change", body, after="019_calls")
    assert project.ask(base[1].url, {"action": "plan"})["findings"] == []
    project.add("020_change", body + "\n# lint-allow rls-without-policy: never", after="019_calls")
    (found,) = project.ask(base[1].url, {"action": "plan"})["findings"]
    assert found["rule"] == "unused-suppression"


def test_our_own_revisions_have_no_findings(tmp_path: Path, database: Database) -> None:
    """Each of them, planned where the one before it is applied."""
    project = Project.copy_whole(tmp_path)
    for one in project.ask(None, {"action": "list-migrations"})["executedMigrations"]:
        answer = project.ask(database.url, {"action": "plan", "target": one})
        assert [finding for finding in answer["findings"] if finding["level"] != "note"] == []
        assert project.ask(database.url, {"action": "upgrade", "target": one})["status"] == "success"


HIDDEN = {
    "behind IF NOT EXISTS": (
        'op.execute("create table if not exists leads (n int); alter table leads drop nome")', "ban-drop-column"),
    "behind squawk's own comment": (
        'op.execute("-- squawk-ignore ban-drop-column\\nalter table leads drop column nome")', "ban-drop-column"),
    "behind squawk's own comment on the file": (
        'op.execute("-- squawk-ignore-file")\nop.drop_column("leads", "nome")', "ban-drop-column"),
    "in another schema of that name": (
        'op.execute("create table if not exists reports.leads (n bigint)")\nop.create_index("i", "leads", ["nome"])',
        "require-concurrent-index-creation"),
    "an update behind another statement": (
        'op.execute("select 1; /* all */ update leads set nome = \'x\'")', "unbounded-write"),
    "an update with a condition inside": (
        'op.execute("update leads set nome = (select slug from tenants where true) -- where")', "unbounded-write"),
    "a delete behind WITH": ('op.execute("with x as (select 1 where true) delete from leads")', "unbounded-write"),
    "a truncate": ('op.execute("truncate leads")', "truncate"),
    "a block of code": ('op.execute("do $$ begin execute \'drop table leads\'; end $$")', "ban-drop-table"),
    "a block of composed code": (
        'op.execute("do $$ begin execute \'drop table \' || current_schema() || \'.leads\'; end $$")', "do-block"),
    "a revision that reads afterwards": (
        'op.drop_table("visits")\nif op.get_bind().execute(sa.text("select 1")).scalar(): pass', "ban-drop-table"),
    "a view made again whose dependents are not": (
        'op.execute("drop view people cascade; create view people as select nome from leads")', "cascade-drops"),
    "a view made again before it is dropped": (
        'op.execute("create or replace view people as select nome from leads; drop view people")', "ban-drop-view"),
    "a view made again in another schema": (
        'op.execute("drop view people; create view reports.people as select nome from leads")', "ban-drop-view"),
    "a view made again outside of a transaction": (
        'with op.get_context().autocommit_block():\n    op.execute("drop view if exists people")\n'
        '    op.execute("create or replace view people as select nome from leads")', "ban-drop-view"),
    "the same drop once more": (
        'op.execute("drop view people; create view people as select nome from leads; drop view people")',
        "ban-drop-view"),
    "a function made again under the name of a view": (
        "op.execute(\"drop view people; create function people() returns int language sql as 'select 1'\")",
        "ban-drop-view"),
    "a constraint of another table": (
        'op.execute("alter table visits add constraint leads_status_check check (at is not null) not valid")\n'
        'op.execute("alter table leads drop constraint leads_status_check")', "ban-drop-constraint"),
}  # fmt: skip


def test_what_the_same_plan_made_is_missed_by_nobody(base: tuple[Project, Database], tmp_path: Path) -> None:
    """An older application cannot use what an earlier revision of this plan makes, unless it was there before."""
    project = Project.copy(tmp_path)
    project.add("018_base", BASE)
    made = 'op.execute("create or replace view {0} as select 1 as n")'
    project.add("019_made", f"{made.format('fresh')}\n{made.format('people')}", after="018_base")
    project.add("020_gone", 'op.execute("drop view fresh")\nop.execute("drop view people")', after="019_made")
    found = project.ask(base[1].url, {"action": "plan"})["findings"]
    assert [(one["rule"], one["level"], one["statement"]) for one in found] == [
        ("ban-drop-view", "error", "drop view people;")
    ]


@pytest.mark.parametrize("case", HIDDEN)
def test_nothing_hides_a_danger(base: tuple[Project, Database], tmp_path: Path, case: str) -> None:
    body, rule = HIDDEN[case]
    assert rule in {one["rule"] for one in plan(base, tmp_path, body)["findings"]}


def test_rows_are_those_of_the_schema_that_is_meant(base: tuple[Project, Database], tmp_path: Path) -> None:
    """A small table of the same name in another schema makes no large one small."""
    base[1].execute("create table if not exists reports.leads (nome text); analyze reports.leads")
    body = 'op.execute("alter table {} alter nome type varchar(3)")'
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, table in ((small, "reports.leads"), (large, "leads")):
        folder.mkdir()
        both = body.format(table) + '\nop.execute("select 1 from leads, reports.leads")'
        (found,) = [one for one in plan(base, folder, both)["findings"] if one["rule"] == "changing-column-type"]
        assert (found["table"], found["level"]) == (table, "error" if folder == large else "warning")
