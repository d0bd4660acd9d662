"""Wrong input, each with its whole message, and the database left as it was."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import make_url

from runner.postgres import version_table
from runner.project import VersionTable
from support import postgres
from support.postgres import PASSWORD, Database
from support.project import Project

ACTIONS = (
    "Known actions: `upgrade`, `downgrade`, `stamp`, `repair`, `redo`, `run-migration`, `plan`, `rehearse`, "
    "`check`, `current`, `heads`, `history`, `show`, "
    "`sizes`, `activity`, `end-session`, `list-migrations`."
)
HISTORY = "List them with `migrate history`."
STATE = """
    select (select count(*) from pg_class where relnamespace = 'public'::regnamespace),
           (select string_agg(version_num, ',') from alembic_version),
           (select count(*) from runner.migration_log)
"""

PAYLOADS: list[tuple[str, Any, str]] = [
    ("empty event", {}, f"invalid-payload: The payload has no field `action`. Nothing was changed. {ACTIONS}"),
    (
        "not an object",
        ["upgrade"],
        "invalid-payload: The payload is not a JSON object. Nothing was changed. "
        'Send an object such as `{"action": "current"}`.',
    ),
    (
        "unknown action",
        {"action": "drop-everything"},
        f"invalid-payload: The payload's `action` is unknown. Nothing was changed. {ACTIONS}",
    ),
    (
        "action of a wrong type",
        {"action": ["upgrade"]},
        f"invalid-payload: The payload's `action` is unknown. Nothing was changed. {ACTIONS}",
    ),
    (
        "unknown field",
        {"action": "upgrade", "tagret": "017"},
        "invalid-payload: `upgrade` has no field `tagret`. Nothing was changed. "
        "Fields of `upgrade`: `on_error`, `actor`, `idempotency_key`, `plan`, `action`, `target`.",
    ),
    (
        "wrong type",
        {"action": "upgrade", "target": 17},
        "invalid-payload: The field `target` of `upgrade` is wrong: input should be a valid string. "
        "Nothing was changed. Fields of `upgrade`: `on_error`, `actor`, `idempotency_key`, `plan`, `action`, `target`.",
    ),
    (
        "target that is no name",
        {"action": "upgrade", "target": "017; drop table leads"},
        "invalid-payload: The field `target` of `upgrade` is neither a revision nor a step such as `+1`. "
        "Nothing was changed. Fields of `upgrade`: `on_error`, `actor`, `idempotency_key`, `plan`, `action`, `target`.",
    ),
    *(
        (
            f"{name} of `{field}`",
            {"action": "upgrade", field: value},
            f"invalid-payload: The field `{field}` of `upgrade` is empty, or has a control character. Nothing was "
            "changed. Fields of `upgrade`: `on_error`, `actor`, `idempotency_key`, `plan`, `action`, `target`.",
        )
        for field in ("actor", "idempotency_key")
        for name, value in {
            "NUL": "a\0b",
            "line break": "a\n",
            "escape": "\x1b[2J",
            "C1": "a\x9bm",
            "nothing": "",
        }.items()
    ),
    (
        "half a character",
        {"action": "upgrade", "actor": "\ud83d"},
        "invalid-payload: The field `actor` of `upgrade` is wrong: input should be a valid string, unable to parse raw "
        "data as a unicode string. Nothing was changed. Fields of `upgrade`: `on_error`, `actor`, `idempotency_key`, "
        "`plan`, `action`, `target`.",
    ),
    (
        "deep value",
        {"action": "upgrade", "actor": json.loads("[" * 300 + "]" * 300)},
        "invalid-payload: The field `actor` of `upgrade` is wrong: input should be a valid string. Nothing was "
        "changed. Fields of `upgrade`: `on_error`, `actor`, `idempotency_key`, `plan`, `action`, `target`.",
    ),
    (
        "limit out of range",
        {"action": "history", "limit": 0},
        "invalid-payload: The field `limit` of `history` is out of its range. Nothing was changed. Give a number from "
        "1 to 10,000.",
    ),
    (
        "downgrade without target",
        {"action": "downgrade"},
        "invalid-payload: `downgrade` requires the field `target`. Nothing was changed. "
        "Fields of `downgrade`: `on_error`, `actor`, `idempotency_key`, `confirm`, `plan`, `action`, `target`.",
    ),
    (
        "unknown revision",
        {"action": "upgrade", "target": "099"},
        f"unknown-revision: No revision is called `099`. Nothing was changed. {HISTORY}",
    ),
    (
        "ambiguous prefix",
        {"action": "upgrade", "target": "01"},
        "unknown-revision: `01` is ambiguous: `016_platform_baseline` and `017_dry_run_log` begin with it. "
        "Nothing was changed. Name one of them in full.",
    ),
    (
        "beyond the newest",
        {"action": "upgrade", "target": "+1"},
        "unknown-revision: `+1` goes beyond the newest revision: the database is at `017_dry_run_log`. "
        f"Nothing was changed. {HISTORY}",
    ),
    (
        "beyond the oldest",
        {"action": "downgrade", "target": "-3"},
        "unknown-revision: `-3` goes beyond the oldest revision: the database is at `017_dry_run_log`. "
        f"Nothing was changed. {HISTORY}",
    ),
    (
        "upgrade downwards",
        {"action": "upgrade", "target": "-1"},
        "unknown-revision: `upgrade` does not lead to `-1`. Nothing was changed. "
        "Name a revision, `head`, or steps such as `+1`.",
    ),
    (
        "upgrade to nothing",
        {"action": "run-migration", "target": "base"},
        "unknown-revision: `upgrade` does not lead to `base`. Nothing was changed. "
        "Name a revision, `head`, or steps such as `+1`.",
    ),
    (
        "all heads",
        {"action": "upgrade", "target": "heads"},
        "unknown-revision: `upgrade` does not lead to `heads`. Nothing was changed. "
        "Name a revision, `head`, or steps such as `+1`.",
    ),
    (
        "downgrade upwards",
        {"action": "downgrade", "target": "+1"},
        "unknown-revision: `downgrade` does not lead to `+1`. Nothing was changed. "
        "Name a revision, `base`, or steps such as `-1`.",
    ),
    (
        "show of a step",
        {"action": "show", "target": "-1"},
        "unknown-revision: `-1` is not a revision. Nothing was changed. Name one, or `head`.",
    ),
    (
        "show of nothing",
        {"action": "show", "target": "base"},
        f"unknown-revision: `base` is not a revision. Nothing was changed. {HISTORY}",
    ),
]


@pytest.mark.parametrize(("event", "message"), [pytest.param(*case[1:], id=case[0]) for case in PAYLOADS])
def test_payload(project: Project, database: Database, event: Any, message: str) -> None:
    """What is wrong is named, values are not repeated, and nothing is touched."""
    project.ask(database.url, {"action": "upgrade"})
    before = database.query(STATE)
    answer = project.ask(database.url, event)
    assert (answer["status"], answer["message"]) == ("error", message)
    assert message == f"{answer['code']}: {answer['error']} Nothing was changed. {answer['hint']}"
    assert database.query(STATE) == before


def test_downgrade_to_a_revision_above(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade", "target": "016"})
    answer = project.ask(database.url, {"action": "downgrade", "target": "017"})
    assert answer["message"] == (
        "unknown-revision: `017` is not a downgrade from `016_platform_baseline`. Nothing was changed. "
        "List the revisions with `migrate history`."
    )


def test_no_setting(project: Project) -> None:
    """A forgotten variable never migrates a throw-away and reports success."""
    answer = project.ask(None, {"action": "upgrade"})
    assert answer["message"] == (
        "settings: No setting says where the database is. Nothing was changed. Set `DATABASE_URL`, `DB_SECRET_ARN`, "
        "or `DB_IAM_AUTH=true` with `DB_HOST`, `DB_NAME` and `DB_USER`; for a local scratch database run "
        "`migrate --local`, or set `DATABASE_URL=embedded:`."
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        pytest.param(
            {"DATABASE_URL": "mysql://root@localhost/x"},
            "settings: `DATABASE_URL` is not a PostgreSQL URL. Nothing was changed. Set it to "
            "`postgresql://user:password@host:5432/database`, with `%`, `@`, `/` and `:` in the password "
            "percent-encoded, or to `embedded:`.",
            id="another database",
        ),
        pytest.param(
            {"DATABASE_URL": "s3cret"},
            "settings: `DATABASE_URL` is not a PostgreSQL URL. Nothing was changed. Set it to "
            "`postgresql://user:password@host:5432/database`, with `%`, `@`, `/` and `:` in the password "
            "percent-encoded, or to `embedded:`.",
            id="not a URL",
        ),
        pytest.param(
            {"DATABASE_URL": "postgresql://u:p@h:port/x"},
            "settings: `DATABASE_URL` is not a PostgreSQL URL. Nothing was changed. Set it to "
            "`postgresql://user:password@host:5432/database`, with `%`, `@`, `/` and `:` in the password "
            "percent-encoded, or to `embedded:`.",
            id="port that is no number",
        ),
        pytest.param(
            {"DATABASE_URL": "postgresql://u:s3cr@t-p4rt@localhost/x"},
            "settings: `DATABASE_URL` is not a PostgreSQL URL. Nothing was changed. Set it to "
            "`postgresql://user:password@host:5432/database`, with `%`, `@`, `/` and `:` in the password "
            "percent-encoded, or to `embedded:`.",
            id="password with an at sign",
        ),
        pytest.param(
            {"DATABASE_URL": "postgresql://u@localhost/x?schema=public"},
            "settings: `DATABASE_URL` contains an option that libpq rejects. Nothing was changed. Correct its options.",
            id="unknown option",
        ),
        *(
            pytest.param(
                {"DATABASE_URL": f"postgresql://u@localhost/{place}"},
                f"settings: `DATABASE_URL` has a {noun} that is an address, or is not printable. Nothing was changed. "
                f"Give the {noun} alone.",
                id=f"an address as {noun}, {number}",
            )
            for number, (noun, place) in enumerate(
                [
                    ("database name", "host%3Dh%20password%3Ds3cret"),
                    ("database name", "?dbname=password%3Ds3cret"),
                    ("database name", "?dbname=postgresql%3A%2F%2Fh%2Fs3cret"),
                    ("database name", "s3cret%0A"),
                    ("host", "x?host=postgresql%3A%2F%2Fs3cret"),
                    ("user", "x?user=postgresql%3A%2F%2Fu%3As3cret%40h"),
                ]
            )
        ),
        *(
            pytest.param(
                {"DB_IAM_AUTH": "true", "DB_HOST": "h", "DB_NAME": "x", "DB_USER": "u", name: value},
                f"settings: `DB_IAM_AUTH` has a {noun} that is an address, or is not printable. Nothing was changed. "
                f"Give the {noun} alone.",
                id=f"an address in {name}",
            )
            for name, noun, value in [
                ("DB_NAME", "database name", "postgresql://u:s3cret@h/x"),
                ("DB_HOST", "host", "u:s3cret@h"),
                ("DB_USER", "user", "user=u password=s3cret"),
            ]
        ),
        pytest.param(
            {"ENVIRONMENT": "pr\N{ZERO WIDTH SPACE}od"},
            "settings: `ENVIRONMENT` has a character that is not printable ASCII. Nothing was changed. "
            "Set it to a name such as `staging`.",
            id="environment",
        ),
        pytest.param(
            {"DATABASE_URL": "postgresql://u@localhost/x?sslmode=bogus"},
            "settings: `sslmode` in `DATABASE_URL` is not a mode of libpq. Nothing was changed. "
            "Set it to one of disable, allow, prefer, require, verify-ca, verify-full.",
            id="unknown sslmode",
        ),
        pytest.param(
            {"DB_IAM_AUTH": "true", "DB_HOST": "h"},
            "settings: `DB_IAM_AUTH` requires `DB_NAME` and `DB_USER`. Nothing was changed. "
            "Set `DB_NAME` and `DB_USER` in the environment.",
            id="IAM without a name",
        ),
        pytest.param(
            {"DB_IAM_AUTH": "yes"},
            "settings: `DB_IAM_AUTH` is neither `true` nor `false`. Nothing was changed. "
            "Set `DB_IAM_AUTH` to one of the two.",
            id="flag",
        ),
        pytest.param(
            {"DB_PORT": "5432x"},
            "settings: `DB_PORT` is not a port number. Nothing was changed. Set it to a number from 1 to 65535.",
            id="port",
        ),
        pytest.param(
            {"DB_SSLMODE": "verify"},
            "settings: `DB_SSLMODE` is not a mode of libpq. Nothing was changed. "
            "Set it to one of disable, allow, prefer, require, verify-ca, verify-full.",
            id="sslmode",
        ),
        pytest.param(
            {"ALEMBIC_CONFIG": "/nowhere/alembic.ini"},
            "settings: There is no `/nowhere/alembic.ini`. Nothing was changed. "
            "Run from the project's folder, or set `ALEMBIC_CONFIG` to its `alembic.ini`.",
            id="no alembic.ini",
        ),
    ],
)
def test_settings(project: Project, environ: dict[str, str], message: str) -> None:
    assert project.ask(None, {"action": "current"}, **environ)["message"] == message


def test_unreachable_host(project: Project, database: Database) -> None:
    """Nothing listens there: tried until the deadline, then said with the place and without the password."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        answer = project.ask(f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/x", {"action": "upgrade"}, timeout_s=1)
    assert answer["message"] == (
        f"database-unreachable: Could not connect to `127.0.0.1:{port}/x`: no server listens there. Nothing was "
        "changed. Check the host, the port and the security groups, then repeat."
    )


def test_unknown_host(project: Project) -> None:
    answer = project.ask("postgresql://u:p@no-such-host.invalid/x", {"action": "upgrade"}, timeout_s=1)
    assert answer["message"] == (
        "database-unreachable: Could not connect to `no-such-host.invalid:5432/x`: the host name does not resolve. "
        "Nothing was changed. Check the host, the port and the security groups, then repeat."
    )


def test_silent_host(project: Project) -> None:
    """A host that accepts and never answers is given up in time."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        answer = project.ask(f"postgresql://u:p@127.0.0.1:{port}/x", {"action": "upgrade"}, timeout_s=1)
    assert answer["message"] == (
        f"database-unreachable: Could not connect to `127.0.0.1:{port}/x`: the server did not answer in time. Nothing "
        "was changed. Check the host, the port and the security groups, then repeat."
    )


def test_wrong_password(project: Project, database: Database) -> None:
    url = database.url.replace(PASSWORD, "wrong")
    answer = project.ask(url, {"action": "upgrade"})
    place = database.url.rpartition("@")[2]
    assert answer["message"] == (
        f"authentication-failed: `{place}` rejected the login of the user `postgres`. Nothing was changed. "
        "Check the user and the password in `DATABASE_URL`, then repeat."
    )


def test_database_that_does_not_exist(project: Project, database: Database) -> None:
    place = database.url.rpartition("@")[2].replace(database.name, "nope")
    answer = project.ask(database.url.replace(database.name, "nope"), {"action": "upgrade"})
    assert answer["message"] == (
        f"database-unreachable: Could not connect to `{place}`: the database does not exist. Nothing was changed. "
        "Create it, or correct the name in `DATABASE_URL`."
    )


def test_a_server_that_is_configured_as_read_only(project: Project) -> None:
    """What the server's configuration says is meant for everybody."""
    with postgres.cluster(postgres.binaries(), f"{postgres.SETTINGS} -c default_transaction_read_only=on") as cluster:
        url = cluster.url.render_as_string(hide_password=False)
        answer = project.ask(url, {"action": "upgrade"})
        assert answer["message"] == (
            "read-only-database: `postgres` is read-only: `default_transaction_read_only` is on in the server's "
            "configuration. Nothing was changed. Use the cluster's writer endpoint, or set "
            "`default_transaction_read_only` to `off`, then repeat."
        )
        assert project.ask(url, {"action": "current"})["current"] == []


def test_role_that_cannot_be_assumed(project: Project, database: Database) -> None:
    answer = project.ask(database.url, {"action": "upgrade"}, DB_ROLE="no_such_role")
    assert answer["message"] == (
        "settings: `postgres` cannot set the role `no_such_role` (SQLSTATE 22023). Nothing was changed. "
        'Grant the role (`GRANT "no_such_role" TO "postgres"`), or correct `DB_ROLE`.'
    )


@contextmanager
def role(database: Database, grants: str) -> Iterator[str]:
    """Make a role that may log in and little else, and yield its URL."""
    name = f"r_{database.name}"
    database.execute(f"create role {name} login password '{PASSWORD}'")
    database.execute(f"revoke create on schema public from public; {grants.format(role=name)}")
    try:
        yield make_url(database.url).set(username=name).render_as_string(hide_password=False)
    finally:
        database.execute(f"drop owned by {name}; drop role {name}")


def test_role_without_create_on_the_database(project: Project, database: Database) -> None:
    with role(database, "grant all on schema public to {role}") as url:
        answer = project.ask(url, {"action": "upgrade"})
    name = f"r_{database.name}"
    assert answer["message"] == (
        f"settings: The role `{name}` may not create the schema `runner` in `{database.name}`, where the ledger is "
        f'kept. Nothing was changed. Run `GRANT CREATE ON DATABASE "{database.name}" TO "{name}"` as the database\'s '
        "owner."
    )


def test_role_without_create_on_the_schema(project: Project, database: Database) -> None:
    with role(database, f"grant create on database {database.name} to {{role}}") as url:
        answer = project.ask(url, {"action": "upgrade"})
    name = f"r_{database.name}"
    assert answer["code"] == "settings"
    assert answer["error"].startswith(
        f"The role `{name}` lacks `CREATE` on schema `public`, for `CREATE TABLE public.alembic_version"
    )
    assert answer["hint"] == (
        f'Run `GRANT CREATE ON SCHEMA "public" TO "{name}"` as its owner `postgres`, then run the same command again.'
    )


def test_role_that_may_not_look(project: Project, database: Database) -> None:
    """Where it may not see the version table, that is not taken for a database at base."""
    name = f"r_{database.name}"
    with role(database, "revoke usage on schema public from public") as url:
        for _ in range(2):
            assert project.ask(url, {"action": "current"})["message"] == (
                f"settings: The role `{name}` lacks `USAGE` on schema `public`. Nothing was changed. "
                f'Run `GRANT USAGE ON SCHEMA "public" TO "{name}"` as its owner, then repeat.'
            )
            assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
        database.execute(f"grant usage on schema public to {name}")
        answer = project.ask(url, {"action": "current"})
        grant = f'GRANT SELECT ON TABLE "public"."alembic_version" TO "{name}"'
        assert answer["hint"] == f"Run `{grant}` as its owner `postgres`, then run the same command again."
        database.execute(grant)
        assert project.ask(url, {"action": "current"})["status"] == "success"
    assert answer["code"] == "settings"
    assert answer["error"].startswith(f"The role `{name}` lacks `SELECT` on table `public.alembic_version`, for `")
    assert 'select array(select version_num::text from "public"."alembic_version")' in answer["error"]
    assert answer["error"].endswith("(SQLSTATE 42501).")


def test_who_runs_is_told_also_at_base(project: Project, database: Database) -> None:
    """The lock may be held before there is any version table; one in another database is not ours."""
    told = {}
    for name in ("postgres", database.name):
        with closing(database.server.connect(name)) as other, other.cursor() as cursor:
            number = version_table.key(VersionTable())
            cursor.execute("set application_name = 'migrate somebody'; select pg_advisory_lock(%s)", (number,))
            answer = project.ask(database.url, {"action": "current"})
        told[name] = (answer["current"], answer["running"] and answer["running"].split(",")[0])
    assert told == {"postgres": ([], None), database.name: ([], "migrate somebody")}
    assert project.ask(database.url, {"action": "current"})["running"] is None


def test_revision_that_does_not_import(project: Project, database: Database) -> None:
    """Named with its line before anything runs, whatever its import raises."""
    path = project.add("018_bad", "pass")
    path.write_text("import nothing_of_that_name\n" + path.read_text())
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["message"] == (
        "revision-failed: `018_bad` failed in line 1 of `018_bad.py`: its import raised ModuleNotFoundError: No module "
        "named 'nothing_of_that_name'. Nothing was changed. Correct `018_bad.py`, then run the same command again."
    )
    path.write_text("def upgrade(:\n")
    assert project.ask(database.url, {"action": "upgrade"})["error"] == (
        "`018_bad` failed in line 1 of `018_bad.py`: its import raised SyntaxError: invalid syntax."
    )
    assert database.query("select to_regclass('alembic_version'), to_regnamespace('runner')") == [(None, None)]


def test_what_is_no_python_is_said_by_who_looks_at_all(project: Project, database: Database) -> None:
    """`current` and an upgrade that has nothing to do with it may go on; `repair` does not accept it."""
    path = project.add("018_fine", "op.execute('select 1')")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    path.write_text(f"{path.read_text()}\ndef broken(:\n")
    line = len(path.read_text().splitlines())
    told = f"`018_fine` failed in line {line} of `018_fine.py`: its import raised SyntaxError: invalid syntax."
    assert project.ask(database.url, {"action": "current"})["current"] == ["018_fine"]
    repair = {"action": "repair", "target": "018_fine"}
    assert [project.ask(database.url, event).get("error") for event in ({"action": "check"}, repair)] == [told, told]
    for command in (["doctor"], ["new", "another"]):
        done = project.run("migrate", *command, DATABASE_URL=database.url)
        assert told in done.stdout + done.stderr
        assert done.returncode != 0


def test_revision_that_forgets_what_was_prepared(project: Project, database: Database) -> None:
    """Nothing of ours depends on it."""
    project.add("018_forgets", "op.execute('deallocate all')")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["status"], answer["to"]) == ("success", "018_forgets")


def test_revision_whose_parent_is_missing(project: Project, database: Database) -> None:
    project.add("018_orphan", "pass", after="017_gone")
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["code"] == "unknown-revision"
    assert "017_gone" in answer["message"]


def test_revision_that_fails_in_its_sql(project: Project, database: Database) -> None:
    """Earlier ones stay, this one is rolled back, later ones were not begun; statement and line are named."""
    project.add("018_note", "op.add_column('leads', sa.Column('note', sa.Text()))")
    path = project.add(
        "019_bad",
        """
        op.add_column('leads', sa.Column('half', sa.Text()))
        op.execute("UPDATE leads SET nope = 'planted' WHERE nome = 'x'")
        """,
        after="018_note",
    )
    project.add("020_later", "op.add_column('leads', sa.Column('later', sa.Text()))", after="019_bad")
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "nope" in text)
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["message"] == (
        f"revision-failed: `019_bad` failed in line {line} of `019_bad.py`: UndefinedColumn (42703), in "
        "`UPDATE leads SET nope = '…' WHERE nome = '…'`. 1 of 3 revisions completed. The database is at "
        "`018_note`, and the failed revision was rolled back. Correct `019_bad.py`, then run the same command again."
    )
    assert {
        key: answer[key] for key in ("code", "revision", "line", "sqlstate", "from", "to", "target", "pending")
    } == {
        "code": "revision-failed",
        "revision": "019_bad",
        "line": line,
        "sqlstate": "42703",
        "from": "017_dry_run_log",
        "to": "018_note",
        "target": "020_later",
        "pending": ["019_bad", "020_later"],
    }
    assert [one["revision"] for one in answer["applied"]] == ["018_note"]
    columns = "select column_name from information_schema.columns where table_name = 'leads'"
    assert {"note"} == {"note", "half", "later"} & {row[0] for row in database.query(columns)}
    assert database.query(
        "select revision, status, error_code from runner.migration_log where revision > '018' order by log_id"
    ) == [("018_note", "success", None), ("019_bad", "failed", "revision-failed")]
    assert database.query(
        "select status, answer ->> 'code' from runner.migration_run order by run_id desc limit 1"
    ) == [("error", "revision-failed")]
    plain = project.run("alembic", "upgrade", "head", url=database.url)
    assert "FAILED: revision-failed: `019_bad` failed in line" in plain.stdout + plain.stderr
    assert "Traceback" not in plain.stderr


def test_failure_at_commit(project: Project, database: Database) -> None:
    """A deferred constraint fails at commit: nothing of the revision stays, and the ledger says failed."""
    project.add(
        "018_deferred",
        """
        op.execute("create table a (id int primary key)")
        op.execute("create table b (a int references a deferrable initially deferred)")
        op.execute("insert into b values (1)")
        """,
    )
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"], answer["to"]) == ("revision-failed", "23503", "017_dry_run_log")
    assert database.query("select to_regclass('a')") == [(None,)]
    assert database.query("select status from runner.migration_log where revision = '018_deferred'") == [("failed",)]


def test_database_at_a_revision_that_is_not_here(project: Project, database: Database) -> None:
    """An older image on a newer database says so, in `current` too."""
    project.ask(database.url, {"action": "upgrade"})
    database.execute("update alembic_version set version_num = '020_newer'")
    answer = project.ask(database.url, {"action": "upgrade"})
    sentence = "The database is at `020_newer`, which is not among the revisions here."
    advice = "Use the image, or the branch, that has it."
    assert answer["message"] == f"unknown-revision: {sentence} Nothing was changed. {advice}"
    current = project.ask(database.url, {"action": "current"})
    assert (current["current"], current["message"]) == (["020_newer"], f"{sentence} {advice}")


def test_two_heads_are_refused_with_both_names(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    project.add("018_add_score", "pass")
    project.add("018_add_source", "pass")
    message = (
        "multiple-heads: The revisions end in 2 heads, `018_add_score` and `018_add_source`. Nothing was changed. "
        'Where the revisions are, merge them (`alembic merge --rev-id 019_merge -m "merge add_score and add_source" '
        "018_add_score 018_add_source`), and then run the same command again."
    )
    assert project.ask(database.url, {"action": "upgrade"})["message"] == message
    assert project.ask(database.url, {"action": "run-migration", "target": "all"})["message"] == message
    assert project.run("migrate", "new", "more").stderr == message + "\n"
    heads = project.ask(database.url, {"action": "heads"})
    assert [one["revision"] for one in heads["revisions"]] == ["018_add_score", "018_add_source"]
    merge = message.partition("`alembic ")[2].partition("`")[0]
    done = project.run("alembic", "merge", "-m", "merge", *merge.split()[-2:])
    assert done.returncode == 0, done.stderr
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"


def test_a_failure_is_raised_where_the_caller_asks_for_it(project: Project, database: Database) -> None:
    """Step Functions catch by the exception's name; its context holds nothing."""
    with pytest.raises(Exception, match="No revision is called `099`") as caught:
        project.ask(database.url, {"action": "upgrade", "target": "099", "on_error": "raise"})
    assert type(caught.value).__name__ == "UnknownRevision"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
