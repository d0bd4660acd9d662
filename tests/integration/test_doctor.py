"""`migrate doctor`: each thing that may stand in the way, provoked for real, is found and named."""

import json
import platform
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from sqlalchemy import make_url

from runner.postgres import advisory_lock
from support import emulator, postgres
from support.endpoint import Endpoint, refusal, serve
from support.postgres import PASSWORD, Database, free_port
from support.project import Project

LOCAL = [
    "settings",
    "name",
    "port",
    "tls",
    "login",
    "version",
    "writer",
    "rights",
    "trust",
    "lock",
    "activity",
    "revisions",
]
FUNCTION = ["credentials", "function", "invocation", "settings", "network", "database", "lock"]


def examine(project: Project, *words: str, url: str | None = None, **environ: str) -> tuple[int, dict[str, Any]]:
    """Run the doctor and return its exit code and answer; no password may be in what it says."""
    done = project.run("migrate", *words, "doctor", "--json", url=url, **environ)
    assert PASSWORD not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["state"] for check in answer["checks"]}


def failed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the only check that failed."""
    (found,) = (check for check in answer["checks"] if check["state"] == "failed")
    return found


def changed(of: Database, **parts: Any) -> str:
    return make_url(of.url).set(**parts).render_as_string(hide_password=False)


def test_all_is_well(project: Project, database: Database) -> None:
    code, answer = examine(project, url=database.url)
    assert (code, answer["status"], answer["action"], answer["ok"]) == (0, "success", "doctor", True)
    assert states(answer) == dict.fromkeys(LOCAL, "ok")
    assert answer["message"] == "All checks passed; a run can begin."
    assert database.query("select count(*) from pg_class where relname in ('alembic_version', 'migration_run')") == [
        (0,)
    ]


def test_as_a_table(project: Project, database: Database) -> None:
    done = project.run("migrate", "doctor", url=changed(database, username="nobody"))
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 4
    assert rows[0] == ["check", "state", "told", "advice"]
    assert [row[0] for row in rows[1:]] == LOCAL
    assert done.stderr.startswith("1 of 12 checks failed. The first is `login`: ")


def test_no_setting(project: Project) -> None:
    code, answer = examine(project)
    assert (code, answer["ok"]) == (4, False)
    assert failed(answer)["told"] == "No setting says where the database is."
    assert states(answer) == dict.fromkeys(LOCAL, "skipped") | {"settings": "failed", "revisions": "ok"}


def test_a_host_that_does_not_resolve(project: Project) -> None:
    code, answer = examine(project, url=f"postgresql://u:{PASSWORD}@no-such-host.invalid/d")
    assert (code, failed(answer)["check"]) == (4, "name")
    assert failed(answer)["told"] == "`no-such-host.invalid` does not resolve."
    assert {states(answer)[name] for name in ("port", "login", "version", "lock")} == {"skipped"}


def test_a_wrong_port(project: Project, database: Database) -> None:
    port = free_port()
    code, answer = examine(project, url=changed(database, port=port))
    assert (code, failed(answer)["check"]) == (4, "port")
    assert failed(answer)["told"] == f"Nothing listens on `127.0.0.1:{port}`, or no route leads there."
    assert failed(answer)["advice"].startswith("Start the server, correct host and port in `DATABASE_URL`")


def test_a_wrong_password(project: Project, database: Database) -> None:
    code, answer = examine(project, url=changed(database, password=PASSWORD[::-1]))
    assert (code, failed(answer)["check"]) == (4, "login")
    assert failed(answer)["told"].endswith("rejected the login of the user `postgres`.")
    assert failed(answer)["advice"] == "Check the user and the password in `DATABASE_URL`, then repeat."


def test_a_database_that_is_not_there(project: Project, database: Database) -> None:
    _, answer = examine(project, url=changed(database, database="no_such"))
    assert failed(answer)["told"].endswith("the database does not exist.")


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("nowhere", 'CREATE SCHEMA "nowhere" AUTHORIZATION "{role}"'),
        ("hidden", 'GRANT USAGE, CREATE ON SCHEMA "hidden" TO "{role}"'),
        ("shown", 'GRANT USAGE, CREATE ON SCHEMA "shown" TO "{role}"'),
        ("made", 'GRANT ALL ON "made"."alembic_version" TO "{role}"'),
    ],
)
def test_the_version_tables_schema(project: Project, database: Database, schema: str, told: str) -> None:
    """What the doctor tells to run is enough for it, and then for a run."""
    (project.folder / "migrate.toml").write_text(f"[project]\nversion_table_schema = '{schema}'\n")
    role = f"r_{database.name}"
    database.execute(f"""
        create role {role} login password '{PASSWORD}';
        grant all on schema public to {role};
        grant all on database {database.name} to {role};
        create schema hidden;
        create schema shown;
        grant usage on schema shown to {role};
        create schema made;
        grant usage on schema made to {role};
        create table made.alembic_version (version_num varchar(32) primary key)
    """)
    url = changed(database, username=role)
    try:
        _, answer = examine(project, url=url)
        asked = told.format(role=role)
        assert failed(answer)["advice"] == f"As the owner run `{asked}`, or set `DB_ROLE` to the owner."
        database.execute(asked)
        assert examine(project, url=url)[0] == 0
        done = project.ask(url, {"action": "upgrade"})
        assert done["status"] == "success", done["message"]
    finally:
        database.execute(f"drop owned by {role} cascade; drop role {role}")


def test_a_role_that_may_not_write(project: Project, database: Database) -> None:
    name = f"r_{database.name}"
    database.execute(f"create role {name} login password '{PASSWORD}'; revoke create on schema public from public")
    try:
        code, answer = examine(project, url=changed(database, username=name))
    finally:
        database.execute(f"drop owned by {name}; drop role {name}")
    assert (code, failed(answer)["check"]) == (4, "rights")
    assert failed(answer)["advice"] == (
        f'As the owner run `GRANT CREATE ON DATABASE "{database.name}" TO "{name}"; '
        f'GRANT CREATE ON SCHEMA public TO "{name}"`, or set `DB_ROLE` to the owner.'
    )


def test_a_lock_that_is_held(project: Project, database: Database) -> None:
    with closing(database.server.connect(database.name)) as other, other.cursor() as cursor:
        cursor.execute(
            "set application_name = 'migrate somebody'; select pg_advisory_lock(%s)",
            (advisory_lock.key("alembic_version"),),
        )
        code, answer = examine(project, url=database.url)
    assert (code, failed(answer)["check"]) == (4, "lock")
    assert failed(answer)["told"].startswith("A run holds the migration lock: migrate somebody, pid ")


def test_revisions_that_do_not_load(project: Project, database: Database) -> None:
    project.add("018_one", "pass")
    project.add("018_two", "pass")
    code, answer = examine(project, url=database.url)
    assert (code, failed(answer)["check"]) == (4, "revisions")
    assert failed(answer)["told"] == "The revisions end in 2 heads, `018_one` and `018_two`."


def test_a_replica_and_a_stopped_server(project: Project) -> None:
    binaries = postgres.binaries()
    with ExitStack() as stack:
        primary = stack.enter_context(postgres.cluster(binaries))
        standby = stack.enter_context(postgres.standby(binaries, primary.url))
        url = standby.url.render_as_string(hide_password=False)
        code, answer = examine(project, url=url)
        assert (code, failed(answer)["check"]) == (4, "writer")
        assert failed(answer)["told"] == "`postgres` is read-only: the server is a replica."
        primary.stop()
        code, answer = examine(project, url=primary.url.render_as_string(hide_password=False))
        assert (code, failed(answer)["check"]) == (4, "port")
        primary.start()


def test_a_socket_has_no_port(project: Project, database: Database) -> None:
    url = f"postgresql://postgres:{PASSWORD}@/d?host=/no/such/folder"
    _, answer = examine(project, "--timeout", "3", url=url)
    assert states(answer) | {"login": "failed"} == states(answer)
    assert [states(answer)[name] for name in ("name", "port")] == ["skipped", "skipped"]


@pytest.fixture
def known(aws: dict[str, str]) -> Iterator[dict[str, str]]:
    """A function that moto knows of as Lambda does; what it answers is the emulator's affair."""
    client = _client("lambda", aws)
    iam = _client("iam", aws)
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    image = {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/runner:1"}
    client.create_function(
        FunctionName="function", Role=role, Code=image, PackageType="Image", Timeout=900, MemorySize=512
    )
    yield aws
    client.delete_function(FunctionName="function")
    iam.delete_role(RoleName="r")


def _client(service: str, aws: dict[str, str]) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=aws["AWS_ENDPOINT_URL"], **keys)


def test_a_function_that_is_not_there(project: Project, aws: dict[str, str]) -> None:
    code, answer = examine(project, "--function", "nosuch", **aws)
    assert (code, failed(answer)["check"]) == (4, "function")
    assert failed(answer)["told"] == "`nosuch`: there is no such function in this account and region."
    assert list(states(answer).values()) == ["ok", "failed", *["skipped"] * 5]


def test_no_credentials(project: Project) -> None:
    code, answer = examine(project, "--function", "f", AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    assert (code, failed(answer)["told"]) == (4, "There are no AWS credentials.")
    assert states(answer) == dict.fromkeys(FUNCTION, "skipped") | {"credentials": "failed"}


@pytest.mark.parametrize(
    ("state", "reason", "advice"),
    [
        ("Pending", "Creating", "Wait until it is `Active`, then repeat."),
        ("Failed", "InternalError", "Deploy it again."),
    ],
)
def test_a_function_that_is_not_active(
    project: Project, aws: dict[str, str], state: str, reason: str, advice: str
) -> None:
    body = json.dumps({"FunctionName": "f", "State": state, "StateReasonCode": reason})
    with serve(Endpoint(200, body)) as endpoint:
        _, answer = examine(project, "--function", "f", **aws, AWS_ENDPOINT_URL_LAMBDA=endpoint.url)
    assert (failed(answer)["told"], failed(answer)["advice"]) == (f"The function is `{state}` ({reason}).", advice)


def test_not_permitted_to_look_or_to_invoke(project: Project, aws: dict[str, str]) -> None:
    """What the function looks like need not be known; that it may not be invoked is the finding."""
    with serve(refusal(403, "AccessDeniedException")) as endpoint:
        _, answer = examine(project, "--function", "f", **aws, AWS_ENDPOINT_URL_LAMBDA=endpoint.url)
    assert states(answer)["function"] == "skipped"
    assert failed(answer)["check"] == "invocation"
    assert failed(answer)["told"] == "`f` could not be invoked: the caller lacks `lambda:InvokeFunction`."


@pytest.mark.skipif(platform.system() != "Linux", reason="the Runtime Interface Emulator runs on Linux only")
@pytest.mark.parametrize(
    ("parts", "check", "told", "advice"),
    [
        ({}, None, "", ""),
        (
            {"port": 1},
            "network",
            "no server listens there",
            "Allow the function's security group in that of the database",
        ),
        (
            {"password": "wrong"},
            "database",
            "rejected the login of the user `postgres`",
            "Check the user and the password in",
        ),
        ({"database": "no_such"}, "database", "the database does not exist", "Create it, or correct the name in"),
        (None, "settings", "No setting says where the database is", "Set `DATABASE_URL`, `DB_SECRET_ARN`"),
    ],
    ids=["well", "network", "password", "database", "settings"],
)
def test_what_the_function_finds(
    tmp_path: Path,
    project: Project,
    database: Database,
    known: dict[str, str],
    parts: dict[str, Any] | None,
    check: str | None,
    told: str,
    advice: str,
) -> None:
    """The function's own answer tells which of what it needs is missing; the emulator knows no more than to invoke."""
    task = emulator.lay_out(tmp_path, project.folder)
    environ = {} if parts is None else {"DATABASE_URL": changed(database, **parts)}
    lambda_api = Endpoint(200, handed_on={"/configuration": known["AWS_ENDPOINT_URL"]})
    # what cannot be reached is tried for as long as the function may run
    timeout_s = 5 if check == "network" else 30
    with emulator.start(task, environ, timeout_s=timeout_s) as function, serve(lambda_api) as endpoint:
        lambda_api.handed_on["/invocations"] = function.url
        code, answer = examine(project, "--function", "function", **known, AWS_ENDPOINT_URL_LAMBDA=endpoint.url)
    shown = {one["check"]: one["told"] for one in answer["checks"]}
    assert shown["credentials"].startswith("Account 123456789012, `arn:aws:sts::")
    assert re.fullmatch(r"Active, image [0-9a-f]{12}, 900 s, 512 MB, in no VPC\.", shown["function"])
    if check is None:
        assert (code, answer["ok"]) == (0, True)
        assert shown["database"] == "The database is at `base`; 2 revisions pending."
        return
    assert (code, failed(answer)["check"]) == (4, check)
    assert told in failed(answer)["told"]
    assert failed(answer)["advice"].startswith(advice)
