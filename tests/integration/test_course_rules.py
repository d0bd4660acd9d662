"""What a plan has done to its tables by then decides what the rules find in its later statements."""

from collections.abc import Iterator

import pytest

from runner.lint import rules
from runner.lint.statement import arrange, describe
from runner.results import TableSize
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered
from support import examples
from support.postgres import Database, Server, read_catalog

ROWS = 20_000
"""What the rules are told of each table; the database has none, and nothing is changed in it."""


@pytest.fixture(scope="module")
def there(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with examples.database(server, "course_rules", tmp_path_factory.mktemp("course"), 0) as database:
        database.execute(MORE)
        yield database


@pytest.fixture(scope="module")
def actual(there: Database) -> Catalog:
    return read_catalog(there)


def told(actual: Catalog, *revisions: str, version: str = "15.3") -> set[tuple[str, str]]:
    """Return the rules and levels of the errors and warnings for revisions, whose statements `; ` divides."""
    sizes = {name: TableSize(name, ROWS, 0) for kind in ("tables", "views") for name in actual[kind]}
    database = describe(actual, sizes, version)
    rendered = [_rendered(number, text.split("; ")) for number, text in enumerate(revisions, 2)]
    found = arrange(rendered, [one.rendered for one in rendered], database)
    violations = ((rule.id, one.level) for each in found for rule in rules.load() for one in rule.find(each))
    return {one for one in violations if one[1] != "note"}


def _rendered(number: int, texts: list[str]) -> Rendered:
    outside = any(" concurrently " in one for one in texts)
    return Rendered(f"00{number}", "x", "upgrade", "", "", tuple(texts), None, transactional=not outside, mixed=False)


MORE = """
    create table vehicles (id bigint not null, wheels integer, name varchar(20), check (wheels > 0));
    create table cars (doors integer) inherits (vehicles);
    create table vans () inherits (cars);
"""
DROPS_VISITS = ("ban-drop-table", "error")
BUILDS = ("require-concurrent-index-creation", "error")
DROPS_INDEX = ("require-concurrent-index-deletion", "warning")
WORKS = ("work-under-lock", "error")
ALREADY = {
    "a table that the plan has dropped is made": (
        ["drop table visits; create table if not exists visits (n bigint); alter table visits add check (n > 0)"],
        {DROPS_VISITS},
    ),
    "a table that is there is not": (
        ["create table if not exists visits (n bigint); alter table visits add check (visit_id > 0)"],
        {("constraint-missing-not-valid", "error")},
    ),
    "what follows it in one text is judged": (
        ["create table if not exists visits (n bigint);drop table visits"], {DROPS_VISITS},
    ),
    "a table that the plan has renamed leaves its name": (
        ["alter table visits rename to views; create table if not exists visits as select 1 as id; "
         "create index on visits (id)"],
        # the old name has another table now
        {("renaming-table", "warning")},
    ),
    "a table of that name in another schema is another": (
        ["create table if not exists archive.visits (n bigint); alter table archive.visits add check (n > 0)"], set(),
    ),
    "an index that the plan has dropped is built": (
        ["drop index items_name", "create index if not exists items_name on items (name)"], {DROPS_INDEX, BUILDS},
    ),
    "an index that was dropped with its table is built": (
        ["drop table visits; create table visits (visit_id bigint)",
         "create index if not exists visits_id on visits (visit_id)"],
        {DROPS_VISITS},
    ),
    "an index that the plan has renamed is built under its old name": (
        ["alter index items_name rename to items_by_name", "create index if not exists items_name on items (name)"],
        {BUILDS},
    ),
    "an index that is there is not": (["create index if not exists items_name on items (name)"], set()),
    "an index that goes with a dropped column is built": (
        ["alter table items drop column name; alter table items add column name text",
         "create index if not exists items_name on items (name)"],
        {("ban-drop-column", "error"), BUILDS},
    ),
    "a column that the plan has dropped is added": (
        ["alter table items drop column name", "alter table items add column if not exists name text default random()"],
        {("ban-drop-column", "error"), ("adding-field-with-default", "error")},
    ),
    "a column that the same statement drops is added": (
        ["alter table items add column if not exists note text default random(), drop column note"],
        {("ban-drop-column", "error"), ("adding-field-with-default", "error")},
    ),
    "a column that the plan has renamed leaves its name": (
        ["alter table items rename name to title", "alter table items add if not exists name text default random()"],
        {("renaming-column", "error"), ("adding-field-with-default", "error")},
    ),
    "a column that is there is not": (["alter table items add if not exists name text default random()"], set()),
    "a temporary table hides one of the database": (
        ["create temporary table visits (n bigint); insert into visits select id from items; update visits set n = 1; "
         "alter table visits add check (n > 0); create index on visits (n); truncate visits; drop table visits"],
        set(),
    ),
    "it is made although there is one of its name": (
        ["create temporary table if not exists visits (n bigint); alter table visits add check (n > 0)"], set(),
    ),
    "its index hides one of the database": (
        ["create temporary table t (n bigint); create index items_name on t (n); drop index items_name"], set(),
    ),
    "it hides nothing of a schema that is named": (
        ["create temporary table visits (n bigint); truncate public.visits"], {("truncate", "error")},
    ),
    "it hides nothing when it is dropped": (
        ["create temporary table visits (n bigint); drop table visits; drop table visits"], {DROPS_VISITS},
    ),
    "it hides nothing when it has another name": (
        ["create temporary table visits (n bigint); alter table visits rename to drafts; drop table visits"],
        {DROPS_VISITS},
    ),
    "it hides nothing from a later revision": (
        ["create temporary table visits (n bigint)", "drop table visits"], {DROPS_VISITS},
    ),
    "so does one that a query makes": (
        ["select id into temporary visits from items; create index on visits (id); drop table visits"], set(),
    ),
    "so does a view of one": (
        ["create temporary table t (n bigint); create view cheap_items as select n from t; drop view cheap_items"],
        set(),
    ),
    "so does a sequence": (["create temporary sequence tickets; drop sequence tickets"], set()),
    "a part of WITH is found before one": (
        ["create temporary table t (n bigint); alter table items add stars bigint; "
         "with t as (select * from items) select count(*) from t"],
        {WORKS},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALREADY)
def test_if_not_exists_and_temporary_names_are_judged_by_what_is_there_by_then(actual: Catalog, case: str) -> None:
    revisions, expected = ALREADY[case]
    assert told(actual, *revisions) - {("unbounded-write", "warning")} == expected


@pytest.mark.parametrize("case", [one for one in ALREADY if len(ALREADY[one][0]) == 1])
def test_postgresql_accepts_these(there: Database, case: str) -> None:
    """Else a case would say nothing."""
    there.execute(f"begin; {ALREADY[case][0][0]}; rollback")
