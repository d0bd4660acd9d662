"""What a plan has done to its tables by then decides what the rules find in its later statements."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from runner.lint import rules
from runner.lint.state.database import describe
from runner.lint.state.statement import arrange
from runner.lint.state.tablespaces import Tablespaces
from runner.preview import tablespaces
from runner.results import TableSize
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered
from support import examples
from support.postgres import Database, Server, connect, new_database, read_catalog
from support.project import Project

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


PARENT = "q" * 60
MORE = f"""
    create table {"p" * 61} (id bigint, {"c" * 40}{"é" * 11} bigint, label text);
    create table {PARENT} (id bigint) partition by range (id);
    create table {PARENT}_a partition of {PARENT} for values from (1) to (2);
    create table {PARENT}_b partition of {PARENT} for values from (2) to (3);
    create table {PARENT[:55]}_default partition of {PARENT} default;
    create domain long_domain as bigint;
    create table {"d" * 60} (id long_domain);
    create table vehicles (id bigint not null, wheels integer, name varchar(20), check (wheels > 0));
    create table cars (doors integer) inherits (vehicles);
    create table vans () inherits (cars);
    create unique index parcels_at on parcels (sent_at, id);
    create view one as select 1::bigint as n;
    create table trucks (id bigint primary key);
    create table wheels (car bigint references trucks on delete cascade);
    create index on wheels (car);
"""
VEHICLES = {"public.vehicles": 1, "public.cars": 2, "public.vans": 4}
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
    "an index that the plan has made is dropped": (
        ["create index concurrently i on items (note)", "alter index i rename to j; drop index j"], set(),
    ),
    "one of a constraint that it has made is not": (
        ["alter table parcels add unique using index parcels_at", "drop index parcels_at"],
        {("require-concurrent-index-deletion", "error")},
    ),
    "so does a sequence": (["create temporary sequence tickets; drop sequence tickets"], set()),
    "a part of WITH is found before one": (
        ["create temporary table t (n bigint); alter table items add stars bigint; "
         "with t as (select * from items) select count(*) from t"],
        {WORKS},
    ),
}  # fmt: skip


NOT_NULL = ("adding-not-nullable-field", "error")
CHECKS = ("constraint-missing-not-valid", "error")
RENAMES = ("renaming-column", "error"), ("renaming-table", "error"), ("renaming-object", "error")
PROVEN = "alter table items add constraint q check (quantity is not null) not valid"
RENAMED = {
    "a CHECK proves it under the new name": (
        [PROVEN, "alter table items validate constraint q", "alter table items rename quantity to amount",
         "alter table items alter amount set not null"],
        set(),
    ),
    "so does one of the database": (
        ["alter table items rename account_id to owner; alter table items alter owner set not null"], set(),
    ),
    "an index serves a foreign key under the new name": (
        ["alter table items rename account_id to owner; "
         "alter table items add foreign key (owner) references accounts not valid"],
        set(),
    ),
    "and not under the old one": (
        ["alter table items rename account_id to owner; alter table items add account_id bigint; "
         "alter table items add foreign key (account_id) references accounts not valid"],
        {("foreign-key-without-index", "warning")},
    ),
    "a unique index is that of a key under the new name": (
        ["alter table visits rename visit_id to id", "update visits set mood = 'new' where id = 5"], set(),
    ),
    "a foreign key is replaced under the table's new name": (
        ["alter table wheels rename to rims; alter table rims rename car to lorry; "
         "alter table trucks rename to lorries",
         "alter table rims drop constraint wheels_car_fkey, add constraint wheels_car_fkey foreign key (lorry) "
         "references lorries on delete cascade not valid"],
        set(),
    ),
    "partitions have the new name too": (
        ["alter table events rename item_id to thing; alter table events_2025 add check (thing is not null) not valid; "
         "alter table events_2026 add check (thing is not null) not valid",
         "alter table events_2025 validate constraint events_2025_thing_check; "
         "alter table events_2026 validate constraint events_2026_thing_check",
         "alter table events alter thing set not null"],
        set(),
    ),
    "a CHECK proves a partition's bound under the new name": (
        ["alter table events rename at to happened; alter table events_2024 rename at to happened; "
         "alter table events_2024 add constraint y check (happened >= '2024-01-01' and happened < '2025-01-01') "
         "not valid",
         "alter table events_2024 validate constraint y",
         "alter table events attach partition events_2024 for values from ('2024-01-01') to ('2025-01-01')"],
        set(),
    ),
    "what is done to a partitioned table is done to its partitions": (
        ["alter table logs alter item_id set not null", "alter table logs_us alter item_id set not null"], {NOT_NULL},
    ),
    "a table keeps its rows in a schema with a new name": (
        ["alter schema archive rename to old; alter table old.items add check (price > -1)"], {CHECKS},
    ),
    "and is dropped": (
        ["alter schema archive rename to old", "drop table old.items"], {("ban-drop-table", "error")},
    ),
    "a partition stays one in such a schema": (
        ["alter schema archive rename to old; alter table logs alter item_id set not null; "
         "alter table old.logs_eu_2025 alter item_id set not null"],
        {NOT_NULL},
    ),
    "a table of the old name is another": (
        ["alter schema archive rename to old; create schema archive; create table archive.items (n bigint); "
         "alter table archive.items add check (n > 0)"],
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RENAMED)
def test_what_is_renamed_is_followed(actual: Catalog, case: str) -> None:
    revisions, expected = RENAMED[case]
    assert told(actual, *revisions) - {*RENAMES} == expected


BELOW = {
    "a view counts as the tables below it": (
        ["alter table items add stars bigint; select name from cheapest_items"], {WORKS},
    ),
    "one without a table does not count": (["alter table items add stars bigint; select n from one"], set()),
    "nor one of a few rows that the plan makes": (
        ["alter table items add stars bigint; create view two as select n from one; select n from two"], set(),
    ),
    "one that the plan makes counts as the table": (
        ["create view v as select id from items", "alter table accounts add stars bigint; select id from v"], {WORKS},
    ),
    "one that the plan replaces counts as the new table": (
        ["create or replace view one as select id as n from shelf.books",
         "alter table items add stars bigint; select n from one"],
        {WORKS},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BELOW)
def test_a_view_has_the_rows_of_the_tables_below_it(actual: Catalog, case: str) -> None:
    revisions, expected = BELOW[case]
    assert told(actual, *revisions) == expected


# The rows that are read or written, of `vehicles` (1), `cars` (2) and `vans` (4), which inherits from it and from cars.
REACHED = {
    "alter table vehicles add check (wheels > -1)": 7,
    "alter table vehicles add check (wheels > -1) no inherit": 1,
    "alter table vehicles alter wheels set not null": 7,
    "alter table only vehicles alter wheels set not null": 1,
    "alter table cars alter wheels set not null": 6,
    "alter table vehicles add primary key (id)": 1,
    "alter table vehicles add unique (id)": 1,
    "alter table vehicles add foreign key (id) references accounts": 1,
    "alter table vehicles alter wheels type bigint": 7,
    "alter table vehicles add n serial": 7,
    "alter table vehicles add n positive": 7,
    "alter table vehicles add n uuid default gen_random_uuid()": 7,
    "alter table vehicles add n int check (n > 0)": 7,
    "alter table vehicles set unlogged": 1,
    "create index on vehicles (id)": 1,
    "truncate vehicles": 7,
    "truncate only vehicles": 1,
    "update vehicles set wheels = 3": 7,
    "update only vehicles set wheels = 3": 1,
    "delete from cars": 6,
    "alter table accounts add n int; select count(*) from vehicles": 7,
    "alter table accounts add n int; select count(*) from only vehicles": 1,
    "alter table accounts add n int; create table fewer as select * from cars": 6,
}


@pytest.mark.parametrize("statements", REACHED)
def test_the_rows_of_those_that_inherit_count_where_they_are_reached(
    there: Database, actual: Catalog, statements: str
) -> None:
    sizes = {name: TableSize(name, rows, 0) for name, rows in VEHICLES.items()}
    rendered = _rendered(2, statements.split("; "))
    (revision,) = arrange([rendered], [rendered.rendered], describe(actual, sizes, "15.3"))
    found = [one for rule in rules.load() for one in rule.find(revision) if one.table is not None]
    rows = {revision.database.rows(one.table) for one in found if one.table.name[1] in ("vehicles", "cars")}
    assert rows == {REACHED[statements]}
    there.execute(f"begin; {statements}; rollback")


DROPS_NOTE = 'op.drop_column("items", "note")'
# statements of one revision, and how the remedy of the last one begins
AGAIN = {
    "alter table items drop column note; alter table items add note bigint default random()": DROPS_NOTE,
    "alter table items drop column note; alter table items add note serial": DROPS_NOTE,
    "alter table items add note positive, drop column note": DROPS_NOTE,
    "alter table items rename note to remark; alter table items add note serial": "op.execute(",
    # it fails, and a remedy must not drop what is there
    "alter table items add note serial": "op.execute(",
    "drop index items_name; create index items_name on items (name, code)":
        'create_index_concurrently("items_name_code_idx"',
    "alter table archive.items drop constraint items_pkey; alter table archive.items add constraint items_pkey "
    "primary key (id, price)": 'create_index_concurrently("items_id_price_pkey"',
    "alter table items drop constraint items_price_check; alter table items add constraint items_price_check "
    "check (price > 1)": 'op.drop_constraint("items_price_check", "items")\nadd_check_not_valid("items_price_check"',
}  # fmt: skip


@pytest.mark.parametrize("statements", AGAIN)
def test_what_is_made_again_is_dropped_by_the_remedy_too(actual: Catalog, statements: str) -> None:
    rendered = _rendered(2, statements.split("; "))
    (revision,) = arrange([rendered], [rendered.rendered], describe(actual, {}, "15.3"))
    last = revision.statements[-1]
    begun = [
        one.instead[0] for rule in rules.load() for one in rule.find(revision) if one.statement is last and one.instead
    ]
    assert begun
    assert all(one.startswith(AGAIN[statements]) for one in begun), begun


def test_a_primary_key_is_told_of_once(actual: Catalog) -> None:
    """By its index that is built, or where it has one, by its columns that may be null."""
    built, there = {("adding-serial-primary-key-field", "error")}, {("key-on-nullable", "error")}
    assert told(actual, "alter table visits add primary key (account_id)") == built
    assert told(actual, "create unique index concurrently v on visits (account_id)",
                "alter table visits add primary key using index v") == there  # fmt: skip


LONG = "p" * 61
"""A table's name; with an `é` at the place where a column's is cut."""
COLUMN = "c" * 40 + "é" * 11
NAMED = (
    f"alter table {LONG} add unique ({COLUMN})",
    f"alter table {LONG} add check ({COLUMN} > 0)",
    f"alter table {LONG} add check ({COLUMN} > 0 and id > 0)",
    f"alter table {LONG} add foreign key ({COLUMN}) references accounts",
    f"alter table {LONG} add unique (id, {COLUMN})",
    f"alter table {LONG} add unique (id); alter table {LONG} add unique (id)",
    f"create index on {LONG} ({COLUMN}, id)",
    f"create index on {LONG} ((id + 1))",
    f"create index on {LONG} (id); create index on {LONG} (id)",
    f"alter table {LONG} add more int check (more > 0)",
    f"alter table {LONG} add {'m' * 63} int unique",
    f"alter table {LONG} add constraint {'n' * 70} check (id > 0)",
)


@pytest.mark.parametrize("statements", NAMED)
def test_names_are_those_that_postgresql_chooses(there: Database, actual: Catalog, statements: str) -> None:
    """It shortens them without a word."""
    with closing(there.server.connect(there.name)) as connection, connection.cursor() as cursor:
        cursor.execute(f"begin; {statements}")
        cursor.execute(f"select conname from pg_constraint where conrelid = '{LONG}'::regclass and contype <> 'n'")
        real = {name for (name,) in cursor.fetchall()}
        cursor.execute(f"select indexrelid::regclass::text from pg_index where indrelid = '{LONG}'::regclass")
        real |= {name.strip('"') for (name,) in cursor.fetchall()}
        cursor.execute("rollback")
    rendered = _rendered(2, statements.split("; "))
    (revision,) = arrange([rendered], [rendered.rendered], describe(actual, {}, "15.3"))
    made = revision.end.find(("public", LONG))
    assert made is not None
    assert {*made.constraints, *made.indexes} == real


def test_names_in_remedies_are_as_long_as_postgresql_keeps_them(actual: Catalog) -> None:
    """And no two partitions get an index of one name."""
    bodies = (
        f"create index on {LONG} ({COLUMN})", f"alter table {LONG} add foreign key ({COLUMN}) references accounts",
        f"alter table {LONG} alter {COLUMN} type text", f"alter table {LONG} alter label type varchar(9)",
        f"alter table {LONG} add n serial", f"alter table {LONG} add n positive check (n < 9)",
        f"alter table {LONG} add n bigint generated always as identity",
        f"alter table {LONG} add unique ({COLUMN})", f"create index on {PARENT} (id)",
        f"alter table {PARENT} add unique (id)", f"alter table {PARENT} add foreign key (id) references accounts",
        f"create table {PARENT[:58]}_new partition of {PARENT} for values from (7) to (8)",
        "alter domain long_domain add check (value > 0)",
    )  # fmt: skip
    for body in bodies:
        rendered = _rendered(2, [body])
        (revision,) = arrange([rendered], [[body]], describe(actual, {}, "15.3"))
        remedies = [one.instead for rule in rules.load() for one in rule.find(revision) if one.instead]
        assert remedies, body
        advised = [text for one in remedies for text in one]
        names = {name for text in advised for name in re.findall(r"[\wé]+", text)}
        assert max(len(name.encode()) for name in names) <= 63, (body, names)
        for one in remedies:
            built = re.findall(r'create_index_concurrently\("(\w+)"', "\n".join(one))
            assert len(set(built)) == len(built), built


FAST = "fast_course"
"""The tablespace of `archive.items`, its index and `item_prices`."""
MOVED = {
    "alter table archive.items set tablespace pg_default": {("rewrites-table", "error")},
    f"alter table archive.items set tablespace {FAST}": set(),
    f"alter table items set tablespace {FAST}": {("rewrites-table", "error")},
    "alter table items set tablespace pg_default": set(),
    f"alter table archive.items set tablespace pg_default; alter table archive.items set tablespace {FAST}": {
        ("rewrites-table", "error")
    },
    "alter index archive.items_pkey set tablespace pg_default": {("rewrites-table", "error")},
    f"alter index archive.items_pkey set tablespace {FAST}": set(),
    "alter index items_code set tablespace pg_default": set(),
    f"alter index items_code set tablespace {FAST}": {("rewrites-table", "error")},
    "alter materialized view item_prices set tablespace pg_default": {("rewrites-table", "error")},
    f"alter materialized view item_prices set tablespace {FAST}": set(),
    f"alter table all in tablespace {FAST} set tablespace pg_default": {("rewrites-table", "error")},
    "alter table all in tablespace unused set tablespace pg_default": set(),
    f"alter table all in tablespace {FAST} set tablespace {FAST}": set(),
}


@pytest.fixture(scope="module")
def places(there: Database) -> Tablespaces:
    """Where tables are, of which some are moved for a while."""
    tables = ("table archive.items", "index archive.items_pkey", "materialized view item_prices")
    with closing(there.server.connect(there.name)) as connection, connection.cursor() as cursor:
        cursor.execute("set allow_in_place_tablespaces = on")
        cursor.execute(f"create tablespace {FAST} location ''")
        for one in tables:
            cursor.execute(f"alter {one} set tablespace {FAST}")
        with connect(there) as reading:
            found = tablespaces.read(reading)
        for one in tables:
            cursor.execute(f"alter {one} set tablespace pg_default")
        cursor.execute(f"drop tablespace {FAST}")
    return found


@pytest.mark.parametrize("statements", MOVED)
def test_a_move_is_found_where_the_tablespace_is_another(actual: Catalog, places: Tablespaces, statements: str) -> None:
    """PostgreSQL copies nothing where a relation is in that tablespace already."""
    sizes = {name: TableSize(name, ROWS, 0) for kind in ("tables", "views") for name in actual[kind]}
    database = describe(actual, sizes, "15.3", tablespaces=lambda: places)
    rendered = _rendered(2, statements.split("; "))
    (revision,) = arrange([rendered], [rendered.rendered], database)
    *_, last = revision.statements
    found = [(rule.id, one) for rule in rules.load() for one in rule.find(revision)]
    assert {(name, one.level) for name, one in found if one.statement is last} == MOVED[statements]


def test_a_move_between_tablespaces_copies_for_real(there: Database, places: Tablespaces) -> None:
    """What the fixture has read, and that a move to the same place keeps the file."""
    file = "select pg_relation_filenode('items')"
    assert places.default == "pg_default"
    assert places.others == {
        ("archive", "items"): FAST,
        ("archive", "items_pkey"): FAST,
        ("public", "item_prices"): FAST,
    }
    before = there.query(file)
    there.execute("alter table items set tablespace pg_default")
    assert there.query(file) == before


NEW = """
    create table keys (id bigint primary key);
    create table parts (id bigint primary key, key bigint, n integer, constraint parts_key foreign key (key)
        references keys not enforced, stored integer generated always as (n * 2) stored,
        shown integer generated always as (n * 3) virtual, known integer generated always as (n * 3) virtual not null);
    create index on parts (key);
    insert into keys select n from generate_series(1, 50) n;
    insert into parts select n, n, n from generate_series(1, 50) n;
    analyze keys, parts;
"""
NEW_STATEMENTS = {
    "alter table parts alter stored set expression as (n + 1)": "rewrites-table",
    "alter table parts alter shown set expression as (n + 1)": None,
    "alter table parts alter known set expression as (n + 1)": "adding-not-nullable-field",
    "alter table parts add more integer generated always as (n) virtual not null": "adding-not-nullable-field",
    "alter table parts add more integer generated always as (n) virtual": None,
    "alter table parts alter shown set not null": "adding-not-nullable-field",
    "alter table parts alter constraint parts_key enforced": "adding-foreign-key-constraint",
    "alter table parts alter constraint parts_key not enforced": None,
}
WORK = """
    select pg_relation_filenode('parts'), (select seq_tup_read from pg_stat_xact_user_tables where relname = 'parts')
"""


@pytest.fixture(scope="module")
def made_by_newest(newest: Server) -> Iterator[Database]:
    with new_database(newest, "course_rules") as database:
        database.execute(NEW)
        yield database


@pytest.mark.parametrize("statement", NEW_STATEMENTS)
def test_what_newer_versions_read_or_rewrite_is_found(made_by_newest: Database, tmp_path: Path, statement: str) -> None:
    """And what is advised instead is applied without a finding."""
    rendered = _rendered(1, [statement])
    (revision,) = arrange([rendered], [[statement]], describe(read_catalog(made_by_newest), {}, "18.0"))
    found = {rule.id: one.instead for rule in rules.load() for one in rule.find(revision)}
    assert list(found) == ([NEW_STATEMENTS[statement]] if NEW_STATEMENTS[statement] else [])
    with closing(made_by_newest.server.connect(made_by_newest.name)) as connection, connection.cursor() as cursor:
        cursor.execute(f"begin; {WORK}")
        before = cursor.fetchone()
        cursor.execute(statement)
        cursor.execute(WORK)
        assert (cursor.fetchone() != before) == bool(found)
        cursor.execute("rollback")
    for advised in found.values():
        if advised:
            with examples.copy(made_by_newest, "course_copy") as mine:
                apply_safely(examples.bare(tmp_path), mine, advised)


def apply_safely(project: Project, database: Database, bodies: Sequence[str]) -> None:
    """Apply revisions, each after a plan without an error or a warning."""
    for number, body in enumerate(bodies, 1):
        name = f"{number:03d}_first"
        lines = f"from runner.operations import {examples.HELPERS}\n{body}"
        project.add(name, lines, after=f"{number - 1:03d}_first" if number > 1 else None)
        answer = examples.plan(project, database)
        assert [one for one in answer["findings"] if one["level"] != "note"] == []
        done = project.ask(database.url, {"action": "upgrade"})
        assert done["status"] == "success", done["message"]


@pytest.mark.parametrize("case", ALREADY)
def test_if_not_exists_and_temporary_names_are_judged_by_what_is_there_by_then(actual: Catalog, case: str) -> None:
    revisions, expected = ALREADY[case]
    assert told(actual, *revisions) - {("unbounded-write", "warning")} == expected


@pytest.mark.parametrize("case", [one for one in ALREADY if len(ALREADY[one][0]) == 1])
def test_postgresql_accepts_these(there: Database, case: str) -> None:
    """Else a case would say nothing."""
    there.execute(f"begin; {ALREADY[case][0][0]}; rollback")
