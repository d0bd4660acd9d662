"""The map in docs/architecture.md, and the lists of CONTRIBUTING.md, name what is there."""

import ast
import re
from pathlib import Path

import pytest

from support.project import ROOT

RUNNER = ROOT / "src" / "runner"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CODE = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"((?:\w+/)*\w+\.(?:py|json)):([\w.]+)")
FILE = re.compile(r"(?:\w+/)*\w+(?:\.\w+)*\.(?:py|json)")


def find(name: str) -> Path:
    """Return the file that a name means: of the runner, else of the project."""
    inside = RUNNER / name
    return inside if inside.exists() else ROOT / name


def definitions(file: Path) -> set[str]:
    """Return what a module defines: functions, classes and their members, constants."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        names = _names(node)
        found |= names
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{member}" for one in node.body for member in _names(one)}
    return found


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


@pytest.mark.parametrize("place", sorted(set(PLACE.findall(ARCHITECTURE))), ids=":".join)
def test_every_place_is_there(place: tuple[str, str]) -> None:
    """A `file:function` of the map leads to a function, a class or a constant of that file."""
    file, name = place
    assert name in definitions(find(file))


@pytest.mark.parametrize("document", [ARCHITECTURE, CONTRIBUTING], ids=["architecture", "contributing"])
def test_every_file_is_there(document: str) -> None:
    """Whatever is written like a file, alone or before a colon, is one."""
    named = {code.partition(":")[0] for code in CODE.findall(document)}
    assert {name for name in named if FILE.fullmatch(name) and not find(name).exists()} == set()


def test_every_module_is_on_the_map() -> None:
    """Each module of the runner is named, by its file or in the row of its package; a rule is on its own page."""
    modules = {path.relative_to(RUNNER) for path in RUNNER.rglob("*.py") if path.stem != "__init__"}
    modules = {one for one in modules if one.parent.name != "rules"}
    named = {code.removesuffix(".py").rpartition("/")[2] for code in CODE.findall(ARCHITECTURE)}
    assert {str(one) for one in modules if one.stem not in named} == set()


def test_the_lists_for_a_contributor_name_what_is_there() -> None:
    """Constants and functions of the two lists are defined in the file of their row."""
    for row in re.findall(r"^\| `([\w/]+\.py)` \| (.*) \|$", CONTRIBUTING, re.MULTILINE):
        names = {code for code in CODE.findall(row[1]) if re.fullmatch(r"_?[A-Z][A-Z_]+|_[a-z_]+|[A-Z]\w+", code)}
        assert names <= definitions(find(row[0])), row[0]
