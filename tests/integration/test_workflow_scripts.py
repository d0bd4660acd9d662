"""The scripts of the workflows, run as the workflows run them: the plan, its comment, the push, the execution."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from support.postgres import Database
from support.project import ROOT, Project

SCRIPTS = ROOT / ".github" / "scripts"
BIN = Path(sys.executable).parent
PATH = f"{BIN}:{os.environ['PATH']}"
RUN = {
    "GITHUB_ACTOR": "ana",
    "GITHUB_REPOSITORY": "alquimista/migrations",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_RUN_ATTEMPT": "1",
}


def run(script: str, *words: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a script with nothing else in its environment."""
    return subprocess.run(**_call(script, words, cwd, environ), capture_output=True, check=False)


def _call(script: str, words: tuple[str, ...], cwd: Path, environ: dict[str, str]) -> dict[str, Any]:
    program = [sys.executable] if script.endswith(".py") else []
    known = {"PATH": PATH, "HOME": str(cwd), **environ}
    return {"args": [*program, str(SCRIPTS / script), *words], "cwd": cwd, "env": known, "text": True}


def git(project: Project, *words: str) -> None:
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=project.folder, check=True, capture_output=True)


@pytest.fixture
def pull_request(project: Project) -> Project:
    """A repository whose head is a merge commit: the base branch has two revisions, the pull request brings more."""
    git(project, "init", "--quiet")
    git(project, "add", "alembic", "alembic.ini")
    git(project, "commit", "--quiet", "--message", "base")
    git(project, "checkout", "--quiet", "-b", "change")
    return project


def merge(project: Project) -> None:
    git(project, "add", "alembic")
    git(project, "commit", "--quiet", "--message", "change")
    git(project, "checkout", "--quiet", "main")
    git(project, "merge", "--quiet", "--no-ff", "--message", "merge", "change")


def test_the_plan_of_a_pull_request(pull_request: Project, database: Database, tmp_path: Path) -> None:
    """The database stands at the base's head, the plan has what the pull request adds, and nothing of it is run."""
    pull_request.add("018_score", "op.execute('alter table tenants add score int')")
    merge(pull_request)
    done = run("plan.sh", "plan.md", cwd=tmp_path, DATABASE_URL=database.url)
    assert done.returncode == 0, done.stderr
    plan = (tmp_path / "plan.md").read_text()
    assert "From `017_dry_run_log` to `018_score`: 1 revision to apply" in plan
    assert "alter table tenants add score int" in plan
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    left = subprocess.run(["git", "worktree", "list"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(left.stdout.splitlines()) == 1


def test_a_plan_with_errors_fails_the_check_and_is_written_all_the_same(
    pull_request: Project, database: Database, tmp_path: Path
) -> None:
    pull_request.add("018_gone", "op.drop_column('leads', 'tags')")
    merge(pull_request)
    done = run("plan.sh", "plan.md", cwd=tmp_path, DATABASE_URL=database.url)
    assert done.returncode == 4, done.stderr
    assert "ban-drop-column" in (tmp_path / "plan.md").read_text()


def test_a_pull_request_that_cannot_be_planned(pull_request: Project, database: Database, tmp_path: Path) -> None:
    """Two heads are an error, which the comment tells."""
    pull_request.add("018_left", "pass")
    pull_request.add("018_right", "pass")
    merge(pull_request)
    done = run("plan.sh", "plan.md", cwd=tmp_path, DATABASE_URL=database.url)
    assert done.returncode == 1
    assert "multiple-heads" in (tmp_path / "plan.md").read_text()


@dataclass
class GitHub:
    """The part of GitHub's API that has the comments of one pull request."""

    url: str = ""
    status: int = 200
    comments: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def add(self, body: str, login: str = "ana") -> None:
        self.comments.append({"id": len(self.comments) + 1, "body": body, "user": {"login": login}})

    def answer(self, method: str, path: str, content: Any) -> Any:
        where = urllib.parse.urlsplit(path)
        self.asked.append(f"{method} {where.path}")
        if method == "GET":
            asked = urllib.parse.parse_qs(where.query)
            size, page = int(asked["per_page"][0]), int(asked["page"][0])
            return self.comments[(page - 1) * size : page * size]
        if method == "POST":
            self.add(content["body"], "github-actions[bot]")
            return {"html_url": "https://github.com/new"}
        self.comments[int(where.path.rpartition("/")[2]) - 1]["body"] = content["body"]
        return {"html_url": "https://github.com/changed"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    known = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            authorised = self.headers["Authorization"] == "Bearer only-for-tests"
            status = known.status if authorised else 401
            answered = known.answer(self.command, self.path, json.loads(content or "null")) if status == 200 else {}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answered).encode())

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}"
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


def comment(github: GitHub, folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    (folder / "plan.md").write_text(text)
    known = {**RUN, "GITHUB_API_URL": github.url, "GITHUB_TOKEN": "only-for-tests"}
    return run("comment.py", "plan.md", "--pull-request", "7", cwd=folder, **known)


def test_the_comment_is_changed_in_place(github: GitHub, tmp_path: Path) -> None:
    """However many others there are, and also where somebody else wrote one that looks like it."""
    github.add("<!-- migrate plan -->\nnot ours")
    for number in range(150):
        github.add(f"comment {number}")
    first = comment(github, tmp_path, "the first plan")
    assert (first.returncode, first.stdout) == (0, "https://github.com/new\n"), first.stderr
    second = comment(github, tmp_path, "the second plan")
    assert (second.returncode, second.stdout) == (0, "https://github.com/changed\n"), second.stderr
    assert len(github.comments) == 152
    assert github.comments[-1]["body"] == "<!-- migrate plan -->\nthe second plan"
    assert github.comments[0]["body"] == "<!-- migrate plan -->\nnot ours"
    issues = "/repos/alquimista/migrations/issues"
    assert github.asked == [
        *[f"GET {issues}/7/comments"] * 2,
        f"POST {issues}/7/comments",
        *[f"GET {issues}/7/comments"] * 2,
        f"PATCH {issues}/comments/152",
    ]


def test_a_comment_that_github_does_not_take(github: GitHub, tmp_path: Path) -> None:
    github.status = 403
    done = comment(github, tmp_path, "the plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "GitHub refused: 403 Forbidden. Nothing was written.\n"
    assert github.comments == []


def test_a_comment_is_never_too_long(github: GitHub, tmp_path: Path) -> None:
    assert comment(github, tmp_path, "x" * 70_000).returncode == 0
    assert len(github.comments[0]["body"]) == 65_536


@pytest.mark.parametrize("there", [True, False])
def test_a_commit_is_built_once(tmp_path: Path, there: bool) -> None:
    """Where the registry has its tag nothing is built; the registry's password is in no argument."""
    asked, checkout = tmp_path / "asked", tmp_path / "checkout"
    commit = commit_all(checkout)
    found = f"git-{commit}" if there else "None"
    for program, does in (
        ("aws", f'case "$2" in batch-get-image) echo {found} ;; get-login-password) echo s3cret ;; esac'),
        ("docker", 'if [ "$1" = login ]; then cat > "$ASKED.login"; fi'),
        ("make", ""),
    ):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{program} $*" >> "$ASKED"\n{does}\n')
        path.chmod(0o755)
    known = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "ASKED": str(asked)}
    done = run("push.sh", "1.dkr.ecr.us-east-1.amazonaws.com", commit, cwd=checkout, **known)
    assert done.returncode == 0, done.stderr
    image = f"1.dkr.ecr.us-east-1.amazonaws.com/aurora-migrations:git-{commit}"
    lines = asked.read_text().splitlines()
    assert lines[0].startswith(
        f"aws ecr batch-get-image --repository-name aurora-migrations --image-ids imageTag=git-{commit}"
    )
    if there:
        assert (lines[1:], done.stdout) == ([], f"The registry has git-{commit} already; nothing was built.\n")
        return
    # both ends of a pipe begin at once
    assert lines[1] == f"make image IMAGE={image}"
    assert sorted(lines[2:4]) == [
        "aws ecr get-login-password",
        "docker login --username AWS --password-stdin 1.dkr.ecr.us-east-1.amazonaws.com",
    ]
    assert lines[4:] == [f"docker push --quiet {image}"]
    assert (tmp_path / "asked.login").read_text() == "s3cret\n"


def commit_all(folder: Path) -> str:
    """Make a repository with one commit, and return its id."""
    folder.mkdir()
    (folder / "file").touch()
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.com")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "one"]):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()


@pytest.mark.parametrize("odd", ["another commit", "a file that is not committed"])
def test_only_a_commit_is_built(tmp_path: Path, odd: str) -> None:
    """A tag is written once, so what it names must be what is built."""
    commit = commit_all(tmp_path / "checkout")
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text("#!/bin/sh\necho None\n")
    aws.chmod(0o755)
    if odd == "another commit":
        commit = "0" * 40
    else:
        (tmp_path / "checkout" / "new").touch()
    known = {"PATH": f"{aws.parent}:{os.environ['PATH']}"}
    done = run("push.sh", "registry", commit, cwd=tmp_path / "checkout", **known)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"The working tree is not commit {commit}, and a tag is written once. Nothing was built. "
        "Check it out, then repeat.\n"
    )


PASS = {"Type": "Pass", "End": True}
WAIT = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": True}
EVERY = ("--every", "0.1")
FAIL = {"Type": "Fail", "Error": "plan-stale", "Cause": "The plan no longer holds."}


@pytest.fixture
def machine(aws: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Any]:
    """Make state machines of one state that moto really runs, each under a name of its own."""
    states = client("stepfunctions", aws)
    _execute(aws, really=True)
    made: list[str] = []

    def make(state: dict[str, object]) -> tuple[Any, str]:
        name = f"machine-{abs(hash(request.node.nodeid))}"
        definition = json.dumps({"StartAt": "Only", "States": {"Only": state}})
        role = "arn:aws:iam::123456789012:role/role"
        made.append(states.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"])
        return states, name

    yield make
    for arn in made:
        states.delete_state_machine(stateMachineArn=arn)
    _execute(aws, really=False)
    states.close()


def client(service: str, aws: dict[str, str]) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def _execute(aws: dict[str, str], *, really: bool) -> None:
    content = json.dumps({"stepfunctions": {"execute_state_machine": really}}).encode()
    url = f"{aws['AWS_ENDPOINT_URL']}/moto-api/config"
    with urllib.request.urlopen(urllib.request.Request(url, content, {"Content-Type": "application/json"})):
        pass


def execute(
    aws: dict[str, str], cwd: Path, name: str, *words: str, **environ: str
) -> "subprocess.CompletedProcess[str]":
    known = {**_of_run(aws, name), **environ}
    return run("execution.py", name, *EVERY, *words, cwd=cwd, **known)


def _of_run(aws: dict[str, str], name: str) -> dict[str, str]:
    return {**aws, **RUN, "GITHUB_RUN_ID": str(abs(hash(name)))}


def test_an_execution_is_started_waited_for_and_its_result_printed(
    aws: dict[str, str], tmp_path: Path, machine: Any
) -> None:
    """With an upgrade to the head, and with who asked and in which run."""
    _, name = machine(PASS)
    done = execute(aws, tmp_path, name, GITHUB_RUN_ID="42")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "action": "upgrade",
        "target": "head",
        "actor": "ana https://github.com/alquimista/migrations/actions/runs/42",
    }
    arn = f"arn:aws:states:us-east-1:123456789012:execution:{name}:github-42-1"
    assert done.stderr == f"Started, or joined, `{arn}`.\n`{arn}` succeeded.\n"


def test_why_an_execution_failed_is_printed(aws: dict[str, str], tmp_path: Path, machine: Any) -> None:
    """Run again, the job starts another one; what ended is not joined."""
    _, name = machine(FAIL)
    done = execute(aws, tmp_path, name)
    assert (done.returncode, done.stdout) == (1, "")
    ended = [re.sub(r"`arn:[^`]+`", "`ARN`", line) for line in done.stderr.splitlines()]
    assert ended[1:] == ["`ARN` ended as FAILED: plan-stale.", "The plan no longer holds."]
    again = execute(aws, tmp_path, name, GITHUB_RUN_ATTEMPT="2")
    assert again.returncode == 1
    assert again.stderr.splitlines()[0].endswith("-2`.")


def test_an_execution_that_outlasts_the_job_is_joined_by_the_next_attempt(
    aws: dict[str, str], tmp_path: Path, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it waits for an approval: no second one is started."""
    # where moto's tasks look for AWS
    monkeypatch.setenv("MOTO_PORT", aws["AWS_ENDPOINT_URL"].rpartition(":")[2])
    sqs = client("sqs", aws)
    queue = sqs.create_queue(QueueName="approvals")["QueueUrl"]
    states, name = machine(WAIT | {"Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"}})
    first = execute(aws, tmp_path, name, "--minutes", "0")
    assert first.returncode == 3, first.stderr
    assert first.stderr.splitlines()[1:] == [
        first.stderr.splitlines()[0].removeprefix("Started, or joined, ").removesuffix(".")
        + " still runs, as where it waits for an approval, and goes on without this job.",
        "Run the job again to join it.",
    ]
    environ = {**_of_run(aws, name), "GITHUB_RUN_ATTEMPT": "2"}
    call = _call("execution.py", (name, *EVERY), tmp_path, environ)
    with subprocess.Popen(**call, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as second:
        assert second.stderr is not None
        joined = second.stderr.readline()
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
        states.send_task_success(taskToken=message["Body"], output="{}")
        _, told = second.communicate(timeout=60)
    sqs.close()
    assert second.returncode == 0, told
    assert joined.splitlines() == first.stderr.splitlines()[:1]
    arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:{name}"
    assert len(states.list_executions(stateMachineArn=arn)["executions"]) == 1


def test_a_state_machine_that_is_not_there(aws: dict[str, str], tmp_path: Path) -> None:
    done = execute(aws, tmp_path, "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "StateMachineDoesNotExist" in done.stderr
    assert "Traceback" not in done.stderr
