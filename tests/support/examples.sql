-- The tables that the examples of the lint's rules are about.
create type mood as enum ('new', 'old');
create type colour as enum ('red', 'green');
create type size as (width integer, height integer);
create domain grade as integer;
create domain positive as integer check (value > 0);
create schema archive;
create sequence tickets;
create table accounts (
    id bigint generated always as identity primary key,
    email text,
    name varchar(50),
    code integer not null,
    balance numeric(10, 2),
    settings jsonb,
    created_at timestamptz not null default now()
);
create index accounts_email on accounts (email);
create table items (
    id bigint generated always as identity primary key,
    account_id bigint,
    code integer not null,
    number integer,
    name varchar(20),
    price numeric(10, 2) not null,
    quantity integer default 1,
    score grade,
    mood mood default 'new',
    note text,
    at timestamptz not null default now(),
    during tstzrange
);
create unique index items_code on items (code);
create index items_name on items (name);
alter table items add constraint items_price_check check (price >= 0);
alter table items add constraint items_number_check check (number > 0) not valid;
alter table items add constraint items_account_id_not_null check (account_id is not null);
-- without any key, and with a foreign key that nothing enforces
create table visits (visit_id bigint not null, account_id bigint, item_id integer, at timestamptz, mood mood);
create unique index visits_id on visits (visit_id);
create table events (id bigint not null, at timestamptz not null, item_id bigint, kind text) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create index events_2026_kind on events_2026 (kind);
create table events_2024 (id bigint not null, at timestamptz not null, item_id bigint, kind text);
create table archive.items (id bigint primary key, account_id bigint, price numeric(10, 2) not null);
create view cheap_items as select id, name, price from items where price < 10;
create view cheapest_items as select id, name from cheap_items where price < 1;
create materialized view account_totals as
    select account_id, count(*) as items, sum(price) as total from items group by account_id;
create unique index account_totals_account on account_totals (account_id);
create function rank_of(n bigint) returns bigint language sql immutable as 'select n';
create function touch() returns trigger language plpgsql as 'begin return new; end';
create trigger items_touch before update on items for each row execute function touch();
-- the embedded server has no such extension
do $$ begin
    if exists (select from pg_available_extensions where name = 'pg_trgm') then create extension pg_trgm; end if;
end $$;
-- a domain whose column has no null, and an index for a foreign key
create domain rated as integer;
alter table archive.items add column rating rated default 1;
create index items_of_account on items (account_id);
-- partitions of partitions, a DEFAULT partition, and a partition by hash that is not attached yet
create table logs (region text not null, at date not null, id bigint, item_id bigint) partition by list (region);
create table logs_eu partition of logs for values in ('eu', 'uk') partition by range (at);
create table archive.logs_eu_2025 partition of logs_eu for values from ('2025-01-01') to ('2026-01-01');
create table logs_us partition of logs for values in ('us');
create table logs_rest partition of logs default;
create table logs_asia (region text not null, at date not null, id bigint, item_id bigint);
create table shards (id bigint not null, name text) partition by hash (id);
create table shards_0 partition of shards for values with (modulus 2, remainder 0);
create table shards_1 (id bigint not null, name text);
create table months (year integer, month integer, id bigint) partition by range (year, month);
create table months_6 (year integer not null, month integer not null, id bigint);
create table depots (id bigint not null, city text not null) partition by list (city);
create table depots_rome partition of depots for values in ('rome');
create table depots_oslo (id bigint not null, city text not null, check (city = 'oslo'));
create index depots_id on depots (id);
create materialized view item_prices as select price from items;
create materialized view later_totals as select count(*) from items with no data;
create function touch_account() returns trigger language plpgsql as 'begin return new; end';
create trigger accounts_touch before update on accounts for each row execute function touch_account();
-- a key that another table references, names to be quoted, row security, no write-ahead log, a default partition
create table suppliers (id bigint generated always as identity primary key, name text not null);
create domain kilos as numeric(8, 2);
create table parcels (
    id bigint generated always as identity primary key,
    supplier_id bigint not null references suppliers,
    reference text unique,
    weight kilos default 1,
    sent_at timestamptz not null default now()
);
create index parcels_supplier on parcels (supplier_id);
create table "Invoices" ("Id" bigint generated always as identity primary key, "Number" text, "Account" bigint);
create table letters (id bigint generated always as identity primary key, owner text not null, body text);
alter table letters enable row level security;
create policy letters_owner on letters using (owner = current_user);
create unlogged table scratch (id bigint, body text);
create table journal (at timestamptz not null, line text) partition by range (at);
create table journal_2025 partition of journal for values from ('2025-01-01') to ('2026-01-01');
create table journal_default partition of journal default;
create view letter_owners as select owner from letters;
create view letter_writers as select distinct owner from letter_owners;
create function weigh() returns trigger language plpgsql as 'begin return new; end';
create trigger parcels_weigh before update on parcels for each row execute function weigh();
create schema shelf;
create table shelf.books (id bigint generated always as identity primary key, title text);
create index books_title on shelf.books (title);
-- privileges of a role that every server has
create table notices (id bigint generated always as identity primary key, body text);
grant select, insert on notices to public;
-- a domain that has a check, a table of a type, and one that another inherits from
alter domain kilos add constraint kilos_check check (value >= 0);
create type crate as (id bigint, width integer, label varchar(9));
create table crates of crate;
create table rooms (id bigint not null, floor integer);
create table halls (seats integer) inherits (rooms);
-- privileges of roles, which other databases of the server share: made once, by whichever comes first, and kept
do $$ begin create role clerk; exception when duplicate_object or unique_violation then null; end $$;
do $$ begin create role "Archivist"; exception when duplicate_object or unique_violation then null; end $$;
grant select on rooms to clerk;
grant update (floor) on rooms to clerk;
grant insert, update on rooms to "Archivist";
grant select, insert on notices to clerk;
grant insert on cheap_items to clerk;
grant usage on schema archive to clerk;
grant usage on sequence tickets to clerk;
grant execute on function touch() to clerk;
