"""Traps in schema `public`: functions and operators that fit better than PostgreSQL's own, for every statement of ours.

PostgreSQL searches `pg_catalog` first, but takes the candidate whose argument types fit best wherever it is; so for
each name that the runner's statements use, there is a candidate for each combination of types that PostgreSQL lacks.
"""

import re
from contextlib import closing

from support.postgres import Database
from support.project import ROOT

TYPES = (
    "text", "varchar", "name", '"char"', "oid", "int2", "int4", "int8", "numeric", "float8", "bool", "regclass",
    "regtype", "regnamespace", "timestamptz", "interval", "json", "jsonb", "text[]", "varchar[]", "name[]", "oid[]",
    '"char"[]', "int2vector", "oidvector", "aclitem", "aclitem[]", "pg_node_tree",
)  # fmt: skip
SPRING = "language plpgsql as $$ begin raise exception 'a trap' using errcode = 'XX999'; end $$"
# The types that a value of the catalog has, or one that is computed of it; with all types it takes a minute.
FEWER = (
    "text",
    "varchar",
    "name",
    '"char"',
    "oid",
    "int2",
    "int4",
    "int8",
    "numeric",
    "bool",
    "regclass",
    "jsonb",
    "text[]",
)
SECONDS = ("text", "varchar", "name", "bool")
"""The second argument of functions of two."""
MAKE = f"""
    do $make$
    declare one record;
    begin
        for one in select l, r from unnest(%(types)s) l, unnest(%(types)s) r loop
            execute format($f$create function public.sprung(%%s, %%s) returns boolean {SPRING}$f$, one.l, one.r);
        end loop;
        for one in
            select o.name, l, r from unnest(%(types)s) l, unnest(%(types)s) r,
                (select distinct oprname as name from pg_operator where oprnamespace = 'pg_catalog'::regnamespace
                 and oprname = any(%(operators)s)) o
            where not exists (select from pg_operator p where p.oprname = o.name and p.oprleft = l::regtype
                              and p.oprright = r::regtype and p.oprnamespace = 'pg_catalog'::regnamespace)
        loop
            execute format('create operator public.%%s (leftarg = %%s, rightarg = %%s, function = public.sprung)',
                           one.name, one.l, one.r);
        end loop;
        for one in
            select f.name, case when r is null then l else l || ', ' || r end as arguments
            from unnest(%(types)s) l, (select unnest(%(seconds)s) union all select null) s(r),
                (select distinct proname as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace
                 and proname = any(%(functions)s)) f
            where not exists (
                select from pg_proc p where p.proname = f.name and p.pronamespace = 'pg_catalog'::regnamespace
                and p.proargtypes::oid[] = case when r is null then array[l::regtype::oid]
                                           else array[l::regtype::oid, r::regtype::oid] end)
        loop
            execute format($f$create function public.%%I(%%s) returns text {SPRING}$f$, one.name, one.arguments);
        end loop;
    end $make$
"""
OPERATORS = [
    "=",
    "<>",
    "<",
    ">",
    "<=",
    ">=",
    "~",
    "!~",
    "||",
    "+",
    "-",
    "*",
    "/",
    "<<",
    "|",
    "@>",
    "->",
    "->>",
    "#>",
    "?",
]


def names() -> list[str]:
    """Return every word before a parenthesis in the runner's sources; PostgreSQL has functions of some of them."""
    sources = [*(ROOT / "src" / "runner").rglob("*.py"), *(ROOT / "src" / "runner").rglob("*.sql")]
    return sorted({word for path in sources for word in re.findall(r"([a-z_]+)\(", path.read_text())})


def add_owner(database: Database) -> str:
    """Return a new role without rights, in a database where every role may create objects in `public`."""
    owner = f"mallory_{database.name}"
    database.execute(f"create role {owner}; grant create on schema public to public")
    return owner


def plant(database: Database, owner: str, types: tuple[str, ...]) -> None:
    """Make the traps as `owner`, for arguments of these types."""
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        cursor.execute(f"set track_functions = 'none'; set search_path = pg_catalog; set role {owner}")
        parameters = {"types": list(types), "seconds": list(SECONDS), "operators": OPERATORS, "functions": names()}
        cursor.execute(MAKE, parameters)
        cursor.execute(f"reset role; alter database {database.name} set track_functions = 'all'")


def sprung(database: Database) -> list[tuple]:
    """Return the traps that were called in sessions that have ended, also where the call was rolled back."""
    return database.query(
        "set search_path = pg_catalog; "
        "select funcid::regprocedure::text, calls from pg_stat_user_functions where schemaname = 'public'"
    )
