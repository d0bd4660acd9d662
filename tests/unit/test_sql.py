"""Strings, comments and bodies hide nothing and are taken for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.postgres import sql


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1; select 2;", ["select 1", "select 2"]),
        ("select ';'; x", ["select ';'", "x"]),
        ("-- don't; stop\nselect 1", ["-- don't; stop\nselect 1"]),
        ("/* a /* ; */ ' */ select 1; b", ["/* a /* ; */ ' */ select 1", "b"]),
        ("do $$ begin; end $$; x", ["do $$ begin; end $$", "x"]),
        ("do $a$ ; $$ ; $a$; x", ["do $a$ ; $$ ; $a$", "x"]),
        (r"select E'it\'s;'; x", [r"select E'it\'s;'", "x"]),
        (r"select 'back\'; x", [r"select 'back\'", "x"]),
        ('select "a;b"; x', ['select "a;b"', "x"]),
        ("select 1; -- nothing\n;", ["select 1"]),
        ("", []),
    ],
)
def test_split(text: str, statements: list[str]) -> None:
    assert sql.split(text) == statements


@pytest.mark.parametrize(
    ("statement", "verb", "table"),
    [
        ("UPDATE leads SET a = 1", "update", "public.leads"),
        ("/* x */ with a as (update b set c = 1) delete from only audit.leads where true", "delete", "audit.leads"),
        ('alter table if exists only "Odd Name" add x int', "alter table", "public.Odd Name"),
        (
            "create unique index concurrently if not exists i on only leads (nome)",
            "create unique index",
            "public.leads",
        ),
        ("create index on leads (nome)", "create index", "public.leads"),
        ("drop table a, b.c cascade", "drop table", "public.a"),
        ("truncate leads", "truncate", "public.leads"),
        ("create temp table t (n int)", "create temp table", "public.t"),
        ("drop index i", "drop index", None),
        ("select 1", "select", None),
        ("alter type mood add value 'x'", "alter type", None),
        ("", "", None),
    ],
)
def test_what_a_statement_is_about(statement: str, verb: str, table: str | None) -> None:
    found = sql.read(statement)
    assert (found.verb, ".".join(found.table) if found.table else None) == (verb, table)


def test_a_word_in_parentheses_is_not_said() -> None:
    assert not sql.read("update t set a = (select 1 where true) -- where").says("where")
    assert sql.read("update t set a = (select 1) where b").says("where")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("leads", ("public", "leads")),
        ("Leads", ("public", "leads")),
        ('audit."Odd.Name"', ("audit", "Odd.Name")),
        ("public.f(integer, text)", ("public", "f")),
        ('"a""b"', ("public", 'a"b')),
    ],
)
def test_names(text: str, name: tuple[str, str]) -> None:
    assert sql.read_name(text) == name


@given(st.text("ab'\"$;-/*\\ \n"))
def test_no_text_is_too_odd(text: str) -> None:
    """Every token is where it says, in order, and splitting loses no token but the semicolons."""
    found = list(sql.tokens(text))
    assert all(text.startswith(token.text, token.start) for token in found)
    assert [token.start for token in found] == sorted(token.start for token in found)
    again = [token.text.strip() for piece in sql.split(text) for token in sql.tokens(piece)]
    assert again == [token.text.strip() for token in found if token.text != ";"]
