"""Where things stand: what tests share is in `tests/support`."""

import ast
from pathlib import Path

import pytest

from support.project import ROOT

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_no_test_file_imports_another(path: Path) -> None:
    """A helper that two need has a name of its own in `tests/support`."""
    others = {one.stem for one in TESTS}
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not others & {part for name in names for part in name.split(".")}, node.lineno
