"""What the server refuses is answered with the names of what refused it, and with nothing of a row."""

import json

import pytest

from support.postgres import Database
from support.project import Project

pytestmark = pytest.mark.usefixtures("migrated")

PLANTED = "maria.silva@example.com"


DROP_FIRST = (
    "In `018_bad.py`, drop or change first what depends on it, and create it again afterwards, then run the same "
    "command again."
)
CORRECT = "Correct `018_bad.py`, then run the same command again."
# What there is, what the revision sends, what is said of it, and the hint.
DEPENDENTS = {
    "views of a table": (
        'create table t (a int); create view seen as select a from t; create view "Seen, too" as select 1 from seen',
        "drop table t",
        'DependentObjectsStillExist (2BP01): `view seen depends on table t`; `view "Seen, too" depends on view seen`',
        DROP_FIRST,
    ),
    "a key of another table": (
        "create table t (a int primary key); create table u (a int references t)",
        "alter table t drop constraint t_pkey",
        "DependentObjectsStillExist (2BP01): `constraint u_a_fkey on table u depends on index t_pkey`",
        DROP_FIRST,
    ),
    "what requires it": (
        "create table t (a int unique)",
        "drop index t_a_key",
        "DependentObjectsStillExist (2BP01): `cannot drop index t_a_key because constraint t_a_key on table t requires "
        "it`",
        DROP_FIRST,
    ),
    "a view of a column": (
        "create table t (a int); create view seen as select a from t",
        "alter table t alter a type bigint",
        'FeatureNotSupported (0A000): `rule _RETURN on view seen depends on column "a"`',
        DROP_FIRST,
    ),
    "a key of a truncated table": (
        "create table t (a int primary key); create table u (a int references t)",
        "truncate t",
        'FeatureNotSupported (0A000): `Table "u" references "t"`',
        CORRECT,
    ),
    "many": (
        "create table t (a int);" + ";".join(f"create view v{number} as select a from t" for number in range(7)),
        "drop table t",
        "DependentObjectsStillExist (2BP01): "
        + "; ".join(f"`view v{number} depends on table t`" for number in range(5))
        + ", and 2 more",
        DROP_FIRST,
    ),
}


@pytest.mark.parametrize(("before", "sent", "said", "hint"), DEPENDENTS.values(), ids=DEPENDENTS)
def test_dependents_are_named(
    project: Project, database: Database, before: str, sent: str, said: str, hint: str
) -> None:
    database.execute(before)
    project.add("018_bad", f"op.execute({sent!r})")
    for action in ("upgrade", "rehearse"):
        answer = project.ask(database.url, {"action": action})
        assert answer["error"].partition("`018_bad.py`: ")[2].startswith(f"{said}, in `{sent}`"[:280])
        assert answer["hint"] == hint


def test_types_of_a_key_that_do_not_fit(project: Project, database: Database) -> None:
    database.execute("create table t (a int primary key); create table u (a text)")
    project.add("018_bad", "op.create_foreign_key('k', 'u', 't', ['a'], ['a'])")
    assert 'Key columns "a"' in project.ask(database.url, {"action": "upgrade"})["error"]


def test_a_role_that_owns_something(project: Project, database: Database) -> None:
    name = f"r_{database.name}"
    database.execute(f"create role {name}; create table owned (); alter table owned owner to {name}")
    try:
        project.add("018_bad", f"op.execute('drop role {name}')")
        answer = project.ask(database.url, {"action": "upgrade"})
    finally:
        database.execute(f"drop owned by {name}; drop role {name}")
    assert "(2BP01): `owner of table owned`, in `drop role" in answer["error"]
    assert "`REASSIGN OWNED`" in answer["hint"]


RAISED = """
do $$ begin
    raise exception using errcode = '{code}', message = '{message}', detail = '{detail}', hint = '{detail}';
end $$
"""
FORGED = {
    "dependents": ("2BP01", "cannot drop it", f"view {PLANTED} depends on table {PLANTED}"),
    "a type": ("0A000", "cannot alter it", f"rule _RETURN on view {PLANTED} depends on column a"),
    "a right": ("42501", f"permission denied for table {PLANTED}", ""),
    "an owner": ("42501", f"must be owner of table {PLANTED}", ""),
    "a row": ("23505", "duplicate key", f"Key (email)=({PLANTED}) already exists."),
}


@pytest.mark.parametrize(("code", "message", "detail"), FORGED.values(), ids=FORGED)
def test_what_a_function_raises_is_not_taken_for_the_servers(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture, code: str, message: str, detail: str
) -> None:
    """It has the SQLSTATE and the form of the server's own errors, and a row in it."""
    statement = RAISED.format(code=code, message=message, detail=detail)
    project.add("018_bad", f"op.execute({statement!r})")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", code)
    told = project.run("alembic", "upgrade", "head", url=database.url)
    assert PLANTED not in f"{json.dumps(answer)}{caplog.text}{told.stdout}{told.stderr}"


REFUSES = f"""
    create function "No DDL"() returns event_trigger language plpgsql as
        $$ begin raise exception 'ask {PLANTED}' using detail = '{PLANTED}'; end $$;
    create event trigger "keep {{out}}" on ddl_command_start execute function "No DDL"()
"""


def test_an_event_trigger_is_named(project: Project, database: Database) -> None:
    """It refuses a revision's statement, or one of ours."""
    database.execute(REFUSES)
    project.add("018_bad", "op.create_table('t', sa.Column('a', sa.Integer))")
    named = "the event trigger `keep {out}` (function `public.No DDL`) refused it"
    hint = (
        'Let the function pass the role `postgres`, or run `ALTER EVENT TRIGGER "keep {out}" DISABLE` as `postgres` '
        "for the time of the migration, then run the same command again."
    )
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["hint"]) == ("revision-failed", hint)
    assert f": RaiseException (P0001): {named}, in `CREATE TABLE t" in answer["error"]
    assert PLANTED not in json.dumps(answer)
    rehearsed = project.ask(database.url, {"action": "rehearse"})
    assert rehearsed["message"] == (
        f"settings: The database refuses the table and the trigger that a rehearsal needs (SQLSTATE P0001): {named}. "
        f"Nothing was changed. {hint}"
    )
    database.execute("""
        alter event trigger "keep {out}" disable; drop schema runner cascade; alter event trigger "keep {out}" enable
    """)
    first = project.ask(database.url, {"action": "upgrade"})
    assert (first["code"], first["hint"]) == ("database-failed", hint)
    assert first["error"].endswith(f": {named} (SQLSTATE P0001).")
    told = project.run("alembic", "upgrade", "head", url=database.url)
    assert f"{named} (SQLSTATE P0001)" in told.stdout + told.stderr
    assert "Traceback" not in told.stderr


def test_a_revision_that_goes_on_after_an_error(project: Project, database: Database) -> None:
    body = "try:\n    op.execute('select nope')\nexcept sa.exc.DBAPIError:\n    pass\nop.execute('select 1')"
    project.add("018_bad", body)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (
        "InFailedSqlTransaction (25P02): an earlier statement had failed, and the revision went on" in answer["error"]
    )
    assert "begin_nested()" in answer["hint"]


def test_the_driver_itself(project: Project, database: Database) -> None:
    """A statement that comes past SQLAlchemy has its SQLSTATE and its statement too."""
    project.add("018_bad", "op.get_bind().connection.cursor().execute(\"update leads set nope = 'x'\")")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["sqlstate"], answer["statement"]) == ("42703", "update leads set nope = '…'")
