"""Each revision begins as in a new session, and no setting of a role or a database breaks a run."""

from contextlib import closing

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import Project

LEFT = {
    "an empty search_path": "op.execute(\"set search_path = ''\")",
    "a search_path for the transaction": "op.execute(\"set local search_path = ''\")",
    "a role": "op.execute('create role {role} noinherit')\nop.execute('set role {role}')",
    "a session authorization": "op.execute('create role {role}')\nop.execute('set session authorization {role}')",
    "session_replication_role": "op.execute('set session_replication_role = replica')",
    "read-only transactions": "op.execute('set session characteristics as transaction read only')",
    "a time zone": "op.execute(\"set timezone = 'Asia/Tokyo'\")",
    "a temporary table": "op.execute('create temporary table seen (a int)')",
    "a prepared statement": "op.execute('prepare seen as select 1')",
    "a listener": "op.execute('listen seen')",
    "a cursor": "op.execute('declare seen cursor with hold for select 1')",
    "a currval": "op.execute('create sequence s')\nop.execute(\"select nextval('s')\")",
}
SEEN = """
op.execute('''
    create table public.session as
    select current_setting('search_path') as path, current_user as role, session_user as login,
           current_setting('session_replication_role') as replication,
           current_setting('default_transaction_read_only') as read_only, current_setting('timezone') as zone,
           (select count(*) from pg_class where relnamespace = pg_my_temp_schema()) as temporary,
           (select count(*) from pg_prepared_statements) as prepared,
           (select count(*) from pg_listening_channels()) as listening,
           (select count(*) from pg_cursors where name = 'seen') as cursors
''')
"""


@pytest.mark.parametrize("how", LEFT)
def test_the_next_revision_begins_as_in_a_new_session(project: Project, database: Database, how: str) -> None:
    """One run of two revisions equals two runs of one, and both are rehearsed."""
    project.ask(database.url, {"action": "upgrade"})
    role = f"left_{database.name}"
    project.add("018_leaves", "op.execute('create table made ()')\n" + LEFT[how].format(role=role))
    project.add("019_sees", SEEN, after="018_leaves")
    try:
        rehearsed = project.ask(database.url, {"action": "rehearse"})
        assert [one["outcome"] for one in rehearsed["revisions"]] == ["rehearsed", "rehearsed"], rehearsed
        at_once = project.ask(database.url, {"action": "upgrade"})
        assert at_once["to"] == "019_sees", at_once["message"]
        together = database.query("select * from session")
        project.ask(database.url, {"action": "downgrade", "target": "018", "confirm": "019_sees"})
        database.execute("drop table session")
        project.ask(database.url, {"action": "upgrade"})
        assert database.query("select * from session") == together
    finally:
        database.execute(f"drop role if exists {role}")


def test_a_block_keeps_the_session_of_its_revision(project: Project, database: Database) -> None:
    """What a revision sets holds up to its own end, also behind an autocommit block."""
    body = """
    op.execute("set timezone = 'Asia/Tokyo'")
    with op.get_context().autocommit_block():
        op.execute("create table inside as select current_setting('timezone')::text as zone")
    op.execute("create table behind as select current_setting('timezone')::text as zone")
    """
    project.add("018_block", body)
    project.ask(database.url, {"action": "upgrade"})
    assert database.query("table inside union all table behind") == [("Asia/Tokyo",), ("Asia/Tokyo",)]


def test_a_version_is_written_behind_a_block_whatever_the_revision_left(project: Project, database: Database) -> None:
    """Its later transactions would be read-only, and find no table."""
    body = """
    op.execute("set session characteristics as transaction read only")
    op.execute("set search_path = ''")
    with op.get_context().autocommit_block():
        op.execute("select 1")
    """
    project.add("018_block", body)
    assert project.ask(database.url, {"action": "upgrade"})["to"] == "018_block"


SETTINGS = {
    "idle_in_transaction_session_timeout": "'300ms'",
    "idle_session_timeout": "'300ms'",
    "lock_timeout": "'1ms'",
    "TimeZone": "'Asia/Tokyo'",
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "iso_8601",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "quote_all_identifiers": "on",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "search_path": "'nowhere'",
}
SINCE_17 = {"transaction_timeout": "'300ms'"}
"""Of servers from version 17 on."""
BODY = """
time.sleep(0.7)
op.create_table(
    'stamped', sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text("'2026-01-02 03:04:05+00'::timestamptz")),
    sa.Column('lasts', sa.Interval, server_default=sa.text("'1 day 02:03:04'::interval")),
    sa.Column('raw', sa.LargeBinary, server_default=sa.text("'\\\\x00ff'::bytea")),
    sa.Column('ratio', sa.Float, server_default=sa.text("0.1::float8 + 0.2")),
)
op.execute("comment on table stamped is 'a\\\\b ação'")
"""


@pytest.mark.parametrize("whose", ["database", "role"])
def test_settings_of_role_and_database_change_nothing(project: Project, database: Database, whose: str) -> None:
    """A run under them ends with the schema of a run without them, and neither snapshot nor comparison differs."""
    project.add("018_stamped", BODY)
    role = f"login_{database.name}"
    database.execute(f"create role {role} superuser login password 'p'")
    url = database.url.replace("//postgres:only-for-tests@", f"//{role}:p@")
    snapshot = project.folder / "alembic/schema/018_stamped.json"
    try:
        assert project.run("migrate", "snapshot", url=url).returncode == 0
        before = snapshot.read_text()
        name = {"database": database.name, "role": role}[whose]
        with closing(database.server.connect()) as admin:
            settings = SETTINGS | (SINCE_17 if admin.server_version >= 170_000 else {})
        for setting, value in settings.items():
            with closing(database.server.connect()) as admin:
                admin.cursor().execute(f"alter {whose} {name} set {setting} = {value}")
        done = project.run("migrate", "snapshot", url=url)
        assert (done.returncode, snapshot.read_text()) == (0, before), done.stderr
        answer = project.ask(url, {"action": "upgrade"})
        assert answer["status"] == "success", answer["message"]
        checked = project.ask(url, {"action": "check"})
        # the models are those of later revisions
        assert [one for one in checked["findings"] if one["kind"] != "models"] == [], checked
        assert project.ask(url, {"action": "rehearse", "target": "base"})["ok"]
        assert project.ask(url, {"action": "current"})["current"] == ["018_stamped"]
    finally:
        with closing(database.server.connect()) as admin:
            admin.cursor().execute(f"alter database {database.name} reset all")
        database.execute(f"reassign owned by {role} to postgres; drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("door", [("migrate", "upgrade"), ("alembic", "upgrade", "head")], ids=lambda door: door[0])
def test_a_client_in_another_encoding(project: Project, database: Database, door: tuple[str, ...]) -> None:
    """libpq takes its encoding from this variable."""
    project.add("018_note", "op.execute(\"comment on table leads is 'ação — ok'\")")
    done = project.run(*door, url=database.url, PGCLIENTENCODING="SQL_ASCII")
    assert done.returncode == 0, done.stderr
    assert database.query("select obj_description('leads'::regclass)") == [("ação — ok",)]


def test_a_database_without_an_encoding(project: Project, database: Database) -> None:
    """SQL_ASCII stores what comes: UTF-8 from us, and from others what cannot be read, which is said."""
    name = f"{database.name}_ascii"
    with closing(database.server.connect()) as admin, admin.cursor() as cursor:
        cursor.execute(f"create database {name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0")
        try:
            ascii_ = Database(database.server, name)
            project.add("018_note", "op.execute(\"comment on table leads is 'ação'\")")
            assert project.ask(ascii_.url, {"action": "upgrade"})["status"] == "success"
            assert project.ask(ascii_.url, {"action": "check"})["status"] == "success"
            ascii_.execute("do $$ begin execute 'comment on table leads is ''a' || chr(231) || ''''; end $$")
            for event in ({"action": "check"}, {"action": "plan", "target": "base"}):
                answer = project.ask(ascii_.url, event)
                assert answer["code"] == "settings", answer
                assert "that is not UTF-8; only the encoding `SQL_ASCII` lets that in." in answer["error"]
        finally:
            cursor.execute(f"drop database {name} with (force)")


def test_a_caught_error_in_a_savepoint_is_no_failure(project: Project, database: Database) -> None:
    """No setting of ours is sent into the failed transaction, however long ago the time-outs were set."""
    body = """
    op.execute("create table made ()")
    try:
        with op.get_bind().begin_nested():
            time.sleep(0.6)
            op.execute("select 1 / 0")
    except sa.exc.DBAPIError:
        pass
    time.sleep(0.6)
    try:
        with op.get_bind().begin_nested():
            op.execute("insert into nowhere values (1)")
    except sa.exc.DBAPIError:
        time.sleep(0.6)
    """
    project.add("018_catches", body)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["to"] == "018_catches", answer["message"]


def test_a_retry_begins_as_in_a_new_session(project: Project, database: Database) -> None:
    """What an autocommit block has committed of the session must not lead it to another version table."""
    project.ask(database.url, {"action": "upgrade"})
    body = """
    with op.get_context().autocommit_block():
        op.execute("create schema if not exists app")
        op.execute("set search_path = app")
    op.execute("alter table public.leads add column note text")
    """
    project.add("018_block", body)
    with closing(psycopg2.connect(database.url)) as reader:
        reader.cursor().execute("select count(*) from leads")
        run = project.start("migrate", "upgrade", url=database.url, LOCK_TIMEOUT_MS="200")
        waiting.until_said(run, "Retrying `018_block`")
    _, told = run.communicate(timeout=60)
    assert run.returncode == 0, told
    assert database.query(
        "select relnamespace::regnamespace::text from pg_class where relname = 'alembic_version'"
    ) == [("public",)]
    assert database.query("select version_num from alembic_version") == [("018_block",)]
