"""`migrate --function` and `migrate --env` against the real Lambda runtime: the same as at home."""

import base64
import getpass
import json
import re
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import boto3
import pytest

from runner import commands
from support import emulator, moto_server, terminal
from support.answers import steady, steady_text
from support.emulator import Function
from support.endpoint import CREDENTIALS, Endpoint, serve
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

GROUP = "/aws/lambda/function"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
# What is typed for each verb, on a database that is at 016.
TYPED = {
    "plan": [],
    "rehearse": [],
    "check": [],
    "upgrade": ["--actor", "ana"],
    "downgrade": ["-1", "--actor", "ana"],
    "current": [],
    "heads": [],
    "history": ["--limit", "2"],
    "show": ["016"],
    "sizes": [],
    "activity": [],
    "end-session": ["1"],
    "stamp": ["017", "--actor", "ana"],
    "repair": ["016", "--actor", "ana"],
    "redo": ["--actor", "ana"],
    "list-migrations": [],
    "run-migration": ["all", "--actor", "ana"],
}


@pytest.fixture
def twin(database: Database) -> Iterator[Database]:
    """A second database, to do the same in."""
    other = Database(database.server, f"{database.name}_twin")
    database.execute(f"create database {other.name} template template0")
    yield other
    database.execute(f"drop database {other.name} with (force)")


def ask(project: Project, function: Function, *words: str, **environ: str) -> "CompletedProcess[str]":
    known = {**CREDENTIALS, "AWS_ENDPOINT_URL_LAMBDA": function.url, **environ}
    return project.run("migrate", "--function", "function", *words, **known)


@pytest.mark.parametrize("verb", commands.VERBS)
def test_every_verb_answers_as_it_does_here(
    project: Project, task: Path, database: Database, twin: Database, aws: dict[str, str], verb: str
) -> None:
    """The same JSON, tables, words and exit codes on an equal database, also where there is nothing left to do."""
    words = [verb, *TYPED[verb]]
    for one in (database, twin):
        project.ask(one.url, {"action": "upgrade", "target": "016", "actor": "ana"})
    with emulator.start(task, {"DATABASE_URL": database.url}) as function, moto_server.log_group(aws, "function"):
        for options in (["--json"], []):
            there = ask(project, function, *words, *options, **aws)
            here = project.run("migrate", *words, *options, url=twin.url)
            assert there.returncode == here.returncode, there.stderr
            # a command in a message has the options of the call
            function_options = "migrate --function function "
            there.stdout = there.stdout.replace(function_options, "migrate ")
            there.stderr = there.stderr.replace(function_options, "migrate ")
            printed = here.stdout.replace(twin.name, database.name)
            if options:
                assert steady(json.loads(there.stdout)) == steady(json.loads(printed))
            else:
                told = here.stderr.replace(twin.name, database.name)
                assert steady_text(there.stdout) == steady_text(printed)
                # what is done within a second is not followed, and what takes longer has logged nothing here
                lines = steady_text(there.stderr).splitlines()
                assert lines
                assert lines == steady_text(told).splitlines()[-len(lines) :]


def test_sarif_of_a_function(project: Project, tmp_path: Path, database: Database) -> None:
    """The function plans, and the command line writes the findings as it does for a plan of its own."""
    project.ask(database.url, {"action": "upgrade"})
    project.add("018_drop", 'op.drop_column("leads", "tags")')
    task = emulator.lay_out(tmp_path, project.folder)
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        there = ask(project, function, "plan", "--sarif")
    here = project.run("migrate", "plan", "--sarif", url=database.url)
    assert (there.returncode, json.loads(there.stdout)) == (4, json.loads(here.stdout)), there.stderr
    (found,) = json.loads(there.stdout)["runs"][0]["results"]
    assert found["locations"][0]["physicalLocation"]["region"] == {"startLine": 8}


@pytest.mark.parametrize(
    ("words", "code"),
    [(["upgrade", "099"], 1), (["upgrade", "a b"], 2), (["downgrade", "-3"], 1), (["upgrade", "--timeout", "20"], 0)],
)
def test_exit_codes_are_those_of_the_function(
    project: Project, task: Path, database: Database, words: list[str], code: int
) -> None:
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        done = ask(project, function, *words)
        assert done.returncode == code, done.stderr
        answered = len(function.lines())
    assert answered
    assert "Traceback" not in done.stderr


def test_through_a_profile(project: Project, task: Path, database: Database) -> None:
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "function"\nregion = "eu-west-1"\n')
    known = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    with emulator.start(task, {"DATABASE_URL": database.url}) as function:
        done = project.run("migrate", "upgrade", "--env", "dev", **known, AWS_ENDPOINT_URL_LAMBDA=function.url)
        actor = database.query("select actor from runner.migration_run")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert actor == [(getpass.getuser(),)]


def test_the_log_carries_the_invocation_only_where_one_is_given(task: Path) -> None:
    """A later invocation does not wear the id of an earlier one, and nothing but an id is written down."""
    contexts: list[Any] = [{"custom": {"invocation": UUID}}, None, {"custom": {"invocation": "planted\nvalue"}}]
    contexts += [{"custom": {"invocation": 7}}, {"custom": ["x"]}, {"client": {}}]
    with emulator.start(task, {}) as function:
        client = _client("lambda", function.url)
        for context in contexts:
            given = {} if context is None else {"ClientContext": _encode(context)}
            result = client.invoke(FunctionName="function", Payload=b'{"action": "heads"}', **given)
            assert json.loads(result["Payload"].read())["status"] == "success"
        client.close()
        lines = [line for line in function.lines() if "message" in line]
    assert [line.get("invocation") for line in lines] == [UUID, None, None, None, None, None]


def test_progress_is_live(project: Project, task: Path, database: Database, aws: dict[str, str]) -> None:
    """A line that the function logs is told while the function is at work: it ends only after it was read here."""
    _add(task, "018_gate", UNTIL_TOLD)
    with emulator.start(task, {"DATABASE_URL": database.url}, timeout_s=120) as function, _shipped(function, aws):
        known = {**aws, "AWS_ENDPOINT_URL_LAMBDA": function.url}
        process = project.start("migrate", "--function", "function", "upgrade", url="", **known)
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.startswith("Applying `018_gate`"):
                break
        assert process.poll() is None
        database.execute("create table told ()")
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [steady_text(line).strip() for line in seen] == [
        "Applying `016_platform_baseline` (1 of 3).",
        "Applied `016_platform_baseline` in N ms (1 of 3).",
        "Applying `017_dry_run_log` (2 of 3).",
        "Applied `017_dry_run_log` in N ms (2 of 3).",
        "Applying `018_gate` (3 of 3).",
    ]
    assert steady_text(rest).endswith("From `base` to `018_gate`: 3 revisions applied in N ms.\n")
    assert rest.count("From `base`") == 1
    assert "Applying" not in rest


# Each snapshot sees a sequence as it is now.
SLOW_INDEX = """
op.execute('''
    create function wait_for_it(text) returns text immutable language plpgsql as $$ begin
        while not (select is_called from public.told) loop perform pg_sleep(0.05); end loop;
        return $1;
    end $$
''')
op.execute('create index leads_nome on leads (wait_for_it(nome))')
"""


def test_the_bar_of_a_long_build(project: Project, task: Path, database: Database, aws: dict[str, str]) -> None:
    """On a terminal the function's log moves a bar with phase and share, within 80 columns."""
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    database.execute("insert into tenants (slug, company_name) values ('test-001', 'Teste')")
    database.execute(
        "insert into leads (tenant_id, nome) select tenant_id, 'Lead' from tenants, generate_series(1, 500)"
    )
    database.execute("create sequence told")
    _add(task, "018_slow", SLOW_INDEX)
    (project.folder / "migrate.toml").write_text('[env.dev]\nfunction = "function"\nregion = "us-east-1"\n')
    drawn = "building index: scanning table"
    with emulator.start(task, {"DATABASE_URL": database.url}, timeout_s=120) as function, _shipped(function, aws):
        known = {**aws, "AWS_ENDPOINT_URL_LAMBDA": function.url}
        code, seen = terminal.run(
            project.folder, "migrate", "--env", "dev", "upgrade", columns=80,
            seeing=(drawn, lambda: database.execute("select nextval('told')")), **known,
        )  # fmt: skip
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen))
    assert code == 0, seen
    assert [line for line in lines if re.search(rf"{drawn}.* \d+/[1-9]\d* ", line)], seen
    assert max(map(len, lines)) <= 80, seen


@pytest.mark.parametrize("permitted", [True, False])
def test_without_logs_it_goes_on(
    project: Project, task: Path, database: Database, aws: dict[str, str], permitted: bool
) -> None:
    """A permission or a log group that lacks costs one line and no progress, and nothing else."""
    _add(task, "018_slow", UNTIL_TOLD)
    denied = Endpoint(400, json.dumps({"__type": "AccessDeniedException", "Message": "no"}))
    with emulator.start(task, {"DATABASE_URL": database.url}, timeout_s=120) as function, serve(denied):
        logs = {} if permitted else {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": denied.url}
        known = {**aws, **logs, "AWS_ENDPOINT_URL_LAMBDA": function.url}
        process = project.start("migrate", "--function", "function", "upgrade", url="", **known)
        assert process.stderr is not None
        told = process.stderr.readline()
        database.execute("create table told ()")
        told += process.communicate(timeout=60)[1]
    reason = f"there is no log group `{GROUP}`" if permitted else "the caller lacks `logs:FilterLogEvents`"
    assert process.returncode == 0
    assert steady_text(told).splitlines() == [
        f"Progress is not shown: {reason}. The function continues.",
        "From `base` to `018_slow`: 3 revisions applied in N ms.",
    ]


def test_boto3_is_loaded_only_for_a_function(project: Project, database: Database) -> None:
    program = "import sys; from runner.cli import app; app(['current'], standalone_mode=False)"
    shown = "; print([name for name in ('boto3', 'botocore') if name in sys.modules])"
    done = project.run("python", "-c", f"{program}{shown}", url=database.url)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def _add(task: Path, revision: str, body: str) -> None:
    (task / "alembic" / "versions" / f"{revision}.py").write_text(
        "from alembic import op\n"
        f"revision = {revision!r}\ndown_revision = '017_dry_run_log'\ndef upgrade():\n{textwrap.indent(body, '    ')}"
    )


def _encode(context: Any) -> str:
    return base64.b64encode(json.dumps(context).encode()).decode()


def _client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t"
    )


@contextmanager
def _shipped(function: Function, aws: dict[str, str]) -> Iterator[None]:
    """Ship what the function writes to CloudWatch Logs while it writes, as Lambda does."""
    logs, stream, ended = _client("logs", aws["AWS_ENDPOINT_URL"]), "2026/01/01/[$LATEST]1", threading.Event()
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)

    def ship() -> None:
        shipped = 0
        while not ended.wait(0.1):
            text = function.log.read_text()
            whole = text[: text.rfind("\n") + 1].splitlines()
            events = [{"timestamp": _now_ms(), "message": line} for line in whole[shipped:] if line]
            shipped = len(whole)
            if events:
                logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)

    thread = threading.Thread(target=ship)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        logs.delete_log_group(logGroupName=GROUP)
        logs.close()


def _now_ms() -> int:
    return int(time.time() * 1000)
