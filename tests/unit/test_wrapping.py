"""Lines for a terminal: broken between words, and in code only where a line break means what a space does."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.output import wrapping

WORDS = st.lists(st.sampled_from(["a", "leads", "`migrate check`", "2026-03-02 14:02:11 UTC", "12 min", "x" * 50]))


@given(WORDS, st.integers(24, 80))
def test_words_stay_whole(words: list[str], width: int) -> None:
    lines = list(wrapping.prose(" ".join(words), width))
    assert " ".join(lines).split() == " ".join(words).split()
    assert all(len(line) <= width or " " not in line for line in lines)
    for word in words:
        assert any(word in line for line in lines)


def test_a_command_stays_on_one_line_and_sql_does_not() -> None:
    """A shell ends a command at a line break; PostgreSQL does not."""
    command = '`alembic merge -m "merge score and source" 018_add_score 018_add_source`'
    assert f"{command}." in wrapping.prose(f"Merge them: {command}.", 40)
    sql = "`CREATE INDEX leads_score ON public.leads USING btree (score, interesse)`"
    assert max(map(len, wrapping.prose(f"It lacks {sql}.", 40))) <= 40


@pytest.mark.parametrize("width", [20, 40, 60])
def test_python_means_the_same(width: int) -> None:
    """It is pasted into a revision; a text in it keeps its spaces."""
    call = 'create_index("leads_score", "leads", ["score", "a long  text, with (brackets) in it"], where="n > 1")'
    text = f"if x:\n    {call}"
    lines = list(wrapping.code(text, width, in_brackets=True))
    assert len(lines) > 3
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(text))


def test_sql_is_broken_outside_of_its_strings() -> None:
    text = "ALTER TABLE leads ADD COLUMN note text DEFAULT 'none,  and   it''s  long enough to be broken' NOT NULL;"
    lines = list(wrapping.code(text, 30, in_brackets=False))
    assert "\n".join(lines).replace("\n    ", " ") == text
    assert any("'none,  and   it''s  long enough to be broken'" in line for line in lines)


@pytest.mark.parametrize("text", ["DO $$ BEGIN PERFORM 'a  b'; END $$;", "SELECT 1 -- it's", "SELECT E'a\\'  b'"])
def test_a_text_whose_strings_are_not_certain_stays(text: str) -> None:
    assert list(wrapping.code(text, 5, in_brackets=False)) == [text]
