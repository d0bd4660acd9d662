"""Bodies of `upgrade()` that do no harm to a database in use, on the tables of `examples.sql`.

A plan of them has no error and no warning, whatever the rows; several revisions are divided by a line of `---`.
"""

from support.dangers import alone, sql, steps

ORDERS = (
    'op.create_table("orders",\n'
    '    sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),\n'
    '    sa.Column("account_id", sa.BigInteger(), sa.ForeignKey("accounts.id"), nullable=False, index=True),\n'
    '    sa.Column("item_id", sa.BigInteger(), sa.ForeignKey("items.id", ondelete="CASCADE"), index=True),\n'
    '    sa.Column("state", sa.Text(), nullable=False, server_default="open"),\n'
    '    sa.Column("total", sa.Numeric(10, 2), sa.CheckConstraint("total >= 0")),\n'
    '    sa.UniqueConstraint("account_id", "item_id"))'
)

SAFE = {
    # new tables
    "a table with keys, indexes and foreign keys to large tables": ORDERS,
    "its indexes, columns and constraints in the same revision": ORDERS
    + "\n"
    + 'op.create_index("orders_state", "orders", ["state"])\n'
    'op.add_column("orders", sa.Column("note", sa.Text(), nullable=False))\n'
    'op.create_check_constraint("orders_state_check", "orders", "state <> \'\'")\n'
    'op.alter_column("orders", "total", type_=sa.Numeric(12, 4), nullable=False)',
    "and in a later one": steps(
        ORDERS,
        'op.create_index("orders_state", "orders", ["state"])\n'
        'op.alter_column("orders", "state", new_column_name="status")\n'
        'op.drop_column("orders", "total")\n' + sql("update orders set status = 'x'"),
        'op.rename_table("orders", "purchases")\n'
        + sql("alter table purchases add column key uuid default gen_random_uuid()"),
        'op.drop_table("purchases")',
    ),
    "a table renamed by the plan is new under its new name": steps(
        sql("create table early (id bigint primary key, name text)"),
        sql("alter table early rename to late"),
        sql("create index on late (name)", "alter table late alter name set not null", "update late set name = 'x'"),
    ),
    "a table moved by the plan": sql(
        "create table early (id bigint primary key, name text)",
        "alter table early set schema archive",
        "create index on archive.early (name)",
    ),
    "a table made from rows of a large one": sql("create table cheap as select id, price from items where price < 5"),
    "a table like another": sql("create table items_copy (like items including all)"),
    "a temporary table": sql(
        "create temporary table picked (id bigint) on commit drop",
        "insert into picked select id from items where id between 1 and 100",
        "create index on picked (id)",
        "delete from picked",
    ),
    "a table with rows of its own": 'sizes = op.create_table("sizes", sa.Column("code", sa.Text(), primary_key=True))\n'
    'op.bulk_insert(sizes, [{"code": "S"}, {"code": "M"}, {"code": "L"}])',
    "a lookup table and a reference to it": steps(
        'kinds = op.create_table("kinds", sa.Column("code", sa.Text(), primary_key=True))\n'
        'op.bulk_insert(kinds, [{"code": "plain"}])\n'
        'op.add_column("items", sa.Column("kind", sa.Text()))',
        'create_index_concurrently("items_kind", "items", ["kind"])',
        'add_foreign_key_not_valid("items_kind_fk", "items", "kinds", ["kind"], ["code"])',
        'validate_constraint("items_kind_fk", "items")',
    ),
    "a partitioned table with its partitions": sql(
        "create table readings (id bigint, at timestamptz not null, value numeric) partition by range (at)",
        "create table readings_2026 partition of readings for values from ('2026-01-01') to ('2027-01-01')",
        "create index on readings (id)",
        "alter table readings add constraint readings_value check (value > 0)",
    ),
    "a partition of a large table": sql(
        "create table events_2027 partition of events for values from ('2027-01-01') to ('2028-01-01')"
    ),
    "a partition attached that is new": sql(
        "create table events_2028 (like events including defaults including constraints)",
        "alter table events attach partition events_2028 for values from ('2028-01-01') to ('2029-01-01')",
    ),
    "a partition attached under a proven check": steps(
        'add_check_not_valid("events_2024_at", "events_2024", '
        "\"at >= timestamptz '2024-01-01' and at < timestamptz '2025-01-01'\")",
        'validate_constraint("events_2024_at", "events_2024")',
        sql("alter table events attach partition events_2024 for values from ('2024-01-01') to ('2025-01-01')"),
        sql("alter table events_2024 drop constraint events_2024_at"),
    ),
    "a table that may be there": sql("create table if not exists items (id bigint primary key)"),
    "a schema with all its objects": sql(
        "create schema billing",
        "create table billing.invoices (id bigint generated always as identity primary key, account_id bigint)",
        "create index on billing.invoices (account_id)",
        "alter table billing.invoices add foreign key (account_id) references accounts (id)",
        "create view billing.recent as select * from billing.invoices where id > 100",
        "comment on schema billing is 'money'",
        "grant usage on schema billing to public",
    ),
    # columns
    "a column": 'op.add_column("items", sa.Column("colour", sa.Text()))',
    "a column with a constant default": 'op.add_column("items", sa.Column("active", sa.Boolean(), nullable=False, '
    "server_default=sa.true()))",
    "a column with the time of the transaction": 'op.add_column("items", sa.Column("added_at", '
    "sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()))",
    "a column with a list as its default": sql("alter table items add column tags text[] not null default '{}'"),
    "a column with an object as its default": sql(
        "alter table items add column data jsonb not null default '{}'::jsonb"
    ),
    "a column whose default is taken away again": 'op.add_column("items", sa.Column("kind", sa.Text(), '
    'server_default="plain"))\n'
    'op.alter_column("items", "kind", server_default=None)',
    "a column of an enum that is new": sql(
        "create type season as enum ('warm', 'cold')", "alter table items add column season season default 'warm'"
    ),
    "a column of a domain without a constraint": sql("alter table items add column rank grade"),
    "a column that references a large table": steps(
        'op.add_column("accounts", sa.Column("favourite", sa.BigInteger()))',
        'create_index_concurrently("accounts_favourite", "accounts", ["favourite"])',
        'add_foreign_key_not_valid("accounts_favourite_fk", "accounts", "items", ["favourite"], ["id"])',
        'validate_constraint("accounts_favourite_fk", "accounts")',
    ),
    "a column that the plan made is dropped": steps(
        'op.add_column("items", sa.Column("tmp", sa.Text()))', 'op.drop_column("items", "tmp")'
    ),
    "a column that the plan made is renamed": steps(
        'op.add_column("items", sa.Column("tmp", sa.Text()))',
        'op.alter_column("items", "tmp", new_column_name="remark")',
    ),
    "a default": 'op.alter_column("items", "quantity", server_default="2")',
    "a default without one before": 'op.alter_column("items", "note", server_default="")',
    "a uuid: column, then default": 'op.add_column("items", sa.Column("key", sa.Uuid()))\n'
    'op.alter_column("items", "key", server_default=sa.text("gen_random_uuid()"))',
    # types
    "a longer varchar": 'op.alter_column("accounts", "name", type_=sa.String(200))',
    "varchar to text": 'op.alter_column("accounts", "name", type_=sa.Text())',
    "more digits, the same scale": 'op.alter_column("accounts", "balance", type_=sa.Numeric(14, 2))',
    "numeric without limits": sql("alter table accounts alter column balance type numeric"),
    "text to varchar without a length": sql("alter table accounts alter column email type varchar"),
    "the same type": sql("alter table accounts alter column code type integer"),
    "values of an enum": sql("alter type mood add value if not exists 'lost' after 'old'"),
    "a value of an enum, then its use": steps(
        sql("alter type mood add value 'lost' after 'old'"), sql("update items set mood = 'lost' where id = 7")
    ),
    "an enum that is new, with one more value": sql(
        "create type season as enum ('warm')",
        "alter type season add value 'cold' after 'warm'",
        "create table winters (season season)",
        "insert into winters values ('warm')",
    ),
    # constraints and indexes
    "NOT NULL": 'set_not_null_safely("items", "number")',
    "NOT NULL under a proven check": sql("alter table items alter column account_id set not null"),
    "NOT NULL of what is already": sql("alter table items alter column code set not null"),
    "a check, chained": steps(
        'add_check_not_valid("items_quantity_check", "items", "quantity > 0")',
        'validate_constraint("items_quantity_check", "items")',
    ),
    "an old check that was not valid": 'validate_constraint("items_number_check", "items")',
    "a chain of statements that commit by themselves": alone(
        "alter table items drop constraint if exists q, add constraint q check (quantity > 0) not valid",
        "alter table items validate constraint q",
    ),
    "a check of a new column, not valid": sql(
        "alter table items add column rebate numeric",
        "alter table items add constraint items_rebate_check check (rebate >= 0) not valid",
    ),
    "a unique key by its index": 'add_key_using_index("items_code_key", "items", "items_code")',
    "a primary key by its index": 'add_key_using_index("visits_pkey", "visits", "visits_id", primary=True)',
    "an index": 'create_index_concurrently("items_note", "items", [sa.text("lower(note)")], where="note is not null")',
    "indexes one after the other": alone(
        "create index concurrently if not exists items_quantity on items (quantity)",
        "create index concurrently if not exists items_note_words on items using hash (note)",
    ),
    "an index is replaced": steps(
        'create_index_concurrently("items_name_code", "items", ["name", "code"])',
        'drop_index_concurrently("items_name")',
        sql("alter index items_name_code rename to items_name"),
    ),
    "an index is built again": alone("reindex index concurrently items_name"),
    "a constraint is renamed": sql("alter table items rename constraint items_price_check to items_price_positive"),
    "an index of a partition": 'create_index_concurrently("events_2025_kind", "events_2025", ["kind"])',
    # rows
    "a few rows by key": sql(
        "update items set note = 'x' where id in (1, 2, 3)",
        "delete from visits where visit_id = 7",
        "insert into accounts (name, code) values ('new', 0)",
    ),
    "a batch by key": sql("update items set note = '' where id between 1 and 500 and note is null"),
    "batches by key, each committed": alone(
        "update items set note = '' where id > 0 and id <= 300 and note is null",
        "update items set note = '' where id > 300 and id <= 600 and note is null",
    ),
    "settings of the application": sql(
        "insert into suppliers (name) values ('a'), ('b') on conflict do nothing",
        "insert into archive.items values (-1, 1, 1) on conflict (id) do update set price = excluded.price",
    ),
    # views, functions, triggers, rights
    "a view": sql("create view dear_items as select id, price from items where price > 50"),
    "a view made again with more columns": sql(
        "create or replace view cheapest_items as select id, name, 1 as more from cheap_items where price < 1"
    ),
    "a view dropped and made again": sql(
        "drop view cheapest_items",
        "create view cheapest_items as select id, name, upper(name) as title from cheap_items where price < 1",
    ),
    "a materialized view, and its index": sql(
        "create materialized view prices as select price, count(*) as n from items group by price with no data",
        "create unique index on prices (price)",
        "refresh materialized view prices",
    ),
    "a refresh that lets others read": alone("refresh materialized view concurrently account_totals"),
    "a function and its trigger": sql(
        "create or replace function touch() returns trigger language plpgsql as "
        "'begin new.at := clock_timestamp(); return new; end'",
        "create function stamp() returns trigger language plpgsql as 'begin return new; end'",
        "create trigger visits_stamp before insert on visits for each row execute function stamp()",
    ),
    "a function in PL/pgSQL that would do harm if somebody called it": sql(
        "create function purge() returns void language plpgsql as 'begin delete from letters where owner is null; end'"
    ),
    "a procedure dropped that the plan made": sql(
        "create procedure fill() language sql as 'select 1'", "call fill()", "drop procedure fill()"
    ),
    "comments": 'op.create_table_comment("items", "what is sold")\n'
    'op.alter_column("items", "note", comment="of the seller")\n'
    + sql("comment on index items_name is 'for the search'", "comment on type mood is 'old'"),
    "rights": sql(
        "grant select on all tables in schema public to public",
        "revoke insert on items from public",
        "alter default privileges in schema archive grant select on tables to public",
    ),
    "row security with its policies": sql(
        "create policy accounts_all on accounts using (true)", "alter table accounts enable row level security"
    ),
    "row security of a new table": sql(
        "create table secrets (id bigint primary key, owner text)",
        "alter table secrets enable row level security",
        "create policy secrets_owner on secrets using (owner = current_user)",
    ),
    # the rest
    "statistics and storage parameters": sql(
        "alter table items alter column note set statistics 500",
        "alter table items set (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02)",
        "create statistics items_price_number on price, number from items",
        "alter index items_name set (fillfactor = 80)",
    ),
    "analyze": sql("analyze items"),
    "vacuum": alone("vacuum (analyze, parallel 0) items"),
    "a sequence": sql(
        "create sequence orders_number start 1000",
        "alter sequence tickets increment by 2 cache 10",
        "alter sequence orders_number owned by items.number",
    ),
    "a time-out that is finite": sql("set local lock_timeout = '1s'", "set local statement_timeout = '20s'"),
    "other settings": sql("set local work_mem = '64MB'", "set local search_path = public, archive"),
    "an extension": sql('create extension if not exists "plpgsql"'),
    "a block that makes a type unless it is there": sql(
        "do $$ begin create type season as enum ('warm', 'cold'); exception when duplicate_object then null; end $$"
    ),
    "a block that adds a column unless it is there": sql(
        "do $$ begin if not exists (select from information_schema.columns where table_name = 'items' "
        "and column_name = 'extra') then alter table items add column extra text; end if; end $$"
    ),
    "types, domains and collations": sql(
        "create domain postcode as text",
        "create type point_of_sale as (id bigint, name text)",
        'create collation archive.plain from "C"',
        "alter domain postcode set default '00000'",
    ),
    "a domain with a constraint": sql("create domain postcode as text check (value ~ '^[0-9]{5}$')"),
    "a publication": sql("create publication changes for table items, accounts"),
    "a read of everything": sql("select count(*) from items", "select max(price) from archive.items"),
    "drops of what is not there": sql(
        "drop table if exists nothing",
        "drop index if exists nothing",
        "drop view if exists nothing cascade",
        "alter table if exists nothing drop column x",
    ),
    "expand: the first half of a rename": steps(
        'op.add_column("visits", sa.Column("visited_at", sa.DateTime(timezone=True)))\n'
        + sql(
            "create function visits_sync() returns trigger language plpgsql as "
            "'begin new.visited_at := new.at; return new; end'",
            "create trigger visits_sync before insert or update on visits for each row execute function visits_sync()",
        ),
        sql("update visits set visited_at = at where visit_id between 1 and 500"),
    ),
    "contract: its second half": steps(
        'op.add_column("visits", sa.Column("visited_at", sa.DateTime(timezone=True)))\n'
        + sql(
            "create function visits_sync() returns trigger language plpgsql as "
            "'begin new.visited_at := new.at; return new; end'",
            "create trigger visits_sync before insert or update on visits for each row execute function visits_sync()",
        ),
        sql("drop trigger visits_sync on visits", "drop function visits_sync()"),
    ),
}
