"""The head of a revision's file says what running the file would say, or nothing."""

import ast
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.script import identifiers
from support.project import ROOT

NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
PLAIN = ["None", "'a'", '"b_1"', "('a', 'b')", "['a', 'b']", "('a',)"]
VALUES = [*PLAIN, "['a']", "('a')", "'a' 'b'", "f'a'", "a", "'a'; c = 1", "()", "r'a'"]
LINES = ["{name} = {value}", "{name}: str | None = {value}", "{name}={value}  # as it was", "{name} = \\\n    {value}"]
BEFORE = [
    "",
    "import sys",
    "c = 'x'",
    '"""A docstring with revision = \'z\' in it."""',
    '"""One that begins\nrevision = "z"\n"""',
    "# revision = 'z'",
]
AFTER = [
    "",
    "if True:\n    down_revision = 'z'",
    "revision = 'y'",
    "call(depends_on='y')",
    "from types import SimpleNamespace as depends_on",
    "from types import (\n    SimpleNamespace as branch_labels,\n)",
    "from string import *",
    "globals()['depends_on'] = 'y'",
    "(depends_on) = 'y'",
    "down_revision += 'y'",
    "del revision",
    "for depends_on in 'y': pass",
]


def test_the_projects_own_revisions_are_read_without_being_run() -> None:
    """They are written as Alembic's template has them, so that a start imports none of them."""
    found = identifiers.read(ROOT / "alembic" / "versions").files
    assert [header.identifiers["revision"] for header in found if header.identifiers] == [
        Path(header.path).stem for header in found
    ]


@given(
    st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(VALUES)), min_size=2, max_size=4),
    st.sampled_from(BEFORE),
    st.sampled_from(AFTER),
)
def test_what_is_read_is_what_python_would_set(written: list[tuple[str, str]], before: str, after: str) -> None:
    """Where that is not sure, nothing is read."""
    body = [line.format(name=name, value=value) for name, (line, value) in zip(NAMES, written, strict=False)]
    text = "\n".join([before, *body, after])
    said = identifiers.parse(text.encode())
    if said is not None:
        ran: dict[str, object] = {"a": "d", "call": dict}
        exec(compile(text, "revision", "exec"), ran)  # noqa: S102 - this test's own text
        assert {name: _plain(said.get(name)) for name in NAMES} == {name: _plain(ran.get(name)) for name in NAMES}


@pytest.mark.parametrize("line", LINES[:3])
@pytest.mark.parametrize("value", PLAIN)
def test_what_alembics_template_writes_is_read(line: str, value: str) -> None:
    text = "\n".join(["revision = 'x'", line.format(name="down_revision", value=value), "depends_on = None"])
    said = identifiers.parse(text.encode())
    assert said is not None
    assert _plain(said["down_revision"]) == _plain(ast.literal_eval(value))


def test_an_unchanged_folder_is_read_once_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    """Also where its size and its time of modification are set to be the same."""
    path = tmp_path / "001_one.py"
    path.write_text("revision = 'a'\ndown_revision = None\n")
    before, known = identifiers.read(tmp_path), path.stat()
    assert identifiers.read(tmp_path) is before
    path.write_text("revision = 'b'\ndown_revision = None\n")
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    after = identifiers.read(tmp_path)
    assert (before.files[0].identifiers, after.files[0].identifiers) == (
        {"revision": "a", "down_revision": None},
        {"revision": "b", "down_revision": None},
    )
    assert before.files[0].checksum != after.files[0].checksum


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
