"""Answers as Markdown: nothing in them ends a cell, a fence or a comment's length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.answer import Answer
from runner.length import LONGEST_ANSWER, fit
from runner.output import console, report
from runner.results import read


def plan(sql: list[str], message: str = "m") -> dict:
    revision = {
        "revision": "018", "description": message, "direction": "upgrade", "transactional": True, "checksum": "c",
        "tables": [], "adopts": [], "sql": sql, "unrendered": None,
    }  # fmt: skip
    found = {"direction": "upgrade", "plan": None, "ok": True, "revisions": [revision]}
    nothing = {"tables": [], "findings": [], "allowed": [], "linter": None}
    return {"status": "success", "action": "plan", "message": message, **found, **nothing}


def typed(sql: list[str], message: str = "m") -> Answer:
    return read(plan(sql, message))


@given(st.text(min_size=1))
def test_a_cell_stays_a_cell(text: str) -> None:
    lines = report.markdown(typed(["select 1;"], text)).split("\n")
    (row,) = [line for line in lines if line.startswith("| 018 |")]
    assert row.replace("\\|", "").count("|") == 5
    assert "<" not in row


def test_a_fence_inside_of_the_sql_does_not_end_it() -> None:
    written = report.markdown(typed(["comment on table t is '```\n</details>';"]))
    assert written.count("\n````") == 2


def test_what_is_too_long_for_a_comment_leaves_the_texts_out() -> None:
    written = report.markdown(typed(["x" * 70_000]))
    assert len(written) < 1000
    assert "left out" in written
    assert len(report.markdown(typed(["select 1;"], "y" * 80_000))) <= report.LONGEST_COMMENT


def test_an_answer_fits() -> None:
    small = plan(["select 1;"])
    assert fit(small) is small
    large = fit(plan(["x" * LONGEST_ANSWER]))
    assert large["revisions"][0]["sql"] is None
    assert report.sections(read(large))[-1].text == f"-- {large['left_out']}"


@pytest.mark.parametrize("change", [{"level": "notice"}, None], ids=["a word more", "a field less"])
def test_a_no_of_another_version_stays_a_no(change: dict | None, capsys: pytest.CaptureFixture[str]) -> None:
    """An older or newer image may answer: what cannot be read is told, and the exit code is the answer's own."""
    finding = {"kind": "drift", "level": "error", "name": "x", "message": "m", "help": "h", "entry": None}
    told = {"status": "success", "action": "check", "message": "m", "ok": False, "findings": [finding]}
    known = {"accepted": [], "not_compared": []}
    assert console.show(told | known, "tables") == console.NO
    assert "drift" in capsys.readouterr().out
    other = told | known | {"findings": [finding | change]} if change else told
    assert console.show(other, "tables") == console.NO
    assert "of another version" in capsys.readouterr().out
