"""The helpers on partitioned tables: each part by its name, then the table, on two versions of PostgreSQL."""

from contextlib import closing

import psycopg2
import pytest

from support import waiting
from support.postgres import Database
from support.project import Project

EACH = pytest.mark.parametrize("database", ["server", "newest"], indirect=True)
TABLES = """
    create table owners (id int primary key);
    insert into owners select generate_series(1, 500);
    create table p (a int, b int) partition by range (a);
    create table p1 partition of p for values from (0) to (500);
    create table p2 partition of p for values from (500) to (1000);
    insert into p select n, n % 500 + 1 from generate_series(0, 999) n;
"""
INDEXES = (
    "select indexrelid::regclass::text, indisvalid from pg_index where indrelid in ('p'::regclass, 'p1'::regclass, "
)
INDEXES += "'p2'::regclass) order by 1"
KEYS = """
    select conname, conrelid::regclass::text, conparentid <> 0, convalidated from pg_constraint
    where conrelid in ('p'::regclass, 'p1'::regclass, 'p2'::regclass) and contype in ('p', 'u', 'f') order by 2
"""
NOT_NULL = "select attrelid::regclass::text from pg_attribute where attname = 'b' and attnotnull and attrelid in "
NOT_NULL += "('p'::regclass, 'p1'::regclass, 'p2'::regclass) order by 1"
HELPERS = (
    "from runner.operations import add_check_not_valid, add_foreign_key_not_valid, add_key_on_only\n"
    "from runner.operations import add_key_using_index, attach_index, create_index_concurrently, create_index_on_only\n"
    "from runner.operations import drop_index_concurrently, set_not_null_safely, validate_constraint\n"
)
# A revision notes how many rows of each table were read until then, of which the difference is its own.
NOTE = "op.execute('insert into reads select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) "
NOTE += "from pg_stat_xact_user_tables')\n"
READ = "select name, max(rows) - min(rows) from reads where name in ('p1', 'p2') group by 1 order by 1"


@pytest.fixture(autouse=True)
def at_017(migrated: Database) -> None:
    migrated.execute(TABLES)
    migrated.execute("create table reads (name text, rows bigint)")


def add(project: Project, *bodies: str) -> None:
    """Add a revision for each body, in which the helpers are called by their names."""
    after = "017_dry_run_log"
    for number, body in enumerate(bodies, 18):
        name = f"{number:03d}_step"
        project.add(name, HELPERS + body, after=after)
        after = name


def upgrade(project: Project, database: Database) -> list[dict]:
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert "warnings" not in done
    return done["applied"]


def incomplete(project: Project, database: Database) -> list[tuple[str, str, str]]:
    found = project.ask(database.url, {"action": "check"})["findings"]
    assert not [one for one in found if one["kind"] == "invalid-index"]
    return [
        (one["name"], one["level"], f"{one['message']} {one['help']}")
        for one in found
        if one["kind"] == "incomplete-index"
    ]


def kill_while_blocked(project: Project, database: Database, target: str, blocker: str) -> None:
    """Kill a run while a transaction holds up its statement."""
    with closing(psycopg2.connect(database.url)) as other, other.cursor() as cursor:
        cursor.execute(blocker)
        process = project.start("migrate", "upgrade", target, url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        process.kill()
        process.communicate()
        waiting.until(database, waiting.OURS, 0)


WAITS = (
    "No query uses it yet: no valid index is attached for {}. Build one on each with `create_index_concurrently`, then "
    "attach it with `attach_index`."
)


def test_an_index_through_killed_runs(project: Project, database: Database) -> None:
    """The incomplete index is no leftover to a run, to `repair` or to `check`, which says what it lacks."""
    add(
        project,
        "create_index_on_only('p_b', 'p', ['b', sa.text('(a + 1)')], where='b > 0')",
        "for part in ('p1', 'p2'):\n"
        "    create_index_concurrently(f'{part}_b', part, ['b', sa.text('(a + 1)')], where='b > 0')",
        "attach_index('p_b', 'p1_b')\nattach_index('p_b', 'p1_b')",
        "attach_index('p_b', 'p2_b')",
    )
    for target, blocker, lacking in (
        ("018", "lock table p in row exclusive mode", ["public.p1", "public.p2"]),
        ("019", "insert into p values (1, 1)", ["public.p1", "public.p2"]),
        ("020", "select from p1", ["public.p2"]),
        ("021", "select from p2", []),
    ):
        kill_while_blocked(project, database, target, blocker)
        done = project.ask(database.url, {"action": "upgrade", "target": target})
        assert (done["status"], done.get("warnings")) == ("success", None)
        said = WAITS.format(", ".join(f"`{name}`" for name in lacking))
        assert incomplete(project, database) == ([("public.p_b", "warning", said)] if lacking else [])
        assert project.ask(database.url, {"action": "repair", "target": target})["cleared"] == []
    assert database.query(INDEXES) == [("p1_b", True), ("p2_b", True), ("p_b", True)]


def test_a_clean_end(project: Project, database: Database) -> None:
    """With a snapshot, `check` finds nothing at all."""
    env = project.folder / "alembic" / "env.py"
    env.write_text(env.read_text().replace("return Base.metadata", "return None"))
    database.execute("drop table p, owners, reads")
    add(
        project,
        "op.execute('create table p (a int) partition by range (a)')\n"
        "op.execute('create table p1 partition of p for values from (0) to (500)')",
        "create_index_on_only('p_a', 'p', ['a'], unique=True)",
        "create_index_concurrently('p1_a', 'p1', ['a'], unique=True)",
        "attach_index('p_a', 'p1_a')",
    )
    upgrade(project, database)
    assert project.run("migrate", "snapshot", url=database.url).returncode == 0
    found = project.ask(database.url, {"action": "check"})
    assert (found["ok"], found["findings"]) == (True, [])


@EACH
@pytest.mark.parametrize("kind", ["unique", "primary"])
def test_a_key(project: Project, database: Database, kind: str) -> None:
    """A repetition of the first step keeps the constraint; a partition's index must be that of a key."""
    only = f"add_key_on_only('p_key', 'p', ['a', 'b'], primary={kind == 'primary'})"
    add(
        project,
        "set_not_null_safely('p', 'a')",
        "set_not_null_safely('p', 'b')",
        only,
        only,
        "for part in ('p1', 'p2'):\n    create_index_concurrently(f'{part}_ab', part, ['a', 'b'], unique=True)",
        "for part in ('p1', 'p2'):\n    add_key_using_index(f'{part}_key', part, f'{part}_ab', "
        f"primary={kind == 'primary'})",
    )
    upgrade(project, database)
    said = WAITS.replace("concurrently`,", "concurrently`, make it a key with `add_key_using_index`,")
    assert incomplete(project, database) == [("public.p_key", "warning", said.format("`public.p1`, `public.p2`"))]
    project.add(
        "024_attach",
        HELPERS + "for part in ('p1', 'p2'):\n    attach_index('p_key', f'{part}_key')",
        after="023_step",
    )
    upgrade(project, database)
    assert incomplete(project, database) == []
    assert database.query(INDEXES) == [("p1_key", True), ("p2_key", True), ("p_key", True)]
    assert database.query(KEYS) == [
        ("p_key", "p", False, True),
        ("p1_key", "p1", True, True),
        ("p2_key", "p2", True, True),
    ]


@EACH
@pytest.mark.parametrize("proven", [True, False])
def test_a_foreign_key(project: Project, database: Database, proven: bool) -> None:
    """The table takes over the keys of its partitions, whatever they are called; it reads no row if they are valid."""
    parts, validate = "for part in ('p1', 'p2'):\n    ", "validate_constraint(f'of_{part}', part)"
    add(
        project,
        f"{parts}add_foreign_key_not_valid(f'of_{{part}}', part, 'owners', ['b'], ['id'], ondelete='CASCADE')",
        f"{parts}{validate if proven else 'op.get_bind()'}",
        f"{NOTE}op.create_foreign_key('p_fk', 'p', 'owners', ['b'], ['id'], ondelete='CASCADE')\n{NOTE}",
    )
    last = upgrade(project, database)[-1]
    share = "ShareRowExclusiveLock"
    if proven:
        assert database.query(READ) == [("p1", 0), ("p2", 0)]
        assert database.query(KEYS) == [
            ("p_fk", "p", False, True),
            ("of_p1", "p1", True, True),
            ("of_p2", "p2", True, True),
        ]
        assert {name: last["locks"][name] for name in ("p", "p1", "p2", "owners")} == {
            **dict.fromkeys(("p", "p1", "p2"), share),
            "owners": "AccessExclusiveLock",
        }
    else:
        assert database.query(READ) == [("p1", 500), ("p2", 500)]


@EACH
def test_a_check(project: Project, database: Database) -> None:
    """NOT VALID on the table reads no row, and VALIDATE lets reads and writes of all partitions go on."""
    add(
        project,
        f"{NOTE}add_check_not_valid('ck', 'p', 'b > 0')\n{NOTE}",
        "validate_constraint('ck', 'p')",
    )
    applied = upgrade(project, database)
    assert database.query(READ) == [("p1", 0), ("p2", 0)]
    assert applied[1]["locks"] == dict.fromkeys(("p", "p1", "p2"), "ShareUpdateExclusiveLock")
    assert database.query("select convalidated from pg_constraint where conname = 'ck'") == [(True,)] * 3


@EACH
def test_not_null(project: Project, database: Database) -> None:
    """Each row is read once, by the VALIDATE: SET NOT NULL of the table relies on the CHECK of its partitions."""
    add(project, "set_not_null_safely('p', 'b')")
    upgrade(project, database)
    waiting.until(database, waiting.OURS, 0)
    read = "select relname, seq_tup_read from pg_stat_user_tables where relname in ('p1', 'p2') order by 1"
    assert database.query(read) == [("p1", 500), ("p2", 500)]
    assert database.query(NOT_NULL) == [("p",), ("p1",), ("p2",)]
    assert database.query("select count(*) from pg_constraint where conname like 'b_not_null%'") == [(0,)]


IN_FILE = "In `018_step.py`, "
REFUSED = {
    "index": (
        "create_index_concurrently('p_b', 'p', ['b'])",
        'FeatureNotSupported (0A000): `cannot create index on partitioned table "p" concurrently`',
        IN_FILE
        + "if the table is partitioned, use `create_index_on_only`, then `create_index_concurrently` on each partition "
        "and `attach_index`, then run the same command again.",
    ),
    "drop": (
        "drop_index_concurrently('p_a')",
        'FeatureNotSupported (0A000): `cannot drop partitioned index "p_a" concurrently`',
        IN_FILE
        + "if the index is that of a partitioned table, use `op.drop_index`, which blocks reads and writes of its "
        "partitions for a moment, then run the same command again.",
    ),
    "key using index": (
        "add_key_using_index('p_key', 'p', 'p_a')",
        "`ALTER TABLE / ADD CONSTRAINT USING INDEX is not supported on partitioned tables`",
        IN_FILE
        + "use `add_key_using_index` on each partition, then `add_key_on_only` on the table and `attach_index`, then "
        "run the same command again.",
    ),
    "key without the partition's": (
        "add_key_on_only('p_key', 'p', ['b'])",
        'FeatureNotSupported (0A000): `UNIQUE constraint on table "p" lacks column "a" which is part of the partition '
        "key`",
        "Correct `018_step.py`, then run the same command again.",
    ),
    "attach without a key": (
        "add_key_on_only('p_key', 'p', ['a'])\nattach_index('p_key', 'p1_a')",
        'InvalidObjectDefinition (42P17): `The index "p_key" belongs to a constraint in table "p" but no constraint '
        'exists for index "p1_a"`',
        "Correct `018_step.py`, then run the same command again.",
    ),
    "attach twice": (
        "attach_index('p_a', 'p1_a')",
        'ObjectNotInPrerequisiteState (55000): `Another index is already attached for partition "p1"`',
        "Correct `018_step.py`, then run the same command again.",
    ),
    "primary key": (
        "add_key_on_only('p_key', 'p', ['a'], primary=True)",
        "`",
        IN_FILE + "make the columns of the primary key NOT NULL first (`set_not_null_safely`), then run the same "
        "command again.",
    ),
    "foreign key": (
        "add_foreign_key_not_valid('p_fk', 'p', 'owners', ['b'], ['id'])",
        'WrongObjectType (42809): `cannot add NOT VALID foreign key on partitioned table "p" referencing relation '
        '"owners"`',
        IN_FILE
        + "if the table is partitioned, use `add_foreign_key_not_valid` and `validate_constraint` on each partition, "
        "then `op.create_foreign_key` on the table, then run the same command again.",
    ),
}


@EACH
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(project: Project, database: Database, case: str) -> None:
    """The server refuses what cannot be done; the answer says so, and what can be done."""
    call, said, hint = REFUSED[case]
    database.execute("create unique index p_a on p (a); create unique index p1_a on p1 (a)")
    add(project, call)
    if case == "foreign key" and database.query("select current_setting('server_version_num')::int >= 180000")[0][0]:
        upgrade(project, database)
        return
    failed = project.ask(database.url, {"action": "upgrade"})
    assert (failed["code"], failed["hint"]) == ("revision-failed", hint)
    assert said in failed["error"]
    assert database.query(INDEXES) == [("p1_a", True), ("p1_a_idx", True), ("p2_a_idx", True), ("p_a", True)]


def test_an_index_that_became_valid_after_it_was_attached(project: Project, database: Database) -> None:
    """The table's own becomes valid only when one is attached again; a partition of partitions is named like any."""
    database.execute("""
        create table p3 partition of p for values from (1000) to (2000) partition by range (a);
        create table p31 partition of p3 for values from (1000) to (2000);
        create index p_b on only p (b); create index p1_b on p1 (b); create index p2_b on p2 (b);
        create index p3_b on only p3 (b); create index p31_b on p31 (b);
        alter index p_b attach partition p1_b; alter index p_b attach partition p3_b;
        update pg_index set indisvalid = false where indexrelid = 'p2_b'::regclass;
        alter index p_b attach partition p2_b;
        update pg_index set indisvalid = true where indexrelid = 'p2_b'::regclass
    """)
    assert [(name, said.partition(" Build")[0]) for name, _, said in incomplete(project, database)] == [
        ("public.p3_b", "No query uses it yet: no valid index is attached for `public.p31`."),
        ("public.p_b", "No query uses it yet: no valid index is attached for `public.p3`."),
    ]
    # as a server before 2023 left it
    database.execute("alter index p3_b attach partition p31_b")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'p_b'::regclass")
    again = (
        "It is still invalid, because an index of a partition became valid after it was attached. Attach that one "
        "again with `attach_index`, in a revision."
    )
    assert incomplete(project, database) == [("public.p_b", "warning", again)]
    add(project, "attach_index('p_b', 'p2_b')")
    upgrade(project, database)
    assert incomplete(project, database) == []


def test_printed_as_sql(project: Project, database: Database) -> None:
    """What is printed is what runs, in other schemas and with names that need quotes too."""
    database.execute("""
        create schema "old%"; create table "old%"."Of p" partition of p for values from (1000) to (2000);
        create unique index "Of i" on "old%"."Of p" (a);
        alter table "old%"."Of p" add constraint "Of i" unique using index "Of i";
        drop table p1, p2
    """)
    add(
        project,
        "add_key_on_only('The key', 'p', ['a'], schema='public')\n"
        "create_index_on_only('p_b', 'p', ['b'], unique=False, where='b > 0', schema='public')\n"
        "attach_index('The key', 'Of i', schema='public', partition_schema='old%')",
    )
    printed = project.run("alembic", "upgrade", "017_dry_run_log:head", "--sql").stdout
    for statement in (
        'ALTER TABLE ONLY public.p ADD CONSTRAINT "The key" UNIQUE (a);',
        "CREATE INDEX IF NOT EXISTS p_b ON ONLY public.p (b) WHERE b > 0;",
        'ALTER INDEX public."The key" ATTACH PARTITION "old%"."Of i";',
    ):
        assert statement in printed
    upgrade(project, database)
    assert ('"The key"', True) in database.query(INDEXES.replace(", 'p1'::regclass, 'p2'::regclass", ""))
