"""`set_not_null_safely` beside constraints of like names: its own of earlier versions, PostgreSQL 18's, and others'."""

import re

import pytest

from support.postgres import Database
from support.project import Project

EACH = pytest.mark.parametrize("database", ["server", "newest"], indirect=True)
LONG = "c" * 61
CHECKS = "select conname, pg_get_constraintdef(oid) from pg_constraint where conrelid = 't'::regclass and contype = 'c'"
NOT_NULL = "select attname from pg_attribute where attrelid = 't'::regclass and attnotnull and attnum > 0 order by 1"
OWN_NAMES = "select conname from pg_constraint where conrelid = 't'::regclass and contype = 'n' order by 1"


@pytest.fixture(autouse=True)
def at_017(project: Project, database: Database) -> None:
    assert project.ask(database.url, {"action": "upgrade", "target": "017"})["status"] == "success"
    database.execute("create table t (id int primary key, a int, kept int not null)")
    database.execute("insert into t select n, n, n from generate_series(1, 100) n")


def add(project: Project, *columns: str) -> None:
    calls = "\n".join(f"set_not_null_safely('t', {column!r})" for column in columns)
    project.add("018_null", f"from runner.operations import set_not_null_safely\n{calls}")


@EACH
def test_columns_that_are_not_null_already(project: Project, database: Database) -> None:
    """PostgreSQL 18 has constraints for them, of which one cannot be dropped, and none may get another name."""
    before = database.query(OWN_NAMES)
    add(project, "id", "kept", "a")
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert database.query(NOT_NULL) == [("a",), ("id",), ("kept",)]
    assert database.query(CHECKS) == []
    assert database.query(OWN_NAMES) == sorted([*before, ("t_a_not_null",)] if before else [])


@EACH
@pytest.mark.parametrize("valid", ["", "NOT VALID"])
def test_the_check_of_an_earlier_version(project: Project, database: Database, valid: str) -> None:
    """What a run of it left half-way goes, also where a row is NULL and the column stays as it was."""
    database.execute(f"alter table t add constraint t_a_not_null check (a is not null) {valid}")
    if valid:
        database.execute("alter table t drop constraint t_a_not_null")
        database.execute("update t set a = null where id = 1")
        database.execute("alter table t add constraint t_a_not_null check (a is not null) not valid")
        add(project, "a")
        assert project.ask(database.url, {"action": "upgrade"})["sqlstate"] == "23514"
        assert database.query(CHECKS) == []
        database.execute("update t set a = 1 where id = 1")
    add(project, "a")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert (database.query(CHECKS), ("a",) in database.query(NOT_NULL)) == ([], True)


def test_the_check_of_somebody_else(project: Project, database: Database) -> None:
    """Of the same name, with another condition."""
    database.execute("alter table t add constraint t_a_not_null check (a is not null and a > 0)")
    before = database.query(CHECKS)
    add(project, "a")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(CHECKS) == before


def test_long_names(project: Project, database: Database) -> None:
    """Names that differ at their end only have different CHECKs, none longer than PostgreSQL keeps."""
    columns = [f"{LONG}1", f"{LONG}2", "é" * 31, 'Of "a" %']
    quoted = ", ".join('add column "{}" int default 1'.format(name.replace('"', '""')) for name in columns)
    database.execute(f"alter table t {quoted}")
    add(project, *columns)
    printed = project.run("alembic", "upgrade", "017_dry_run_log:head", "--sql").stdout
    names = re.findall(r'VALIDATE CONSTRAINT ("(?:[^"]|"")+"|\w+)', printed)
    assert len(set(names)) == len(columns)
    assert {len(name.strip('"').replace('""', '"').encode()) for name in names[:3]} <= {62, 63}
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(NOT_NULL) == sorted((name,) for name in [*columns, "id", "kept"])
    assert database.query(CHECKS) == []
