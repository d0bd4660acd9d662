"""The workflows: least permissions, nothing untrusted in a shell, and only commands that there are."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from runner import cli
from runner.aws import promote
from support.project import ROOT

BIN = Path(sys.executable).parent
SCRIPTS = ROOT / ".github" / "scripts"
FILES = {path.stem: path for path in (ROOT / ".github" / "workflows").iterdir()}
WORKFLOWS = {name: yaml.safe_load(path.read_text()) for name, path in FILES.items()}
# YAML 1.1 reads the word `on` as true
TRIGGERS = {name: content[True] for name, content in WORKFLOWS.items()}
JOBS = {f"{name}/{job}": content for name, whole in WORKFLOWS.items() for job, content in whole["jobs"].items()}
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
OURS = re.compile(r"(?:^|[|&;(])\s*(?:[A-Z_]+=\S+\s+)*((?:migrate|make|python3?|\.github/\S+)\s[^|&;>]*)")


def steps(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the steps that have a `run`, or a `uses`, with the job that each belongs to."""
    return [(job, step) for job, content in JOBS.items() for step in content["steps"] if kind in step]


def test_what_starts_them() -> None:
    """`pull_request_target` and `workflow_run` would give unmerged code a token that writes."""
    assert TRIGGERS == {
        "pull-request": "pull_request",
        "main": {"push": {"branches": ["main"]}},
        "release": {"release": {"types": ["published"]}, "workflow_dispatch": None},
    }


def test_each_job_has_its_own_permissions_and_an_end() -> None:
    """Nothing by default; a token for AWS only where an environment of GitHub guards it; none for unmerged code."""
    for whole in WORKFLOWS.values():
        assert whole["permissions"] == {}
    read, deliver = {"contents": "read"}, {"contents": "read", "id-token": "write"}
    assert {job: (content["permissions"], content.get("environment")) for job, content in JOBS.items()} == {
        "pull-request/lint": (read, None),
        "pull-request/test": (read, None),
        "pull-request/plan": (read, None),
        "pull-request/comment": ({"contents": "read", "pull-requests": "write"}, None),
        "main/image": (deliver, "dev"),
        "main/dev": (deliver, "dev"),
        "release/runner": (deliver, "prod"),
        "release/upgrade": (deliver, "prod"),
        "release/agent": (deliver, "prod"),
    }
    assert all(0 < content["timeout-minutes"] <= 120 for content in JOBS.values())


def test_the_job_that_writes_runs_the_base_branchs_code() -> None:
    """What the pull request made comes to it as a file, and is only read."""
    job = JOBS["pull-request/comment"]
    assert "head.repo.full_name == github.repository" in job["if"]
    assert [step.get("uses", step.get("run")).partition("@")[0] for step in job["steps"]] == [
        "actions/checkout",
        "actions/download-artifact",
        'python3 .github/scripts/comment.py plan.md --pull-request "$PULL_REQUEST"',
    ]
    assert job["steps"][0]["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"


def test_deployments_of_one_environment_queue() -> None:
    assert {name: whole["concurrency"] for name, whole in WORKFLOWS.items() if name != "pull-request"} == {
        "main": {"group": "deploy-dev", "cancel-in-progress": False},
        "release": {"group": "deploy-prod", "cancel-in-progress": False},
    }


def test_a_release_that_waited_too_long_goes_on_where_it_was() -> None:
    """Promoting anew would bring what dev runs by then, so the wait is a job of its own, and so is what comes after."""
    assert [JOBS[f"release/{job}"].get("needs") for job in ("runner", "upgrade", "agent")] == [
        None,
        "runner",
        "upgrade",
    ]


def test_actions_are_pinned_by_commit() -> None:
    """With the version beside it, for people and for what brings updates."""
    lines = [line for path in FILES.values() for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) == len(steps("uses"))
    for line in lines:
        assert PINNED.fullmatch(line.partition("uses: ")[2]), line
    for job, step in steps("uses"):
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, job


def test_no_stored_key_and_nothing_pasted_into_a_shell() -> None:
    """A role by OIDC; a value reaches a script as a variable, so that no title or branch name can become a command."""
    for path in FILES.values():
        assert "secrets." not in path.read_text()
        assert "access-key" not in path.read_text()
    for job, step in steps("run"):
        assert "${{" not in step["run"], job
    roles = [step["with"] for _, step in steps("uses") if "configure-aws-credentials" in step["uses"]]
    assert len(roles) == 7
    assert all(one["role-to-assume"] == "${{ vars.AWS_ROLE_ARN }}" for one in roles)


def commands() -> Iterator[list[str]]:
    """Yield each of our own commands that the workflows and their shell scripts run, as words."""
    texts = [step["run"] for _, step in steps("run")] + [path.read_text() for path in SCRIPTS.glob("*.sh")]
    for text in texts:
        lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
        yield from (shlex.split(found[1]) for line in lines for found in OURS.finditer(line))


def test_every_command_exists() -> None:
    """A verb, option or target that is renamed would be noticed by the first deployment only."""
    verbs = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    targets = set(re.findall(r"^([./a-z-]+):", makefile, re.MULTILINE))
    seen = set()
    for program, first, *rest in commands():
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        if program == "migrate":
            assert options <= {name for parameter in verbs[first].params for name in parameter.opts}, rest
        elif program == "make":
            assert first in targets
        elif program.startswith(".github/"):
            assert os.access(ROOT / program, os.X_OK), program
        else:
            told = subprocess.run([BIN / program, ROOT / first, "--help"], capture_output=True, text=True, check=True)
            assert options <= set(re.findall(r"--[a-z-]+", told.stdout)), rest
        seen.add(program if program.startswith(".github/") else first)
    assert seen == {
        *(".venv/infra", ".venv/installed", "image", "lint", "test"),
        *("plan", "promote", "upgrade"),
        *(f".github/scripts/{path.name}" for path in SCRIPTS.iterdir() if path.is_file()),
    }


@pytest.mark.parametrize(
    ("jobs", "environment"),
    [(["main/dev"], "dev"), (["release/runner", "release/upgrade", "release/agent"], "prod")],
)
def test_what_promote_says_comes_next_is_what_the_workflow_does(jobs: list[str], environment: str) -> None:
    """Promote, deploy the runner, start the state machine, deploy the agent; in this order."""
    runs = [step["run"] for job in jobs for step in JOBS[job]["steps"] if "run" in step]
    runs = [run for run in runs if not run.startswith("make ")]
    assert [run.split()[0] for run in runs] == ["migrate", "npx", "python", "npx"]
    assert f" --to {environment}" in runs[0]
    said = re.findall(r"([\w-]+)`", promote.DEPLOY.format(environment))
    assert [run.split()[-1] for run in runs[1:]] == said


def test_the_linters_find_what_they_are_for(tmp_path: Path) -> None:
    """`make lint` runs them without a network; a title in a shell is found by both, a wrong word in a script by one."""
    bad = tmp_path / "bad.yml"
    bad.write_text(
        FILES["pull-request"].read_text().replace("run: make lint", "run: echo ${{ github.event.pull_request.title }}")
    )
    actionlint = [BIN / "actionlint", "-shellcheck", BIN / "shellcheck"]
    zizmor = [BIN / "zizmor", "--offline", "--no-progress", "--quiet"]
    for command, told in ((actionlint, "is potentially untrusted"), (zizmor, "template-injection")):
        found = subprocess.run([*command, bad], capture_output=True, text=True, check=False)
        assert found.returncode != 0
        assert told in found.stdout
    bad.write_text(FILES["pull-request"].read_text().replace("run: make lint", "run: cd /tmp; rm -rf $WHERE"))
    found = subprocess.run([*actionlint, bad], capture_output=True, text=True, check=False)
    assert "SC2086" in found.stdout
