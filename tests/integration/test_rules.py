"""Each rule finds its bad examples and not its safe ones; what it advises instead is applied for real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.lint import pages, rules
from support import examples
from support.postgres import Database, Server
from support.project import ROOT

RULES = {rule.id: rule for rule in rules.load()}
BAD = [pytest.param(rule.id, body, id=f"{rule.id}-{n}") for rule in RULES.values() for n, body in enumerate(rule.bad)]
SAFE = [pytest.param(rule.id, body, id=f"{rule.id}-{n}") for rule in RULES.values() for n, body in enumerate(rule.safe)]


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
def test_a_bad_example_is_found(large: Database, tmp_path: Path, rule: str, body: str) -> None:
    project = examples.project(tmp_path)
    examples.add(project, body)
    found = examples.plan(project, large)["findings"]
    assert rule in {one["rule"] for one in found}


@pytest.mark.parametrize(("rule", "body"), SAFE)
def test_a_safe_example_is_applied_without_a_finding(mine: Database, tmp_path: Path, rule: str, body: str) -> None:
    project = examples.project(tmp_path)
    for name in examples.add(project, body):
        answer = project.ask(mine.url, {"action": "plan", "target": name})
        assert [one for one in answer["findings"] if one["level"] != "note"] == []
        done = project.ask(mine.url, {"action": "upgrade", "target": name})
        assert done["status"] == "success", done["message"]


@pytest.mark.parametrize(("rule", "body"), BAD)
def test_what_it_advises_is_applied_without_a_finding(mine: Database, tmp_path: Path, rule: str, body: str) -> None:
    project = examples.project(tmp_path)
    examples.add(project, body)
    found = [one for one in examples.plan(project, mine)["findings"] if one["rule"] == rule]
    assert found[0]["help"]
    # a remedy that is no call has nothing to apply
    for name in examples.add(project, "\n---\n".join(found[0]["instead"])) if found[0]["instead"] else ():
        answer = project.ask(mine.url, {"action": "plan", "target": name})
        assert [one for one in answer["findings"] if one["level"] != "note"] == []
        done = project.ask(mine.url, {"action": "upgrade", "target": name})
        assert done["status"] == "success", done["message"]
