"""What is dropped, renamed or moved is found where somebody misses it, and what goes with it is named."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support import examples
from support.postgres import Database, Server

# What depends on the tables of the examples, in every way that PostgreSQL follows.
MORE = """
    alter table accounts add column parent_id bigint references accounts;
    alter table visits add constraint visits_account_fk foreign key (account_id) references accounts (id);
    create table orders (id bigint primary key, account_id bigint references accounts,
                         account_code integer, "Mood" mood[] not null default '{}', ticket bigint default 0);
    alter table orders alter ticket set default nextval('tickets');
    alter table accounts add constraint accounts_code_key unique (code);
    alter table orders add constraint orders_code_fk foreign key (account_code) references accounts (code);
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
"""


@pytest.fixture(scope="module")
def large(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with rows and with what depends on its tables; plans and transactions change nothing in it."""
    with examples.database(server, "object_rules", tmp_path_factory.mktemp("objects"), 20_000) as database:
        database.execute(MORE)
        yield database
    with closing(server.connect()) as admin, admin.cursor() as cursor:
        cursor.execute("drop role object_owner")


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
    "drop owned by object_owner cascade",
)


@pytest.mark.parametrize("statement", CASCADES)
def test_what_goes_with_it_is_what_postgresql_drops(large: Database, tmp_path: Path, statement: str) -> None:
    project = examples.project(tmp_path)
    examples.add(project, f"op.execute({statement!r})")
    findings = [one for one in examples.plan(project, large)["findings"] if one["rule"] == "cascade-drops"]
    named = {name for one in findings if one["level"] == "error" for name in _named(one["message"])}
    gone = _gone(large, statement)
    if statement.startswith("drop owned"):
        # PostgreSQL tells what goes with what the role owns
        gone |= {"table `owned`"}
    assert named == gone
    assert {one["level"] for one in findings} == ({"error"} if gone else {"warning"})


def _named(message: str) -> list[str]:
    return message.partition(": ")[2].removesuffix(".").split(", ")


def _gone(database: Database, statement: str) -> set[str]:
    """Return what PostgreSQL itself says when the statement is run."""
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        cursor.execute("begin; set local search_path = public, pg_catalog")
        cursor.execute(statement)
        cursor.execute("rollback")
        notices = "".join(connection.notices)
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
