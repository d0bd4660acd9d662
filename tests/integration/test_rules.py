"""Each rule finds its bad examples and not its safe ones; what it advises instead is applied for real."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.lint import pages, rules
from support import examples
from support.postgres import Database, Server
from support.project import ROOT, Project

RULES = {rule.id: rule for rule in rules.load()}
BAD = [pytest.param(rule.id, body, id=f"{rule.id}-{n}") for rule in RULES.values() for n, body in enumerate(rule.bad)]
SAFE = [pytest.param(rule.id, body, id=f"{rule.id}-{n}") for rule in RULES.values() for n, body in enumerate(rule.safe)]

PAIR = re.compile(r"# ([a-z-]+): .*\n((?:(?!# ).+\n)+)# safe:\n((?:[^`\n]+\n)+)")
"""One of the README's pairs: the rule, what is unsafe, and what is safe instead."""
PAIRS = [pytest.param(*pair.groups(), id=pair[1]) for pair in PAIR.finditer((ROOT / "README.md").read_text("utf-8"))]


@pytest.fixture(scope="module")
def large(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with many rows, for plans and for copies; nothing is changed in it."""
    with examples.database(server, "rules_large", tmp_path_factory.mktemp("large"), 20_000) as database:
        yield database


@pytest.fixture
def mine(request: pytest.FixtureRequest, large: Database) -> Iterator[Database]:
    """A copy of that database for one test."""
    with examples.copy(large, "rules_copy") as database:
        yield database


def test_a_file_is_named_like_its_rule() -> None:
    names = {path.stem for path in Path(rules.__path__[0]).glob("*.py")} - {"__init__"}
    assert {name.replace("_", "-") for name in names} == RULES.keys()
    for rule in RULES.values():
        assert rule.bad
        assert rule.safe


def test_the_page_is_made_of_the_files() -> None:
    """`make rules` writes it."""
    assert (ROOT / "docs" / "rules.md").read_text("utf-8") == pages.render()


@pytest.mark.parametrize(("rule", "body"), BAD)
def test_a_bad_example_is_found_and_what_is_advised_is_applied(
    large: Database, tmp_path: Path, rule: str, body: str
) -> None:
    project = examples.project(tmp_path)
    examples.add(project, body)
    findings = examples.plan(project, large)["findings"]
    found = [one for one in findings if one["rule"] == rule]
    assert found
    assert all(one["help"] for one in found)
    assert examples.told_twice(findings) == []
    # test_remedies applies each of them, in `make test-long`
    instead = next(("\n---\n".join(one["instead"]) for one in found if one["instead"]), "")
    if instead:
        # most remedies are no calls, so the copy is made here
        with examples.copy(large, "rules_copy") as mine:
            apply_safely(examples.project(tmp_path / "instead"), mine, instead)


@pytest.mark.parametrize(("rule", "body"), SAFE)
def test_a_safe_example_is_applied_without_a_finding(mine: Database, tmp_path: Path, rule: str, body: str) -> None:
    apply_safely(examples.project(tmp_path), mine, body)


@pytest.mark.parametrize(("rule", "unsafe", "safe"), PAIRS)
def test_a_pair_of_the_readme(
    large: Database, mine: Database, tmp_path: Path, rule: str, unsafe: str, safe: str
) -> None:
    """The unsafe half is found on large tables, the safe one is applied without a finding."""
    folders = [tmp_path / name for name in ("unsafe", "safe")]
    for folder in folders:
        folder.mkdir()
    project = examples.project(folders[0])
    examples.add(project, unsafe.rstrip())
    assert rule in {one["rule"] for one in examples.plan(project, large)["findings"]}
    apply_safely(examples.project(folders[1]), mine, safe.rstrip().replace("# ---", "---"))


def test_the_readme_has_ten_pairs() -> None:
    assert len({pair.id for pair in PAIRS}) == 10


def apply_safely(project: Project, database: Database, bodies: str) -> None:
    """Apply the revisions of an example one after the other, each after a plan without an error or a warning."""
    for name in examples.add(project, bodies):
        answer = project.ask(database.url, {"action": "plan", "target": name})
        assert [one for one in answer["findings"] if one["level"] != "note"] == []
        done = project.ask(database.url, {"action": "upgrade", "target": name})
        assert done["status"] == "success", done["message"]
