"""No statement of ours runs other people's code with the rights of the migrating role."""

import json
from contextlib import closing

import pytest
from sqlalchemy import make_url

from runner.postgres import version_table
from runner.project import VersionTable
from support import traps, waiting
from support.postgres import PASSWORD, Database
from support.project import Project

CONCURRENT = (
    "from runner.operations import create_index_concurrently\ncreate_index_concurrently('made_name', 'made', ['name'])"
)
SAFELY = """
from runner.operations import add_check_not_valid, validate_constraint
add_check_not_valid('made_check', 'made', 'id > 0')
validate_constraint('made_check', 'made')
"""


def add_revisions(project: Project) -> None:
    project.add("018_made", "op.execute('create table made (id int, name text)')", downgrade="op.drop_table('made')")
    project.add("019_index", CONCURRENT, after="018_made", downgrade="op.drop_index('made_name')")
    project.add("020_check", SAFELY, after="019_index", downgrade="op.drop_constraint('made_check', 'made')")


@pytest.mark.parametrize(
    "types", [traps.FEWER, pytest.param(traps.TYPES, marks=pytest.mark.long)], ids=["fewer", "all"]
)
def test_no_statement_of_ours_springs_a_trap(
    project: Project, database: Database, mallory: str, types: tuple[str, ...]
) -> None:
    """Every verb does what it does without them, among thousands of functions and operators that fit better."""
    project.ask(database.url, {"action": "upgrade"})
    add_revisions(project)
    traps.plant(database, mallory, types)
    for event in (
        {"action": "current"},
        {"action": "plan"},
        {"action": "history"},
        {"action": "rehearse", "target": "018"},
        {"action": "upgrade", "target": "020"},
        {"action": "check"},
        {"action": "repair", "target": "020"},
        {"action": "plan", "target": "018"},
        {"action": "downgrade", "target": "018"},
        {"action": "run-migration", "target": "all"},
    ):
        answer = project.ask(database.url, event)
        assert answer["status"] == "success", answer["message"]
        assert traps.sprung(database) == [], event
    plain = project.run("alembic", "downgrade", "018_made", url=database.url)
    assert plain.returncode == 0, plain.stderr
    compared = project.run("alembic", "check", url=database.url)
    assert "untrusted-object: `OPERATOR public" in compared.stderr + compared.stdout
    assert traps.sprung(database) == []


@pytest.fixture
def mallory(database: Database) -> str:
    """A role without rights, in a database where every role may create objects in `public`."""
    return traps.add_owner(database)


OWNED = "create table alembic_version (version_num varchar(32) not null primary key)"
ESCALATES = """
    create function own() returns trigger language plpgsql as
        $$ begin execute 'alter role {mallory} superuser'; return new; end $$;
    create trigger own before insert or update on alembic_version for each row execute function own()
"""
LEDGER = "create schema runner; create table runner.migration_run (run_id bigint); create table runner.migration_log ()"
RDS = "do $$ begin create role rds_superuser; exception when duplicate_object then end $$"
WAITS = "select count(*) from pg_stat_activity where query like '%pg_try_advisory_lock%' and state = 'idle'"
FORCED = "alter table alembic_version {} row level security"
# Made by either role, and what the error begins with.
MADE_BEFOREHAND = {
    "a version table": (f"set role {{mallory}}; {OWNED}", "`public.alembic_version` belongs to `{mallory}`"),
    "a version table that escalates": (
        f"set role {{mallory}}; {OWNED}; {ESCALATES}",
        "`public.alembic_version` belongs to `{mallory}`",
    ),
    "a trigger": (
        f"set role {{mallory}}; {OWNED}; {ESCALATES}; reset role; alter table alembic_version owner to {{migrator}}",
        "`public.alembic_version` has the trigger `own`",
    ),
    "a rule": (
        f"set role {{migrator}}; {OWNED}; create rule own as on insert to alembic_version do also select 1",
        "`public.alembic_version` has the rule `own`",
    ),
    "a view": (
        "set role {migrator}; create view alembic_version as select 'x'::varchar as version_num",
        "`public.alembic_version` is no table",
    ),
    "a schema for the ledger": (
        "set role {mallory}; create schema runner; grant all on schema runner to public",
        "`runner` belongs to `{mallory}`",
    ),
    "a table of the ledger": (
        f"set role {{migrator}}; {LEDGER}; reset role; alter table runner.migration_log owner to {{mallory}}",
        "`runner.migration_log` belongs to `{mallory}`",
    ),
}
READING = ("current", "plan", "history", "check")
EVENTS = (
    {"action": "current"},
    {"action": "plan"},
    {"action": "history"},
    {"action": "check"},
    {"action": "rehearse"},
    {"action": "upgrade"},
    {"action": "downgrade", "target": "-1"},
    {"action": "stamp", "target": "017"},
    {"action": "repair", "target": "017"},
    {"action": "run-migration", "target": "all"},
)


@pytest.mark.parametrize("rights", ["ordinary", "superuser"])
@pytest.mark.parametrize("made", MADE_BEFOREHAND)
def test_what_somebody_else_has_prepared_is_not_used(
    project: Project, database: Database, mallory: str, made: str, rights: str
) -> None:
    """Every verb refuses it before it reads or writes it, names owner and remedy, and changes nothing.

    A superuser has the privileges of every role, and trusts none for that.
    """
    migrator, url = add_migrator(database, "superuser" if rights == "superuser" else "")
    statements, told = (
        text.replace("{mallory}", mallory).replace("{migrator}", migrator) for text in MADE_BEFOREHAND[made]
    )
    database.execute(f"grant create on database {database.name} to {mallory}; {statements}")
    for event in EVENTS:
        answer = project.ask(url, event)
        if rights == "ordinary" and "belongs to" in told and event["action"] in READING:
            # it may not write there, so no code of the owner would run
            continue
        assert answer["code"] == "untrusted-object", (event, answer["message"])
        assert answer["error"].startswith(told), answer["error"]
    plain = project.run("alembic", "upgrade", "head", url=url)
    assert f"FAILED: untrusted-object: {told}" in plain.stderr + plain.stdout
    found = f"select to_regclass('tenants'), (select rolsuper from pg_roles where rolname = '{mallory}')"
    assert database.query(found) == [(None, False)]


def test_the_remedy_is_enough(project: Project, database: Database, mallory: str) -> None:
    database.execute(f"set role {mallory}; {OWNED}; {ESCALATES.replace('{mallory}', mallory)}")
    told = []
    while (answer := project.ask(database.url, {"action": "upgrade"}))["status"] == "error":
        told.append(answer["hint"].split("`")[1])
        database.execute(told[-1])
    assert told == [
        'ALTER TABLE public.alembic_version OWNER TO "postgres"',
        "DROP TRIGGER own ON public.alembic_version",
    ]


def test_row_security_counts_where_it_filters(project: Project, database: Database) -> None:
    """The owner's own rows are hidden by FORCE only, and a superuser's never."""
    migrator, url = add_migrator(database)
    assert project.ask(url, {"action": "upgrade"})["status"] == "success"
    database.execute(FORCED.format("enable"))
    assert project.ask(url, {"action": "upgrade"})["status"] == "success"
    database.execute(FORCED.format("force"))
    answer = project.ask(url, {"action": "upgrade"})
    assert answer["message"] == (
        f"untrusted-object: `public.alembic_version` has row security, which hides rows from `{migrator}`. Nothing was "
        "changed. Find out who made it; once its content is trusted, run `ALTER TABLE public.alembic_version DISABLE "
        "ROW LEVEL SECURITY`."
    )


def test_who_is_trusted(project: Project, database: Database) -> None:
    """A superuser, the database's owner, a member of rds_superuser, and a role that the migrating role is member of."""
    migrator, url = add_migrator(database)
    assert project.ask(url, {"action": "upgrade"})["status"] == "success"
    other = f"other_{database.name}"
    trusted = {
        f"create role {other}": False,
        f"grant {other} to {migrator}": True,
        f"revoke {other} from {migrator}; grant {migrator} to {other}": False,
        f"alter database {database.name} owner to {other}": True,
        f"alter database {database.name} owner to postgres; {RDS}; grant rds_superuser to {other}": True,
        f"revoke rds_superuser from {other}; alter role {other} superuser": True,
    }
    for statements, is_trusted in trusted.items():
        database.execute(f"{statements}; alter table runner.migration_log owner to {other}")
        database.execute(f"grant all on all tables in schema runner to {migrator}")
        answer = project.ask(url, {"action": "current"})
        assert answer.get("code") == (None if is_trusted else "untrusted-object"), (statements, answer["message"])


def test_check_and_doctor_name_the_traps(project: Project, database: Database, mallory: str) -> None:
    """An open schema is a warning; what shadows a built-in name is an error, but not what a trusted role has made."""
    project.ask(database.url, {"action": "upgrade"})
    (opened,) = find(project, database, "open-schema")
    assert (opened["level"], opened["name"]) == ("warning", "public")
    assert opened["help"] == "Run `REVOKE CREATE ON SCHEMA public FROM PUBLIC` as its owner."
    position = "returns int language sql as 'select 1'"
    database.execute(f"create function array_position(text, text) {position}")
    assert find(project, database, "shadowing-object") == []
    database.execute(
        f"set role {mallory}; create function public.array_position(text[], text) {position};"
        "create function public.sprung(name, name) returns boolean language sql as 'select true';"
        "create operator public.!~ (leftarg = name, rightarg = name, function = public.sprung)"
    )
    shadows = find(project, database, "shadowing-object")
    names = ["OPERATOR public.!~ (name, name)", "ROUTINE public.array_position(text[],text)"]
    assert [one["name"] for one in shadows] == names
    doctor = project.run("migrate", "doctor", url=database.url)
    assert doctor.returncode == 4
    assert f"`{mallory}` has put OPERATOR public.!~ (name, name) into `public`" in doctor.stdout
    database.execute(";".join(f"drop {name}" for name in names))
    database.execute("revoke create on schema public from public")
    assert "No other role's code runs in a migration." in project.run("migrate", "doctor", url=database.url).stdout


def find(project: Project, database: Database, kind: str) -> list[dict]:
    findings = project.ask(database.url, {"action": "check"})["findings"]
    return [finding for finding in findings if finding["kind"] == kind]


def add_migrator(database: Database, rights: str = "") -> tuple[str, str]:
    """Return a new role that may migrate a database, and the URL by which it connects."""
    name = f"migrator_{database.name}"
    database.execute(
        f"create role {name} login {rights} password '{PASSWORD}'; grant create on database {database.name} to {name};"
        f"grant all on schema public to {name}"
    )
    url = make_url(database.url).set(username=name, password=PASSWORD)
    return name, url.render_as_string(hide_password=False)


PATH = "op.get_bind().exec_driver_sql('show search_path').scalar_one()"
UNDER_THE_PROJECTS_PATH = {
    "at the beginning": f"assert {PATH} == 'public'",
    "behind a SET TRANSACTION": (
        f"op.execute('set transaction isolation level serializable')\nassert {PATH} == 'public'"
    ),
    "behind a COMMIT of nothing": f"op.execute('COMMIT')\nassert {PATH} == 'public'",
    "in an autocommit block and behind it": (
        f"with op.get_context().autocommit_block():\n    assert {PATH} == 'public'\nassert {PATH} == 'public'"
    ),
    "on a connection of its own": (
        "with op.get_bind().engine.connect() as other:\n"
        "    assert other.exec_driver_sql('show search_path').scalar_one() == 'public'"
    ),
    "as SQLAlchemy's default schema": "assert 'tenants' in sa.inspect(op.get_bind()).get_table_names()",
    "in a deferred trigger": "op.execute('insert into noted values (1)')",
}
NOTES = """
    create table notes (id int); create table noted (id int);
    create function note() returns trigger language plpgsql as
        $$ begin insert into notes values (new.id); return new; end $$;
    create constraint trigger note after insert on noted deferrable initially deferred
        for each row execute function note();
"""


@pytest.mark.parametrize("action", ["rehearse", "upgrade"])
@pytest.mark.parametrize("where", UNDER_THE_PROJECTS_PATH)
def test_a_revision_runs_under_the_projects_path(project: Project, database: Database, where: str, action: str) -> None:
    project.ask(database.url, {"action": "upgrade"})
    database.execute(NOTES)
    # the second one begins in the message that commits the first
    project.add("018_before", "op.execute('create table before ()')")
    project.add("019_odd", UNDER_THE_PROJECTS_PATH[where], after="018_before")
    answer = project.ask(database.url, {"action": action})
    assert answer["status"] == "success", answer["message"]
    assert database.query("select count(*) from notes") == [
        (int((where, action) == ("in a deferred trigger", "upgrade")),)
    ]


@pytest.mark.parametrize("action", ["upgrade", "rehearse", "stamp"])
def test_what_appears_while_a_run_waits_is_not_used(
    project: Project, database: Database, mallory: str, action: str
) -> None:
    """The look before the wait is not enough: another role holds the second lock, and makes the table meanwhile."""
    key = version_table.work_key(VersionTable())
    with closing(database.server.connect(database.name)) as session, session.cursor() as cursor:
        cursor.execute(f"set role {mallory}; select pg_advisory_lock({key})")
        process = project.start("migrate", "--json", action, *(["017"] if action == "stamp" else []), url=database.url)
        waiting.until(database, WAITS, 1)
        cursor.execute(f"{OWNED}; {ESCALATES.replace('{mallory}', mallory)}; select pg_advisory_unlock({key})")
        answer = json.loads(process.communicate()[0])
    # a rehearsal needs no version table any more then
    assert answer.get("code") == (None if action == "rehearse" else "untrusted-object"), answer["message"]
    assert database.query(f"select rolsuper from pg_roles where rolname = '{mallory}'") == [(False,)]


def test_a_trap_in_an_extension_of_its_own(project: Project, database: Database, mallory: str) -> None:
    """Whoever may create an extension may add members to it, which still belong to him."""
    trusted = "select name from pg_available_extension_versions where trusted and not installed order by name limit 1"
    if not (available := database.query(trusted)):
        pytest.skip("this server has no extension that an ordinary role may create")
    extension = available[0][0]
    project.ask(database.url, {"action": "upgrade"})
    database.execute(
        f'grant create on database {database.name} to {mallory}; set role {mallory}; create extension "{extension}";'
        "create function public.array_position(text[], text) returns int language sql as 'select 1';"
        f'alter extension "{extension}" add function public.array_position(text[], text)'
    )
    # those of the extension itself belong to a superuser
    (shadow,) = find(project, database, "shadowing-object")
    assert shadow["name"] == "ROUTINE public.array_position(text[],text)"
    compared = project.run("alembic", "check", url=database.url)
    assert "untrusted-object" in compared.stderr + compared.stdout


def test_a_reader_trusts_whom_it_only_reads(project: Project, database: Database) -> None:
    """It may not write, so nobody's code runs as it; a trigger is refused to whoever may."""
    _, url = add_migrator(database)
    assert project.ask(url, {"action": "upgrade"})["status"] == "success"
    reader = f"reader_{database.name}"
    database.execute(
        f"create role {reader} login password '{PASSWORD}'; grant usage on schema runner to {reader};"
        f"grant select on all tables in schema public, runner to {reader}"
    )
    own = make_url(database.url).set(username=reader, password=PASSWORD).render_as_string(hide_password=False)
    for action in ("current", "plan", "history", "check"):
        assert project.ask(own, {"action": action}).get("code") is None, action
    assert project.ask(own, {"action": "upgrade"})["code"] == "untrusted-object"
