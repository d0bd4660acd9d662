"""An adopted table reads in a dump like a fresh one: what it lacks is made from the text of the revision."""

import pytest

from runner.schema import definitions
from runner.schema.definitions import Definition
from support import postgres
from support.postgres import PASSWORD, Database, read_catalog
from support.project import Project

# the columns of a table from before, and what the revision writes
TABLES = {
    "in_list": ("status varchar(20)", "status varchar(20) check (status in ('a', 'b', 'it''s, 5%'))"),
    "not_in_list": ("status varchar(9)", "status varchar(9), constraint known check (status not in ('x', 'y'))"),
    "in_sized": ("status varchar(9)", "status varchar(9), check (status in ('a'::varchar(3), 'b'::varchar(3)))"),
    "in_networks": ("net cidr", "net cidr check (net in ('10.0.0.0/8', '192.168.0.0/16'))"),
    "in_columns": ("a varchar, b varchar, c varchar", "a varchar, b varchar, c varchar, check (a = any (array[b, c]))"),
    "in_numbers": (
        "n smallint, m numeric(9, 2)",
        "n smallint check (n in (1, 2)), m numeric(9, 2) check (m in (1, 2.5))",
    ),
    "in_array": ("s varchar(9)", "s varchar(9) constraint one_of check (s = any (array['a', 'b']::varchar[]))"),
    "with_operators": ("tags varchar[]", "tags varchar[] check (tags <@ array['a', 'b']::varchar[])"),
    "ranges": ("n int, m numeric", "n int, m numeric, check (n between -1 and 100), check (m not between 0.5 and 1)"),
    "patterns": (
        "t text, v varchar",
        "t text check (t ~ '^[a-z]+%$'), v varchar check (v like 'a%' or v similar to 'b+')",
    ),
    "casts": ("v varchar(9)", "v varchar(9), check (v::int > 0 and length(v) <= 9 and v::varchar(2) in ('1', '2'))"),
    "qualified": ("s varchar(9)", "s varchar(9), check (qualified.s in ('a', 'b') and qualified is not null)"),
    "not_inherited": ("s varchar(9)", "s varchar(9) check (s in ('a', 'b')) no inherit"),
    "unique_ones": (
        "a int, b int, c int",
        "a int, b int unique with (fillfactor = 70), c int unique, "
        "unique (a, b) with (fillfactor = 80), constraint by_c unique (c, a) deferrable initially deferred",
    ),
    "keys": ("id int", "id int constraint keys_id primary key with (fillfactor = 60)"),
    "foreign_keys": (
        "lead_id uuid, tenant_id uuid",
        "lead_id uuid references leads on delete set null, tenant_id uuid, "
        "constraint fk foreign key (tenant_id) references tenants (tenant_id) match full deferrable",
    ),
    "exclusions": (
        "during int4range, s varchar(9)",
        "during int4range, s varchar(9), exclude using gist (during with &&) where (s in ('a', 'b'))",
    ),
    "not_nulls": ("a int, b int not null, c int", "a int not null, b int not null, c int constraint \"It's\" not null"),
    "default_values": (
        "a varchar(20), b text[], c boolean, d timestamptz, e int, f varchar collate \"C\"",
        "a varchar(20) default 'a' not null, b text[] not null default array['a', 'b']::varchar[], "
        "c boolean default ('x' = any (array['a', 'b']::varchar[])), d timestamptz default now() + interval '1 day', "
        "e int constraint negative check (e < 0) default -1 not null, f varchar default null collate \"C\"",
    ),
    '"Odd 5%, (t"': ('"Col ""5%s""" varchar', '"Col ""5%s""" varchar check ("Col ""5%s""" in (\'%s\', \'b\'))'),
    "with_comments": (
        "s varchar(9), t varchar(9)",
        "s varchar(9) -- a, b)\n, t varchar(9) /* check ( */ check (s in ('a', -- 'c'\n 'b') or t in ('c', 'd')) -- e",
    ),
    "of_a_body": ("s varchar(9)", "s varchar(9) check (s in ('a', 'b'))"),
    "of_a_string": ("s varchar(9)", "s varchar(9) check (s in ('a', 'b'))"),
    "of_sqlalchemy": ("status varchar(9), kind varchar(5), score int", None),
}  # fmt: skip
SQLALCHEMY = """
op.create_table(
    "of_sqlalchemy",
    sa.Column("status", sa.String(9), sa.CheckConstraint("status IN ('a', 'b')"), server_default="a", nullable=False),
    sa.Column("kind", sa.Enum("big", "small", native_enum=False, create_constraint=True, name="sizes"), unique=True),
    sa.Column("score", sa.Integer),
    sa.CheckConstraint("kind IN ('big', 'small') AND status <> '100%'", name="both"),
    sa.CheckConstraint("score BETWEEN 0 AND 100"),
    if_not_exists=True,
)
"""


def statement(name: str, written: str) -> str:
    made = f"create table if not exists {name} ({written}\n)"
    if name == "of_a_body":
        made = made.replace(" if not exists", "")
        return f"do $$ begin if to_regclass('{name}') is null then {made}; end if; end $$"
    if name == "of_a_string":
        made = made.replace("'", "''").replace(" if not exists", "")
        return f"do $$ begin if to_regclass('{name}') is null then execute '{made}'; end if; end $$"
    return made


def add(project: Project, database: Database, *statements: str, more: str = "") -> None:
    """Add a revision that sends `statements`, and write its snapshot."""
    project.add("018_parts", f"{more}\nfor statement in {statements!r}:\n    op.get_bind().exec_driver_sql(statement)")
    done = project.run("migrate", "snapshot", url=database.url)
    assert done.returncode == 0, done.stderr


def upgrade(project: Project, url: str, target: str = "head") -> dict:
    answer = project.ask(url, {"action": "upgrade", "target": target})
    assert answer["status"] == "success", answer["message"]
    return answer


def test_a_dump_of_an_adopted_database_is_that_of_a_fresh_one(project: Project, database: Database) -> None:
    """Checks of all kinds, keys, exclusion constraints, defaults and NOT NULL; the rows stay, a rehearsal agrees."""
    written = [statement(name, text) for name, (_, text) in TABLES.items() if text is not None]
    # the driver reads `%%` as `%`
    add(project, database, *(text.replace("%", "%%") for text in written), more=SQLALCHEMY)
    with postgres.new_database(database.server, f"{database.name}_fresh") as fresh:
        upgrade(project, fresh.url)
        wanted = postgres.dump(fresh, "-s")
        kept = read_catalog(fresh)
    # the form that is lost when PostgreSQL reads what it has printed
    assert "ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])" in wanted
    upgrade(project, database.url, "017")
    database.execute("".join(f"create table {name} ({columns}); " for name, (columns, _) in TABLES.items()))
    database.execute("insert into in_list values ('a'), ('b')")
    rehearsed = project.ask(database.url, {"action": "rehearse"})
    assert rehearsed["status"] == "success", rehearsed["message"]
    answer = upgrade(project, database.url)
    assert len(answer["applied"][0]["adopted"]) == len(TABLES)
    assert postgres.dump(database, "-s") == wanted
    assert read_catalog(database) == kept
    assert database.query("select status from in_list order by 1") == [("a",), ("b",)]
    # the scratch copies are gone, and are no locks of the revision
    assert database.query("select count(*) from pg_class where relnamespace::regnamespace::text like 'pg_temp%'") == [
        (0,)
    ]
    assert not [name for name in answer["applied"][0]["locks"] if "pg_temp" in name]


def test_a_row_that_does_not_fit_is_named(project: Project, database: Database) -> None:
    """The text of the revision is no reason to accept what it forbids."""
    add(project, database, "create table if not exists parts (s varchar(9) constraint ok check (s in ('a', 'b')))")
    upgrade(project, database.url, "017")
    database.execute("create table parts (s varchar(9)); insert into parts values ('c')")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "23514")
    assert "constraint `ok`" in answer["error"]
    assert read_catalog(database)["tables"]["public.parts"] == {"columns": {"s": "character varying(9)"}}


def test_a_text_that_only_the_revision_can_run(project: Project, database: Database) -> None:
    """Under another `search_path` its names mean nothing, so the printed text serves; and so it does without TEMP."""
    add(
        project,
        database,
        "create schema if not exists side",
        "create or replace function side.is_ok(text) returns boolean immutable language sql as 'select true'",
        "set search_path to public, side",
        "create table if not exists parts (s varchar(9) constraint ok check (is_ok(s)) default 'a')",
    )
    wanted = project.snapshot("018_parts")
    upgrade(project, database.url, "017")
    database.execute("create table parts (s varchar(9))")
    upgrade(project, database.url)
    assert read_catalog(database) == wanted


def test_without_the_right_to_create_a_temporary_table(project: Project, database: Database) -> None:
    add(project, database, "create table if not exists parts (s varchar(9) constraint ok check (s in ('a', 'b')))")
    wanted, role = project.snapshot("018_parts"), f"login_{database.name}"
    database.execute(f"""
        create role {role} login password '{PASSWORD}';
        grant create on database {database.name} to {role};
        revoke temporary on database {database.name} from public;
        grant create, usage on schema public to {role};
        create table parts (s varchar(9)); alter table parts owner to {role};
    """)
    try:
        upgrade(project, database.url.replace("//postgres:", f"//{role}:"))
        assert read_catalog(database) == wanted
    finally:
        database.execute(f"reassign owned by {role} to postgres; drop owned by {role}; drop role {role}")


READ = {
    "create table t (a int, b int)": [],
    "create table u (a int check (a > 0))": [],
    "create table if not exists public.t (a int check (a > 0) not null)": [(None, "check (a > 0)")],
    "create temp table side.t (a int check (a > 0))": [],
    "create unlogged table t (a int constraint ok check (a > 0), constraint b check (a < 9) no inherit) with (x = 1)": [
        ("ok", "check (a > 0)"),
        ("b", "check (a < 9) no inherit"),
    ],
    "create table t (a int references u on delete set default default 3 unique, foreign key (a) references u)": [
        ("a", "3"),
        (None, "unique (a)"),
    ],
    "create table t (a int generated by default as identity primary key, b text storage default default ')')": [
        (None, "primary key (a)"),
        ("b", "')'"),
    ],
    "create table t (a boolean default (1 is not distinct from 2) null, b int[] default array[1, 2] check (true))": [
        ("a", "(1 is not distinct from 2)"),
        ("b", "array[1, 2]"),
        (None, "check (true)"),
    ],
    "create table t partition of u (check (a > 0), b default 3) for values from (1) to (2)": [
        (None, "check (a > 0)"),
        ("b", "3"),
    ],
    "alter table if exists only t drop c, add constraint ok check (a > 0), add column if not exists b int default 3; "
    "alter table u add check (a > 1)": [("ok", "check (a > 0)"), ("b", "3")],
    "do $$ begin alter table t add check (a > 0); exception when others then null; end $$": [(None, "check (a > 0)")],
    'create table t ("A" int constraint ok not null, b int not null default 3)': [
        ("A", 'constraint ok NOT NULL "A"'),
        ("b", "3"),
    ],
    "create table t (like u including all, a int": [],
    "create table t (constraint": [],
    "create table t (a int default": [("a", "")],
}


@pytest.mark.parametrize("text", READ)
def test_what_is_read(text: str) -> None:
    """The name, or the column of a default, and the text."""
    found = list(definitions.read(text, ("public", "t")))
    assert [(one.thing, one.text) for one in found] == READ[text]
    assert all(isinstance(one, Definition) for one in found)
