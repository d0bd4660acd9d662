"""The revisions as one line are what Alembic makes of them, or are left to it."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import settings
from runner.errors import MigrationError
from runner.script import graph, linear
from runner.settings import Settings
from support.project import ROOT

HEAD = "revision = {revision!r}\ndown_revision = {down!r}\nbranch_labels = {label!r}\ndepends_on = {needs!r}\n"
BODY = "def upgrade():\n    pass\ndef downgrade():\n    pass\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("chain")
    shutil.copy(ROOT / "alembic.ini", folder)
    (folder / "alembic" / "versions").mkdir(parents=True)
    return settings.read({"ALEMBIC_CONFIG": str(folder / "alembic.ini")})


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, object]]:
    """Draw a few revisions that each follow the one before, or now and then something else."""
    made: list[dict[str, object]] = []
    for number in range(draw(st.integers(1, 6))):
        earlier = [f"r{one}" for one in range(number)]
        before = earlier[-1] if earlier else None
        odd = st.one_of(st.none(), st.sampled_from([*earlier, "gone"]), st.just(tuple(earlier[-2:])))
        down = before if draw(st.integers(0, 9)) else draw(odd)
        needs = draw(st.sampled_from(earlier)) if earlier and not draw(st.integers(0, 9)) else None
        label = f"label{number}" if not draw(st.integers(0, 9)) else None
        made.append({"revision": f"r{number}", "down": down or None, "needs": needs, "label": label})
    return made


@given(graphs())
def test_a_line_is_what_alembic_makes_of_it(project: Settings, wanted: list[dict[str, object]]) -> None:
    """Its end, and what is pending at each of its revisions, in the same order."""
    folder = Path(project.alembic_config).parent / "alembic" / "versions"
    for path in folder.glob("*.py"):
        path.unlink()
    for one in wanted:
        (folder / f"{one['revision']}.py").write_text(HEAD.format(**one) + BODY)
    line = linear.read(project)
    if line is not None:
        alembics = graph.load(project)
        assert line.heads == alembics.heads
        for at in ((), *((str(one["revision"]),) for one in wanted)):
            assert line.pending(at) == alembics.pending(at)
    straight = [one["down"] for one in wanted] == [None, *(f"r{number}" for number in range(len(wanted) - 1))]
    assert (line is not None) == (straight and not any(one["needs"] for one in wanted))


def test_a_stranger_is_told_in_the_same_words(project: Settings) -> None:
    folder = Path(project.alembic_config).parent / "alembic" / "versions"
    for path in folder.glob("*.py"):
        path.unlink()
    (folder / "r0.py").write_text(HEAD.format(revision="r0", down=None, label=None, needs=None) + BODY)
    told = []
    for known in (linear.read(project), graph.load(project)):
        with pytest.raises(MigrationError) as refused:
            known.pending(("elsewhere",))
        told.append(refused.value.sentence)
    assert told == ["The database is at `elsewhere`, which is not among the revisions here."] * 2


@pytest.mark.parametrize("setting", ["version_locations = %(here)s/a:%(here)s/b", "sourceless = true"])
def test_an_unusual_place_is_left_to_alembic(tmp_path: Path, setting: str) -> None:
    text = (ROOT / "alembic.ini").read_text().replace("[alembic]", f"[alembic]\n{setting}")
    (tmp_path / "alembic.ini").write_text(text)
    shutil.copytree(ROOT / "alembic" / "versions", tmp_path / "alembic" / "versions")
    assert linear.read(settings.read({"ALEMBIC_CONFIG": str(tmp_path / "alembic.ini")})) is None
    os.replace(tmp_path / "alembic.ini", tmp_path / "other.ini")
    assert linear.read(settings.read({"ALEMBIC_CONFIG": str(tmp_path / "alembic.ini")})) is None
