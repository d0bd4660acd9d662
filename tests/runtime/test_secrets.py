"""The secret reaches the database, and nothing else."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from sqlalchemy import make_url

from support import emulator
from support.moto_server import secret_of
from support.postgres import PASSWORD, Database
from support.project import Project

AWKWARD = ["p%40%s%%", "with spaces'quo\"te` back\\slash$1"]
MORE = ["at@sign/slash:colon", "quo'te\"double`", "with spaces  two", "çãé-日本-ß", "back\\slash$1"]


@pytest.fixture
def stored(secrets: Any, database: Database) -> Any:
    """Store a secret under a name of its own and return its ARN."""

    def store(text: str) -> str:
        name = f"db/{database.name}/{len(secrets.list_secrets()['SecretList'])}"
        return secrets.create_secret(Name=name, SecretString=text)["ARN"]

    return store


def test_a_whole_secret(task: Path, database: Database, aws: dict[str, str], stored: Any) -> None:
    with emulator.start(task, {**aws, "DB_SECRET_ARN": stored(json.dumps(secret_of(database)))}) as function:
        answer = function.invoke({"action": "upgrade"})
    assert (answer["status"], answer["to"]) == ("success", "017_dry_run_log")
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def test_a_secret_without_host_and_dbname(task: Path, database: Database, aws: dict[str, str], stored: Any) -> None:
    """A managed secret has no address; it comes from the environment. `database` is another name for `dbname`."""
    known = secret_of(database)
    managed = stored(json.dumps({"username": known["username"], "password": known["password"]}))
    address = {"DB_HOST": str(known["host"]), "DB_PORT": str(known["port"]), "DB_NAME": database.name}
    with emulator.start(task, {**aws, **address, "DB_SECRET_ARN": managed}) as function:
        assert function.invoke({"action": "current"})["status"] == "success"
    named = known | {"database": known.pop("dbname")}
    with emulator.start(task, {**aws, "DB_SECRET_ARN": stored(json.dumps(named))}) as function:
        assert function.invoke({"action": "current"})["status"] == "success"


def test_the_command_line_reads_the_secret_too(
    project: Project, database: Database, aws: dict[str, str], stored: Any
) -> None:
    arn = stored(json.dumps(secret_of(database)))
    assert project.run("migrate", "upgrade", **aws, DB_SECRET_ARN=arn).returncode == 0
    done = project.run("alembic", "current", **aws, DB_SECRET_ARN=arn)
    assert done.stdout == "017_dry_run_log (head)\n"


@pytest.mark.parametrize("password", [*AWKWARD, *(pytest.param(one, marks=pytest.mark.long) for one in MORE)])
def test_an_awkward_password_works_and_is_never_seen(
    project: Project, task: Path, database: Database, aws: dict[str, str], stored: Any, password: str
) -> None:
    """It opens the database through every door; a wrong one and a failing connection do not show it either."""
    role = f"r_{database.name}"
    database.execute(f"create role {role} superuser login password %s", (password,))
    known = secret_of(database) | {"username": role, "password": password}
    right = {**aws, "DB_SECRET_ARN": stored(json.dumps(known))}
    wrong = {**aws, "DB_SECRET_ARN": stored(json.dumps(known | {"password": password + "x"}))}
    lost = {**aws, "DB_SECRET_ARN": stored(json.dumps(known | {"port": 1}))}
    right_url, wrong_url = (
        make_url(database.url).set(username=role, password=each).render_as_string(hide_password=False)
        for each in (password, password + "x")
    )
    seen: list[str] = []
    try:
        # what cannot be reached is tried for as long as the function may run
        for environ, code, timeout_s in (
            (right, None, 30),
            (wrong, "authentication-failed", 30),
            (lost, "database-unreachable", 6),
        ):
            with emulator.start(task, {**environ, "POWERTOOLS_LOG_LEVEL": "DEBUG"}, timeout_s=timeout_s) as function:
                function.warm_up()
                answer = function.invoke({"action": "upgrade"})
                raised = function.invoke({"action": "upgrade", "on_error": "raise"}) if code else {}
                seen += [json.dumps(answer, ensure_ascii=False), json.dumps(raised, ensure_ascii=False)]
                seen.append(function.log.read_text())
            assert answer.get("code") == code, answer["message"]
        for command in (["migrate", "--debug", "current"], ["alembic", "current"]):
            done = project.run(*command, url=right_url)
            assert done.returncode == 0, done.stderr
            failed = project.run(*command, url=wrong_url)
            assert failed.returncode != 0
            seen += [done.stdout, done.stderr, failed.stdout, failed.stderr]
        seen += [str(row) for row in database.query("select * from runner.migration_run")]
    finally:
        database.execute(f"reassign owned by {role} to postgres; drop owned by {role}; drop role {role}")
    text = "\n".join(seen)
    for form in {password, quote(password), quote_plus(password), json.dumps(password)[1:-1], repr(password)[1:-1]}:
        assert form not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "not json, planted-value",
            "settings: The secret `{arn}` is not a JSON object. Nothing was changed. "
            'Store it as `{{"username": …, "password": …, "host": …, "port": 5432, "dbname": …}}`.',
        ),
        (
            '["planted-value"]',
            "settings: The secret `{arn}` is not a JSON object. Nothing was changed. "
            'Store it as `{{"username": …, "password": …, "host": …, "port": 5432, "dbname": …}}`.',
        ),
        (
            '{"user": "planted-value"}',
            "settings: The secret `{arn}` must hold `username` and `password` as text. Nothing was changed. Store "
            "`username` and `password` in it; `host`, `port` and `dbname` may come from the environment.",
        ),
        (
            '{"username": "u", "password": "planted-value"}',
            "settings: The secret `{arn}` requires `DB_HOST` and `DB_NAME`. Nothing was changed. "
            "Set `DB_HOST` and `DB_NAME` in the environment.",
        ),
        (
            '{"username": "u", "password": "p", "host": "h", "dbname": "d", "port": "planted-value"}',
            "settings: `port` in the secret `{arn}` is not a port number. Nothing was changed. "
            "Set it to a number from 1 to 65535.",
        ),
        *(
            (
                json.dumps({"username": "u", "password": "p", "host": "h", "dbname": "d"} | {key: value}),
                f"settings: The secret `{{arn}}` has a {noun} that is an address, or is not printable. Nothing was "
                f"changed. Give the {noun} alone.",
            )
            for key, noun, value in [
                ("dbname", "database name", "postgresql://u:planted-value@h/d"),
                ("dbname", "database name", "host=h password=planted-value"),
                ("host", "host", "jdbc:postgresql://h/d?password=planted-value"),
                ("username", "user", "password=planted-value"),
            ]
        ),
        (
            f'{{"password": {"[" * 30_000}{"]" * 30_000}}}',
            "settings: The secret `{arn}` is not a JSON object. Nothing was changed. "
            'Store it as `{{"username": …, "password": …, "host": …, "port": 5432, "dbname": …}}`.',
        ),
    ],
)
def test_a_malformed_secret(task: Path, aws: dict[str, str], stored: Any, text: str, message: str) -> None:
    """Said by name and field, without a value."""
    arn = stored(text)
    with emulator.start(task, {**aws, "DB_SECRET_ARN": arn}) as function:
        answer = function.invoke({"action": "current"})
        log = function.log.read_text()
    assert answer["message"] == message.format(arn=arn)
    assert "planted-value" not in json.dumps(answer) + log


def test_a_secret_that_is_not_there(task: Path, aws: dict[str, str]) -> None:
    with emulator.start(task, {**aws, "DB_SECRET_ARN": "no/such"}) as function:
        answer = function.invoke({"action": "current"})
    assert answer["message"] == (
        "settings: Secrets Manager did not return the secret `no/such` (ResourceNotFoundException). "
        "Nothing was changed. Check `DB_SECRET_ARN`, the function's permission `secretsmanager:GetSecretValue` "
        "and the VPC endpoint."
    )


def test_the_planted_password_is_what_the_server_wants(database: Database) -> None:
    """The tests above would prove nothing against a server that trusts everybody."""
    assert make_url(database.url).password == PASSWORD
