"""Which PostgreSQL the tests take, and whose programs."""

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support import postgres
from support.project import ROOT

TESTS = ROOT / "tests"


def test_the_wheels_is_taken_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else there is: a server of one's own, an engine, the system's binaries."""
    monkeypatch.setenv("TEST_POSTGRES", "embedded")
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://localhost/other")
    assert postgres.choose().name == "embedded wheel"
    assert postgres.choose().binaries == postgres.binaries() == postgres.embedded_binaries()


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES", "system")
    for ask in (postgres.choose, postgres.binaries):
        with pytest.raises(ValueError, match=r"^`TEST_POSTGRES` may be `embedded` or unset, not `system`\.$"):
            ask()


def test_only_what_renounces_durability_lies_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A benchmark of commits needs a disk, and a machine with little memory keeps it for other things."""

    def parent(settings: str) -> Path:
        with postgres.folder_for(settings) as folder:
            return Path(folder).parent

    monkeypatch.setattr(postgres, "MEMORY", tmp_path)
    monkeypatch.setattr(postgres, "ROOM", 1)
    assert parent(postgres.SETTINGS) == tmp_path
    assert parent("") == Path(tempfile.gettempdir())
    monkeypatch.setattr(postgres, "ROOM", 1 << 60)
    assert parent(postgres.SETTINGS) == Path(tempfile.gettempdir())
    monkeypatch.setattr(postgres, "MEMORY", tmp_path / "none")
    monkeypatch.setattr(postgres, "ROOM", 1)
    assert parent(postgres.SETTINGS) == Path(tempfile.gettempdir())


def test_the_wheel_is_imported_without_a_warning() -> None:
    """No desktop session has set XDG_RUNTIME_DIR in a container."""
    known = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    command = [sys.executable, "-W", "error", "-c", "from support import postgres; postgres.embedded_binaries()"]
    done = subprocess.run(command, env={**known, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_client_programs_come_from_the_servers_folder() -> None:
    """One found on the PATH may be missing, or older than the server, which `pg_dump` refuses."""
    programs = {path.stem for path in postgres.embedded_binaries().iterdir()}
    assert {"pg_dump", "psql"} <= programs
    for path in TESTS.rglob("*.py"):
        lists = (node.elts for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.List))
        first = {words[0].value for words in lists if words and isinstance(words[0], ast.Constant)}
        assert not first & programs, path
