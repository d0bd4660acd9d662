"""`make demo` as a newcomer meets it: a tour whose every command ends well, and that leaves nothing behind."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner import settings
from runner.script import linear
from support.project import ROOT

BIN = Path(sys.executable).parent
DECIDED = [
    ("whatsapp", "sim", "WhatsApp para o primeiro telefone"),
    ("email", "sim", "E-mail para o primeiro endereço"),
    ("calendar", "sim", "Lembrete pelo calendário"),
    ("none", "não", "nenhum canal disponível"),
    ("", "não", "bloqueado a pedido da pessoa (LGPD)"),
    ("", "não", "lead encerrado"),
    ("", "não", "fora do horário comercial"),
    ("", "não", "limite por minuto"),
]
"""Each kind of decision: its channel where the kind has one, whether it would be sent, and how its reason begins."""


@dataclass(frozen=True)
class Tour:
    """A copy of the project in which the demo has run, and what it wrote."""

    folder: Path
    told: str
    files: set[str]
    """Those of the folder before."""

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder)}
        return subprocess.run(
            shlex.split(command), cwd=self.folder, env=environ, check=False, text=True,
            capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in found if path.parts[0] not in (".postgres", "v") and "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    """The demo in a copy of the project, with the programs that are installed already."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("alembic", "demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("alembic.ini", "migrate.toml", "Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "v").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / "v" / name).symlink_to(BIN.parent / name)
    (folder / "v" / "installed").touch()
    before = files(folder)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            ["make", "--no-print-directory", "demo", "VENV=v"], cwd=folder, env=environ, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        yield Tour(folder, done.stdout, before)
    finally:
        subprocess.run([BIN / "python", "-m", "runner.postgres.embedded", "stop"], cwd=folder, check=False)


def test_a_red_plan_and_its_safe_twin(tour: Tour) -> None:
    """The first one ends in what to correct, the second one in the line that applies it."""
    _, red, safe = tour.told.split("$ migrate --local plan\n")
    assert "1 error, " in red
    assert "Correct 1 error before you apply this plan, in `alembic/versions/024_add_score.py:11`" in red
    assert "(exit code 4)" in red
    assert "2 revisions to apply; no findings." in safe
    assert re.search(r"^migrate --local upgrade --plan \S+\n\(exit code 0\)$", safe, re.MULTILINE)


def test_ten_leads_show_every_kind_of_decision(tour: Tour) -> None:
    """On whatever day the demo runs: the decisions are those of a moment that it names."""
    assert "Decided as at 2026-03-03T08:30:00-03:00, not as at this moment.\n" in tour.told
    rows = [line.split("\t")[2:] for line in tour.told.splitlines() if re.match(r"[0-9a-f-]{36}\t", line)]
    assert len(rows) == 10
    for canal, sent, reason in DECIDED:
        found = [row for row in rows if row[0] == (canal or row[0]) and row[1] == sent and row[2].startswith(reason)]
        assert found, (reason, rows)


def test_nothing_is_left_behind(tour: Tour) -> None:
    """The copy of the project in which it plans is gone, and the database is at the project's own head."""
    assert files(tour.folder) - tour.files <= {".postgres.lock"}
    head = tour.run("migrate --local current").stdout.strip()
    found = linear.read(settings.read({"ALEMBIC_CONFIG": str(ROOT / "alembic.ini")}))
    assert found is not None
    assert (head, tour.told.count("(exit code ")) == (found.heads[0], 2)


def test_what_to_try_next_ends_well(tour: Tour) -> None:
    """Each of the commands, as it is printed."""
    commands = re.findall(r"^  v/(bin/.+?)   ", tour.told.partition("to try next:\n")[2], re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = tour.run(f"v/{command}")
        assert done.returncode == 0, (command, done.stderr)


def test_a_path_with_a_space_is_refused_at_once(tmp_path: Path) -> None:
    """Before anything is installed: the embedded PostgreSQL could not run there."""
    folder = tmp_path / "my projects"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    done = subprocess.run(
        ["make", "--no-print-directory", "demo"], cwd=folder, text=True, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == f"make demo cannot run in `{folder}`, whose path contains a space. Move the project.\n"
    assert [path.name for path in folder.iterdir()] == ["Makefile"]


def test_it_says_what_it_installs(tmp_path: Path) -> None:
    """How many packages, how much and how long, before the first of them is fetched."""
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", f"VENV={tmp_path / 'v'}", "PYTHON=false"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    packages = len(re.findall(r"^[a-z0-9-]+==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    told = re.match(r"Installing into \S+: (\d+) packages, (\d+) MB to download and (\d+) MB on disk, in ", done.stdout)
    assert told, done.stdout
    assert abs(int(told[1]) - packages) <= 10
