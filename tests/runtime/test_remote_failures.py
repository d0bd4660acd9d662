"""What `migrate --function` says when there is no answer: what is known of the work, and the next step."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from support import emulator, moto_server
from support.endpoint import CREDENTIALS, Endpoint, refusal, serve
from support.postgres import Database, free_port
from support.project import Project

NOTHING = "Nothing was changed."
UNKNOWN = "It is not known whether the function changed anything."
LOOK = "Look at the database with `migrate --function f current`, then run `migrate --function f upgrade` again."
LOGS = "Read the reason in the log group `/aws/lambda/f`."


def ask(project: Project, url: str, *words: str, **environ: str) -> "CompletedProcess[str]":
    known = {**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": url, **environ}
    return project.run("migrate", "--function", "f", *words, **{name: value for name, value in known.items() if value})


@pytest.mark.parametrize(
    ("answered", "message"),
    [
        (
            refusal(403, "AccessDeniedException", "User: arn:aws:iam::1:user/planted is not authorized"),
            "function-unreachable: `f` could not be invoked: the caller lacks `lambda:InvokeFunction`. "
            "Nothing was changed. Have the permission granted, or use another profile.",
        ),
        (
            refusal(404, "ResourceNotFoundException"),
            "function-unreachable: `f` could not be invoked: there is no such function in this account and region. "
            "Nothing was changed. Correct its name or its region, then run `migrate --function f upgrade`.",
        ),
        (
            refusal(429, "TooManyRequestsException"),
            "function-unreachable: `f` could not be invoked: it is throttled, perhaps by another run. "
            "Nothing was changed. Run `migrate --function f upgrade` again when the other run has ended.",
        ),
        (
            refusal(409, "ResourceConflictException"),
            "function-unreachable: `f` could not be invoked: it is not active, because it is being created or updated. "
            "Nothing was changed. Wait until it is `Active`, then run `migrate --function f upgrade`.",
        ),
        (
            refusal(403, "ExpiredTokenException"),
            "function-unreachable: `f` could not be invoked: the AWS credentials have expired. "
            "Nothing was changed. Log in (`aws sso login`), or set `AWS_PROFILE`, then run "
            "`migrate --function f upgrade`.",
        ),
        (
            refusal(502, "ENILimitReachedException"),
            "function-unreachable: `f` could not be invoked: AWS refused (ENILimitReachedException). "
            "Nothing was changed. Correct what the code names, then run `migrate --function f upgrade`.",
        ),
        (
            refusal(500, "ServiceException"),
            f"function-failed: `f` ended without an answer (ServiceException). {UNKNOWN} {LOOK}",
        ),
        (
            Endpoint(
                200,
                '{"errorMessage": "Error: Task timed out after 3.00 seconds", "errorType": "Sandbox.Timedout"}',
                {"X-Amz-Function-Error": "Unhandled"},
            ),
            f"function-failed: `f` reached its time-out of 3 s. {UNKNOWN} {LOOK}",
        ),
        (
            Endpoint(
                200,
                '{"errorMessage": "planted", "errorType": "Runtime.ExitError"}',
                {"X-Amz-Function-Error": "Unhandled"},
            ),
            f"function-failed: `f` ended without an answer (Runtime.ExitError). {UNKNOWN} {LOOK}",
        ),
        (
            Endpoint(
                200,
                '{"errorMessage": "planted", "errorType": "Runtime.ImportModuleError"}',
                {"X-Amz-Function-Error": "Unhandled"},
            ),
            f"function-failed: `f` ended without an answer (Runtime.ImportModuleError). {NOTHING} {LOGS}",
        ),
        (
            Endpoint(200, '"planted"'),
            f"function-failed: `f` returned something other than an answer of this tool. {UNKNOWN} {LOOK}",
        ),
        (
            Endpoint(200, '{"status": "planted"}'),
            f"function-failed: `f` returned something other than an answer of this tool. {UNKNOWN} {LOOK}",
        ),
    ],
    ids=lambda value: value.headers.get("x-amzn-ErrorType", value.body[:40]) if isinstance(value, Endpoint) else "",
)
def test_what_aws_answers(project: Project, answered: Endpoint, message: str) -> None:
    """Each in our words, none in AWS's, the same shape as a failure here, and asked only once."""
    answered.asked.clear()
    with serve(answered) as endpoint:
        done = ask(project, endpoint.url, "upgrade", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"], answer["action"]) == (1, "error", "upgrade")
    assert answer["message"] == message
    assert message == f"{answer['code']}: {answer['error']} {_state(message)} {answer['hint']}"
    assert answer["request_id"]
    assert len(_invoked(answered)) == 1
    assert "planted" not in done.stdout + done.stderr


def _invoked(endpoint: Endpoint) -> list[dict[str, str]]:
    """Return the requests that were invocations; of what takes more than a second the logs are asked for too."""
    return [headers for headers in endpoint.asked if "X-Amz-Client-Context" in headers]


def _state(message: str) -> str:
    return NOTHING if NOTHING in message else UNKNOWN


def test_a_function_that_moto_does_not_know(project: Project, aws: dict[str, str]) -> None:
    with moto_server.log_group(aws, "f"):
        done = ask(project, aws["AWS_ENDPOINT_URL"], "upgrade")
    assert done.returncode == 1
    assert done.stderr.startswith("function-unreachable: `f` could not be invoked: there is no such function")


def test_no_answer_in_time(project: Project) -> None:
    """Where an SDK would time out and invoke again, it is invoked once, and may be at work still."""
    silent = Endpoint(None)
    with serve(silent) as endpoint:
        done = ask(project, endpoint.url, "upgrade", "--timeout", "1.5", AWS_MAX_ATTEMPTS="5")
        reading = ask(project, endpoint.url, "current", "--timeout", "0.5")
    gave = "function-failed: `f` did not answer within {} s, and may still be running."
    assert (done.returncode, done.stderr) == (1, f"{gave.format('1.5')} {UNKNOWN} {LOOK}\n")
    assert (reading.returncode, reading.stderr) == (1, f"{gave.format('0.5')} {NOTHING} {LOGS}\n")
    assert len(_invoked(silent)) == 2


def test_ctrl_c_does_not_end_the_function(project: Project) -> None:
    silent = Endpoint(None)
    with serve(silent) as endpoint:
        known = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint.url}
        process = project.start("migrate", "--function", "f", "upgrade", url="", **known)
        ends = time.monotonic() + 60
        while not silent.asked:
            assert time.monotonic() < ends
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (
        130,
        "interrupted: Stopped waiting for `f`. The function continues to run. "
        "Check its progress with `migrate --function f current`.\n",
    )


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "there are no AWS credentials"),
        ({"AWS_DEFAULT_REGION": "no where"}, "the AWS region is not valid"),
        # boto3 itself knows the other name alone
        ({"AWS_DEFAULT_REGION": "", "AWS_REGION": "no where"}, "the AWS region is not valid"),
        ({"AWS_PROFILE": "nobody"}, "`~/.aws/config` has no such profile"),
        ({"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": ""}, "no AWS region is set"),
        ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}, "the endpoint of AWS cannot be reached"),
    ],
)
def test_not_even_sent(project: Project, aws: dict[str, str], environ: dict[str, str], reason: str) -> None:
    known = {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": aws["AWS_ENDPOINT_URL"], **environ}
    with moto_server.log_group(aws, "f"):
        done = ask(project, "http://127.0.0.1:9", "upgrade", **known)
    assert done.returncode == 1
    assert done.stderr.startswith(f"function-unreachable: `f` could not be invoked: {reason}. {NOTHING} ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("body", "timeout_s", "reason"),
    [
        ("import os; os._exit(3)", 20, "ended without an answer (502)"),
        ("import time; time.sleep(60)", 8, "reached its time-out of 8 s"),
    ],
)
def test_the_real_runtime_dies(
    project: Project, task: Path, database: Database, body: str, timeout_s: int, reason: str
) -> None:
    """A crash and a time-out of the function itself, in the midst of a revision: not known, and said so."""
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    (task / "alembic" / "versions" / "018_bad.py").write_text(
        f"revision = '018_bad'\ndown_revision = '017_dry_run_log'\ndef upgrade():\n    {body}\n"
    )
    with emulator.start(task, {"DATABASE_URL": database.url}, timeout_s=timeout_s) as function:
        known = {**CREDENTIALS, "AWS_ENDPOINT_URL": function.url}
        done = project.run("migrate", "--function", "function", "upgrade", **known)
    there = LOOK.replace("function f", "function function")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"function-failed: `function` {reason}. {UNKNOWN} {there}"
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def test_in_production_the_next_step_is_the_state_machine(project: Project) -> None:
    """Nobody else may invoke the function there; a shell gets the words of the message, as they are."""
    (project.folder / "migrate.toml").write_text('[env.prod]\nfunction = "g:live"\nregion = "eu-west-1"\n')
    aws = project.folder / "aws"
    aws.write_text('#!/bin/sh\n[ "$1" = sts ] && echo 123456789012 && exit\nprintf "%s\\n" "$@"\n')
    aws.chmod(0o755)
    plan = "0123456789abcdef-x"
    for words, event in (
        (["plan", "017"], {"action": "plan", "target": "017"}),
        (["upgrade", "--plan", plan], {"action": "upgrade", "target": "head"}),
        (["end-session", "12"], {"action": "end-session", "pid": 12}),
    ):
        with serve(refusal(403, "AccessDeniedException")) as endpoint:
            known = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint.url, "AWS_EC2_METADATA_DISABLED": "true"}
            done = project.run("migrate", "--env", "prod", *words, **known)
        command = re.findall("`([^`]+)`", done.stderr)[3]
        typed = subprocess.run(
            ["bash", "-c", command], env={"PATH": f"{project.folder}:{os.environ['PATH']}"}, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        *asked, given = typed.stdout.splitlines()
        assert asked == [
            "stepfunctions", "start-execution", "--region", "eu-west-1", "--state-machine-arn",
            "arn:aws:states:eu-west-1:123456789012:stateMachine:aurora-migrations-prod", "--input",
        ]  # fmt: skip
        assert json.loads(given) == event


PROFILE = '[env.dev]\nfunction = "f"\n[env.prod]\nfunction = "g"\n'


@pytest.mark.parametrize(
    ("content", "env", "told"),
    [
        (None, "dev", "`migrate.toml` cannot be read, so no environment is known."),
        ("[env", "dev", "`migrate.toml` is not valid TOML, so no environment is known."),
        (PROFILE, "", "`migrate.toml` has no table `[env.]`; its environments are `dev`, `prod`."),
        (PROFILE, "qa", "`migrate.toml` has no table `[env.qa]`; its environments are `dev`, `prod`."),
        ("", "dev", "`migrate.toml` has no table `[env.dev]`; its environments are none."),
        ("environments = 1", "dev", "`migrate.toml` contains `environments` besides the tables `[env.…]`."),
        (
            "[env.dev]\nregion = 'x'",
            "dev",
            "`[env.dev]` in `migrate.toml` lacks `function`; the environments of the file are `dev`.",
        ),
        (
            PROFILE + "regoin = 'x'",
            "prod",
            "`[env.prod]` in `migrate.toml` has a wrong `regoin`; the environments of the file are `dev`, `prod`.",
        ),
        (
            "[env.dev]\nfunction = 7",
            "dev",
            "`[env.dev]` in `migrate.toml` has a wrong `function`; the environments of the file are `dev`.",
        ),
    ],
)
def test_a_profile_that_is_not_one(project: Project, content: str | None, env: str, told: str) -> None:
    if content is not None:
        (project.folder / "migrate.toml").write_text(content)
    done = project.run("migrate", "current", "--env", env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"settings: {told} {NOTHING} ")


@pytest.mark.parametrize(
    "words",
    [
        ["current", "--env", "dev", "--local"],
        ["current", "--env", "dev", "--function", "f"],
        ["--local", "current", "--function", "f"],
        ["new", "add score", "--env", "dev"],
        ["snapshot", "--function", "f"],
    ],
)
def test_usage(project: Project, words: list[str]) -> None:
    done = project.run("migrate", *words)
    assert (done.returncode, done.stdout) == (2, "")
    told = "exclude each other" if "current" in words else "accepts neither --env nor --function"
    assert told in done.stderr


def test_an_empty_name_is_not_here(project: Project, database: Database) -> None:
    """A variable that is not set must never lead to the database that happens to be near."""
    done = project.run("migrate", "current", "--function", "", url=database.url, **CREDENTIALS)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Lambda rejects the name" in done.stderr


def test_an_arn_says_its_region(project: Project, aws: dict[str, str]) -> None:
    known: dict[str, Any] = {**aws, "AWS_DEFAULT_REGION": ""}
    arn = "arn:aws:lambda:us-east-1:123456789012:function:aurora-migrations-runner-dev:live"
    (project.folder / "migrate.toml").write_text(f"[env.dev]\nfunction = '{arn}'\n")
    with moto_server.log_group(aws, "aurora-migrations-runner-dev"):
        for named in (["--function", arn], ["--env", "dev"]):
            told = project.run("migrate", "current", *named, **known).stderr
            assert told.startswith(
                "function-unreachable: `aurora-migrations-runner-dev` could not be invoked: there is no"
            )
