"""Concurrent index work of every spelling: what a killed run leaves is mended by the next, and nothing else is."""

import json
import signal
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from sqlalchemy import make_url

from support import waiting
from support.postgres import Database
from support.project import UNTIL_TOLD, Project

INVALID = "select indexrelid::regclass::text from pg_index where not indisvalid order by 1"
INDEXES = """
    select i.indexrelid::regclass::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relname in ('t', 'p', 'p1') order by 1
"""
TABLES = """
    create table t (a int, b text);
    insert into t select n, n from generate_series(1, 1000) n;
    create index t_a on t (a);
    create table p (a int) partition by range (a);
    create table p1 partition of p for values from (0) to (10);
    create index p_a on p (a);
"""
MADE = [("p1_a_idx", True), ("p_a", True), ("t_a", True)]
# What makes concurrent work wait: a transaction that has written, or one that has only read, which the last phase of a
# REINDEX waits for. https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
WRITES = ("insert into t values (1)", "insert into p values (1)")
READS = ("select from t", "select from p")
CASES = {
    "reindex index": ("reindex index concurrently t_a", WRITES, MADE),
    "reindex index, at its end": ("reindex index concurrently t_a", READS, MADE),
    "reindex table with its TOAST": ("reindex table concurrently t", WRITES, MADE),
    "reindex table, at its end": ("REINDEX (CONCURRENTLY, VERBOSE) TABLE public.t", READS, MADE),
    "reindex partitioned index": ("reindex index concurrently p_a", WRITES, MADE),
    "reindex partitioned table": ('reindex table concurrently "p"', READS, MADE),
    "reindex schema": ("reindex schema concurrently public", WRITES, MADE),
    "unnamed": ("create index concurrently on t (b)", WRITES, [*MADE, ("t_b_idx", True)]),
    "unnamed, of a partition": (
        "create unique index concurrently on p1 (a)",
        WRITES,
        [("p1_a_idx", True), ("p1_a_idx1", True), *MADE[1:]],
    ),
    "of a partition": (
        "create index concurrently if not exists p1_again on p1 (a)",
        WRITES,
        [("p1_a_idx", True), ("p1_again", True), *MADE[1:]],
    ),
}


# While a leftover may be somebody's build, the run looks for it again and again.
LOOKED = """
    select least(count(*), 1) from pg_stat_activity where application_name like 'migrate %' and state = 'idle'
      and query like '%from pg_index i join%' and datname = current_database()
"""


@pytest.fixture
def at_017(migrated: Database) -> None:
    migrated.execute(TABLES)


def add(project: Project, *statements: str, downgrade: str = "select 1") -> None:
    project.add("018_index", _block(*statements), downgrade=_block(downgrade))


def _block(*statements: str) -> str:
    lines = [f"    op.execute({statement!r})" for statement in statements]
    return "\n".join(["with op.get_context().autocommit_block():", *lines])


@contextmanager
def held_up(database: Database, *statements: str) -> Iterator[None]:
    """Hold up index work by a transaction, until the block ends."""
    with closing(psycopg2.connect(database.url)) as blocker, blocker.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield


def kill_at_work(project: Project, database: Database, blockers: tuple[str, ...]) -> None:
    """Kill a run while its index work is held up, which then has left an invalid index."""
    with held_up(database, *blockers):
        process = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        process.kill()
        process.communicate()
        waiting.until(database, waiting.OURS, 0)


@pytest.mark.usefixtures("at_017")
@pytest.mark.parametrize("case", CASES)
def test_the_next_run_mends_what_a_killed_one_left(project: Project, database: Database, case: str) -> None:
    """Its own index work of that table only: what was invalid before stays, and so does what is invalid elsewhere."""
    statement, blockers, indexes = CASES[case]
    add(project, statement)
    database.execute("create table other (a int); create index theirs on other (a)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 'theirs'::regclass")
    kill_at_work(project, database, blockers)
    assert len(database.query(INVALID)) > 1
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert database.query(INDEXES) == indexes
    assert database.query(INVALID) == [("theirs",)]
    assert "warnings" not in done


@pytest.mark.usefixtures("at_017")
def test_killed_twice(project: Project, database: Database) -> None:
    """The second try must not take what the first one left for what was there before."""
    add(project, "create index concurrently on t (b)")
    for _ in range(2):
        kill_at_work(project, database, WRITES)
        assert database.query(INVALID) == [("t_b_idx",)]
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(INDEXES) == [*MADE, ("t_b_idx", True)]


@pytest.mark.usefixtures("at_017")
def test_a_lost_connection_in_the_midst(project: Project, database: Database) -> None:
    """The same run continues on a new connection, and must not build a second index beside the first."""
    add(project, "create index concurrently on t (b)")
    with held_up(database, *WRITES):
        process = project.start("migrate", "--json", "upgrade", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        waiting.terminate(database, "the migration's")
        waiting.until_said(process, "reconnecting")
    output, _ = process.communicate()
    assert json.loads(output)["status"] == "success"
    assert database.query(INDEXES) == [*MADE, ("t_b_idx", True)]


@pytest.mark.usefixtures("at_017")
def test_the_deadline_in_the_midst(project: Project, database: Database) -> None:
    """What is left is named, since it cannot be dropped either while the transaction is open; the next run mends it."""
    add(project, "reindex index concurrently t_a")
    with held_up(database, *WRITES):
        late = project.ask(database.url, {"action": "upgrade"}, ends_in="018_index", left_s=2)
    assert (late["code"], late["leftovers"]) == ("deadline", ["invalid index public.t_a_ccnew"])
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(INDEXES) == MADE


@pytest.mark.usefixtures("at_017")
def test_all_that_cannot_be_mended_is_named(project: Project, database: Database) -> None:
    """Also behind the first one, whose mending fails while a transaction is open."""
    database.execute("create index t_b on t (b)")
    add(project, "reindex table concurrently t")
    with held_up(database, *WRITES):
        process = project.start("migrate", "--json", "upgrade", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        database.query(f"select pg_cancel_backend(pid) from ({waiting.BLOCKED.replace('count(*)', 'pid')}) blocked")
        output, _ = process.communicate()
    answer = json.loads(output)
    named = {f"invalid index public.{name}" for (name,) in database.query(INVALID)}
    assert named == {"invalid index public.t_a_ccnew", "invalid index public.t_b_ccnew"}
    assert (answer["sqlstate"], {*answer["leftovers"]} & named) == ("57014", named)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(INDEXES) == [*MADE, ("t_b", True)]


@pytest.mark.usefixtures("at_017")
@pytest.mark.parametrize("how", ["deadline", "kill"])
def test_a_drop_is_finished_by_the_next_try_of_it(project: Project, database: Database, how: str) -> None:
    """Whoever cleared what it left would make the next try fail: it has no IF EXISTS."""
    add(project, "drop index concurrently t_a")
    if how == "kill":
        kill_at_work(project, database, READS)
    else:
        with held_up(database, *READS):
            late = project.ask(database.url, {"action": "upgrade"}, ends_in="018_index", left_s=2)
        assert (late["code"], late["leftovers"]) == ("deadline", ["invalid index public.t_a"])
    assert database.query(INVALID) == [("t_a",)]
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(INDEXES) == [("p1_a_idx", True), ("p_a", True)]


@pytest.mark.usefixtures("at_017")
def test_another_failed_build_is_named_and_left(project: Project, database: Database) -> None:
    """Somebody's build of another table fails between the kill and the next run."""
    add(project, "create index concurrently on t (b)")
    kill_at_work(project, database, WRITES)
    database.execute("create table other as select 1 as a from generate_series(1, 2)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("create unique index concurrently theirs on other (a)")
    done = project.ask(database.url, {"action": "upgrade"})
    assert (done["status"], done["warnings"]) == (
        "success",
        ["`public.theirs` has been invalid since `018_index` ran; drop it with `migrate repair 018_index`."],
    )
    assert database.query(INVALID) == [("theirs",)]
    # as the warning says
    assert project.run("migrate", "repair", "018_index", url=database.url).returncode == 0
    assert database.query(INVALID) == []


@pytest.mark.usefixtures("at_017")
def test_a_success_ends_what_an_earlier_try_left(project: Project, database: Database) -> None:
    """An index that somebody left since is none of the revision's own, when it is run again after a downgrade."""
    add(project, "create index concurrently if not exists t_b on t (b)", "create index concurrently on t (b)")
    kill_at_work(project, database, WRITES)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert project.ask(database.url, {"action": "downgrade", "target": "-1"})["status"] == "success"
    database.execute("insert into t values (1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("create unique index concurrently theirs on t (a)")
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success"
    assert database.query(INVALID) == [("theirs",)]


PARTS = """
    create index p_only on only p (a);
    create index p1_only on p1 (a);
    update pg_index set indisvalid = false where indexrelid = 'p1_only'::regclass;
    alter index p_only attach partition p1_only;
    alter table t add primary key (a);
    update pg_index set indisvalid = false where indexrelid = 't_pkey'::regclass;
"""


@pytest.mark.usefixtures("at_017")
def test_what_cannot_be_dropped_is_built_again(project: Project, database: Database) -> None:
    """The parent that CREATE INDEX … ON ONLY makes is invalid until each partition has its index: no leftover."""
    database.execute(PARTS)
    found = project.ask(database.url, {"action": "check"})
    remedies = [(one["name"], one["help"]) for one in found["findings"] if one["kind"] == "invalid-index"]
    again = "Build it again with `migrate repair`."
    assert remedies == [("public.p1_only", again), ("public.t_pkey", again)]
    repaired = project.ask(database.url, {"action": "repair", "target": "017"})
    assert (repaired["status"], repaired["cleared"]) == ("success", ["public.p1_only", "public.t_pkey"])
    assert database.query(INVALID) == [("p_only",)]
    assert project.ask(database.url, {"action": "repair", "target": "017"})["cleared"] == []


@pytest.mark.usefixtures("at_017")
def test_the_advice_for_what_cannot_be_dropped(project: Project, database: Database) -> None:
    """A warning says what the repair does."""
    database.execute("alter table t add primary key (a)")
    add(project, "update pg_index set indisvalid = false where indexrelid = 't_pkey'::regclass")
    advice = "build it again with `migrate repair 018_index`"
    warning = f"`public.t_pkey` has been invalid since `018_index` ran; {advice}."
    assert project.ask(database.url, {"action": "upgrade"})["warnings"] == [warning]
    assert project.ask(database.url, {"action": "repair", "target": "018"})["cleared"] == ["public.t_pkey"]


@pytest.mark.usefixtures("at_017")
def test_what_cannot_be_built_again_either(project: Project, database: Database) -> None:
    """Two rows of one key came in while the index was invalid."""
    database.execute(PARTS)
    database.execute("set session_replication_role = replica; alter table t disable trigger all")
    database.execute("update pg_index set indisready = false, indisvalid = false where indexrelid = 't_pkey'::regclass")
    database.execute("insert into t values (1)")
    failed = project.ask(database.url, {"action": "repair", "target": "017"})
    assert (failed["code"], failed["sqlstate"]) == ("invalid-index", "23505")
    assert failed["message"] == (
        "invalid-index: `public.t_pkey` is invalid, and could neither be dropped nor built again (SQLSTATE 23505). The "
        "text of the revision is recorded. Correct its rows or its owner, then run the same command again."
    )
    database.execute("delete from t where ctid = (select max(ctid) from t where a = 1)")
    assert project.ask(database.url, {"action": "repair", "target": "017"})["status"] == "success"
    assert database.query(INVALID) == [("p_only",)]


@pytest.mark.usefixtures("at_017")
def test_a_drop_after_a_build_is_finished_by_the_next_try(project: Project, database: Database) -> None:
    """The build of the next try must leave the index to the DROP behind it; a name of another case needs its quotes."""
    database.execute('create index "Old%1" on t (b)')
    add(
        project,
        "create index concurrently t_b on t (b)",
        "reindex table concurrently t",
        'drop index concurrently "Old%1"',
    )
    with held_up(database, "select from t"):
        process = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, f"{waiting.BLOCKED} and query like 'reindex%'", 1)
        # the reader holds up the end of the REINDEX, which is to go on
        assert database.query(INVALID)[0] != ('"Old%1"',)
    waiting.until(database, f"select count(*) from ({INDEXES}) i (name, valid) where not valid", 0)
    process.communicate()
    assert process.returncode == 0
    project.add(
        "019_more", _block("create index concurrently on t (a)", "drop index concurrently t_b"), after="018_index"
    )
    with held_up(database, *READS):
        waiting_for_drop = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        assert database.query(INVALID) == [("t_b",)]
        waiting_for_drop.kill()
        waiting_for_drop.communicate()
        waiting.until(database, waiting.OURS, 0)
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query("select to_regclass('t_b')") == [(None,)]


@pytest.mark.usefixtures("at_017")
@pytest.mark.parametrize("how", ["kill", "lost connection"])
def test_a_drop_that_the_second_try_began_is_finished_by_the_third(
    project: Project, database: Database, how: str
) -> None:
    """The build before it must not take the index for a leftover, in another run or in the same one."""
    add(
        project,
        "create index concurrently if not exists p1_again on p1 (a)",
        "create index concurrently on t (b)",
        "drop index concurrently t_a",
    )
    kill_at_work(project, database, ("insert into p values (1)",))
    assert database.query(INVALID) == [("p1_again",)]
    if how == "kill":
        kill_at_work(project, database, ("select from t",))
    else:
        with held_up(database, "select from t"):
            process = project.start("migrate", "upgrade", url=database.url)
            waiting.until(database, waiting.BLOCKED, 1)
            waiting.terminate(database, "the migration's")
            waiting.until_said(process, "reconnecting")
        _, told = process.communicate()
        assert process.returncode == 0, told
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert "t_a" not in [name for name, _ in database.query(INDEXES)]


@pytest.mark.usefixtures("at_017")
@pytest.mark.parametrize("table", ["s.t", "b", "public.other"])
def test_another_table_of_such_a_name_is_left_alone(project: Project, database: Database, table: str) -> None:
    """One of the same name in another schema, one with a column's name, one that another statement is about."""
    add(project, "create index concurrently on t (b)", "create index concurrently other_c on other (c)")
    database.execute("create schema s; create table other (c int)")
    database.execute(
        f"drop table if exists {table} cascade; create table {table} as select 1 as c from generate_series(1, 2)"
    )
    kill_at_work(project, database, WRITES)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute(f"create unique index concurrently theirs on {table} (c)")
    done = project.ask(database.url, {"action": "upgrade"})
    assert done["status"] == "success", done["message"]
    assert database.query("select count(*) from pg_class where relname = 'theirs'") == [(1,)]
    assert ["theirs" in one for one in done["warnings"]] == [True]


@pytest.mark.usefixtures("at_017")
def test_what_was_invalid_before_stays_also_while_its_table_is_vacuumed(project: Project, database: Database) -> None:
    """VACUUM holds the lock by which a session that builds an index is known."""
    database.execute("insert into t values (1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("create unique index concurrently theirs on t (a)")
    project.add(
        "018_index",
        f"with op.get_context().autocommit_block():\n{textwrap.indent(UNTIL_TOLD, '    ')}\n"
        "    op.execute('create index concurrently on t (b)')",
    )
    with held_up(database, "lock table t in share update exclusive mode"):
        process = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, waiting.UNTOLD, 1)
    database.execute("create table told ()")
    process.communicate()
    assert process.returncode == 0
    assert database.query(INVALID) == [("theirs",)]


@pytest.mark.usefixtures("at_017")
def test_a_leftover_is_mended_once_nobody_may_be_building_it(project: Project, database: Database) -> None:
    add(project, "create index concurrently on t (b)")
    kill_at_work(project, database, WRITES)
    with held_up(database, "lock table t in share update exclusive mode"):
        process = project.start("migrate", "upgrade", url=database.url)
        waiting.until(database, LOOKED, 1)
        assert database.query(INVALID) == [("t_b_idx",)]
        assert not [one for one in project.ask(database.url, {"action": "check"})["findings"] if "t_b" in one["name"]]
        assert project.ask(database.url, {"action": "current"})["current"] == ["017_dry_run_log"]
    process.communicate()
    assert process.returncode == 0
    assert database.query(INDEXES) == [*MADE, ("t_b_idx", True)]


@pytest.mark.usefixtures("at_017")
def test_an_index_that_was_invalid_before_is_replaced(project: Project, database: Database) -> None:
    """What a REINDEX replaces has the same oid as in the list from before, and another name."""
    add(project, "reindex index concurrently t_a")
    database.execute("update pg_index set indisvalid = false where indexrelid = 't_a'::regclass")
    kill_at_work(project, database, READS)
    assert database.query(INVALID) == [("t_a_ccold",)]
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(INDEXES) == MADE


@pytest.mark.usefixtures("at_017")
def test_a_name_with_a_percent_sign_is_cleared(project: Project, database: Database) -> None:
    """The driver reads it as a placeholder."""
    database.execute('create table "x%1" as select 1 as a from generate_series(1, 2)')
    add(project, 'create unique index concurrently on "x%1" (a)')
    failed = project.ask(database.url, {"action": "upgrade"})
    assert (failed["sqlstate"], failed["leftovers"]) == ("23505", [])
    assert database.query(INVALID) == []


@pytest.mark.usefixtures("at_017")
def test_a_build_that_fails_behind_a_drop_is_cleared(project: Project, database: Database) -> None:
    """The two have one name, and only what the DROP has begun is left to its next try."""
    database.execute("create index t_u on t (a); insert into t values (1)")
    add(project, "drop index concurrently if exists t_u", "create unique index concurrently t_u on t (a)")
    failed = project.ask(database.url, {"action": "upgrade"})
    assert (failed["sqlstate"], failed["leftovers"]) == ("23505", [])
    assert database.query(INVALID) == []


def test_an_ordinary_role(project: Project, database: Database) -> None:
    """Only a superuser may name an index of a TOAST table: one that is left is no reason to fail."""
    role = f"owner_{database.name}"
    database.execute(f"""
        create role {role} login password 'only-for-tests';
        grant all on schema public to {role};
        grant all on database {database.name} to {role}
    """)
    url = make_url(database.url).set(username=role, password="only-for-tests").render_as_string(hide_password=False)
    try:
        begun = project.ask(url, {"action": "upgrade", "target": "017"})
        assert begun["status"] == "success", begun["message"]
        database.execute(f"set role {role}; {TABLES}")
        add(project, "reindex table concurrently t")
        with held_up(database, *READS):
            process = project.start("migrate", "upgrade", url=url)
            waiting.until(database, waiting.BLOCKED, 1)
            process.kill()
            process.communicate()
            waiting.until(database, waiting.OURS, 0)
        assert len(database.query(INVALID)) > 1
        done = project.ask(url, {"action": "upgrade"})
        assert done["status"] == "success", done["message"]
        assert [name for (name,) in database.query(INVALID) if not name.startswith("pg_toast.")] == []
        assert project.ask(url, {"action": "repair", "target": "018"})["status"] == "success"
    finally:
        database.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.mark.usefixtures("at_017")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_repair_hears_a_signal(project: Project, database: Database, number: signal.Signals) -> None:
    """It waits for other transactions in the server, where Python hears nothing, and says what it has done already."""
    add(project, "create index concurrently on t (b)")
    kill_at_work(project, database, WRITES)
    with held_up(database, *READS):
        process = project.start("migrate", "repair", "017", url=database.url)
        waiting.until(database, waiting.BLOCKED, 1)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == 128 + number
    assert told == (
        "interrupted: The run was interrupted. The text of the revision is recorded, and invalid indexes may "
        "remain. Run `migrate repair 017` again to continue.\n"
    )
    assert project.ask(database.url, {"action": "repair", "target": "017"})["status"] == "success"
    assert database.query(INVALID) == []


@pytest.mark.usefixtures("at_017")
def test_a_repair_leaves_an_unfinished_drop(project: Project, database: Database) -> None:
    """The revision that began it, without IF EXISTS, is to find its index; what else is invalid is cleared."""
    add(project, "drop index concurrently t_a")
    kill_at_work(project, database, READS)
    database.execute("insert into t values (1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.execute("create unique index concurrently theirs on t (a)")
    found = project.ask(database.url, {"action": "check"})
    remedies = {one["name"]: one["help"] for one in found["findings"] if one["kind"] == "invalid-index"}
    finishes = "Run `migrate upgrade` again: it finishes the DROP of the index that `018_index` began."
    assert (sorted(remedies), remedies["public.t_a"]) == (["public.t_a", "public.theirs"], finishes)
    repaired = project.ask(database.url, {"action": "repair", "target": "017"})
    assert repaired["cleared"] == ["public.theirs"]
    assert repaired["message"].endswith(" Left to the revision whose next run finishes its DROP: `public.t_a`.")
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    assert database.query(INDEXES) == [("p1_a_idx", True), ("p_a", True)]
    # whose DROP has succeeded has none to finish
    database.execute("create index t_a on t (a)")
    database.execute("update pg_index set indisvalid = false where indexrelid = 't_a'::regclass")
    assert project.ask(database.url, {"action": "repair", "target": "018"})["cleared"] == ["public.t_a"]


@pytest.mark.usefixtures("at_017")
def test_a_repair_names_what_it_leaves_alone(project: Project, database: Database) -> None:
    add(project, "create index concurrently on t (b)")
    kill_at_work(project, database, WRITES)
    with held_up(database, "lock table t in share update exclusive mode"):
        done = project.ask(database.url, {"action": "repair", "target": "017"})
    assert done["message"].endswith(" Left alone, because a session may be building it: `public.t_b_idx`.")
