"""What the documents say to type is typed: each console block, in order, as a new user would."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.project import ROOT
from support.shell import Shell

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console(?P<mark>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
HERE = re.compile(r"<<'(\w+)'$")
ELSEWHERE = "elsewhere"
"""The mark of a block that is not run here."""
AWS, ENGINE, LONG = "needs an AWS account", "needs a container engine", "measures for minutes, and writes its own page"
NOT_RUN = {
    "docs/aws.md": (AWS, [
        "migrate --env dev current", "migrate --env dev upgrade",
        "migrate --function arn:aws:lambda:us-east-1:123456789012:function:aurora-migrations-runner-dev history",
        "migrate --env dev doctor",
        "export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1", "make .venv/infra && source .venv/bin/activate",
        'alias cdk="npx aws-cdk@2"', "cdk bootstrap", "cdk deploy AuroraMigrationsRegistryStack",
        "registry=$(aws sts get-caller-identity --query Account --output text).dkr.ecr.us-east-1.amazonaws.com",
        ".github/scripts/push.sh $registry $(git rev-parse HEAD)",
        "migrate promote --to dev --image git-$(git rev-parse HEAD)", "cdk deploy AuroraMigrationsRunnerStack-dev",
        "machine=arn:aws:states:us-east-1:$(aws sts get-caller-identity --query Account --output text)"
        ":stateMachine:aurora-migrations-dev",
        "execution=$(aws stepfunctions start-execution --state-machine-arn $machine \\",
        "aws stepfunctions describe-execution --execution-arn $execution --query '[status,error,cause]'",
        "cdk deploy MicroAgenteDisparoStack-dev",
        "migrate promote --to dev --image git-<sha>", "migrate promote --from dev --to prod",
    ]),
    "docs/benchmarks.md": (LONG, [
        "make bench", "make bench-quick", "PYTHONPATH=tests .venv/bin/python -m benchmarks --case apply",
    ]),
    "docs/commands.md": (AWS, [
        """echo '{"action":"upgrade"}' > event.json""",
        "aws lambda invoke --function-name aurora-migrations-runner-dev:live --payload fileb://event.json \\",
    ]),
    "docs/image.md": (ENGINE, [
        "make image", "make image-test", "docker run --rm -e DATABASE_URL IMAGE migrate upgrade",
    ]),
    "docs/offline.md": (AWS, ["migrate --env prod sizes --json > sizes.json"]),
    "docs/settings.md": (ENGINE, [
        "docker compose up -d --wait",
        "export DATABASE_URL=postgresql://postgres:postgres@localhost:5432/alquimista",
    ]),
}  # fmt: skip
"""Every command of a marked block, with the reason that it is not run: another one is a failure of the test below."""
NOT_ZERO = [
    ("README.md", "migrate --local plan", 4),
    ("README.md", "migrate --local downgrade 017x", 1),
    ("docs/writing.md", "migrate check", 4),
]
"""The commands that end with a no or an error, as their document says."""


@dataclass(frozen=True)
class Typed:
    """A command of a document, and what the document says that it writes; nothing where it shows nothing."""

    document: str
    command: str
    shown: str
    is_run: bool

    @property
    def name(self) -> str:
        """Return the command's first line, without a comment."""
        return re.sub(r" +# .*", "", self.command.partition("\n")[0])


def commands(document: Path) -> Iterator[Typed]:
    """Yield the commands of a document's console blocks."""
    name = str(document.relative_to(ROOT))
    for block in BLOCK.finditer(document.read_text("utf-8")):
        assert block["mark"] in ("", f" {ELSEWHERE}"), (name, block["mark"])
        lines = block["text"].splitlines()
        while lines:
            first = lines.pop(0)
            assert first.startswith("$ "), (name, first)
            typed = [first.removeprefix("$ ")]
            if here := HERE.search(first):
                while typed[-1] != here[1]:
                    typed.append(lines.pop(0))
            while typed[-1].endswith("\\"):
                typed.append(lines.pop(0))
            shown = []
            while lines and not lines[0].startswith("$ "):
                shown.append(lines.pop(0))
            yield Typed(name, "\n".join(typed), "\n".join(shown), not block["mark"])


TYPED = [typed for document in DOCUMENTS for typed in commands(document)]


def without_empty_lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def differs(typed: Typed, written: str) -> bool:
    """Return whether a command wrote something else than its document shows, in which `…` is anything."""
    parts = map(re.escape, without_empty_lines(typed.shown).split("…"))
    return bool(typed.shown) and not re.fullmatch(".*".join(parts), without_empty_lines(written), re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """The project as one has it after `git clone`, with the packages that `make demo` would install."""
    for name in ("alembic", "demo", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("alembic.ini", "migrate.toml", "Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    packages = tmp_path / ".venv"
    packages.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (packages / name).symlink_to(Path(sys.executable).parents[1] / name)
    (packages / "installed").touch()
    try:
        yield tmp_path
    finally:
        for data in tmp_path.rglob(".postgres"):
            stop = [sys.executable, "-m", "runner.postgres.embedded", "stop"]
            subprocess.run(stop, cwd=data.parent, check=False)


def test_each_command_does_what_its_document_shows(clone: Path) -> None:
    """The README's tour from the clone on, then each page with the database as the one before left it."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(clone), "LC_ALL": "C.UTF-8"}
    ended: list[tuple[str, str, int]] = []
    wrong: list[str] = []
    for document in dict.fromkeys(typed.document for typed in TYPED if typed.is_run):
        with closing(Shell.start(clone, environ)) as shell:
            if document != "README.md":
                shell.type("source .venv/bin/activate")
            for typed in TYPED:
                if typed.document == document and typed.is_run:
                    code, written = shell.type(typed.command)
                    if differs(typed, written):
                        wrong.append(f"{document}: $ {typed.command} (exit code {code})\n{written}")
                    ended += [(document, typed.name, code)] if code else []
    assert not wrong, "\n".join(wrong)
    assert ended == NOT_ZERO


def test_what_is_not_run_is_named_with_its_reason() -> None:
    """A command that cannot run here is in the list, and the list has nothing else."""
    marked = {document: [typed.name for typed in TYPED if typed.document == document and not typed.is_run]
              for document in dict.fromkeys(typed.document for typed in TYPED if not typed.is_run)}  # fmt: skip
    assert marked == {document: names for document, (_, names) in NOT_RUN.items()}


def test_most_pages_are_run() -> None:
    """The README and the pages for who writes revisions have blocks that run."""
    run = {typed.document for typed in TYPED if typed.is_run}
    assert {"README.md", "docs/agent.md", "docs/commands.md", "docs/offline.md", "docs/own-project.md"} <= run
