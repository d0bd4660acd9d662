"""Literals never pass into a statement's template, however they are quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.failure import template


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("select 1", "select 1"),
        ("  select\n  1  ", "select 1"),
        ("insert into t values ('a', 'b''c')", "insert into t values ('…', '…')"),
        (r"select E'a\'secret', e'x'", "select '…', '…'"),
        ("do $$ begin secret; end $$", "do '…'"),
        ("do $a$ x $$ secret $a$; select 2", "do '…'; select 2"),
        ("update t set a = 1 -- it's 'secret'\n where b = 'c'", "update t set a = 1 where b = '…'"),
        ("select /* don't 'tell' */ 'x'", "select '…'"),
        ('''select "o'clock", 'x' from "a""b'"''', '''select "o'clock", '…' from "a""b'"'''),
        ("select 84997084444, varchar(500), 1234", "select …, varchar(500), 1234"),
        ("select 'never closed", "select '…'"),
        ("insert into t values (%(nome)s)", "insert into t values (%(nome)s)"),
        ("x" * 400, "x" * 300 + " …"),
    ],
)
def test_template(statement: str, shown: str) -> None:
    assert template(statement) == shown


@given(st.text(alphabet="ab'\"\\$-/*\n ", max_size=30), st.text(alphabet="xyz", min_size=3, max_size=9))
def test_a_quoted_value_is_never_shown(before: str, planted: str) -> None:
    """Whatever a row holds, once quoted as PostgreSQL quotes it, it is masked."""
    value = (before + planted).replace("'", "''")
    assert planted not in template(f"update people set nome = '{value}' where id = 1")
