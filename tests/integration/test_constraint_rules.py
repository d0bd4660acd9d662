"""The rules of columns, types, constraints and domains say what PostgreSQL does for real, and nothing else."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2.errors
import pytest

from runner.lint import rules
from runner.lint.effects import widening
from runner.lint.parsing import parse_tree
from runner.lint.rule import Violation
from runner.lint.state.database import describe
from runner.lint.state.statement import arrange
from runner.results import TableSize
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered
from support import examples
from support.postgres import Database, Server, new_database, read_catalog

# Those of which each finding means that rows are read or written under a lock.
READING = frozenset({
    "adding-checked-column", "adding-exclusion-constraint", "adding-field-with-default",
    "adding-foreign-key-constraint", "adding-not-nullable-field", "adding-serial-primary-key-field",
    "changing-column-type", "constraint-missing-not-valid", "disallowed-unique-constraint", "domain-constraint-scan",
    "key-on-nullable",
})  # fmt: skip
ROWS = 50
FILES = """
    select c.oid::regclass::text, c.relfilenode from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'i') and n.nspname in ('public', 'archive')
"""
READ = "select coalesce(sum(seq_tup_read), 0) from pg_stat_xact_user_tables"


@dataclass(frozen=True)
class Work:
    """What a statement did for real."""

    read: int
    """Rows, in the scans of whole tables."""
    rewritten: frozenset[str]
    """Tables and indexes with another file."""


@pytest.fixture(scope="module")
def small(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the examples' tables and with those of TYPES; what is done to it is rolled back."""
    with examples.database(server, "constraints_small", tmp_path_factory.mktemp("small"), ROWS) as database:
        database.execute(TYPES)
        yield database


@pytest.fixture(scope="module")
def actual(small: Database) -> Catalog:
    return read_catalog(small)


@pytest.fixture(scope="module")
def large(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with many rows, for plans only."""
    with examples.database(server, "constraints_large", tmp_path_factory.mktemp("large"), 12_000) as database:
        yield database


@pytest.fixture(scope="module")
def empty(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with the tables and without a row, for plans only."""
    with examples.database(server, "constraints_empty", tmp_path_factory.mktemp("empty"), 0) as database:
        yield database


def work(database: Database, statements: str) -> Work:
    """Return what the last of some statements, divided by semicolons, does in a run's session."""
    *before, last = statements.split("; ")
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'; begin")
        for one in before:
            cursor.execute(one)
        cursor.execute(FILES)
        files = dict(cursor.fetchall())
        cursor.execute(READ)
        ((earlier,),) = cursor.fetchall()
        cursor.execute(last)
        cursor.execute(READ)
        ((read,),) = cursor.fetchall()
        cursor.execute(FILES)
        now = dict(cursor.fetchall())
    return Work(int(read - earlier), frozenset(name for name in files if now.get(name, files[name]) != files[name]))


def found(actual: Catalog, statements: str, rows: int | None = ROWS) -> list[tuple[str, Violation]]:
    """Return what our own rules find in the last of some statements of one revision."""
    texts = statements.split("; ")
    sizes = {name: TableSize(name, rows, 0) for name in actual["tables"]} if rows is not None else {}
    rendered = Rendered("002_x", "x", "upgrade", "", "", tuple(texts), None, transactional=True, mixed=False)
    (revision,) = arrange([rendered], [texts], describe(actual, sizes, "15.3"))
    return [
        (rule.id, one)
        for rule in rules.load()
        for one in rule.find(revision)
        if one.statement is not None and one.statement.place == len(texts) - 1
    ]


STATEMENTS = (
    # foreign keys
    "alter table items add foreign key (account_id) references accounts",
    "alter table items add foreign key (account_id) references accounts not valid",
    "alter table items add owner bigint references accounts",
    "alter table items add owner bigint references accounts (id) on delete cascade",
    "alter table items add owner bigint default 1 references accounts",
    "alter table items add owner bigint default null references accounts",
    "alter table items add owner bigint, add foreign key (owner) references accounts",
    "alter table items add owner bigint; alter table items add foreign key (owner) references accounts",
    "alter table archive.items add foreign key (account_id) references accounts",
    "alter table events add foreign key (item_id) references items",
    "alter table events_2025 add constraint e foreign key (item_id) references items; "
    "alter table events_2026 add constraint f foreign key (item_id) references items; "
    "alter table events add constraint g foreign key (item_id) references items (id)",
    "create table notes (account_id bigint references accounts)",
    "create table notes (account_id bigint); alter table notes add foreign key (account_id) references accounts",
    # CHECKs
    "alter table items add check (price > -1)",
    "alter table items add check (price > -1) not valid",
    "alter table items add constraint c check (price > -1) no inherit",
    "alter table items add weight bigint check (weight > 0)",
    "alter table items add weight bigint default 5 check (weight > 0)",
    "alter table items add weight bigint, add check (weight > 0)",
    "alter table items add weight bigint, add check (weight > 0) not valid",
    "alter table items add column if not exists code integer check (code > 0)",
    "alter table items add column if not exists code integer check (code > 0), add weight bigint",
    "alter table events add check (kind = 'k')",
    # NOT NULL
    "alter table items alter quantity set not null",
    "alter table items alter code set not null",
    "alter table items alter account_id set not null",
    "alter table items add constraint c check (quantity > 0); alter table items alter quantity set not null",
    "alter table items add constraint c check (quantity is not null) not valid; "
    "alter table items alter quantity set not null",
    "alter table items add constraint c check (quantity is not null) not valid; "
    "alter table items validate constraint c; alter table items alter quantity set not null",
    "alter table items add constraint c check (quantity is not null and quantity > 0); "
    "alter table items alter quantity set not null",
    "alter table items add constraint c check (not (quantity is null or code is null)); "
    "alter table items alter quantity set not null",
    "alter table items add constraint c check (quantity is not null or (quantity is not null and code > 1)); "
    "alter table items alter quantity set not null",
    "alter table items add constraint c check (quantity is not null or code > 0); "
    "alter table items alter quantity set not null",
    "alter table items add constraint c check ((quantity, code) is not null); "
    "alter table items alter quantity set not null",
    "alter table items add constraint c check (quantity is not null), alter quantity set not null",
    "alter table items add weight bigint default 3, alter weight set not null",
    "alter table events alter item_id set not null",
    "alter table events_2025 alter item_id set not null; alter table events_2026 alter item_id set not null; "
    "alter table events alter item_id set not null",
    # new columns
    "alter table items add weight bigint",
    "alter table items add weight bigint not null default 5",
    "alter table items add key uuid default gen_random_uuid()",
    "alter table items add seen timestamptz default now()",
    "alter table items add seen timestamptz default current_timestamp",
    "alter table items add seen timestamptz default statement_timestamp()",
    "alter table items add seen timestamptz default clock_timestamp()",
    "alter table items add seen text default timeofday()",
    "alter table items add day date default current_date",
    "alter table items add dice double precision default random()",
    "alter table items add ticket bigint default nextval('tickets')",
    "alter table items add label text default upper('x')",
    "alter table items add rank bigint default rank_of(1)",
    "create function draw() returns int language sql as 'select 1'; alter table items add drawn int default draw()",
    "create function draw() returns int language plpgsql as 'begin return 1;end'; "
    "alter table items add drawn int default draw()",
    "create function draw() returns float language sql as 'select random()'; "
    "alter table items add drawn float default draw()",
    "create function draw() returns int language sql stable as 'select 1'; "
    "alter table items add drawn int default draw()",
    # functions with and without AS, of which PostgreSQL replaces some with their value
    *(
        f"create function draw() returns float {code}; alter table items add drawn float default draw()"
        for code in (
            "return random()",
            "return 1",
            "language sql begin atomic select random();end",
            "language sql begin atomic select 1;end",
            "language sql begin atomic select 1;select 2;end",
            "stable return random()",
            "language sql security definer as 'select 1'",
            "language sql security invoker as 'select 1'",
            "language sql set work_mem = '1MB' as 'select 1'",
            "language sql strict as 'select 1'",
            "language sql as 'select 1.0 from pg_class limit 1'",
            "language sql as 'select 1'; alter function draw() stable",
            "language sql as 'select 1'; alter function draw volatile security definer",
            "language sql immutable as 'select 1'; alter function draw() volatile security definer",
            "language sql immutable as 'select 1'; alter function draw() cost 5",
            "immutable return 1; create function draw(n int) returns float return random()",
            "return random(); create function draw(n int) returns float immutable return n",
            "return random(); create or replace function draw() returns float immutable return 1",
        )
    ),
    "create or replace function rank_of(n bigint) returns bigint language plpgsql as 'begin return n;end'; "
    "alter table items add rank bigint default rank_of(1)",
    "create function rank_of(n bigint, m bigint) returns float return random(); "
    "alter table items add rank bigint default rank_of(1)",
    "alter function rank_of volatile security definer; alter table items add rank bigint default rank_of(1)",
    "create function draw(n int, m int default 2) returns float return random(); "
    "alter table items add drawn float default draw(1)",
    "create function draw(variadic n int[]) returns float return random(); "
    "alter table items add drawn float default draw(1, 2, 3)",
    "create domain token as uuid default gen_random_uuid(); alter table items add key token",
    "create domain token as uuid default gen_random_uuid(); alter table items add key token default null",
    "alter table items add place bigint generated by default as identity",
    "alter table items add twice numeric generated always as (price * 2) stored",
    "alter table items add score2 grade",
    # keys
    "alter table visits add primary key (visit_id)",
    "alter table visits add primary key using index visits_id",
    "alter table visits add primary key (account_id)",
    "create unique index v on visits (account_id); alter table visits add primary key using index v",
    "alter table visits add check (account_id is not null); create unique index v on visits (account_id); "
    "alter table visits add primary key using index v",
    "alter table visits add primary key (visit_id) deferrable",
    "alter table items add unique (code)",
    "alter table items add unique using index items_code",
    "alter table items add label text unique",
    "alter table events add unique (id, at)",
    "alter table only events add unique (id, at)",
    "create table notes (n bigint); alter table notes add unique (n)",
    "alter table events_2024 add exclude (id with =)",
    "create table hours (during tstzrange, exclude using gist (during with &&))",
    # domains
    "alter domain rated add check (value > 0)",
    "alter domain rated add check (value > 0) not valid",
    "alter domain rated add constraint r check (value > 0) not valid; alter domain rated validate constraint r",
    "alter domain rated set not null",
    "alter domain rated drop not null",
    "alter domain rated set default 3",
    "alter domain positive add check (value < 99)",
    "alter table visits add rank positive default null; alter domain positive add check (value < 99)",
    "create domain best as rated; alter table visits add rank best; alter domain rated add check (value > 0)",
    "create domain best as integer; alter domain best set not null",
)


@pytest.mark.parametrize("statements", STATEMENTS)
def test_what_reads_or_writes_rows_is_found_and_nothing_else(small: Database, actual: Catalog, statements: str) -> None:
    done = work(small, statements)
    ids = {rule for rule, _ in found(actual, statements)} & READING
    assert bool(ids) == bool(done.read or done.rewritten), (ids, done)


UNKNOWN = {
    "alter table items add key text default new_key()": "new_key",
    "alter table items add key text default lower(ids.new_key(1))": "ids.new_key",
    "create function draw(n int) returns float immutable return n; create function draw(n text) returns float "
    "return random(); alter table items add drawn float default draw('1')": "draw",
}


@pytest.mark.parametrize("statements", UNKNOWN)
def test_a_function_that_may_be_volatile_is_named(actual: Catalog, statements: str) -> None:
    """An extension's, one of another schema, or one of several of a name."""
    (told,) = [one for rule, one in found(actual, statements) if rule == "adding-field-with-default"]
    assert told.level == "warning"
    assert told.message.endswith(f" meanwhile, if `{UNKNOWN[statements]}` is volatile, which is not known.")


def test_the_rows_in_a_finding_are_those_that_are_read(actual: Catalog) -> None:
    """Where their number is unknown, they count as many."""
    statement = "alter table items add check (price > -1)"
    assert [(rule, one.level, one.message) for rule, one in found(actual, statement, 12_345)] == [(
        "constraint-missing-not-valid", "error",
        "The CHECK `items_price_check1` blocks reads and writes of `items` while about 12,345 rows are checked.",
    )]  # fmt: skip
    said = {None: "all rows", 0: "all rows (none yet)", 1: "all rows (about 1)", 2: "about 2 rows"}
    for rows, words in said.items():
        ((_, one),) = found(actual, statement, rows)
        assert one.message.partition("while ")[2] == f"{words} are checked."
        assert one.level == ("error" if rows is None else "warning")


SIZED = {
    "delete from items": "It writes all rows of `items` ({}), and locks what it writes until the commit.",
    "delete from items where price > 1": "It writes each row of `items` ({}) for which its condition is true, and "
    "locks what it writes until the commit.",
    "alter table items enable row level security": "No policy lets a role other than the owner read or write the rows "
    "of `items` ({}).",
}


@pytest.mark.parametrize("rows", [None, 0, 1, 20_000])
def test_a_size_reads_as_english(actual: Catalog, rows: int | None) -> None:
    words = {None: "nobody knows how many rows", 0: "no rows yet", 1: "about 1 row", 20_000: "about 20,000 rows"}[rows]
    for statement, message in SIZED.items():
        told = [one.message for _, one in found(actual, statement, rows)]
        assert message.format(words) in told


TYPES = """
    create domain short as varchar(20);
    create domain plain as integer;
    create domain worded as text;
    create table typed (
        v varchar(20), vv varchar, t text, c char(5), n numeric(10, 2), nn numeric, i integer, o oid,
        net cidr, vb varbit(8), b bit(5), x xml, j json, jb jsonb, name name, d date, m mood default 'new',
        ts timestamp, tz timestamptz, tz3 timestamptz(3), tm3 time(3), iv3 interval(3), ivd interval day to second,
        av varchar(5)[], s short, p plain, q positive default 1, w worded, vcoll varchar(20) collate "C",
        v_key varchar(20) unique, v_index varchar(20), v_upper varchar(20), v_where varchar(20), v_check varchar(20),
        v_unchecked varchar(20), v_hash varchar(20), v_excluded varchar(20), v_included varchar(20),
        b_index bit(5), net_index cidr, i_index integer, ts_index timestamp, n_index numeric(10, 2),
        n_check numeric(10, 2), vcoll_index varchar(20) collate "C", twice varchar(20)
    );
    create index typed_v on typed (v_index);
    create index typed_upper on typed (upper(v_upper));
    create index typed_where on typed (i) where v_where is not null;
    create index typed_hash on typed using hash (v_hash);
    create index typed_included on typed (o) include (v_included);
    create index typed_b on typed (b_index);
    create index typed_net on typed (net_index);
    create index typed_i on typed (i_index);
    create index typed_ts on typed (ts_index);
    create index typed_n on typed (n_index);
    create index typed_vcoll on typed (vcoll_index);
    create index typed_twice on typed (lower(twice));
    alter table typed add constraint v_checked check (v_check <> 'x'),
        add constraint v_unchecked check (v_unchecked <> 'x') not valid, add constraint n_checked check (n_check > 0),
        add constraint twice_checked check (twice <> 'x'), add constraint v_excluded exclude (v_excluded with =);
    insert into typed (i) select n from generate_series(1, 50) n;
"""
CHANGES = (
    "v varchar(50)", "v varchar(20)", "v varchar(10)", "v varchar", "v text", "v char(30)", "v short", "v worded",
    'v varchar(30) collate "C"', "v varchar(50) using v", "v text using v::text", "v text using v || ''",
    "v varchar(50) using v::varchar", "v varchar(50) using v::varchar(50)", "v varchar(50) using v::text",
    "vv text", "vv varchar(30)", "t varchar", "t varchar(30)", "t worded", "t varchar(9) using substr(t, 1, 9)",
    "t varchar using i", "c varchar", "c text", "c char(10)", "c char(5)",
    "n numeric(12,2)", "n numeric(12,3)", "n numeric(10,3)", "n numeric(8,2)", "n numeric", "nn numeric(12,2)",
    "n bigint using n::bigint", "i bigint", "i integer", "i integer using i", "i numeric", "i oid", "i text", "i plain",
    "i positive", "o integer", "o regclass", "o bigint", "net inet", "net inet using net", "net text", "vb varbit(16)",
    "vb varbit", "vb varbit(4)", "b varbit", "b varbit(10)", "x text", "j jsonb using j::jsonb", "j text", "jb text",
    "name text", "d timestamp", "m text", "m text using m::text", "ts timestamp(6)", "ts timestamp(3)",
    "ts timestamptz", "ts timestamptz using ts at time zone 'UTC'", "tz timestamp", "tz timestamptz(6)",
    "tz timestamptz(3)", "tz3 timestamptz",
    "tz3 timestamptz(6)", "tz3 timestamptz(2)", "tz3 timestamp", "tz3 timestamp(2)", "tm3 time", "tm3 time(5)",
    "tm3 time(2)", "tm3 timetz", "iv3 interval", "iv3 interval(5)", "iv3 interval(1)", "ivd interval",
    "av varchar(10)[]", "av text[]", "av varchar(5)[]", "s varchar(30)", "s varchar(20)", "s text", "s short",
    "p integer", "p positive", "p bigint", "q integer", "w text", "w varchar(9)", 'vcoll varchar(30) collate "C"',
    "vcoll varchar(30)", "v_key varchar(50)", "v_key text", "v_key varchar(5)", "v_index varchar(50)", "v_index text",
    'v_index varchar(20) collate "C"', "v_index bpchar",
    "v bpchar", "t bpchar", "v char", "v_upper varchar(50)", "v_upper text", "v_upper varchar(20)",
    "v_where varchar(50)", "v_where text", "v_check varchar(50)", "v_check text", "v_check varchar(20)",
    "v_unchecked varchar(50)", "v_hash text", "v_excluded varchar(50)", "v_excluded text", "v_included text",
    "b_index varbit", "net_index inet", "i_index oid", "i_index integer", "ts_index timestamptz",
    "n_index numeric(12,2)", "n_index numeric", "n_check numeric(12,2)", 'vcoll_index varchar(30) collate "C"',
    "vcoll_index varchar(30)", "twice varchar(30)",
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_new_type_does_what_the_rule_says(small: Database, actual: Catalog, change: str) -> None:
    """The files that are written anew and the rows that are read are those of the finding, for each kind of change."""
    column, _, text = change.partition(" ")
    before = "alter table typed alter m drop default; " if column == "m" else ""
    before = "alter table typed alter q drop default; " if column == "q" else before
    statements = f"{before}alter table typed alter {column} type {text}"
    done = work(small, statements)
    database = describe(actual, {}, "15.3")
    typed = database.tables.find(("public", "typed"))
    assert typed is not None
    (node,) = parse_tree.parse(statements.split("; ")[-1])
    (command,) = parse_tree.commands(node)
    effect = widening.effect(typed.columns[column], command.def_, typed, database.domains)  # type: ignore[arg-type] # of this action
    assert effect.rewrites == ("typed" in done.rewritten)
    if not effect.rewrites:
        assert set(effect.indexes) == done.rewritten
        assert done.read == ROWS * (len(effect.indexes) + bool(effect.checks))
    rules_found = [one for rule, one in found(actual, statements) if rule == "changing-column-type"]
    assert bool(rules_found) == bool(done.read or done.rewritten or effect.takes_zone)


def test_what_is_built_or_checked_again_is_named(actual: Catalog) -> None:
    ((_, one),) = found(actual, "alter table typed alter twice type varchar(30)", 12_345)
    assert one.message == (
        "Changing `twice` from `varchar(20)` to `varchar(30)` builds `typed_twice` of `typed` again and checks "
        "`twice_checked` again, and blocks its reads and writes while about 12,345 rows are read."
    )


# PostgreSQL 18's own
NEW_STATEMENTS = (
    "alter table items add check (price > -1) not enforced",
    "alter table items add weight bigint check (weight > 0) not enforced",
    "alter table items add foreign key (account_id) references accounts not enforced",
    "alter table items add constraint q not null quantity not valid",
    "alter table items add constraint q not null quantity",
    "alter table items add constraint q not null quantity not valid; alter table items alter quantity set not null",
    "alter table items add constraint q not null quantity not valid; alter table items validate constraint q; "
    "alter table items alter quantity set not null",
    "alter table items add twice numeric generated always as (price * 2) virtual",
    "alter table items add seen uuid default uuidv7()",
)


@pytest.mark.parametrize("statements", NEW_STATEMENTS)
def test_what_is_new_in_postgresql_18_is_judged_alike(small: Database, actual: Catalog, statements: str) -> None:
    ((version,),) = small.query("select current_setting('server_version_num')::int")
    if version < 180000:
        pytest.skip("the server does not know it")
    done = work(small, statements)
    ids = {rule for rule, _ in found(actual, statements)} & READING
    assert bool(ids) == bool(done.read or done.rewritten), (ids, done)


PAIRS = (
    # the referring type, the referenced one, the level of the finding
    ("bigint", "bigint", None), ("integer", "bigint", "warning"), ("smallint", "integer", "warning"),
    ("bigint", "integer", "note"), ("integer", "numeric", "warning"), ("numeric", "integer", "error"),
    ("integer", "double precision", "warning"), ("real", "double precision", "note"), ("integer", "oid", "warning"),
    ("varchar(20)", "varchar(20)", None), ("varchar(30)", "varchar(20)", None), ("varchar(20)", "text", "warning"),
    ("text", "varchar(20)", None), ("varchar", "text", None), ("char(5)", "text", "warning"),
    ("text", "char(5)", "warning"), ("date", "timestamp", "note"), ("timestamp", "timestamptz", "warning"),
    ("cidr", "inet", "note"), ("time", "timetz", "warning"), ("uuid", "text", "error"), ("text", "uuid", "error"),
    ("boolean", "integer", "error"), ("timestamptz", "integer", "error"), ("bigint", "text", "error"),
    ("positive", "bigint", "warning"), ("grade", "integer", None),
)  # fmt: skip
VALUES = {
    "date": "date '2026-01-01' + n", "timestamp": "date '2026-01-01' + n", "timestamptz": "date '2026-01-01' + n",
    "cidr": "'10.0.0.' || n", "inet": "'10.0.0.' || n", "time": "'10:00:0' || n", "timetz": "'10:00:0' || n",
    "uuid": "gen_random_uuid()", "boolean": "true",
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(server: Server) -> Iterator[Database]:
    """A database for two tables at a time."""
    with new_database(server, "constraints_pairs") as database:
        database.execute("create domain positive as integer check (value > 0); create domain grade as integer")
        yield database


@pytest.mark.parametrize(("referring", "key", "level"), PAIRS)
def test_what_two_types_do_to_a_foreign_key(pairs: Database, referring: str, key: str, level: str | None) -> None:
    """PostgreSQL refuses those that are errors, and finds referring rows by their index unless a cast is told of."""
    pairs.execute(f"""
        drop table if exists refs, keys;
        create table keys (k {key} primary key);
        create table refs (r {referring});
        create index refs_r on refs (r);
        insert into refs select ({VALUES.get(referring, "n")})::text::{referring} from generate_series(1, 5) n;
    """)
    add = "alter table refs add constraint f foreign key (r) references keys not valid"
    told = [one for rule, one in found(read_catalog(pairs), add) if rule == "foreign-key-type-mismatch"]
    assert [one.level for one in told] == ([level] if level is not None else [])
    if level == "error":
        with pytest.raises(psycopg2.errors.DatatypeMismatch):
            work(pairs, add)
        return
    fill = f"insert into keys select ({VALUES.get(key, 'n')})::text::{key} from generate_series(8, 9) n"
    deleting = work(pairs, f"set enable_seqscan = off; {add}; {fill}; delete from keys")
    # two are those of the DELETE itself
    assert (deleting.read > 2) == any("by a cast" in one.message for one in told)


MINE = READING | {"adding-required-field", "foreign-key-type-mismatch", "foreign-key-without-index"}
ADDS_CHECK = 'op.create_check_constraint("c", "items", "price > -1")'
NOT_VALID = "alter table visits add constraint f foreign key (account_id) references accounts not valid"
REQUIRED = 'op.add_column("items", sa.Column("w", sa.BigInteger(), nullable=False))'
# what a plan finds on many rows, and on none
PLANS = {
    "a table that the plan makes": (
        'op.create_table("notes", sa.Column("n", sa.BigInteger()), sa.Column("a", sa.BigInteger()))\n'
        'op.rename_table("notes", "remarks")\nop.create_check_constraint("c", "remarks", "n > 0")\n'
        'op.create_foreign_key("f", "remarks", "accounts", ["a"], ["id"])\n'
        'op.create_primary_key("p", "remarks", ["n"])\n'
        'op.add_column("remarks", sa.Column("m", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))\n'
        'op.alter_column("remarks", "n", type_=sa.Text())',
        set(), set(),
    ),
    "a table that is absent here": (
        'op.execute("alter table if exists nowhere add check (x > 0), alter x set not null, alter y type text")',
        set(), set(),
    ),
    "a table that the plan renames": (
        'op.rename_table("items", "goods")\n' + ADDS_CHECK.replace("items", "goods"),
        {("constraint-missing-not-valid", "error")}, {("constraint-missing-not-valid", "warning")},
    ),
    "a table of another schema": (
        'op.create_check_constraint("c", "items", "price > -1", schema="archive")',
        {("constraint-missing-not-valid", "error")}, {("constraint-missing-not-valid", "warning")},
    ),
    "a UNIQUE is not a missing NOT VALID": (
        'op.create_unique_constraint("u", "items", ["number"])',
        {("disallowed-unique-constraint", "error")}, {("disallowed-unique-constraint", "warning")},
    ),
    "one finding a constraint": (
        'op.execute("alter table items add check (price > 1), add unique (number), add exclude (code with =), '
        'add foreign key (account_id) references accounts")\n'
        'op.create_primary_key("p", "visits", ["visit_id"])',
        {
            ("constraint-missing-not-valid", "error"), ("disallowed-unique-constraint", "error"),
            ("adding-exclusion-constraint", "error"), ("adding-foreign-key-constraint", "error"),
            ("adding-serial-primary-key-field", "error"),
        },
        {
            ("constraint-missing-not-valid", "warning"), ("disallowed-unique-constraint", "warning"),
            ("adding-exclusion-constraint", "warning"), ("adding-foreign-key-constraint", "warning"),
            ("adding-serial-primary-key-field", "warning"),
        },
    ),
    "a primary key": (
        'op.create_primary_key("p", "visits", ["visit_id"])',
        {("adding-serial-primary-key-field", "error")}, {("adding-serial-primary-key-field", "warning")},
    ),
    "a foreign key without an index": (
        f'op.execute("{NOT_VALID}")',
        {("foreign-key-without-index", "warning")}, {("foreign-key-without-index", "note")},
    ),
    "an index that comes later": (
        f'op.execute("{NOT_VALID}")\n---\ncreate_index_concurrently("i", "visits", ["account_id", "at"])', set(), set(),
    ),
    "an index with these columns in another order": (
        'op.execute("create index on visits (at, account_id, item_id)")\n'
        'op.execute("alter table visits add foreign key (account_id, at) '
        'references accounts (id, created_at) not valid")',
        set(), set(),
    ),
    "an index with a WHERE that leaves nothing out": (
        f'op.execute("create index on visits (account_id) where account_id is not null")\nop.execute("{NOT_VALID}")',
        set(), set(),
    ),
    "an index with a WHERE that does": (
        f'op.execute("create index on visits (account_id) where account_id is not null and account_id > 5")\n'
        f'op.execute("{NOT_VALID}")',
        {("foreign-key-without-index", "warning")}, {("foreign-key-without-index", "note")},
    ),
    "an index of another kind": (
        f'op.execute("create index on visits using brin (account_id)")\nop.execute("{NOT_VALID}")',
        {("foreign-key-without-index", "warning")}, {("foreign-key-without-index", "note")},
    ),
    "a foreign key that the plan drops again": (
        f'op.execute("{NOT_VALID}")\nop.drop_constraint("f", "visits")', set(), set(),
    ),
    "a column that rows have no value for": (
        REQUIRED, {("adding-required-field", "error")}, {("adding-required-field", "error")},
    ),
    "one that has a default when the revision ends": (
        REQUIRED + '\nop.alter_column("items", "w", server_default="1")',
        {("adding-required-field", "error")}, set(),
    ),
    "a default that the same revision drops": (
        REQUIRED.replace("False", 'False, server_default="1"') + '\nop.alter_column("items", "w", server_default=None)',
        set(), set(),
    ),
    "NOT NULL that an earlier revision has proven": (
        'add_check_not_valid("q", "items", "quantity IS NOT NULL")\n---\nvalidate_constraint("q", "items")\n---\n'
        'op.alter_column("items", "quantity", nullable=False)',
        set(), set(),
    ),
    "a domain with rows and one without": (
        'op.execute("alter domain rated add check (value > 0)")\n'
        'op.execute("alter domain positive add check (value < 9)")',
        {("domain-constraint-scan", "error")}, {("domain-constraint-scan", "warning")},
    ),
    "a domain that the plan puts on a table": (
        'op.execute("create domain level as integer")\nop.execute("alter table items add level level")\n'
        'op.execute("alter domain level add check (value > 0)")',
        {("domain-constraint-scan", "error")}, {("domain-constraint-scan", "warning")},
    ),
    "a chain of NOT VALID and VALIDATE": (
        'op.execute("alter table items add constraint c check (price > -1) not valid")\n'
        'op.execute("alter table items validate constraint c")',
        set(), set(),
    ),
    "a view's function in a default": (
        'op.execute("alter table items add r bigint default rank_of(2)")', set(), set(),
    ),
    "a comment that hides nothing": (
        'op.execute("/* x */ alter table items -- add\\n add /* y */ constraint c check (price > -1)")',
        {("constraint-missing-not-valid", "error")}, {("constraint-missing-not-valid", "warning")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANS)
def test_a_plan_finds_what_does_harm_here(large: Database, empty: Database, tmp_path: Path, case: str) -> None:
    body, *expected = PLANS[case]
    project = examples.project(tmp_path)
    examples.add(project, body)
    for database, wanted in zip((large, empty), expected, strict=True):
        answer = examples.plan(project, database)
        told = [(one["rule"], one["level"]) for one in answer["findings"] if one["rule"] in MINE]
        assert sorted(told) == sorted(wanted)
