"""What is dangerous is found with its level, on many rows and on none; what is safe is not, and is applied for real."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.lint import report
from support import examples, histories
from support.dangers import DANGERS
from support.postgres import Database, Server, new_database
from support.project import Project
from support.safe_revisions import SAFE

TWINS = {name: danger.twin for name, danger in DANGERS.items()}


def made(server: Server, name: str, folder: Path, rows: int) -> Iterator[Database]:
    """Make a database with so many rows in each table; each worker has its own on a server that they share."""
    with examples.database(server, f"{name}_{os.getpid()}", folder, rows) as database:
        yield database


@pytest.fixture(scope="module")
def large(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database for plans, which change nothing."""
    yield from made(server, "dangers_large", tmp_path_factory.mktemp("large"), 100_000)


@pytest.fixture(scope="module")
def empty(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database for plans, whose tables have no row."""
    yield from made(server, "dangers_empty", tmp_path_factory.mktemp("empty"), 0)


@pytest.fixture(scope="module")
def small(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database to copy, with rows that a revision has to take along."""
    yield from made(server, "dangers_small", tmp_path_factory.mktemp("small"), 1_000)


def strongest(at: Database, folder: Path, name: str) -> str | None:
    """Return the strongest level at which a danger's rule finds it there, None where it does not."""
    project, rule = examples.project(folder), DANGERS[name].rule
    examples.add(project, DANGERS[name].body)
    found = examples.plan(project, at)["findings"]
    assert examples.told_twice(found) == []
    levels = {one["level"] for one in found if one["rule"] in ({rule} if isinstance(rule, str) else rule)}
    return next((level for level in report.LEVELS if level in levels), None)


def wolves(found: Project, at: Database, **target: str) -> list[tuple[str, str, str]]:
    """Return the errors and warnings of a plan."""
    findings = examples.plan(found, at, **target)["findings"]
    return [(one["rule"], one["level"], one["message"]) for one in findings if one["level"] != "note"]


def test_the_lists_are_long_enough() -> None:
    assert len(DANGERS) >= 110
    assert len(SAFE) >= 60


@pytest.mark.parametrize("name", DANGERS)
def test_it_is_found_on_many_rows(large: Database, tmp_path: Path, name: str) -> None:
    assert strongest(large, tmp_path, name) == DANGERS[name].level


@pytest.mark.parametrize("name", DANGERS)
def test_its_level_on_no_rows_is_that_of_its_harm(empty: Database, tmp_path: Path, name: str) -> None:
    found, expected = strongest(empty, tmp_path, name), DANGERS[name].empty
    assert found in ({None, "note"} if expected is None else {expected})


@pytest.mark.long
@pytest.mark.parametrize("name", TWINS)
def test_its_twin_has_no_finding_and_is_applied(large: Database, small: Database, tmp_path: Path, name: str) -> None:
    """On many rows its revisions are planned together, on some each later one where those before it are applied."""
    project = examples.project(tmp_path)
    revisions = examples.add(project, TWINS[name])
    assert wolves(project, large) == []
    with examples.copy(small, f"dangers_copy_{os.getpid()}") as mine:
        for one in revisions:
            if one != revisions[0]:
                assert wolves(project, mine, target=one) == []
            done = project.ask(mine.url, {"action": "upgrade", "target": one})
            assert done["status"] == "success", done["message"]


@pytest.mark.long
@pytest.mark.parametrize("name", SAFE)
def test_what_is_safe_has_no_finding_and_is_applied(
    large: Database, small: Database, tmp_path: Path, name: str
) -> None:
    """Its revisions are one plan: what one makes, a later one may alter."""
    project = examples.project(tmp_path)
    examples.add(project, SAFE[name])
    assert wolves(project, large) == []
    with examples.copy(small, f"dangers_copy_{os.getpid()}") as mine:
        done = project.ask(mine.url, {"action": "upgrade"})
        assert done["status"] == "success", done["message"]


@pytest.mark.parametrize("history", [histories.generated, histories.dumped, histories.handwritten])
def test_an_old_history_does_no_harm_to_an_empty_database(
    server: Server, tmp_path: Path, history: Callable[[], list[str]]
) -> None:
    """Nobody uses what it alters; what cannot be rendered is told, and what comes after it is judged as before."""
    project = examples.bare(tmp_path)
    names = histories.write(project, history())
    with new_database(server, f"{history.__name__}_{os.getpid()}") as fresh:
        assert {rule for rule, _, _ in wolves(project, fresh)} == {"not-rendered"}
        done = project.ask(fresh.url, {"action": "upgrade"})
        assert (done["status"], done["to"]) == ("success", names[-1]), done["message"]
