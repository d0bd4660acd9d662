"""Drift: what is made by hand in a database is found, named, and told apart from what is accepted."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection

from runner.errors import InvalidSettings
from runner.schema import catalog, drift, snapshot
from support import postgres
from support.drifts import DRIFTS, MADE
from support.postgres import Database, Server, read_catalog
from support.project import Project


@dataclass(frozen=True)
class Made:
    """A database at head, to be copied, and the project that made it."""

    project: Project
    database: Database

    def snapshot(self, revision: str = "018_more") -> catalog.Catalog:
        return self.project.snapshot(revision)


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    project = Project.copy(tmp_path_factory.mktemp("drift"))
    project.add("018_more", f'op.execute("""{MADE}""")')
    with postgres.new_database(server, "drift_template") as database:
        done = project.run("migrate", "snapshot", url=database.url)
        assert done.returncode == 0, done.stderr
        answer = project.ask(database.url, {"action": "upgrade"})
        assert answer["status"] == "success", answer["message"]
        yield Made(project, database)


@pytest.fixture(scope="module")
def connection(made: Made) -> Iterator[Connection]:
    with postgres.connect(made.database) as connection:
        yield connection


@pytest.fixture
def hand(connection: Connection) -> Iterator[Connection]:
    """Let somebody work in the database, and roll it back in the end."""
    yield connection
    connection.rollback()


def differences(made: Made, hand: Connection) -> tuple[catalog.Difference, ...]:
    return drift.find(made.snapshot(), catalog.read(hand), ()).differences


@pytest.mark.parametrize("kind", DRIFTS)
def test_what_is_made_by_hand_is_found_and_named(made: Made, hand: Connection, kind: str) -> None:
    """That thing is told, and nothing else."""
    statement, expected = DRIFTS[kind]
    hand.exec_driver_sql(statement)
    found = differences(made, hand)
    assert sorted((one.kind, one.name) for one in found) == sorted(expected)
    for one in found:
        assert one.expected != one.actual
        assert catalog.describe(one.path, one.expected) != catalog.describe(one.path, one.actual)


def test_a_clean_database_has_no_drift(made: Made, hand: Connection) -> None:
    assert drift.find(made.snapshot(), catalog.read(hand), ()) == drift.Comparison((), (), ())


@pytest.mark.parametrize("target", ["016", "017", "018"])
def test_drift_at_any_revision(made: Made, database: Database, target: str) -> None:
    """An earlier revision's snapshot is as good a measure as the head's."""
    at = made.project.ask(database.url, {"action": "upgrade", "target": target})["to"]
    assert drift.find(made.snapshot(at), read_catalog(database), ()).differences == ()
    database.execute("alter table leads drop column nome")
    found = drift.find(made.snapshot(at), read_catalog(database), ()).differences
    assert [one.name for one in found] == ["public.leads.nome"]


def test_reading_twice_gives_the_same(made: Made) -> None:
    """And the same again after being written and read."""
    first = read_catalog(made.database)
    assert read_catalog(made.database) == first
    text = snapshot.render(first, "9f31")
    (made.project.folder / "copy.json").write_text(text, encoding="utf-8")
    read = snapshot.load(made.project.folder, "copy")
    assert read == snapshot.Snapshot(first, "9f31")
    assert snapshot.render(read.catalog, "9f31") == text


def test_an_extension_is_found_by_name_and_what_it_made_is_not(made: Made, hand: Connection) -> None:
    available = "select name from pg_available_extension_versions where name <> 'plpgsql' and requires is null limit 1"
    name = hand.exec_driver_sql(available).scalar()
    if name is None:
        pytest.skip("this PostgreSQL comes without extensions")
    hand.exec_driver_sql(f'create extension "{name}" schema side')
    assert [(one.kind, one.name.strip('"')) for one in differences(made, hand)] == [("extensions", name)]


def test_reading_leaves_the_session_as_it_was(made: Made, hand: Connection) -> None:
    hand.exec_driver_sql("set search_path to side, public")
    hand.exec_driver_sql("set jit to on")
    assert catalog.read(hand) == made.snapshot()
    settings = hand.exec_driver_sql("select current_setting('search_path'), current_setting('jit')").one()
    assert tuple(settings) == ("side, public", "on")


def test_a_new_database_is_empty(database: Database) -> None:
    assert read_catalog(database) == catalog.EMPTY


def test_the_empty_sections_are_left_out(made: Made) -> None:
    for objects in made.snapshot().values():
        for sections in objects.values():
            assert all(sections.values())


@contextmanager
def accepting(made: Made, text: str) -> Iterator[None]:
    path = made.project.schema.parent / drift.FILE
    path.write_text(text, encoding="utf-8")
    yield
    path.unlink()


def accept(made: Made, hand: Connection, text: str) -> drift.Comparison:
    with accepting(made, text):
        return drift.find(made.snapshot(), catalog.read(hand), drift.load(made.project.schema))


ACCEPTED = {
    "a part": (
        "create index extra on items (mood)",
        "drop index extra; create index extra on items (mood, id)",
        "drop index extra",
    ),
    "a whole table": (
        'create table extra (id integer, "Ação" text default e\'\\x7f"\\\\\')',
        "alter table extra add more text",
        "drop table extra",
    ),
    "what is missing": (
        "drop index items_label",
        "create index items_label on items (label)",
        "drop index items_label; create index items_label on items (label) where label is not null",
    ),
}


@pytest.mark.parametrize(("first", "later", "mended"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted_is_hidden_until_it_changes(
    made: Made, hand: Connection, first: str, later: str, mended: str
) -> None:
    """The entry that is offered covers that difference as it is now, nothing beside it, and nothing later."""
    hand.exec_driver_sql(first)
    (known,) = differences(made, hand)
    entry = drift.render(known).replace('reason = ""', 'reason = "for a report"')
    assert tomllib.loads(entry)["accepted"][0]["at"] == list(known.path)
    hand.exec_driver_sql("comment on table leads is 'novo'")
    found = accept(made, hand, entry)
    assert [one.name for one in found.differences] == ["public.leads"]
    assert [(one, by.reason) for one, by in found.accepted] == [(known, "for a report")]
    assert found.unused == ()
    hand.exec_driver_sql(later)
    found = accept(made, hand, entry)
    assert [one.path for one in found.differences] == sorted([("tables", "public.leads", "comments", ""), known.path])
    assert (found.accepted, [by.at for by in found.unused]) == ((), [known.path])
    hand.exec_driver_sql(mended)
    found = accept(made, hand, entry)
    assert [one.name for one in found.differences] == ["public.leads"]
    assert [by.at for by in found.unused] == [known.path]


ENTRY = '[[accepted]]\nat = ["tables", "a"]\n'
BROKEN = {
    "no reason": (ENTRY, "has no `reason` in entry 1"),
    "an empty reason": (f'{ENTRY}reason = " "\n', "has no `reason` in entry 1"),
    "an unknown field": (f'{ENTRY}reason = "x"\nuntil = 2026-01-01\n', "has an unknown field `until` in entry 1"),
    "an unknown table": ("[[known]]\nat = []\n", "may contain only `[[accepted]]` entries"),
    "no list": ("accepted = 1\n", "may contain only `[[accepted]]` entries"),
    "an entry of its own sort": ("accepted = [1]\n", "has an entry 1 that is not a table"),
    "a text as path": (
        '[[accepted]]\nat = "tables.a"\nreason = "x"\n',
        "requires a list of two or four names in `at` of entry 1",
    ),
    "a path of three": (
        f'{ENTRY}reason = "x"\n[[accepted]]\nat = ["tables", "a", "columns"]\nreason = "x"\n',
        "requires a list of two or four names in `at` of entry 2",
    ),
    "a number as found": (f'{ENTRY}found = 1\nreason = "x"\n', "requires a string in `found` of entry 1"),
    "no TOML": (
        "[[accepted",
        "is not valid TOML: Expected ']]' at the end of an array declaration (at end of document)",
    ),
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """It names the file and the problem; nothing is accepted by accident."""
    (tmp_path / drift.FILE).write_text(text)
    with pytest.raises(InvalidSettings) as refused:
        drift.load(tmp_path / "schema")
    assert refused.value.sentence == f"`alembic/accepted_drift.toml` {problem}."


def test_without_a_file_nothing_is_accepted(tmp_path: Path) -> None:
    assert drift.load(tmp_path / "schema") == ()


def test_what_a_program_is_told_of_a_difference(made: Made, hand: Connection) -> None:
    """A part is given with its texts, a whole object with what tells it from any other."""
    hand.exec_driver_sql("alter table items alter code set default 'y'; create table extra ()")
    extra, code = differences(made, hand)
    assert (code.kind, code.name) == ("defaults", "public.items.code")
    assert code.path == ("tables", "public.items", "defaults", "code")
    assert catalog.describe(code.path, code.expected) == "'x'::character varying"
    assert catalog.describe(code.path, code.actual) == "'y'::character varying"
    assert catalog.describe(extra.path, extra.expected) is None
    assert str(catalog.describe(extra.path, extra.actual)).startswith("a table, sha256 ")


def test_a_long_text_is_told_around_where_it_differs(made: Made, hand: Connection) -> None:
    """The sentence stays one; a program gets the whole text."""
    body = "create or replace function score() returns text language sql as 'select $${}$$'"
    hand.exec_driver_sql(body.format("a" * 3000 + "x" + "a" * 3000))
    (before,) = (one.actual for one in differences(made, hand))
    hand.exec_driver_sql(body.format("a" * 3000 + "y" + "a" * 3000))
    (after,) = (one.actual for one in differences(made, hand))
    (difference,) = catalog.compare(before, after, ("functions", "public.score()"))
    assert "aaaxaaa" in str(difference)
    assert "aaayaaa" in str(difference)
    assert len(str(difference)) < 1000
    assert len(str(catalog.describe(difference.path, difference.actual))) > 6000


def test_a_role_without_rights_reads_the_same(made: Made) -> None:
    """`check` may be run by whoever can connect, in a transaction that can change nothing."""
    with postgres.connect(made.database) as connection:
        connection.exec_driver_sql("set transaction read only")
        connection.exec_driver_sql("set role pg_monitor")
        assert catalog.read(connection) == made.snapshot()


def test_base_is_an_empty_schema(made: Made, database: Database) -> None:
    """Stamping base says that nothing is there; the version table and the ledger do not count."""
    made.project.ask(database.url, {"action": "upgrade", "target": "016"})
    refused = made.project.ask(database.url, {"action": "stamp", "target": "base"})
    assert (refused["code"], len(refused["differences"])) == ("drift", 7)
    database.execute(
        "drop schema public cascade; create schema public; create table alembic_version (version_num text)"
    )
    database.execute("insert into alembic_version values ('016_platform_baseline')")
    assert made.project.ask(database.url, {"action": "stamp", "target": "base"})["status"] == "success"


def test_stamp_is_strict_but_for_what_is_accepted(made: Made) -> None:
    """A thing too many refuses a stamp as one that lacks; an accepted one does not."""
    with postgres.new_database(made.database.server, "drift_copy") as copy:
        made.project.ask(copy.url, {"action": "upgrade"})
        copy.execute("drop table alembic_version; create table extra ()")
        refused = made.project.ask(copy.url, {"action": "stamp", "target": "018"})
        assert (refused["code"], refused["differences"]) == (
            "drift",
            ["`public.extra` (tables): expected none, found a table"],
        )
        (known,) = drift.find(made.snapshot(), read_catalog(copy), ()).differences
        with accepting(made, drift.render(known).replace('reason = ""', 'reason = "kept"')):
            assert made.project.ask(copy.url, {"action": "stamp", "target": "018"})["status"] == "success"
