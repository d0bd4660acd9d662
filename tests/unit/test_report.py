"""Answers as Markdown: nothing in them ends a cell, a fence or a comment's length."""

from hypothesis import given
from hypothesis import strategies as st

from runner.answer import LONGEST_ANSWER, Answer, fit
from runner.output import report
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
