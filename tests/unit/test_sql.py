"""Strings, comments and bodies hide nothing and are taken for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.postgres import sql, tokens


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
        ("select E'a'\n 'it\\'s;'; x", ["select E'a'\n 'it\\'s;'", "x"]),
        ("select E'a' -- ;\n 'it\\'s;'; x", ["select E'a' -- ;\n 'it\\'s;'", "x"]),
        (r"select U&'\0061\', u&\"a;\"; x", [r"select U&'\0061\', u&\"a;\"", "x"]),
        ("select $1$2; x", ["select $1$2", "x"]),
        ("select a$$, b$$; x", ["select a$$, b$$", "x"]),
        ("do $é$ ; $é$; x", ["do $é$ ; $é$", "x"]),
        ("select 1 -- a;\rselect 2; x", ["select 1 -- a;\rselect 2", "x"]),
        ("select 5 %% 2, 'a%%;', %(name)s; x", ["select 5 %% 2, 'a%%;', %(name)s", "x"]),
        (
            "create rule r as on insert to t do also (select 1; select 2); x",
            ["create rule r as on insert to t do also (select 1; select 2)", "x"],
        ),
        (
            "create schema s create table t (a int) create view v as select 1; x",
            ["create schema s create table t (a int) create view v as select 1", "x"],
        ),
        ("begin; select 1; end; x", ["begin", "select 1", "end", "x"]),
        (
            "start transaction; select case when a then b end; x",
            ["start transaction", "select case when a then b end", "x"],
        ),
    ],
)
def test_split(text: str, statements: list[str]) -> None:
    assert sql.split(text) == statements


@pytest.mark.parametrize(
    "routine",
    [
        "create function two() returns int language sql begin atomic select 1; select 2; end",
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN /* ; */ ATOMIC INSERT INTO t VALUES (1); SELECT 2; END",
        "create function f(n int default (1)) begin atomic select case when a then case n when 2 then 3 end end; end",
        # END may be a column, with and without AS
        "create function f() begin atomic select 1 as end; select 2 end; select a.end, a.case from a; end",
        "create function f() begin atomic create function g() begin atomic select 1; end; select 2; end",
        "create function f() begin atomic end",
        "create function begin() begin atomic select begin(); end",
        "create function f(begin int, atomic int) returns int return case when true then 1 end",
        "create procedure f() language sql as 'begin; end;'",
    ],
)
def test_a_routine_is_one_statement(routine: str) -> None:
    assert sql.split(f"select 1; {routine}; commit") == ["select 1", routine, "commit"]
    assert not sql.ends_transaction(routine)
    assert sql.ends_transaction(f"{routine}; commit")


def test_begin_atomic_is_a_body_in_a_routine_alone() -> None:
    assert sql.split("select begin atomic from t; commit") == ["select begin atomic from t", "commit"]
    assert sql.split("create view function as select begin; commit") == [
        "create view function as select begin",
        "commit",
    ]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("commit", True),
        ("/* x */ COMMIT WORK AND CHAIN;", True),
        ("select 1; -- x\nend", True),
        ("rollback and no chain", True),
        ("abort", True),
        ("prepare transaction 'x'", True),
        ("prepare transaction as select 1", False),
        ("commit prepared 'x'", False),
        ("rollback prepared 'x'", False),
        ("rollback to savepoint a", False),
        ("rollback work to commit", False),
        ("release savepoint commit", False),
        ("savepoint rollback", False),
        ("begin", False),
        ("start transaction", False),
        ("select case when a then b end", False),
        ("select ';commit;'", False),
        ("do $$ begin commit; end $$", False),
        ('"commit"', False),
    ],
)
def test_what_ends_a_transaction(text: str, ends: bool) -> None:
    assert sql.ends_transaction(text) == ends


CONCURRENT = [
    "create index concurrently i on t (a)",
    "-- why\nCREATE  UNIQUE\tINDEX /* a /* ; */ */ CONCURRENTLY\nIF NOT EXISTS i ON ONLY s.t (a) WHERE b <> ';' -- x;",
    "create index concurrently on t (a);",
    'create index concurrently "a;b -- (" on t (a) ; -- done',
    "create index concurrently i on t (a) where b like E'\\';%%'",
    "drop index concurrently if exists a.b",
    "REINDEX INDEX CONCURRENTLY i",
    "reindex (verbose) table concurrently t",
    "reindex (concurrently) table t",
    "reindex (tablespace x, concurrently on, verbose off) table t",
    "alter table t validate constraint c",
    '/* x */ ALTER TABLE IF EXISTS ONLY "s; s" . "t t" VALIDATE\nCONSTRAINT "c c" ;',
]
BLOCKING = [
    "",
    "select 1",
    "create index i on t (a)",
    'create index "concurrently" on t (a)',
    "create index concurrently i on t (a); alter table t add x int",
    "create table concurrently (a int)",
    "drop index i",
    "reindex table t",
    'reindex table "concurrently"',
    "reindex (verbose) table t",
    "reindex (concurrently off) table t",
    "reindex (concurrently false, verbose) table t",
    "alter table t add constraint c check (a > 1) not valid",
    "alter table t validate constraint c, add x int",
    "alter table t validate constraint c; alter table t add x int",
    'alter table t "validate" constraint c',
    "-- create index concurrently i on t (a)\nalter table t add x int",
    "select 'create index concurrently i on t (a)'",
]


@pytest.mark.parametrize("text", CONCURRENT)
def test_concurrent_work(text: str) -> None:
    assert sql.is_concurrent_work(text)


@pytest.mark.parametrize("text", BLOCKING)
def test_no_concurrent_work(text: str) -> None:
    assert not sql.is_concurrent_work(text)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("create index concurrently i on t (a)", '"i"'),
        ("-- x\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS I ON ONLY Audit . t (a)", '"audit"."i"'),
        ('create index concurrently /* "b" */ "A ""on"" a" on "s.s".t using gin (a)', '"s.s"."A ""on"" a"'),
        (r'create index concurrently U&"d\0061t\+000061\\" on t (a)', r'"data\"'),
        ("create index concurrently on t (a)", None),
        ("create index i on t (a)", None),
        ('create index "concurrently" on t (a)', None),
        ("reindex index concurrently i", None),
        ("create index concurrently", None),
    ],
)
def test_the_index_that_is_built(text: str, index: str | None) -> None:
    assert sql.built_concurrently(text) == index


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("create table if not exists audit.t (a int)", ("audit", "t")),
        ("/* x */ create unique index concurrently if not exists i on t (a)", ("public", "i")),
        ("create or replace view if not exists v", None),
        ('create table "if" (a int)', None),
        ("drop table if exists t", None),
    ],
)
def test_what_is_made_if_it_is_absent(text: str, name: tuple[str, str] | None) -> None:
    assert sql.made_if_absent(text) == name


def test_what_writes() -> None:
    for text in ("select 1", "set x = 1; show x", "savepoint a", "with a as (select 1) select 2", "-- insert", ""):
        assert not sql.writes(text), text
    for text in ("select 1; insert into t values (1)", "with a as (select 1) delete from t", "create table t ()"):
        assert sql.writes(text), text


def test_what_sets_constraints() -> None:
    assert sql.sets_constraints("/* x */ SET\nCONSTRAINTS ALL IMMEDIATE")
    assert not sql.sets_constraints("set search_path = constraints")


def test_what_is_dropped() -> None:
    statement = sql.read('alter table t drop column if exists a, drop B, drop constraint c, add "drop" int, drop "D"')
    assert list(statement.names_after("drop")) == ["a", "b", "constraint", "D"]
    assert list(statement.names_after("constraint")) == ["c"]
    assert statement.contains("add", "drop")
    assert not statement.contains("drop", "a")


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
        # a table may be named so
        ("alter table comment drop a", "alter table", "public.comment"),
        ("update only domain set a = 1", "update", "public.domain"),
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
        ('"a"""', ("public", 'a"')),
        (r'U&"d\0061t\+000061"', ("public", "data")),
        ("ÉTÉ", ("public", "ÉtÉ")),
    ],
)
def test_names(text: str, name: tuple[str, str]) -> None:
    assert sql.read_name(text) == name


@given(st.text("ab'\"$;-/*\\ \n"))
def test_no_text_is_too_odd(text: str) -> None:
    """Every token is where it says, in order, and splitting loses no token but the semicolons."""
    found = list(tokens.read(text))
    assert all(text.startswith(token.text, token.start) for token in found)
    assert [token.start for token in found] == sorted(token.start for token in found)
    again = [token.text.strip() for piece in sql.split(text) for token in tokens.read(piece)]
    assert again == [token.text.strip() for token in found if token.text != ";"]
