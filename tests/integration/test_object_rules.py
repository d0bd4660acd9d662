"""What is dropped, renamed or moved is found where somebody misses it, and what goes with it is named."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from runner.lint import findings, rules, squawk
from runner.lint.state.database import describe
from runner.script.offline import Rendered
from support import examples
from support.postgres import Database, Server, read_catalog
from support.project import ROOT

# What depends on the tables of the examples, in every way that PostgreSQL follows.
MORE = """
    alter table accounts add column parent_id bigint references accounts;
    alter table visits add constraint visits_account_fk foreign key (account_id) references accounts (id);
    create table orders (id bigint primary key, account_id bigint references accounts,
                         account_code integer, "Mood" mood[] not null default '{}', ticket bigint default 0);
    alter table orders alter ticket set default nextval('tickets');
    alter table accounts add constraint accounts_code_key unique (code);
    alter table items add constraint items_code_key unique (code);
    alter table orders add constraint orders_code_fk foreign key (account_code) references accounts (code);
    create unique index orders_code on orders (account_code);
    create table packages (order_code integer references orders (account_code));
    create view "Account names" as select name from accounts;
    create view account_orders as select o.id, a.name from orders o join accounts a on a.id = o.account_id;
    create materialized view archive.orders as select * from account_orders;
    create function orders_of(bigint) returns bigint language sql
        begin atomic; select count(*) from public.account_orders where id = $1; end;
    create function is_dear(numeric) returns boolean language sql immutable as 'select $1 > 90';
    create index items_dear on items (is_dear(price));
    alter table items add constraint items_dear_check check (is_dear(price) or price <= 90);
    alter table items add column dear boolean generated always as (is_dear(price)) stored;
    alter table archive.items alter price set default (case when is_dear(1) then 1 else 0 end);
    alter table orders enable row level security;
    create policy own_orders on orders using (is_dear(ticket));
    create trigger dear before insert on orders for each row when (is_dear(new.ticket)) execute function touch();
    create rule visited as on delete to visits do also insert into orders (id) values (old.visit_id);
    create table more_items (extra text) inherits (items);
    create view kinds_2025 as select kind from events_2025;
    create statistics items_both on code, number from items;
    create domain high_grade as grade;
    create table graded (n bigint, first grade, second high_grade);
    create type box as (size size, weight integer);
    create function boxed(box) returns integer language sql as 'select 1';
    create index accounts_names on accounts using gin (name gin_trgm_ops);
    create schema reports;
    create table reports.daily (at date primary key, mood mood);
    create view reports.moods as select mood from reports.daily;
    create view daily_moods as select * from reports.moods;
    create function reports.refresh() returns void language sql as 'select 1';
    do $$ begin if not exists (select from pg_roles where rolname = 'object_owner') then create role object_owner;
        end if; end $$;
    create table owned (n bigserial primary key);
    alter table owned owner to object_owner;
    create view of_owned as select n from owned;
    grant select, insert on visits to object_owner;
    grant select on visits to public;
    alter table archive.items enable row level security;
    create function mean(numeric, numeric) returns numeric language sql as 'select ($1 + $2) / 2';
    create function mean(text) returns text language sql as 'select $1';
    create table "Odd ones" (id bigint primary key, "Some note" text);
    alter table items add constraint items_code_check check (code is not null);
    alter table items add constraint items_account_fk foreign key (account_id) references accounts on delete cascade;
"""


@pytest.fixture(scope="module")
def large(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with rows and with what depends on its tables; plans and transactions change nothing in it."""
    with examples.database(server, "object_rules", tmp_path_factory.mktemp("objects"), 20_000) as database:
        database.execute(MORE)
        yield database
    with closing(server.connect()) as admin, admin.cursor() as cursor:
        cursor.execute("drop role object_owner")


@pytest.fixture(scope="module")
def empty(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The same tables without rows."""
    with examples.database(server, "object_rules_empty", tmp_path_factory.mktemp("empty"), 0) as database:
        yield database


OURS = {rule.id for rule in rules.load() if rule.id.startswith(("ban-drop", "ban-set", "ban-trunc", "renaming"))} | {
    "cascade-drops", "truncate",
}  # fmt: skip


def found(folder: Path, database: Database, bodies: str, **more: str) -> set[tuple[str, str]]:
    """Return what our rules find in revisions, with the levels."""
    project = examples.project(folder)
    examples.add(project, bodies)
    return {(one["rule"], one["level"]) for one in examples.plan(project, database)["findings"] if one["rule"] in OURS}


ERRORS, WARNS, NOTES = "error", "warning", "note"
NOTHING = {
    "a table of an earlier revision": (
        'op.create_table("drafts", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("text", sa.Text()))\n'
        "---\n"
        'op.rename_table("drafts", "sketches")\n---\n'
        'op.alter_column("sketches", "text", new_column_name="body")\nop.drop_column("sketches", "body")\n'
        'op.drop_constraint("drafts_pkey", "sketches")\n---\n'
        'op.execute("truncate sketches cascade; drop table sketches cascade")'),
    "a column of an earlier revision": (
        'op.add_column("items", sa.Column("more", sa.Text(), nullable=False, server_default=""))\n---\n'
        'op.alter_column("items", "more", nullable=True)\n---\n'
        'op.alter_column("items", "more", new_column_name="extra")\n---\nop.drop_column("items", "extra")'),
    "a view of an earlier revision": (
        'op.execute("create view dear_items as select id from items")\n---\n'
        'op.execute("alter view dear_items rename to items_dear")\n---\n'
        'op.execute("alter view items_dear set schema archive")\n---\nop.execute("drop view archive.items_dear")'),
    "a type of an earlier revision": (
        "op.execute(\"create type taste as enum ('sweet')\")\n---\n"
        "op.execute(\"alter type taste rename value 'sweet' to 'sour'\")\n---\n"
        'op.execute("alter type taste rename to tastes")\n---\nop.execute("drop type tastes")'),
    "another function of that name": (
        "op.execute(\"create function mean(jsonb) returns int language sql as 'select 1'\")\n---\n"
        'op.execute("drop function mean(jsonb)")'),
    "a sequence, a domain, a schema of an earlier revision": (
        'op.execute("create sequence numbers; create domain share as numeric; create schema drafts")\n---\n'
        'op.execute("drop sequence numbers; drop domain share; drop schema drafts")'),
    "a CHECK that NOT NULL says too": 'op.drop_constraint("items_code_check", "items")',
    "a constraint of an earlier revision": (
        'op.create_check_constraint("c", "items", "code > 0", postgresql_not_valid=True)\n---\n'
        'op.drop_constraint("c", "items")'),
    "a key whose columns have another unique index": 'op.drop_constraint("items_code_key", "items")',
    "a table that stays in its schema": 'op.execute("alter table items set schema public")',
    "a column that nobody has named yet": 'op.execute("alter table visits drop if exists absent")',
}  # fmt: skip
FOUND = {
    "a column of a renamed table": (
        'op.rename_table("visits", "calls")\n---\nop.drop_column("calls", "at")',
        {("renaming-table", ERRORS), ("ban-drop-column", ERRORS)}),
    "a renamed table": (
        'op.rename_table("visits", "calls")\n---\nop.drop_table("calls")',
        {("renaming-table", ERRORS), ("ban-drop-table", ERRORS)}),
    "a view that was there before the plan made it": (
        'op.execute("create or replace view cheapest_items as select id, name from cheap_items")\n---\n'
        'op.execute("drop view cheapest_items")',
        {("ban-drop-view", ERRORS)}),
    "a view made again outside of a transaction": (
        'with op.get_context().autocommit_block():\n    op.execute("drop view cheapest_items")\n'
        '    op.execute("create or replace view cheapest_items as select id from items")',
        {("ban-drop-view", ERRORS)}),
    "a view made again in another revision": (
        'op.execute("drop view cheapest_items")\n---\nop.execute("create view cheapest_items as select id from items")',
        {("ban-drop-view", ERRORS)}),
    "a view in quotes": ("op.execute('drop view \"Account names\"')", {("ban-drop-view", ERRORS)}),
    "one of two functions": ('op.execute("drop function mean(text)")', {("ban-drop-function", ERRORS)}),
    "behind IF NOT EXISTS": (
        'op.execute("create table if not exists items (n int); alter table items drop note")',
        {("ban-drop-column", ERRORS)}),
    "a view made again whose dependents are not": (
        'op.execute("drop view cheap_items cascade; create view cheap_items as select id, name, price from items")',
        {("cascade-drops", ERRORS)}),
    "a view made again with its dependents": (
        'op.execute("drop view cheap_items cascade; create view cheap_items as select id, name, price from items")\n'
        'op.execute("create view cheapest_items as select id, name from cheap_items")',
        {("cascade-drops", WARNS)}),
    "what an earlier statement has dropped goes with nothing": (
        'op.execute("drop view cheapest_items")\nop.execute("drop view cheap_items cascade")',
        {("ban-drop-view", ERRORS), ("cascade-drops", WARNS)}),
    "columns that have another type by then": (
        'op.execute("alter table items alter mood drop default, alter mood type text")\n'
        'op.execute("alter table visits alter mood type text; alter table orders drop \\"Mood\\"")\n'
        'op.execute("alter table reports.daily drop mood cascade; alter type mood rename to old_mood")\n'
        'op.execute("drop type old_mood cascade")',
        {("ban-drop-column", ERRORS), ("cascade-drops", ERRORS), ("cascade-drops", WARNS),
         ("renaming-object", ERRORS), ("ban-drop-default", WARNS)}),
    "a renamed type": (
        'op.execute("alter type mood rename to moods")\n---\nop.execute("drop type moods cascade")',
        {("renaming-object", ERRORS), ("cascade-drops", ERRORS)}),
    "a renamed column": (
        'op.alter_column("items", "price", new_column_name="cost")\n---\n'
        'op.execute("alter table items drop cost cascade")',
        {("renaming-column", ERRORS), ("ban-drop-column", ERRORS), ("cascade-drops", ERRORS)}),
    "a type that the plan has put in its place": (
        "op.execute(\"alter type colour rename to hue; create type colour as enum ('blue')\")\n"
        'op.execute("drop type colour cascade")',
        {("ban-drop-type", ERRORS)}),
    "a key that foreign keys need": (
        'op.drop_constraint("accounts_code_key", "accounts")', {("ban-drop-constraint", ERRORS)}),
    "a key that foreign keys needed": (
        'op.drop_constraint("orders_code_fk", "orders")\nop.drop_constraint("accounts_code_key", "accounts")',
        {("ban-drop-constraint", NOTES), ("ban-drop-constraint", ERRORS)}),
    "a key with CASCADE": (
        'op.execute("alter table accounts drop constraint accounts_code_key cascade")',
        {("ban-drop-constraint", ERRORS), ("cascade-drops", ERRORS)}),
    "a key of a table with few rows": (
        'op.drop_constraint("Odd ones_pkey", "Odd ones")', {("ban-drop-constraint", ERRORS)}),
    "a foreign key that deletes": ('op.drop_constraint("items_account_fk", "items")', {("ban-drop-constraint", WARNS)}),
    "a foreign key that deletes no more": (
        'op.drop_constraint("items_account_fk", "items")\n'
        'op.execute("alter table items add constraint items_account_fk foreign key (account_id) references accounts '
        'not valid")',
        {("ban-drop-constraint", WARNS)}),
    "a foreign key": ('op.drop_constraint("orders_account_id_fkey", "orders")', {("ban-drop-constraint", NOTES)}),
    "a constraint of another table": (
        'op.execute("alter table visits add constraint items_price_check check (at is not null) not valid")\n'
        'op.execute("alter table items drop constraint items_price_check")',
        {("ban-drop-constraint", NOTES)}),
    "a truncate of what references nothing": ('op.execute("truncate orders")', {("truncate", WARNS)}),
    "a table whose view lacks rows": (
        'op.rename_table("visits", "calls")\n'
        'op.execute("create view visits as select * from calls where at is not null")',
        {("renaming-table", ERRORS)}),
    "a table whose view has all": (
        'op.rename_table("visits", "calls")\nop.execute("create view visits as select * from calls")',
        {("renaming-table", NOTES)}),
    "a table whose view has all, later": (
        'op.rename_table("visits", "calls")\n---\nop.execute("create view visits as select * from calls")',
        {("renaming-table", ERRORS)}),
    "tables that change places": (
        'op.rename_table("visits", "old_visits")\nop.rename_table("orders", "visits")',
        {("renaming-table", WARNS), ("renaming-table", ERRORS)}),
    "the version table and the ledger": (
        'op.drop_table("alembic_version")\nop.execute("drop table runner.migration_log; drop schema runner")\n'
        'op.rename_table("alembic_version", "versions")',
        {("ban-drop-table", ERRORS), ("ban-drop-schema", ERRORS), ("renaming-table", ERRORS)}),
    "the schema that the catalog says nothing of": (
        'op.execute("drop schema public cascade")', {("ban-drop-schema", ERRORS), ("cascade-drops", ERRORS)}),
    "a partition": ('op.rename_table("events_2025", "events_of_2025")', {("renaming-table", WARNS)}),
    "an index that nothing needs": (
        'op.execute("drop index accounts_email cascade")', {("cascade-drops", WARNS)}),
    "a language": ('op.execute("drop language if exists plpgsql cascade")', {("cascade-drops", ERRORS)}),
    "one of two functions, renamed": (
        'op.execute("alter function mean(numeric, numeric) rename to average")', {("renaming-object", ERRORS)}),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING)
def test_what_nobody_misses_is_not_found(large: Database, tmp_path: Path, case: str) -> None:
    assert found(tmp_path, large, NOTHING[case]) == set()


@pytest.mark.parametrize("case", FOUND)
def test_what_somebody_misses_is_found(large: Database, tmp_path: Path, case: str) -> None:
    bodies, expected = FOUND[case]
    assert found(tmp_path, large, bodies) == expected


def test_a_downgrade_may_drop_what_its_upgrade_made(large: Database, tmp_path: Path) -> None:
    """But not with CASCADE, which also drops what others made; rows are counted by another rule."""
    down = """
        op.drop_column("items", "note")
        op.execute("alter view cheap_items rename to bargains; alter table visits rename to calls")
        op.execute("alter type colour set schema archive; drop function mean(text); drop schema archive")
        op.execute("alter table accounts alter code drop not null, drop constraint accounts_code_key")
        op.execute("truncate orders; drop sequence tickets; drop view cheapest_items")
    """
    assert _reverted(tmp_path, large, down) == set()
    down = 'op.execute("drop schema reports cascade; drop view bargains cascade; truncate visits cascade")'
    renamed = 'op.execute("alter view cheap_items rename to bargains")\n' + down
    assert _reverted(tmp_path, large, renamed) == {
        ("ban-drop-schema", ERRORS), ("cascade-drops", ERRORS), ("ban-truncate-cascade", WARNS),
    }  # fmt: skip


def _reverted(folder: Path, large: Database, down: str) -> set[tuple[str, str]]:
    folder = folder / str(len(list(folder.iterdir())))
    folder.mkdir()
    project = examples.project(folder)
    project.add("002_nothing", "op.execute('select 1')", after="001_examples", downgrade=down)
    with examples.copy(large, "object_rules_copy") as database:
        assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
        answer = project.ask(database.url, {"action": "plan", "target": "001_examples"})
    return {(one["rule"], one["level"]) for one in answer["findings"] if one["rule"] in OURS}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('op.drop_column("items", "note")', {("ban-drop-column", ERRORS)}),
        ('op.drop_table("visits")', {("ban-drop-table", ERRORS)}),
        ('op.execute("truncate visits")', {("truncate", WARNS)}),
        ('op.execute("truncate items cascade")', {("truncate", WARNS), ("ban-truncate-cascade", WARNS)}),
        ('op.drop_constraint("items_pkey", "items")', {("ban-drop-constraint", ERRORS)}),
        ('op.execute("drop table items cascade")', {("ban-drop-table", ERRORS), ("cascade-drops", ERRORS)}),
    ],
)
def test_a_table_without_rows_has_users_too(
    empty: Database, tmp_path: Path, body: str, expected: set[tuple[str, str]]
) -> None:
    assert found(tmp_path, empty, body) == expected


REVOKING = (
    "Deploy a version that does without first, and revoke when the version of the application that still runs, or to "
    "which a deployment returns, needs it no more."
)
MESSAGES = {
    'op.execute("drop view cheap_items cascade")': (
        "cascade-drops",
        "CASCADE drops what depends on the view `cheap_items`: view `cheapest_items`.",
        "Drop or change what is no longer needed by statements of its own, then drop the view `cheap_items` without "
        "CASCADE."),
    'op.execute("truncate orders, accounts cascade")': (
        "ban-truncate-cascade",
        "CASCADE empties with `orders` and `accounts` the tables that reference it: `items` (about 20,000 "
        "rows), `packages` (no rows yet), `visits` (about 20,000 rows).",
        "Delete the rows that are meant in batches, outside the migration; or name each table that is to be emptied."),
    'op.drop_constraint("accounts_code_key", "accounts")': (
        "ban-drop-constraint",
        "Dropping `accounts_code_key` of `accounts` fails, because it is needed by the constraint `orders_code_fk` of "
        "`orders`.",
        "Drop these, or let them reference another key, first."),
    'op.drop_constraint("items_pkey", "items")': (
        "ban-drop-constraint",
        "Dropping `items_pkey` of `items` breaks the version of the application that still runs, or to which a "
        "deployment returns, where that inserts with ON CONFLICT; rows with equal `id` can be written, and a search by "
        "`id` reads about 20,000 rows.",
        "Keep a unique index on `id` until no version needs it: build it with `create_index_concurrently` in an "
        "earlier revision."),
    'op.alter_column("items", "note", new_column_name="remark")': (
        "renaming-column",
        "Renaming `note` of `items` to `remark` breaks the version of the application that still runs, or to which a "
        "deployment returns, where that names it.",
        "Add `remark` beside `note`, deploy a version that writes both, copy the old rows in batches, and deploy one "
        "that reads `remark` only. Then drop `note` in a later revision."),
    'op.drop_column("items", "note")': (
        "ban-drop-column",
        "Dropping `note` of `items` breaks the version of the application that still runs, or to which a deployment "
        "returns, where that names it, and the values in about 20,000 rows are lost.",
        "Deploy a version without `note` first. When no other version runs, drop it in a later revision, with "
        "`# lint-allow ban-drop-column: reason`."),
    # the one privilege that PUBLIC does not have too
    'op.execute("revoke all on visits from object_owner")': (
        "revoking-privileges", "`object_owner` may no longer INSERT on `visits`.", REVOKING),
    'op.execute("REVOKE ALL ON rooms FROM \\"Archivist\\", clerk, object_owner; GRANT ALL ON rooms TO clerk")': (
        "revoking-privileges", "`\"Archivist\"` may no longer INSERT, UPDATE on `rooms`.", REVOKING),
    'op.execute("revoke update (floor), insert (floor) on rooms from clerk; grant insert (floor) on rooms to clerk")': (
        "revoking-privileges",
        "`clerk` may no longer UPDATE `floor` of `rooms` where it was granted that: privileges on columns are "
        "not read.",
        REVOKING),
    'op.execute("revoke execute on function touch() from clerk, object_owner, public")': (
        "revoking-privileges", "`clerk`, `PUBLIC` may no longer use the function `touch`, or less of it.", REVOKING),
    'op.execute("alter table visits owner to object_owner; grant all on visits to object_owner")': (
        "changing-owner",
        "It gives `visits` to `object_owner`: the former owner loses its privileges, and cannot alter it any more.",
        "Grant the former owner what the application needs, in the same revision, or let migrations and application "
        "log in as members of the new owner first."),
}  # fmt: skip


@pytest.mark.parametrize("body", MESSAGES)
def test_it_says_who_misses_what_and_what_to_do(large: Database, tmp_path: Path, body: str) -> None:
    rule, message, remedy = MESSAGES[body]
    project = examples.project(tmp_path)
    examples.add(project, body)
    (one,) = [one for one in examples.plan(project, large)["findings"] if one["rule"] == rule]
    assert (one["message"], one["help"]) == (message, remedy)


@pytest.mark.parametrize(
    ("statement", "rule", "message"),
    [
        ("drop view cheap_items cascade", "cascade-drops",
         "CASCADE drops what depends on the view `cheap_items`; what that is was not read from the database."),
        ("truncate accounts cascade", "ban-truncate-cascade",
         "It empties `accounts` and each table that references it; which these are was not read from the database."),
    ],
)  # fmt: skip
def test_without_a_database_what_goes_is_not_known(large: Database, statement: str, rule: str, message: str) -> None:
    """Where only a catalog is at hand, as of a snapshot."""
    described = describe(read_catalog(large), {}, "15.3")
    rendered = Rendered("002", "", "upgrade", "", "", (f"{statement};",), None, transactional=True, mixed=False)
    program = squawk.find(ROOT)
    assert program is not None
    (one,) = [one for one in findings.find([rendered], described, program)[0] if one.rule == rule]
    assert (one.level, one.message) == ("error", message)


@pytest.mark.parametrize("tables", ["accounts", "visits", "orders, accounts", "events", "archive.items, items"])
def test_what_truncate_empties_is_what_postgresql_empties(large: Database, tmp_path: Path, tables: str) -> None:
    project = examples.project(tmp_path)
    examples.add(project, f'op.execute("truncate {tables} cascade")')
    (one,) = [one for one in examples.plan(project, large)["findings"] if one["rule"] == "ban-truncate-cascade"]
    notices = _notices(large, f"truncate {tables} cascade")
    emptied = {f"`{table}`" for table in re.findall(r'truncate cascades to table "(.*)"', notices)}
    assert set(re.findall("`[^`]*`", one["message"].partition(": ")[2])) == emptied
    assert one["level"] == ("error" if emptied else "warning")


OLD_VERSION = """
    insert into visits (visit_id, account_id) values (-1, 1) returning visit_id;
    insert into visits (visit_id, at) values (-1, now()) on conflict (visit_id) do update set at = excluded.at;
    update visits set account_id = 2 where visit_id = -1;
    select * from visits where visit_id = -1 for update;
    delete from visits where visit_id = -1;
"""


def test_an_old_version_reads_and_writes_a_renamed_table(large: Database, tmp_path: Path) -> None:
    """The call that is advised leaves a view under the old name, with the privileges of the table."""
    project = examples.project(tmp_path)
    examples.add(project, 'op.rename_table("visits", "calls")')
    (one,) = [one for one in examples.plan(project, large)["findings"] if one["rule"] == "renaming-table"]
    assert one["instead"] == [
        'op.rename_table("visits", "calls")\n'
        'op.execute("CREATE VIEW visits AS SELECT * FROM calls")\n'
        'op.execute("GRANT SELECT ON visits TO PUBLIC")\n'
        'op.execute("GRANT INSERT, SELECT ON visits TO object_owner")'
    ]
    done = "alter table visits rename to calls; create view visits as select * from calls;"
    _notices(large, done + "grant insert, select on visits to object_owner;" + OLD_VERSION)
    _notices(large, done + "grant insert, select on visits to object_owner; set local role object_owner;"
             "insert into visits (visit_id) values (-1) returning visit_id")  # fmt: skip
    for lacking in ("truncate visits", "copy visits (visit_id) from stdin"):
        with pytest.raises((psycopg2.errors.WrongObjectType, psycopg2.ProgrammingError)):
            _notices(large, done + lacking)


def test_row_security_holds_behind_the_old_name(large: Database, tmp_path: Path) -> None:
    """A view reads a table with the privileges of its owner, for whom no policy holds."""
    project = examples.project(tmp_path)
    examples.add(project, 'op.rename_table("items", "things", schema="archive")')
    (one,) = [one for one in examples.plan(project, large)["findings"] if one["rule"] == "renaming-table"]
    if int(large.query("show server_version_num")[0][0]) < 150000:
        assert "instead" not in one
    else:
        assert "CREATE VIEW archive.items WITH (security_invoker = true) AS SELECT" in one["instead"][0]


CASCADES = (
    "drop table accounts cascade",
    "drop table items cascade",
    "drop table items, visits cascade",
    "drop table orders cascade",
    "drop table archive.items, events cascade",
    "drop view cheap_items cascade",
    "drop view account_orders cascade",
    'drop view "Account names" cascade',
    "drop materialized view archive.orders cascade",
    "drop type mood cascade",
    "drop type size cascade",
    "drop type size, mood cascade",
    "drop domain grade cascade",
    "drop function is_dear(numeric) cascade",
    "drop function is_dear cascade",
    "drop function touch() cascade",
    "drop function rank_of(bigint) cascade",
    "drop sequence tickets cascade",
    "drop schema reports cascade",
    "drop schema archive, reports cascade",
    "drop extension pg_trgm cascade",
    "alter table items drop column price cascade",
    "alter table only items drop column price cascade",
    "alter table accounts drop column id cascade",
    "alter table events drop column kind cascade",
    "alter type size drop attribute width cascade",
    "alter table accounts drop constraint accounts_pkey cascade",
    "alter table accounts drop constraint accounts_code_key cascade",
    "alter table items drop constraint items_price_check cascade",
    "alter table orders drop column ticket cascade, drop column account_id cascade",
    "drop index orders_code cascade",
    "drop owned by object_owner cascade",
)


@pytest.mark.parametrize("statement", CASCADES)
def test_what_goes_with_it_is_what_postgresql_drops(large: Database, tmp_path: Path, statement: str) -> None:
    project = examples.project(tmp_path)
    examples.add(project, f"op.execute({statement!r})")
    told = [one for one in examples.plan(project, large)["findings"] if one["rule"] == "cascade-drops"]
    named = {name for one in told if one["level"] == "error" for name in _named(one["message"])}
    gone = _gone(large, statement)
    if statement.startswith("drop owned"):
        # PostgreSQL tells what goes with what the role owns
        gone |= {"table `owned`"}
    assert named == gone
    assert {one["level"] for one in told} == ({"error"} if gone else {"warning"})


def _named(message: str) -> list[str]:
    return message.partition(": ")[2].removesuffix(".").split(", ")


def _notices(database: Database, statements: str) -> str:
    """Run statements, roll them back, and return what PostgreSQL tells."""
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        cursor.execute("begin; set local search_path = public, pg_catalog")
        cursor.execute(statements)
        cursor.execute("rollback")
        return "".join(connection.notices)


def _gone(database: Database, statement: str) -> set[str]:
    """Return what PostgreSQL itself says when the statement is run."""
    notices = _notices(database, statement)
    found = re.findall(r"drop cascades to ((?!\d+ other).*)", notices)
    return {_as_named(one.replace("public.", "")) for one in found}


def _as_named(text: str) -> str:
    for pattern, form in (
        (r"default value for column (.*) of table (.*)", r"default of `\2.\1`"),
        (r"column (.*) of (?:table|view|composite type) (.*)", r"column `\2.\1`"),
        (r"(constraint|trigger|policy|rule) (.*) on (?:table |view )?(.*)", r"\1 `\2` of `\3`"),
        (r"(materialized view|foreign table|\w+) (.*)", r"\1 `\2`"),
    ):
        if re.fullmatch(pattern, text):
            return re.sub(pattern, form, text)
    raise AssertionError(text)
