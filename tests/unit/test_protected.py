"""Which environments are protected: by their names, and by what the project lists."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import settings
from runner.errors import InvalidSettings
from runner.project import PROTECTED, Project

SPACE = st.text(" \t\r\n\N{NO-BREAK SPACE}", max_size=3)


@given(st.sampled_from(PROTECTED), st.text(max_size=5), SPACE, SPACE, st.data())
def test_a_name_is_protected_however_it_is_written(
    name: str, before: str, left: str, right: str, data: st.DataObject
) -> None:
    """With whatever before it, in whatever case, with spaces around it."""
    mixed = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in name)
    assert Project().protects(f"{left}{before}{mixed}{right}")
    assert Project(protected=("dev",)).protects(f"{left}{mixed}{right}")


@pytest.mark.parametrize(
    ("name", "protected"),
    [
        ("prod", True), (" prod", True), ("PROD", True), ("prod\r", True), ("eu-prod", True), ("euprod", True),
        ("pre-prod", True), ("Production", True), ("prd", True), ("live", True), ("olive", True),
        ("pr\N{ZERO WIDTH SPACE}od", True), ("\N{CYRILLIC SMALL LETTER ER}rod", True), ("", True),
        ("dev", False), ("prod-eu", False), ("prod2", False), ("products", False), ("staging", False),
    ],
)  # fmt: skip
def test_names(name: str, protected: bool) -> None:
    """A name that is not what it looks like counts as protected."""
    assert Project().protects(name) is protected


def read(folder: Path, environment: str | None, project: str = "") -> settings.Settings:
    (folder / "migrate.toml").write_text(project)
    named = {} if environment is None else {"ENVIRONMENT": environment}
    return settings.read({"ALEMBIC_CONFIG": str(folder / "alembic.ini"), **named})


@pytest.mark.parametrize(
    ("environment", "name", "protected"),
    [
        (None, "dev", False),
        ("", "dev", False),
        (" ", "dev", False),
        ("prod\r", "prod", True),
        (" EU-Prod ", "EU-Prod", True),
    ],
)
def test_the_setting(tmp_path: Path, environment: str | None, name: str, protected: bool) -> None:
    """Spaces and line ends around it do not count, so that the plan of `prod` is that of `prod\\r`."""
    known = read(tmp_path, environment)
    assert (known.environment, known.is_protected) == (name, protected)


@pytest.mark.parametrize(
    "name", ["pr\0od", "pr\x1bod", "pr\N{ZERO WIDTH SPACE}od", "\N{ZERO WIDTH SPACE}prod", "produção"]
)
def test_a_setting_that_is_not_what_it_looks_like_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(tmp_path, name)
    assert refused.value.sentence == "`ENVIRONMENT` has a character that is not printable ASCII."


def test_the_project_lists_further_ones(tmp_path: Path) -> None:
    """As whole names; nothing unlists what is protected by its name."""
    listed = '[project]\nprotected = [" Staging", "qa"]\n'
    found = {name: read(tmp_path, name, listed).is_protected for name in ("staging", "QA\r", "my-qa", "dev", "prod")}
    assert found == {"staging": True, "QA\r": True, "my-qa": False, "dev": False, "prod": True}
    assert read(tmp_path, "prod", "[project]\nprotected = []\n").is_protected
    # TOML reads the escapes of a key in quotes
    assert read(tmp_path, "qa", '["pro\\u006aect"]\n"prot\\u0065cted" = ["qa"]\n').is_protected


@pytest.mark.parametrize("value", ["'qa'", "[1]", "['']", "[' ']", "['q\u200ba']", "true", f"{'[' * 5000}{']' * 5000}"])
def test_a_wrong_list_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidSettings, match=r"has a wrong `protected` in|is not valid TOML"):
        read(tmp_path, "qa", f"[project]\nprotected = {value}\n")


def test_a_list_outside_of_its_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="contains `protected` besides"):
        read(tmp_path, "qa", "protected = ['qa']\n")
