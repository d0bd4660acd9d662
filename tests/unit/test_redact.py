"""Literals never pass into a statement's template, however they are quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.postgres.redact import template


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("select a", "select a"),
        ("  select\n  a  ", "select a"),
        ("insert into t values ('a', 'b''c')", "insert into t values ('…', '…')"),
        (r"select E'a\'secret', e'x'", "select '…', '…'"),
        ("do $$ begin secret; end $$", "do '…'"),
        ("do $a$ x $$ secret $a$; select b", "do '…'; select b"),
        ("update t set a = 1 -- it's 'secret'\n where b = 'c'", "update t set a = … where b = '…'"),
        ("select /* don't 'tell' */ 'x'", "select '…'"),
        ('''select "o'clock", 'x' from "a""b'"''', '''select "o'clock", '…' from "a""b'"'''),
        (
            "select 84997084444, 12.5, c1, a::varchar(500), numeric(10, 2)",
            "select …, …, c1, a::varchar(500), numeric(10, 2)",
        ),
        (
            "select a from t where nome like'50\\' or email='maria@x.com'",
            "select a from t where nome like'…' or email='…'",
        ),
        ("select /* a /* b */ don't */ 'maria'", "select '…'"),
        ("select /* a /* b */ don't 'maria'", "select"),
        ("""select "never closed 'maria'""", 'select "…'),
        ("select 1e5, 0x1F, 1_000, $1, a::time (3), char(5 + 7)", "select …, …, …, $1, a::time (3), char(… + …)"),
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
