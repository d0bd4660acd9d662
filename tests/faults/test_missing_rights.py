"""A missing right is named with its object, and the statement in the hint gives it."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from support.postgres import PASSWORD, Database
from support.project import Project


@pytest.fixture
def limited(migrated: Database) -> Iterator[str]:
    """The URL of a role that may run revisions and has no right on what else is there; its name needs quotes."""
    name = f'R "{migrated.name}"'
    quoted = '"' + name.replace('"', '""') + '"'
    migrated.execute(f"""
        create role {quoted} login password '{PASSWORD}';
        revoke create on schema public from public;
        grant usage on schema runner to {quoted};
        grant select, insert, update on all tables in schema runner to {quoted};
        grant usage on all sequences in schema runner to {quoted};
        grant select, update on alembic_version to {quoted};
        create schema mine authorization {quoted};
        create schema "Other one";
        create table "Other one"."odd ""t" (a serial primary key);
        create table public."odd ""t" (a int);
        grant all on public."odd ""t" to {quoted};
        create table public.plain (a int primary key);
        create sequence public.numbers;
        create function public.f(a int, b text) returns int language sql as 'select 1';
        revoke execute on function public.f from public
    """)
    try:
        yield make_url(migrated.url).set(username=name).render_as_string(hide_password=False)
    finally:
        migrated.execute(f"drop owned by {quoted}; drop role {quoted}")


ODD = '"Other one"."odd ""t"'
# What the revision sends, what its role lacks, and the right as GRANT has it; `ROLE` stands for the role.
LACKING = {
    "create": ("create table made ()", "`CREATE` on schema `public`", 'GRANT CREATE ON SCHEMA "public" TO ROLE'),
    "usage": (f"select * from {ODD}", "`USAGE` on schema `Other one`", 'GRANT USAGE ON SCHEMA "Other one" TO ROLE'),
    "select": (
        "select * from plain",
        "`SELECT` on table `public.plain`",
        'GRANT SELECT ON TABLE "public"."plain" TO ROLE',
    ),
    "insert": (
        "insert into plain select 1",
        "`INSERT` on table `public.plain`",
        'GRANT INSERT ON TABLE "public"."plain" TO ROLE',
    ),
    "update": (
        "update only plain set a = 2 where a = 1",
        "`UPDATE, SELECT` on table `public.plain`",
        'GRANT UPDATE, SELECT ON TABLE "public"."plain" TO ROLE',
    ),
    "delete": (
        "delete from public.plain where a = 1",
        "`DELETE, SELECT` on table `public.plain`",
        'GRANT DELETE, SELECT ON TABLE "public"."plain" TO ROLE',
    ),
    "truncate": (
        "truncate table plain",
        "`TRUNCATE` on table `public.plain`",
        'GRANT TRUNCATE ON TABLE "public"."plain" TO ROLE',
    ),
    "references": (
        "create table mine.u (a int references plain)",
        "`REFERENCES` on table `public.plain`",
        'GRANT REFERENCES ON TABLE "public"."plain" TO ROLE',
    ),
    "trigger": (
        "create trigger t before update on plain for each row execute function suppress_redundant_updates_trigger()",
        "`TRIGGER` on table `public.plain`",
        'GRANT TRIGGER ON TABLE "public"."plain" TO ROLE',
    ),
    "in a block": (
        "do $$ begin insert into plain values (1); end $$",
        "`INSERT` on table `public.plain`",
        'GRANT INSERT ON TABLE "public"."plain" TO ROLE',
    ),
    "sequence": (
        "select nextval('numbers')",
        "`USAGE` on sequence `public.numbers`",
        'GRANT USAGE ON SEQUENCE "public"."numbers" TO ROLE',
    ),
    "function": (
        "select f(1, 'x')",
        "`EXECUTE` on function `public.f`",
        'GRANT EXECUTE ON ROUTINE "public"."f"(a integer, b text) TO ROLE',
    ),
    "schema": (
        "create schema made",
        "`CREATE` on database `DATABASE`",
        'GRANT CREATE ON DATABASE "DATABASE" TO ROLE',
    ),
}


@pytest.mark.parametrize(("sent", "lacks", "grant"), LACKING.values(), ids=LACKING)
def test_the_statement_to_paste_gives_the_right(
    project: Project, database: Database, limited: str, sent: str, lacks: str, grant: str
) -> None:
    """As it is printed, and the same command then succeeds."""
    name = make_url(limited).username
    grant = grant.replace('DATABASE "DATABASE"', f'DATABASE "{database.name}"')
    quoted = '"' + str(name).replace('"', '""') + '"'
    project.add("018_bad", f"op.execute({sent!r})")
    answer = project.ask(limited, {"action": "upgrade"})
    lacking = lacks.replace("DATABASE", database.name)
    assert f"(42501): the role `{name}` lacks {lacking}, in `" in answer["error"]
    pasted = grant.replace("ROLE", quoted)
    assert answer["hint"] == f"Run `{pasted}` as its owner `postgres`, then run the same command again."
    database.execute(pasted)
    if "usage" not in grant.lower() or "SEQUENCE" in grant:
        assert project.ask(limited, {"action": "upgrade"})["status"] == "success"


def test_a_table_in_a_schema_that_the_statement_names(project: Project, database: Database, limited: str) -> None:
    """And not the one of the same name that the role may use."""
    quoted = '"' + str(make_url(limited).username).replace('"', '""') + '"'
    database.execute(f'grant usage on schema "Other one" to {quoted}')
    project.add("018_bad", f"op.execute({f'insert into {ODD} default values'!r})")
    hints = []
    for _ in range(2):
        hints.append(project.ask(limited, {"action": "upgrade"})["hint"])
        database.execute(re.findall("`(GRANT .*?)` as", hints[-1])[0])
    assert "INSERT ON TABLE" in hints[0] + hints[1]
    assert 'USAGE ON SEQUENCE "Other one"."odd ""t_a_seq"' in hints[0] + hints[1]
    assert project.ask(limited, {"action": "upgrade"})["status"] == "success"


def test_who_is_not_the_owner(project: Project, database: Database, limited: str) -> None:
    """A superuser's role is granted to nobody: the table is given away instead."""
    role = make_url(limited).username
    quoted = '"' + str(role).replace('"', '""') + '"'
    project.add("018_bad", "op.add_column('plain', sa.Column('b', sa.Integer))")
    answer = project.ask(limited, {"action": "upgrade"})
    said = f"the role `{role}` is not the owner of table `public.plain`, which is `"
    assert f"{said}postgres`" in answer["error"]
    give = f'ALTER TABLE "public"."plain" OWNER TO {quoted}'
    assert answer["hint"] == f"Run `{give}` as `postgres`, then run the same command again."
    other = f"o_{database.name}"
    database.execute(f"create role {other}; alter table plain owner to {other}")
    try:
        owned = project.ask(limited, {"action": "upgrade"})
        assert f"{said}{other}`" in owned["error"]
        become = f'GRANT "{other}" TO {quoted}'
        assert owned["hint"] == (
            f"Run `{become}` as an administrator, or set `DB_ROLE` to `{other}` where it may be set already, then run "
            "the same command again."
        )
        database.execute(become)
        assert project.ask(limited, {"action": "upgrade"})["status"] == "success"
    finally:
        database.execute(f"drop owned by {other}; drop role {other}")


def test_the_owner_of_a_view_lacks_the_right(project: Project, database: Database, limited: str) -> None:
    """A GRANT to the role that runs would not help, so there is none."""
    quoted = '"' + str(make_url(limited).username).replace('"', '""') + '"'
    other = f"o_{database.name}"
    database.execute(f"""
        create role {other}; create view seen as select * from plain; alter view seen owner to {other};
        grant select on seen to {quoted}
    """)
    try:
        project.add("018_bad", "op.execute('select * from seen')")
        answer = project.ask(limited, {"action": "upgrade"})
    finally:
        database.execute(f"drop owned by {other}; drop role {other}")
    assert "(42501): permission is denied for table `plain`, in `select * from seen`" in answer["error"]
    assert answer["hint"] == (
        "Grant the right to the role that needs it, which is the owner of a view or a function that the statement "
        "uses, then run the same command again."
    )


# What the revision sends, what is said of its role, and how the hint begins.
OTHERS = {
    "temporary": (
        "create temporary table t ()",
        "lacks `TEMPORARY` on database `DATABASE`",
        'Run `GRANT TEMPORARY ON DATABASE "DATABASE" TO ROLE` as its owner',
    ),
    "member": (
        "create table mine.t (); alter table mine.t owner to postgres",
        "`postgres`",
        "Set `DB_ROLE` to a role that is a member of `postgres`, or leave this statement to one",
    ),
}


@pytest.mark.parametrize(("sent", "said", "hint"), OTHERS.values(), ids=OTHERS)
def test_what_has_no_object(
    project: Project, database: Database, limited: str, sent: str, said: str, hint: str
) -> None:
    role = str(make_url(limited).username)
    database.execute(f"revoke temporary on database {database.name} from public")
    project.add("018_bad", f"op.execute({sent!r})")
    answer = project.ask(limited, {"action": "upgrade"})
    assert f"(42501): the role `{role}` " in answer["error"]
    assert f"{said.replace('DATABASE', database.name)}, in `" in answer["error"]
    filled = hint.replace('DATABASE "DATABASE"', f'DATABASE "{database.name}"')
    filled = filled.replace("ROLE` as", '"' + role.replace('"', '""') + '"` as')
    assert answer["hint"] == f"{filled}, then run the same command again."


def test_an_extension(project: Project, database: Database, limited: str) -> None:
    """Whichever this server has; the statement to paste makes it, and the revision leaves it as it is."""
    available = database.query("select name from pg_available_extensions where installed_version is null order by name")
    if not available:
        pytest.skip("this server has no other extension")
    name = next((one for (one,) in available if one == "pgcrypto"), available[0][0])
    project.add("018_bad", f"op.execute('create extension if not exists \"{name}\"')")
    answer = project.ask(limited, {"action": "upgrade"})
    role = make_url(limited).username
    assert f"(42501): the role `{role}` may not create the extension `{name}`, in `" in answer["error"]
    database.execute(re.findall("`(CREATE EXTENSION .*?)` as", answer["hint"])[0])
    assert project.ask(limited, {"action": "upgrade"})["status"] == "success"


def test_a_parameter_of_a_superuser(project: Project, database: Database, limited: str) -> None:
    role = str(make_url(limited).username)
    project.add("018_bad", "op.execute(\"set log_statement = 'all'\")")
    answer = project.ask(limited, {"action": "upgrade"})
    assert f"the role `{role}` may not set the parameter `log_statement`, in `" in answer["error"]
    if database.query("select current_setting('server_version_num')::int >= 150000") == [(True,)]:
        database.execute(re.findall("`(GRANT .*?)` as", answer["hint"])[0])
        assert project.ask(limited, {"action": "upgrade"})["status"] == "success"


def test_row_security_is_no_missing_right(project: Project, database: Database, limited: str) -> None:
    """It has the same SQLSTATE, and no GRANT would help."""
    quoted = '"' + str(make_url(limited).username).replace('"', '""') + '"'
    database.execute(f"grant insert on plain to {quoted}; alter table plain enable row level security")
    project.add("018_bad", "op.execute('insert into plain values (4711)')")
    answer = project.ask(limited, {"action": "upgrade"})
    assert answer["sqlstate"] == "42501"
    assert "GRANT" not in answer["message"]
    assert "4711" not in answer["message"]


def test_who_may_not_connect(project: Project, database: Database, limited: str) -> None:
    database.execute(f"revoke connect on database {database.name} from public")
    role = make_url(limited).username
    quoted = '"' + str(role).replace('"', '""') + '"'
    grant = f'GRANT CONNECT ON DATABASE "{database.name}" TO {quoted}'
    for action in ("current", "upgrade"):
        assert project.ask(limited, {"action": action})["message"] == (
            f"settings: The role `{role}` lacks `CONNECT` on database `{database.name}`. Nothing was changed. Run "
            f"`{grant}` as its owner, then repeat."
        )
    database.execute(grant)
    assert project.ask(limited, {"action": "current"})["status"] == "success"
    database.execute(f"alter role {quoted} nologin")
    assert project.ask(limited, {"action": "current"})["message"] == (
        f"settings: The role `{role}` may not log in. Nothing was changed. Run `ALTER ROLE {quoted} LOGIN` as an "
        "administrator, or correct `DATABASE_URL`."
    )


def test_a_role_that_has_nothing_gets_there_by_pasting(project: Project, database: Database) -> None:
    """On the version table, the ledger and its sequences too: each hint is a statement that brings the run further."""
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    role = f"n_{database.name}"
    database.execute(f"create role {role} login password '{PASSWORD}'; revoke create on schema public from public")
    url = make_url(database.url).set(username=role).render_as_string(hide_password=False)
    project.add("018_good", "op.create_table('made', sa.Column('a', sa.Integer))")
    pasted: list[str] = []
    try:
        while (answer := project.ask(url, {"action": "upgrade"}))["status"] != "success":
            (grant,) = re.findall("`(GRANT .*?)`", answer["hint"])
            assert grant not in pasted, answer["message"]
            pasted.append(grant)
            database.execute(grant)
    finally:
        database.execute(f"drop owned by {role}; drop role {role}")
    assert len(pasted) > 3
