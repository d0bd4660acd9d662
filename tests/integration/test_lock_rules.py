"""What the rules of locks, scans and transactions find on large tables and on empty ones, and what they leave alone."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from psycopg2.errors import NoActiveSqlTransaction, UnsafeNewEnumValueUsage

from runner.lint import rules
from runner.lint.rules import attach_partition_scan
from support import examples
from support.postgres import Database, Server

MINE = frozenset({
    "sets-timeout", "unbounded-write", "work-under-lock", "not-in-transaction",
    "ban-concurrent-index-creation-in-transaction", "require-concurrent-index-creation",
    "require-concurrent-index-deletion", "require-concurrent-reindex", "require-concurrent-partition-detach",
    "attach-partition-scan", "partitioned-needs-parts", "rewrites-table", "enum-value-used",
    "refresh-blocks-reads", "lock-table", "replication-role", "rls-without-policy", "concurrently-left-blind",
    "do-block",
})  # fmt: skip


@pytest.fixture(scope="module")
def large(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with 20,000 rows in each table; plans change nothing in it."""
    with examples.database(server, "lock_rules_large", tmp_path_factory.mktemp("large"), 20_000) as database:
        database.execute("create table few as select generate_series(1, 20) as n; analyze few")
        yield database


@pytest.fixture(scope="module")
def empty(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database whose tables have no rows."""
    with examples.database(server, "lock_rules_empty", tmp_path_factory.mktemp("empty"), 0) as database:
        database.execute("create table few (n int)")
        yield database


def find(at: Database, folder: Path, *bodies: str) -> list[set[str]]:
    """Return what the rules of this file find in each of the revisions of one plan, such as `lock-table error`."""
    project = examples.project(folder / at.name)
    names = examples.add(project, "\n---\n".join(bodies))
    found = [one for one in examples.plan(project, at)["findings"] if one["rule"] in MINE]
    return [{f"{one['rule']} {one['level']}" for one in found if one["revision"] == name} for name in names]


def found_alone(at: Database, folder: Path, rule: str, expected: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the level of a rule for each of these statements, which do not alter what the others are about."""
    found = find(at, folder, *map(sql, expected))
    return {
        text: next((one.partition(" ")[2] for one in levels if one.startswith(f"{rule} ")), None)
        for text, levels in zip(expected, found, strict=True)
    }


def sql(*statements: str) -> str:
    """Return the body of a revision that executes statements."""
    return "\n".join(f"op.execute({one!r})" for one in statements)


def committed_each(*statements: str) -> str:
    """Return the body of a revision in which each statement commits by itself."""
    return "with op.get_context().autocommit_block():\n" + "\n".join(f"    op.execute({one!r})" for one in statements)


def test_these_are_rules() -> None:
    assert {rule.id for rule in rules.load()} >= MINE


ERROR, WARNING, NOTE = "error", "warning", "note"
TIMEOUTS = {
    "set lock_timeout = 0": ERROR,
    "set statement_timeout to '0min'": ERROR,
    "set transaction_timeout = 0.0": ERROR,
    "select set_config('lock_timeout', '0' || 's', true)": WARNING,
    "set lock_timeout to default": WARNING,
    "discard plans": None,
    "create function f() returns int language plpgsql as $$ begin perform set_config('lock_timeout', '9', true);"
     " return 1; end $$": NOTE,
    "create procedure f() language sql begin atomic select set_config('statement_timeout', '0', true); end": ERROR,
    "create function f() returns trigger language plpgsql as $$ begin set lock_timeout = 0; return new; end $$": ERROR,
    "create function f(n archive.items) returns int language plpgsql as $$ begin set lock_timeout = 0; end $$": ERROR,
    "create function f() returns int language plpgsql": None,
    "do language plpgsql": None,
    "create function f() returns int language plpgsql as 'nonsense'": None,
    "do $$ begin if set_config('lock_timeout', '0', true) = '0' then null; end if; end $$": ERROR,
    "do $$ begin execute 'set lock_time' || 'out = 0'; end $$": None,
    "alter database x set statement_timeout = '15s'": NOTE,
    "alter system set statement_timeout = 0": ERROR,
    "set local deadlock_timeout = 0": None,
    "comment on table items is 'set lock_timeout = 0'": None,
}  # fmt: skip


def test_a_timeout_is_found_wherever_it_is_set(empty: Database, tmp_path: Path) -> None:
    assert found_alone(empty, tmp_path, "sets-timeout", TIMEOUTS) == TIMEOUTS


BATCHES = (
    "do $$ begin loop update items set note = 'x' where ctid = any (array(select ctid from items where note is null "
    "limit 5000)); exit when not found; {} end loop; end $$"
)
WRITES = {
    "update items set note = 'x'": ERROR,
    "update items set note = 'x' where true and not false": ERROR,
    "update items set note = 'x' where code is not null": ERROR,
    "update items set note = 'x' where note is null": WARNING,
    "update items set note = (select email from accounts where true limit 1) -- where": ERROR,
    "select 1; /* all */ update items set note = 'x'": ERROR,
    "update items set note = 'x' where account_id = 5": WARNING,
    "update items set note = 'x' where id = account_id": WARNING,
    "update items set note = 'x' where id = 5": None,
    'update items set note = \'x\' where "id" in (1, 2)': None,
    "update items set note = 'x' where id in (select id from accounts)": WARNING,
    "update items set note = 'x' where id in (select id from items limit 100)": None,
    "update items set note = 'x' where account_id in (select id from accounts limit 100)": WARNING,
    "update items i set note = a.email from accounts a where a.id = i.id": WARNING,
    "delete from items where id = '5'::bigint": None,
    "delete from items where id > 5": WARNING,
    "delete from no_such_table": None,
    "insert into visits (visit_id, at) values (-1, now())": None,
    "insert into visits (visit_id, at) select n, now() from generate_series(1, 3) n where false": None,
    "insert into visits (visit_id, at) select id, at from items": ERROR,
    "insert into visits (visit_id, at) select id, at from items where price > 3": WARNING,
    "insert into visits (visit_id, at) select id, at from items limit 100": None,
    "with few as (select 1 as n) insert into visits (visit_id, at) select n, now() from few": None,
    "with gone as (delete from items where id = 1 returning id) insert into visits (visit_id, at) "
     "select id, now() from gone": None,
    "with gone as (delete from items returning id) insert into visits (visit_id, at) select id, now() from gone":
     ERROR,
    "merge into items i using accounts a on a.id = i.id when matched then delete": WARNING,
    "merge into items i using (select id from accounts) a on a.id = i.id when matched then delete": WARNING,
    # each branch of an OR, rows of several columns, and joins by a key
    "update items set note = 'x' where id = 1 or id = 2 or (id in (3, 4) and price > 1) or code = 5": None,
    "update items set note = 'x' where id = 1 or price = 2": WARNING,
    "update items set note = 'x' where price > 1 and (id = 1 or code = 2)": None,
    "delete from shelf.books where (id, title) in ((1, 'a'), (2, 'b'))": None,
    "delete from shelf.books where (id, title) = (1, 'a')": None,
    "delete from shelf.books where (title, title) in (('a', 'a'), ('b', 'b'))": WARNING,
    "delete from items where (id, code) in (select id, code from items limit 10)": None,
    "delete from items where (id, code) in (select id, code from items)": WARNING,
    "delete from items where (1, id) = (id, code)": None,
    "delete from items where (number, id) = (1, code)": WARNING,
    "delete from items i using (values (1), (2)) v (n) where i.id = v.n": None,
    "delete from items i using (values (1), (2)) v (n) where i.price = v.n": WARNING,
    "delete from items i using (values (1), (2)) v (n) where i.id > v.n": WARNING,
    "delete from items using unnest(array[1, 2]) n where id = n": None,
    "delete from items using generate_series(1, 9000) n where id = n": None,
    "delete from items using generate_series(1, 90000) n where id = n": WARNING,
    "with v (n) as (values (1), (2)) delete from items i using v where i.id = v.n": None,
    "with v (n) as (select id from accounts) delete from items i using v where i.id = v.n": WARNING,
    "update items i set note = v.note from (select id, note from items limit 9) v where i.id = v.id": None,
    "update items i set note = a.email from accounts a where a.id = i.id and a.id = 5": None,
    "update items i set note = a.email from accounts a where a.id = i.account_id and a.id = 5": WARNING,
    "update items i set note = a.email from accounts a where a.name = i.name and i.id = 5": None,
    "update items i set note = p.id from parcels p join (values (1)) v (n) on p.id = v.n where i.id = p.supplier_id":
     None,
    "update items i set note = p.id from parcels p left join (values (1)) v (n) on p.id = v.n where i.id = p.id":
     WARNING,
    "update items i set note = few.n from few where i.id = few.n": NOTE,
    "update items i set note = few.n from few where i.account_id = few.n": WARNING,
    "update items i set note = few.n from few, few more where i.id = few.n": NOTE,
    "update items i set note = few.n from few, few as b, few as c, few as d where i.id = few.n + b.n": WARNING,
    "insert into visits (visit_id, at) select n, now() from few": NOTE,
    "delete from items i where exists (select from (values (1)) v (n) where v.n = i.id)": None,
    "delete from items i where exists (select from (values (1)) v (id) where id = 1)": WARNING,
    "delete from items i where exists (select from accounts a where a.id = i.id)": WARNING,
    "do $$ declare r record; begin select 1 as id into r; delete from items where id = r.id; end $$": None,
    "insert into visits (visit_id, at) select i.id, now() from items i join (values (1)) v (n) on i.id = v.n": None,
    "merge into items i using (values (1)) v (n) on true when matched then delete": ERROR,
    "merge into items i using (values (1)) v (n) on true when not matched then do nothing": None,
    "merge into visits i using (values (-1)) v (n) on i.visit_id = v.n when matched then delete "
     "when not matched then insert (visit_id) values (n)": None,
    "merge into items i using accounts a on a.id = i.id and i.id = 5 when matched then delete": None,
    "merge into items i using few on few.n = i.id when matched then delete": NOTE,
    "copy visits (visit_id) to '/tmp/x'": None,
    "do $$ begin if true then delete from items; end if; end $$": ERROR,
    "do $$ begin execute 'delete from items'; end $$": ERROR,
    BATCHES.format(""): WARNING,
    BATCHES.format("commit;"): None,
    "create function f() returns void language sql as 'delete from items'": None,
}  # fmt: skip


def test_a_write_is_found_by_the_rows_that_it_may_have(large: Database, empty: Database, tmp_path: Path) -> None:
    """For one of a key's values nobody waits; on an empty table a note remains, so that no allowance is idle."""
    assert found_alone(large, tmp_path, "unbounded-write", WRITES) == WRITES
    few = {text: level and NOTE for text, level in WRITES.items()}
    assert found_alone(empty, tmp_path, "unbounded-write", few) == few


def test_a_write_of_what_the_plan_makes_is_nobodys(large: Database, tmp_path: Path) -> None:
    made = sql("create table fresh (id bigint)", "alter table fresh rename to newer")
    body = sql("insert into newer select id from items", "update newer set id = 1", "delete from newer")
    assert find(large, tmp_path / "made", made, body) == [set(), set()]
    renamed = sql("alter table items rename to goods", "update goods set note = 'x'")
    assert "unbounded-write error" in find(large, tmp_path / "renamed", renamed)[0]


LOCK = "alter table items add stars bigint"
NOT_VALID = "alter table items add constraint c check (code > 0) not valid"
UNDER_LOCK = [
    ([LOCK, "update items set stars = 1 where id > 4"], ERROR),
    ([LOCK, "update items set stars = 1 where id = 4"], None),
    (["update items set note = 'x' where id > 4", LOCK], None),
    (["create table fresh (n int)", "update items set note = 'x' where id > 4"], None),
    ([NOT_VALID, "alter table visits add constraint c check (visit_id > 0) not valid"], None),
    ([NOT_VALID, "alter table items validate constraint c"], ERROR),
    ([NOT_VALID, "alter table items rename to goods", "alter table goods validate constraint c"], ERROR),
    ([LOCK, "alter table items validate constraint items_price_check"], None),
    ([LOCK, "alter table items validate constraint items_number_check"], ERROR),
    ([LOCK, "alter table items alter price set not null"], None),
    ([LOCK, "alter table items alter account_id set not null"], None),
    # under its own lock, of which another rule speaks
    ([LOCK, "alter table items alter note set not null"], None),
    ([LOCK, "alter table accounts alter email set not null"], ERROR),
    ([LOCK, "create index i on items (price)"], ERROR),
    (["lock table items in share mode", "create index i on items (price)"], None),
    (["lock table items in share mode", LOCK, "create index i on items (price)"], ERROR),
    ([LOCK, "select count(*) from items"], ERROR),
    ([LOCK, "select nextval('tickets')"], None),
    ([LOCK, "select * from pg_class"], None),
    ([LOCK, "select * from items limit 3"], None),
    ([LOCK, "copy items (id) to '/tmp/x'"], ERROR),
    ([LOCK, "create table fresh as select * from items"], ERROR),
    ([LOCK, "refresh materialized view account_totals"], ERROR),
    (["alter table items cluster on items_code", "select count(*) from items"], None),
    (["comment on table items is 'x'", "select count(*) from items"], None),
]


def test_work_is_found_under_the_lock_of_an_earlier_statement(large: Database, tmp_path: Path) -> None:
    """Each on its own, since they alter the tables."""
    for number, (statements, level) in enumerate(UNDER_LOCK):
        (found,) = find(large, tmp_path / str(number), sql(*statements))
        assert [one for one in found if "work-under-lock" in one] == ([f"work-under-lock {level}"] if level else []), (
            statements
        )


def test_work_under_a_lock_is_a_warning_where_there_are_no_rows(empty: Database, tmp_path: Path) -> None:
    (found,) = find(empty, tmp_path, sql(LOCK, "update items set stars = 1"))
    assert found == {"work-under-lock warning", "unbounded-write note"}
    # of a view, the tables below it count, which no text of the revision names
    (found,) = find(
        empty, tmp_path / "view", sql("alter table visits add n int", "select count(*) from cheapest_items")
    )
    assert found == {"work-under-lock warning"}


def test_a_lock_ends_with_its_transaction(large: Database, tmp_path: Path) -> None:
    """With its statement in an autocommit block, at the end of a block of code, and at a COMMIT within it."""
    count = "select count(*) from items"
    assert find(large, tmp_path / "each", committed_each(LOCK, count)) == [set()]
    assert find(large, tmp_path / "block", committed_each(f"do $$ begin {LOCK}; end $$", count)) == [set()]
    inside = f"do $$ begin {LOCK}; {{}} perform count(*) from items; end $$"
    assert find(large, tmp_path / "commit", committed_each(inside.format("commit;"))) == [set()]
    assert find(large, tmp_path / "held", committed_each(inside.format(""))) == [{"work-under-lock error"}]


# measured on PostgreSQL 15 and 18: each of the first kind fails with 25001 in a transaction, the others do not
IN_TRANSACTION = {
    "drop index concurrently no_such_index": ERROR,
    "reindex (concurrently true) index items_name": ERROR,
    "reindex (concurrently off) index items_name": None,
    "reindex table items": None,
    "reindex table events": ERROR,
    "reindex database x": ERROR,
    "alter table events detach partition events_2025": None,
    "alter table events detach partition events_2025 concurrently": ERROR,
    "vacuum": ERROR,
    "analyze items": None,
    "cluster items using items_code": None,
    "cluster": ERROR,
    "create subscription s connection 'host=x' publication p": ERROR,
    "create subscription s connection 'host=x' publication p with (create_slot = false)": None,
    "create subscription s connection 'host=x' publication p with (connect = false)": None,
    "alter subscription s refresh publication": ERROR,
    "alter subscription s set publication p with (refresh = false)": None,
    "drop subscription if exists s": None,
    "alter database x set tablespace fast": ERROR,
    "alter database x set work_mem = '8MB'": None,
    "alter system reset work_mem": ERROR,
    "drop tablespace if exists fast": ERROR,
    "alter type mood add value 'worn'": None,
    "create function f() returns void language plpgsql as 'begin vacuum; end'": None,
    "do $$ begin perform 1; rollback; end $$": ERROR,
    "comment on table items is 'vacuum'": None,
}


def test_what_fails_in_a_transaction_is_found_there_only(empty: Database, tmp_path: Path) -> None:
    assert found_alone(empty, tmp_path, "not-in-transaction", IN_TRANSACTION) == IN_TRANSACTION
    alone = [committed_each(text) for text in IN_TRANSACTION if not text.startswith("do")]
    assert not any("not-in-transaction error" in one for one in find(empty, tmp_path / "alone", *alone))


def test_an_index_is_not_built_concurrently_in_a_transaction(empty: Database, tmp_path: Path) -> None:
    """Also not on a table that the plan makes, since it fails there as well."""
    made = sql("create table fresh (n int)", "create index concurrently i on fresh (n)")
    alone = committed_each("create index concurrently if not exists i on items (price)")
    rule = "ban-concurrent-index-creation-in-transaction"
    assert find(empty, tmp_path, made, alone) == [{f"{rule} error"}, set()]


BUILDING = {
    "create index i on items (price)": "require-concurrent-index-creation error",
    "create index concurrently i on items (price)": "ban-concurrent-index-creation-in-transaction error",
    "create index if not exists items_name on items (name)": None,
    "create index i on archive.items (price)": "require-concurrent-index-creation error",
    "create index i on account_totals (total)": "require-concurrent-index-creation error",
    "create index i on only events (id)": None,
    "create index i on no_such_table (n)": None,
    "do $$ begin execute 'create index i on items (price)'; end $$": "require-concurrent-index-creation error",
    "drop index items_name": "require-concurrent-index-deletion warning",
    "drop index archive.items_name": None,
    "drop index if exists no_such_index": None,
    "drop index archive.items_pkey": "require-concurrent-index-deletion error",
    "reindex table items": "require-concurrent-reindex error",
    "reindex table no_such_table": None,
    "reindex index archive.items_pkey": "require-concurrent-reindex error",
    "alter table events detach partition events_2026": "require-concurrent-partition-detach warning",
}
EMPTY = {
    "create index i on items (price)": "require-concurrent-index-creation warning",
    "create index i on account_totals (total)": "require-concurrent-index-creation warning",
    "reindex index archive.items_pkey": "require-concurrent-reindex warning",
    "drop index items_name": "require-concurrent-index-deletion warning",
}


def test_indexes_are_found_by_their_tables(large: Database, empty: Database, tmp_path: Path) -> None:
    for at, expected in ((large, BUILDING), (empty, EMPTY)):
        for number, (text, level) in enumerate(expected.items()):
            found = find(at, tmp_path / str(number), sql(text))
            assert found == [{level} if level else set()], (at.name, text)


def test_an_index_that_the_plan_makes_or_moves_is_known(large: Database, tmp_path: Path) -> None:
    rule = "require-concurrent-index-deletion warning"
    made = sql("create index concurrently i on items (price)")
    renamed = sql("alter index items_name rename to items_title", "drop index items_title")
    moved = sql("alter table items rename to goods", "drop index items_code")
    fresh = sql("create table fresh (n int)", "create index i on fresh (n)", "drop index i", "reindex table fresh")
    # no query of the application uses it yet
    assert find(large, tmp_path / "made", made, sql("drop index i"))[1] == set()
    assert find(large, tmp_path / "rest", renamed, moved, fresh) == [{rule}, {rule}, set()]


def test_a_table_that_is_there_already_is_not_made(large: Database, tmp_path: Path) -> None:
    """IF NOT EXISTS does nothing to what is there; a table of that name in another schema is another one."""
    rule = {"require-concurrent-index-creation error"}
    there = sql("create table if not exists items (n int)", "create index i on items (price)")
    elsewhere = sql("create table if not exists archive.visits (n bigint)", "create index i on visits (at)")
    nothing = sql("create index if not exists items_name on items (price)")
    assert find(large, tmp_path, there, elsewhere, nothing) == [rule, rule, set()]


def test_a_partition_is_not_detached_concurrently_beside_a_default_one(large: Database, tmp_path: Path) -> None:
    """PostgreSQL refuses it, so the finding that remains is a note."""
    beside = sql(
        "create table events_rest partition of events default", "alter table events detach partition events_2025"
    )
    assert "require-concurrent-partition-detach note" in find(large, tmp_path, beside)[0]


YEAR = "alter table events attach partition events_2024 for values from ('2024-01-01') to ('2025-01-01')"
ASIA = "alter table logs attach partition logs_asia for values in ('asia')"
NOT_ASIA = "alter table logs_rest add constraint c check (not (region is not null and region = 'asia'))"
ATTACHED = {
    "without a check": (YEAR, True),
    "with the same": (
        "alter table events_2024 add constraint c check (at >= '2024-01-01' and at < '2025-01-01'); " + YEAR, False),
    "with a narrower one": (
        "alter table events_2024 add constraint c check (at > '2024-02-01' and at <= '2024-12-01'); " + YEAR, False),
    "with a wider one": (
        "alter table events_2024 add constraint c check (at >= '2023-01-01' and at < '2025-01-01'); " + YEAR, True),
    "with a half": ("alter table events_2024 add constraint c check (at >= '2024-01-01'); " + YEAR, True),
    "with one that is not validated": (
        "alter table events_2024 add constraint c check (at >= '2024-01-01' and at < '2025-01-01') not valid; " + YEAR,
        True),
    "beside a DEFAULT partition": (
        "alter table logs_asia add constraint c check (region = 'asia'); " + ASIA, True),
    "excluded from the DEFAULT partition": (
        f"alter table logs_asia add constraint c check (region = 'asia'); {NOT_ASIA}; {ASIA}", False),
    "excluded, but not proven itself": (f"{NOT_ASIA}; {ASIA}", True),
    "made beside a DEFAULT partition": ("create table logs_x partition of logs for values in ('x')", True),
    "made without a DEFAULT partition": (
        "create table events_2027 partition of events for values from ('2027-01-01') to ('2028-01-01')", False),
    "by hash": ("alter table shards attach partition shards_1 for values with (modulus 2, remainder 1)", True),
    "by hash with a check": (
        "alter table shards_1 add constraint c check (satisfies_hash_partition('shards'::regclass, 2, 1, id)); "
        "alter table shards attach partition shards_1 for values with (modulus 2, remainder 1)", False),
    "by two columns": ("alter table months attach partition months_6 for values from (2026, 6) to (2026, 7)", True),
    "without an index of the table": (
        "alter table depots attach partition depots_oslo for values in ('oslo')", True),
    "with an index of the table": (
        "create index i on depots_oslo (id); alter table depots attach partition depots_oslo for values in ('oslo')",
        False),
    "a new table": (
        "create table fresh (like events including constraints); "
        "alter table events attach partition fresh for values from ('2020-01-01') to ('2021-01-01')", False),
}  # fmt: skip


def rows_read(at: Database, *statements: str) -> int:
    """Return how many rows the last of these statements reads in scans, in a transaction that is rolled back."""
    read = "select coalesce(sum(seq_tup_read), 0)::int from pg_stat_xact_user_tables"
    with closing(at.server.connect(at.name)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        counts = []
        for statement in statements:
            cursor.execute(read)
            counts.append(cursor.fetchone()[0])
            cursor.execute(statement)
        cursor.execute(read)
        return cursor.fetchone()[0] - counts[-1]


@pytest.mark.parametrize("case", ATTACHED)
def test_attaching_is_found_where_postgresql_reads_rows(large: Database, tmp_path: Path, case: str) -> None:
    """The number of rows that the server counts, and the finding, agree."""
    text, is_read = ATTACHED[case]
    statements = text.split("; ")
    (found,) = find(large, tmp_path, sql(*statements))
    assert any(one.startswith("attach-partition-scan ") for one in found) == is_read
    assert (rows_read(large, *statements) > 0) == is_read


OTHERS = ("create table", "default", "depots")
"""Examples that make a table as well, or whose advice is in words."""
ADVISED = [one for one in attach_partition_scan.RULE.bad if not any(word in one for word in OTHERS)]


@pytest.mark.parametrize("body", ADVISED)
def test_what_is_advised_for_a_partition_reads_no_row(large: Database, tmp_path: Path, body: str) -> None:
    project = examples.project(tmp_path)
    examples.add(project, body)
    (found,) = [one for one in examples.plan(project, large)["findings"] if one["rule"] == "attach-partition-scan"]
    attaching = json.loads(body.removeprefix("op.execute(").removesuffix(")"))
    with examples.copy(large, "lock_rules_copy") as mine:
        for name in examples.add(project, "\n---\n".join(found["instead"][:-1])):
            assert project.ask(mine.url, {"action": "upgrade", "target": name})["status"] == "success"
        assert rows_read(mine, attaching) == 0


def test_an_empty_partition_is_attached_without_a_finding(empty: Database, tmp_path: Path) -> None:
    assert find(empty, tmp_path, sql(YEAR), sql(ASIA)) == [set(), set()]


PARTITIONED = {
    "create index concurrently i on events (item_id)": ERROR,
    "create index i on events (item_id)": None,
    "create index concurrently i on events_2025 (item_id)": None,
    "drop index concurrently depots_id": ERROR,
    "alter table events add constraint c check (id > 0) not valid": None,
    "alter table events_2025 add foreign key (item_id) references items (id) not valid": None,
    "alter table events add foreign key (item_id) references items (id) not valid": ERROR,
    "alter table events add foreign key (item_id) references items (id)": None,
    "alter table only logs add foreign key (item_id) references items (id)": ERROR,
    "alter table items add foreign key (account_id) references accounts (id) not valid": None,
}


def test_what_a_partitioned_table_refuses_is_found(large: Database, tmp_path: Path) -> None:
    for number, (text, level) in enumerate(PARTITIONED.items()):
        (found,) = find(large, tmp_path / str(number), sql(text))
        assert ("partitioned-needs-parts" in str(found), f"partitioned-needs-parts {level}" in found) == (
            level is not None,
            level is not None,
        ), text


def test_the_index_of_a_partitioned_table_has_one_remedy(large: Database, tmp_path: Path) -> None:
    """Not the helper that drops an index concurrently, which fails there."""
    assert find(large, tmp_path, sql("drop index concurrently depots_id")) == [{"partitioned-needs-parts error"}]


def test_the_partitions_of_partitions_are_named(large: Database, tmp_path: Path) -> None:
    """Those with rows get an index each, in their own schema; those between get one that theirs are attached to."""
    project = examples.project(tmp_path)
    examples.add(project, 'op.create_index("logs_item", "logs", ["item_id"])')
    (found,) = examples.plan(project, large)["findings"]
    assert found["instead"] == [
        'create_index_on_only("logs_item", "logs", ["item_id"])\n'
        'create_index_on_only("logs_eu_item_id_idx", "logs_eu", ["item_id"])',
        'create_index_concurrently("logs_eu_2025_item_id_idx", "logs_eu_2025", ["item_id"], schema="archive")',
        'create_index_concurrently("logs_rest_item_id_idx", "logs_rest", ["item_id"])',
        'create_index_concurrently("logs_us_item_id_idx", "logs_us", ["item_id"])',
        'attach_index("logs_eu_item_id_idx", "logs_eu_2025_item_id_idx", partition_schema="archive")\n'
        'attach_index("logs_item", "logs_eu_item_id_idx")\n'
        'attach_index("logs_item", "logs_rest_item_id_idx")\n'
        'attach_index("logs_item", "logs_us_item_id_idx")',
    ]


# what PostgreSQL 15 and 18 do: the table has another file afterwards
REWRITTEN = {
    "alter table visits add n serial": True,
    "alter table visits add n bigint": False,
    "alter table visits add n positive": True,
    "alter table visits add n positive default 1": True,
    "alter table visits add n positive[]": False,
    "alter table visits add n grade default 1": False,
    "create domain tall as positive; alter table visits add n tall": True,
    "create domain short as grade; alter table visits add n short": False,
    "alter table visits set unlogged": True,
    "alter table visits set logged": False,
    "alter table visits set access method heap": False,
    "alter table visits set tablespace pg_default": False,
    "alter table visits set (fillfactor = 50)": False,
    "cluster visits using visits_id": True,
    "alter table visits cluster on visits_id": False,
    "alter table visits alter visit_id add generated always as identity": False,
}


def test_a_rewrite_is_found_where_the_table_gets_another_file(large: Database, tmp_path: Path) -> None:
    """The file that the server names, and the finding, agree."""
    for number, (text, is_written) in enumerate(REWRITTEN.items()):
        (found,) = find(large, tmp_path / str(number), sql(*text.split("; ")))
        assert ("rewrites-table error" in found) == is_written, text
        file = "select pg_relation_filenode('visits')"
        with closing(large.server.connect(large.name)) as connection, connection.cursor() as cursor:
            connection.autocommit = False
            cursor.execute(file)
            before = cursor.fetchone()
            cursor.execute(text)
            cursor.execute(file)
            assert (cursor.fetchone() != before) == is_written, text


def test_the_default_access_method_rewrites_nothing(large: Database, tmp_path: Path) -> None:
    """PostgreSQL 17 has this."""
    assert find(large, tmp_path, sql("alter table visits set access method default")) == [set()]


def test_a_rewrite_is_a_warning_without_rows_and_nothing_on_a_new_table(empty: Database, tmp_path: Path) -> None:
    fresh = sql("create table fresh (n int)", "alter table fresh add m serial", "cluster fresh", "drop table fresh")
    assert find(empty, tmp_path, sql("alter table items add n serial"), fresh) == [{"rewrites-table warning"}, set()]


WORN = "alter type mood add value 'worn'"
ENUMS = {
    "a cast": (WORN, "select 'worn'::mood"),
    "another value": (WORN, "select 'old'::mood"),
    "a text": (WORN, "select 'worn', 'worn'::text"),
    "an insert": (WORN, "insert into visits (visit_id, at, mood) values (-1, now(), 'worn')"),
    "an insert elsewhere": (WORN, "insert into accounts (code, name) values (-1, 'worn')"),
    "an insert by place": (WORN, "insert into visits values (-1, 1, 1, now(), 'worn')"),
    "an insert of a query": (WORN, "insert into visits (visit_id, mood) select -1, 'worn'"),
    "an update": (WORN, "update visits set mood = case when visit_id > 1 then 'old'::mood else 'worn' end"),
    "an update elsewhere": (WORN, "update items set note = 'worn', mood = 'old' where id = 1"),
    "a default": (WORN, "alter table visits alter mood set default 'worn'"),
    "another default": (WORN, "alter table items alter note set default 'worn'"),
    "a column": (WORN, "alter table visits add m mood default 'worn'"),
    "a check": (WORN, "alter table visits add check (mood <> 'worn') not valid"),
    "a comparison as text": (WORN, "select 1 from visits where mood::text = 'worn'"),
    "a partial index": (WORN, "create index i on visits (mood) where mood = 'worn'"),
    "a view": (WORN, "create view v as select 1 from visits where mood = 'worn'"),
    "a function in SQL": (WORN, "create function f() returns mood language sql as $$ select 'worn'::mood $$"),
    "a function in PL/pgSQL": (
        WORN, "create function f() returns mood language plpgsql as $$ begin return 'worn'::mood; end $$"),
    "a function that returns it": (WORN, "create function f() returns mood return 'worn'::mood"),
    "a function that returns another text": (WORN, "create function f() returns text return 'worn'"),
    "a function with statements": (
        WORN, "create function f() returns mood language sql begin atomic select 1; select 'worn'::mood; end"),
    "a block": (WORN, "do $$ begin perform 'worn'::mood; end $$"),
    "a renamed type": (WORN, "alter type mood rename to moods", "select 'worn'::moods"),
    "another type of that name": (
        WORN, "alter type mood rename to moods", "create type mood as enum ('worn')", "select 'worn'::mood"),
    "a renamed value": ("alter type mood rename value 'old' to 'worn'", "select 'worn'::mood"),
    "a value that is there": ("alter type mood add value if not exists 'old'", "select 'old'::mood"),
    "a type made before": ("create type m as enum ('a')", "alter type m add value 'worn'", "select 'worn'::m"),
    "a type made with it": ("create type m as enum ('worn')", "select 'worn'::m"),
    "a type of another schema": (
        WORN, "create type archive.mood as enum ('worn')", "select 'worn'::archive.mood"),
}  # fmt: skip


@pytest.mark.parametrize("case", ENUMS)
def test_a_new_value_is_found_where_postgresql_refuses_it(large: Database, tmp_path: Path, case: str) -> None:
    """The server's refusal, and the finding, agree."""
    (found,) = find(large, tmp_path, sql(*ENUMS[case]))
    with closing(large.server.connect(large.name)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        try:
            for statement in ENUMS[case]:
                cursor.execute(statement)
            refused = False
        except UnsafeNewEnumValueUsage:
            refused = True
    assert ("enum-value-used error" in found) == refused


def test_a_value_is_used_after_its_commit(large: Database, tmp_path: Path) -> None:
    body = (sql(WORN), sql("select 'worn'::mood"), committed_each("alter type mood add value 'x'", "select 'x'::mood"))
    assert find(large, tmp_path, *body) == [set(), set(), set()]


OTHERS_WAIT = {
    "refresh materialized view account_totals": {"refresh-blocks-reads error"},
    "refresh materialized view concurrently account_totals": set(),
    "refresh materialized view later_totals": set(),
    "lock items": {"lock-table error"},
    "lock table items in share mode": {"lock-table warning"},
    "lock table items in row exclusive mode": set(),
    "lock table no_such_table": set(),
    "set session_replication_role = 'local'": set(),
    "set session_replication_role = default": set(),
    "do $$ begin perform set_config('session_replication_role', 'replica', true); end $$": {"replication-role error"},
    "create function f() returns int language sql set session_replication_role = replica as 'select 1'": {
        "replication-role error"},
    "alter table items disable trigger all": {"replication-role error"},
    "alter table items disable trigger \"RI_ConstraintTrigger_c_1\"": {"replication-role error"},
    "alter table items disable trigger items_touch": {"replication-role warning"},
    "alter table items enable row level security": {"rls-without-policy error"},
    "alter table items force row level security": set(),
    "do $$ begin execute 'select ' || 1; end $$": {"do-block note"},
    "do $$ begin perform 1; end $$": set(),
    "do language plperl $$ 1 $$": {"do-block note"},
}  # fmt: skip
ALONE = {
    "vacuum full items": {"concurrently-left-blind error"},
    "vacuum (full) no_such_table": set(),
    "vacuum items": set(),
    "cluster items": {"concurrently-left-blind error"},
    "cluster": {"concurrently-left-blind error"},
    "refresh materialized view account_totals": {"concurrently-left-blind error"},
    "lock table items in share mode": {"concurrently-left-blind error"},
    "do $$ begin lock table items; end $$": {"lock-table error"},
}


def test_what_makes_others_wait_or_fail_is_found(large: Database, tmp_path: Path) -> None:
    for number, (text, expected) in enumerate(OTHERS_WAIT.items()):
        assert find(large, tmp_path / f"in-{number}", sql(text)) == [expected], text
    for number, (text, expected) in enumerate(ALONE.items()):
        assert find(large, tmp_path / f"alone-{number}", committed_each(text)) == [expected], text


def test_what_blocks_an_empty_table_only_is_less(empty: Database, tmp_path: Path) -> None:
    """Nobody reads an empty view for long, but a lock blocks whoever comes."""
    alone = [committed_each("vacuum full items"), committed_each("refresh materialized view account_totals")]
    body = [sql("refresh materialized view account_totals"), *alone, sql("lock items")]
    expected = [set(), {"concurrently-left-blind warning"}, set(), {"lock-table error"}]
    assert find(empty, tmp_path, *body) == expected


def test_triggers_that_nobody_sees_off_are_left_alone(large: Database, tmp_path: Path) -> None:
    """A transaction that disables a trigger blocks writes until it ends, so nobody else writes without it."""
    off, on = "alter table items disable trigger user", "alter table items enable trigger user"
    assert find(large, tmp_path / "again", sql(off, on)) == [set()]
    assert find(large, tmp_path / "alone", committed_each(off, on)) == [{"replication-role warning"}]


def test_a_policy_counts_whenever_the_plan_makes_it(large: Database, tmp_path: Path) -> None:
    enabling, policy = "alter table items enable row level security", "create policy own on goods using (true)"
    renaming = "alter table items rename to goods"
    assert find(large, tmp_path / "made", sql(enabling, renaming), sql(policy)) == [set(), set()]
    dropped = sql(policy, "drop policy own on goods")
    assert find(large, tmp_path / "dropped", sql(enabling, renaming), dropped)[0] == {"rls-without-policy error"}


@pytest.mark.parametrize(("kind", "rows"), [("restrictive", 0), ("permissive", 2)])
def test_a_restrictive_policy_alone_shows_no_row(large: Database, tmp_path: Path, kind: str, rows: int) -> None:
    policy = f"create policy own on accounts as {kind} using (code < 3)"
    enabling = "alter table accounts enable row level security"
    assert find(large, tmp_path, sql(policy, enabling)) == [set() if rows else {"rls-without-policy error"}]
    with closing(large.server.connect(large.name)) as connection, connection.cursor() as cursor:
        cursor.execute(f"begin; {policy}; {enabling}; create role anyone; grant select on accounts to anyone")
        cursor.execute("set local role anyone; select count(*) from accounts")
        assert cursor.fetchone() == (rows,)
        cursor.execute("rollback")


def test_a_table_is_locked_in_a_transaction_only(large: Database) -> None:
    with closing(large.server.connect(large.name)) as connection, connection.cursor() as cursor:
        with pytest.raises(NoActiveSqlTransaction):
            cursor.execute("lock table items in share mode")
        cursor.execute("do $$ begin lock table items in share mode; end $$")
