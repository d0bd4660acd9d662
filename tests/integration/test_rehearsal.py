"""A rehearsal really runs a change, tells what it did, and leaves no trace."""

import re
import signal
import time

import psycopg2
import pytest

from support.postgres import Database, dump
from support.project import UNTIL_TOLD, Project
from support.waiting import ASLEEP, until

MANY = """
    create table big as select n as id, md5(n::text) as word, 1 as small from generate_series(1, 100000) n;
    alter table big add primary key (id);
    analyze big;
"""
INSERT_MANY = """
op.execute("update dry_run_log set ambiente = ambiente")
op.execute(
    "insert into dry_run_log (tenant_id, canal_decidido, motivo_decisao) "
    "select gen_random_uuid(), 'email', 'x' from generate_series(1, 20000)"
)
"""
REWRITE = 'op.execute("alter table big alter small type bigint")'


@pytest.fixture
def at_017(project: Project, migrated: Database) -> Project:
    return project


def rehearse(project: Project, database: Database, **fields: object) -> dict:
    return project.ask(database.url, {"action": "rehearse", **fields})


def test_figures_are_those_of_the_real_run(at_017: Project, database: Database) -> None:
    """Rewrites, rows, locks; how close the durations come is measured in benchmarks/. A dump is identical."""
    database.execute(MANY)
    at_017.add("018_rewrite", REWRITE)
    at_017.add("019_default", 'op.add_column("tenants", sa.Column("score", sa.BigInteger(), server_default="5"))',
               after="018_rewrite")  # fmt: skip
    at_017.add("020_insert", INSERT_MANY, after="019_default")
    before = dump(database)
    answer = rehearse(at_017, database, max_lock_hold_ms=60_000)
    assert dump(database) == before
    assert (answer["status"], answer["ok"]) == ("success", True), answer["message"]
    first, second, third = answer["revisions"]
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed"] * 3
    assert (first["rewritten"], second["rewritten"], third["rewritten"]) == (["big"], [], [])
    assert (first["locks"]["big"], second["locks"]) == ("AccessExclusiveLock", {"tenants": "AccessExclusiveLock"})
    assert third["rows_written"] == {"dry_run_log": 20_000}
    assert first["strongest"]["table"] == "big"
    assert 0 < first["strongest"]["held_ms"] <= first["duration_ms"]
    assert first["strongest"]["blocks"] == "reads and writes"
    assert second["strongest"]["held_ms"] <= second["duration_ms"]
    real = at_017.ask(database.url, {"action": "upgrade"})
    for seen, done in zip(answer["revisions"], real["applied"], strict=True):
        for table, mode in seen["locks"].items():
            assert done["locks"][table] == mode


def test_a_lock_that_is_held_too_long_ends_it(at_017: Project, database: Database) -> None:
    """At once and not at the end of the statement; an application that waits goes on, and nothing is left."""
    database.execute(MANY)
    at_017.add("018_rewrite", f"{REWRITE}\nop.execute('select pg_sleep(20)')")
    before = dump(database)
    started = time.monotonic()
    answer = rehearse(at_017, database, max_lock_hold_ms=300)
    took_s = time.monotonic() - started
    assert answer["code"] == "lock-hold-exceeded"
    assert (answer["revision"], answer["table"], answer["mode"]) == ("018_rewrite", "big", "AccessExclusiveLock")
    # long before the 20 s of the statement
    assert 300 <= answer["held_ms"] < 10_000
    assert took_s < 15
    assert [one["outcome"] for one in answer["revisions"]] == ["stopped"]
    assert "which blocks reads and writes, for" in answer["message"]
    assert "The limit is 300 ms, so the rehearsal was stopped. Nothing was changed." in answer["message"]
    until(database, "select count(*) from pg_stat_activity where datname = current_database() "
                    "and pid <> pg_backend_pid()", 0)  # fmt: skip
    assert dump(database) == before


def test_a_lock_held_by_python_ends_it_too(at_017: Project, database: Database) -> None:
    """No statement runs that could be cancelled: the backend is ended, and the lock is free while Python sleeps."""
    locked, awake = at_017.folder / "locked", at_017.folder / "awake"
    at_017.add(
        "018_lock",
        f"""
        from pathlib import Path
        op.execute("lock table leads in share mode")
        Path({str(locked)!r}).touch()
        while not Path({str(awake)!r}).exists():
            time.sleep(0.05)
        """,
    )
    process = at_017.start("migrate", "rehearse", "--max-lock-hold-ms", "200", url=database.url)
    while not locked.exists():
        assert process.poll() is None
        time.sleep(0.02)
    # it would fail if the lock were held for as long as Python sleeps
    database.execute("set lock_timeout = '60s'; insert into tenants (company_name) values ('x'); "
                     "insert into leads (tenant_id) select tenant_id from tenants")  # fmt: skip
    awake.touch()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "`ShareLock` on `leads`, which blocks writes, for" in told


def test_a_lock_that_blocks_nobody_may_be_held(at_017: Project, database: Database) -> None:
    """Reading, writing, and a table that nobody else can see yet."""
    at_017.add(
        "018_writes",
        "op.execute(\"insert into tenants (company_name) values ('x')\")\n"
        'op.execute("create table new (n int)")\nop.execute("select pg_sleep(0.5)")',
    )
    answer = rehearse(at_017, database, max_lock_hold_ms=100)
    assert (answer["status"], answer["ok"]) == ("success", True), answer["message"]
    assert answer["revisions"][0]["rows_written"] == {"tenants": 1}
    assert "A lock on" not in answer["message"]


def test_one_that_fails(at_017: Project, database: Database) -> None:
    """With the line and the statement, as the run itself would tell it, and those after it are not tried."""
    at_017.add("018_score", 'op.add_column("leads", sa.Column("score", sa.BigInteger()))')
    at_017.add("019_fails", 'op.execute("select 1/0")', after="018_score")
    at_017.add("020_after", "op.execute('select 1')", after="019_fails")
    before = dump(database)
    answer = rehearse(at_017, database)
    assert (answer["status"], answer["code"], answer["revision"]) == ("error", "revision-failed", "019_fails")
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed", "failed", "not-rehearsed"]
    assert "in line 8 of `019_fails.py`: DivisionByZero (22012)" in answer["message"]
    assert "Nothing was changed." in answer["message"]
    assert dump(database) == before
    assert at_017.run("migrate", "rehearse", url=database.url).returncode == 1


def test_a_downgrade(at_017: Project, database: Database) -> None:
    before = dump(database)
    answer = rehearse(at_017, database, target="base")
    assert [one["revision"] for one in answer["revisions"]] == ["017_dry_run_log", "016_platform_baseline"]
    assert (answer["ok"], dump(database)) == (True, before)


def test_it_stops_before_what_cannot_run_in_a_transaction(at_017: Project, database: Database) -> None:
    at_017.add("018_score", 'op.add_column("leads", sa.Column("score", sa.BigInteger()))')
    at_017.add("019_index", "from runner.operations import create_index_concurrently\n"
               'create_index_concurrently("i", "leads", ["score"])', after="018_score")  # fmt: skip
    at_017.add("020_after", "op.execute('select 1')", after="019_index")
    answer = rehearse(at_017, database)
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed", "not-rehearsed", "not-rehearsed"]
    assert answer["message"].endswith(
        "The rehearsal stopped before `019_index`: it leaves the transaction (autocommit block)."
    )
    assert (answer["status"], answer["ok"]) == ("success", False)
    assert at_017.run("migrate", "rehearse", url=database.url).returncode == 4


ADD_VALUE = "op.execute(\"alter type mood add value 'b'\")"
USE_VALUE = "op.execute(\"create table moods (mood mood default 'b')\")"


def test_a_new_value_of_an_enum_fails_falsely(at_017: Project, database: Database) -> None:
    """Between two revisions there is a commit, and the real run succeeds; within one there is none, and it fails."""
    database.execute("create type mood as enum ('a')")
    at_017.add("018_value", ADD_VALUE)
    at_017.add("019_use", USE_VALUE, after="018_value")
    answer = rehearse(at_017, database)
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed", "inconclusive"]
    assert (answer["status"], answer["ok"]) == ("success", False)
    assert "it uses an enum value that an earlier revision adds" in answer["message"]
    assert at_017.ask(database.url, {"action": "upgrade"})["status"] == "success"
    at_017.add("020_both", f"{ADD_VALUE}\n{USE_VALUE}".replace("'b'", "'c'").replace("moods", "more"), after="019_use")
    answer = rehearse(at_017, database)
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "55P04")
    assert at_017.ask(database.url, {"action": "upgrade"})["code"] == "revision-failed"


DEFERRED = """
    create table parents (id int primary key);
    create table children (parent_id int references parents deferrable initially deferred);
"""
INSERT = 'op.execute("insert into children values (1); insert into parents values (1)")'
ALTER = 'op.execute("alter table children add x int")'


def test_pending_trigger_events_are_told_apart(at_017: Project, database: Database) -> None:
    """A real commit fires them between two revisions, and so does the rehearsal; within one they are a real failure."""
    database.execute(DEFERRED)
    at_017.add("018_insert", INSERT)
    at_017.add("019_alter", ALTER, after="018_insert")
    at_017.add("020_insert", INSERT.replace("(1)", "(2)"), after="019_alter")
    answer = rehearse(at_017, database)
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed"] * 3, answer["message"]
    at_017.add("018_insert", f"{INSERT}\n{ALTER}")
    answer = rehearse(at_017, database)
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "55006")
    at_017.add("018_insert", 'op.execute("insert into children values (1)")')
    answer = rehearse(at_017, database)
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "23503")


# https://www.postgresql.org/docs/current/sql-createfunction.html
ROUTINES = {
    "function": "create function two() returns int language sql begin atomic select 1; select 2; end",
    "case": (
        "CREATE OR REPLACE FUNCTION size(n int) RETURNS text LANGUAGE SQL /* begin */ BEGIN ATOMIC -- end;\n"
        "SELECT CASE WHEN n > 9 THEN CASE n WHEN 10 THEN 'ten; end' ELSE 'many' END ELSE 'few' END AS end; END"
    ),
    "procedure": (
        "create procedure note(t text) language sql begin atomic insert into blocklist (reason) values (t); "
        "delete from blocklist where reason = t; end"
    ),
    "rule": "create rule r as on delete to blocklist do also (select 1; select 2)",
}


@pytest.mark.parametrize(
    "body",
    [
        'op.execute("create table leak (n int)")\nop.execute("COMMIT")',
        'op.execute("create table leak (n int); COMMIT; create table leak_2 (n int)")',
        'op.execute("create table leak (n int)")\nop.get_bind().commit()',
        'op.execute("ROLLBACK")\nop.execute("create table leak (n int)")\nop.execute("COMMIT")',
        'op.get_bind().rollback()\nop.execute("create table leak (n int)")\nop.execute("COMMIT")',
        'op.execute("create table leak (n int)")\nop.execute("END")',
        'op.execute("select 1; ROLLBACK; create table leaked (i int)")',
        'op.execute("select 1; ROLLBACK; create table leaked (i int); commit")',
        'op.execute("/* x */ ROLLBACK")\nop.execute("create table leaked (i int)")\nop.execute("COMMIT")',
        'op.execute("-- undo\\nROLLBACK")\nop.execute("create table leaked (i int)")\nop.execute("COMMIT")',
        'op.execute("select 1; rollback and chain; create table leaked (i int)")\nop.execute("commit")',
        "raw = op.get_bind().connection; raw.rollback()\n"
        'raw.cursor().execute("create table leaked (i int)"); raw.commit()',
        'op.execute("set session_replication_role = replica; create table leaked (i int)")\nop.get_bind().commit()',
        'op.execute("create table leak (n int)")\nop.execute("PREPARE TRANSACTION \'leak\'")',
    ],
)
def test_a_revision_that_commits_by_itself_leaks_nothing(at_017: Project, database: Database, body: str) -> None:
    at_017.add("018_commits", body)
    before = dump(database)
    answer = rehearse(at_017, database)
    assert (answer["status"], answer["code"]) == ("error", "transaction-ended")
    assert dump(database) == before
    assert database.query("select count(*) from pg_prepared_xacts") == [(0,)]


@pytest.mark.parametrize("statement", ROUTINES.values(), ids=ROUTINES)
def test_a_body_in_standard_sql_ends_nothing(at_017: Project, database: Database, statement: str) -> None:
    """Its statements and its END are the routine's: it is rehearsed, planned and applied as one statement."""
    at_017.add("018_routine", f"op.execute({statement!r})")
    answer = rehearse(at_017, database)
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed"], answer["message"]
    planned = at_017.ask(database.url, {"action": "plan"})
    assert [one["sql"] for one in planned["revisions"]] == [[f"{statement};"]]
    assert (planned["ok"], planned["findings"]) == (True, [])
    assert at_017.ask(database.url, {"action": "upgrade", "plan": planned["plan"]})["status"] == "success"


def test_a_commit_behind_a_routine_is_still_seen(at_017: Project, database: Database) -> None:
    at_017.add("018_routine", f"op.execute({ROUTINES['function'] + '; commit'!r})")
    answer = rehearse(at_017, database)
    assert answer["message"].startswith("transaction-ended: `018_routine` ends its own transaction in line 8 of ")


def test_in_production_only_where_configuration_allows_it(at_017: Project, database: Database) -> None:
    at_017.add("018_score", "op.execute('select 1')")
    event = {"action": "rehearse"}
    assert at_017.ask(database.url, event, ENVIRONMENT="prod")["code"] == "action-not-allowed"
    allowed = at_017.ask(database.url, event, ENVIRONMENT="prod", ALLOWED_ACTIONS="current,rehearse")
    assert allowed["status"] == "success"


def test_behind_a_lock_it_waits_as_long_as_a_run_does(at_017: Project, database: Database) -> None:
    """The application is not queued behind a rehearsal either; who stands in the way is named."""
    at_017.add("018_score", 'op.add_column("leads", sa.Column("score", sa.BigInteger()))')
    with psycopg2.connect(database.url) as reader, reader.cursor() as cursor:
        cursor.execute("select 1 from leads")
        answer = at_017.ask(database.url, {"action": "rehearse"}, LOCK_TIMEOUT_MS="500")
        pid = reader.info.backend_pid
    reader.close()
    assert answer["code"] == "lock-timeout"
    assert f"held by pid {pid}" in answer["message"]
    assert "Nothing was changed." in answer["message"]


def test_the_deadline_ends_it(at_017: Project, database: Database) -> None:
    at_017.add("018_slow", 'op.execute("select pg_sleep(30)")')
    started = time.monotonic()
    answer = at_017.ask(database.url, {"action": "rehearse"}, timeout_s=1)
    assert answer["code"] == "deadline"
    assert time.monotonic() - started < 20


def test_ctrl_c_ends_it(at_017: Project, database: Database) -> None:
    at_017.add("018_slow", 'op.execute("lock table leads in row exclusive mode; select pg_sleep(30)")')
    process = at_017.start("migrate", "rehearse", url=database.url)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: The run was interrupted. Nothing was changed." in told


def test_it_is_the_only_runner(at_017: Project, database: Database) -> None:
    """An upgrade waits until the rehearsal has been rolled back."""
    at_017.add("018_until_told", UNTIL_TOLD)
    with at_017.start("migrate", "rehearse", url=database.url) as rehearsal:
        assert rehearsal.stderr is not None
        rehearsal.stderr.readline()
        with at_017.start("migrate", "upgrade", url=database.url) as upgrade:
            assert upgrade.stderr is not None
            assert "Waiting for the migration lock" in upgrade.stderr.readline()
            database.execute("create table told ()")
            upgrade.communicate()
        rehearsal.communicate()
    assert (upgrade.returncode, rehearsal.returncode) == (0, 0)


def test_a_table_that_would_be_adopted_is_completed_in_the_rehearsal(project: Project, database: Database) -> None:
    project.ask(database.url, {"action": "upgrade"})
    database.execute("drop table alembic_version; drop schema runner cascade; drop index idx_dry_run_canal")
    before = dump(database)
    answer = project.ask(database.url, {"action": "rehearse"})
    assert answer["ok"], answer["message"]
    assert dump(database) == before
    database.execute("alter table dry_run_log drop lead_id")
    assert project.ask(database.url, {"action": "rehearse"})["code"] == "unversioned-database"


def test_nothing_to_rehearse(at_017: Project, database: Database) -> None:
    answer = rehearse(at_017, database)
    assert (answer["status"], answer["message"]) == (
        "success",
        "Nothing to rehearse: the database is at `017_dry_run_log`.",
    )


def test_the_table_for_people(at_017: Project, database: Database) -> None:
    database.execute("insert into tenants (company_name) values ('x')")
    at_017.add("018_locks", 'op.execute("lock table leads in access exclusive mode")\n'
               "op.execute(\"update tenants set slug = 'x'\")\ntime.sleep(0.1)")  # fmt: skip
    done = at_017.run("migrate", "rehearse", url=database.url)
    header, row, _, *read = (line.split("\t") for line in done.stdout.splitlines())
    told = dict(zip(header, row, strict=True))
    assert read == [["revision", "table", "rows"], ["018_locks", "tenants", "1"]]
    assert (told["outcome"], told["rows written"]) == ("rehearsed", "tenants 1")
    assert told["locks"] == "leads AccessExclusive, tenants RowExclusive"
    shown = re.fullmatch(r"leads for ([\d,]+) ms", told["blocks the application"])
    said = re.search(r"A lock on `leads` blocked reads and writes for ([\d,]+) ms", done.stderr)
    assert shown, told
    assert said, done.stderr
    # Python sleeps for 100 ms meanwhile, and the whole revision takes what it says
    took, held, longest = (int(number.replace(",", "")) for number in (told["took"][:-3], shown[1], said[1]))
    assert 100 <= held <= took
    assert longest >= 100


def test_with_a_role_the_limit_holds_too(at_017: Project, database: Database) -> None:
    """The owner that `DB_ROLE` names may not end the sessions of those who log in; they may do so themselves."""
    owner, login = f"owner_{database.name}", f"login_{database.name}"
    database.execute(f"""
        create role {owner}; create role {login} login password 'p' in role {owner};
        grant create on database {database.name} to {owner}; grant create, usage on schema public to {owner};
        grant all on schema runner to {owner}; grant all on all tables in schema runner, public to {owner};
        alter table leads owner to {owner};
    """)
    at_017.add("018_lock", 'op.execute("lock table leads in access exclusive mode")\ntime.sleep(3.5)')
    url = database.url.replace("//postgres:only-for-tests@", f"//{login}:p@")
    answer = at_017.ask(url, {"action": "rehearse", "max_lock_hold_ms": 300}, DB_ROLE=owner)
    assert answer["code"] == "lock-hold-exceeded", answer["message"]
    assert answer["held_ms"] < 3000
    at_017.add("018_lock", 'op.execute("lock table leads in access exclusive mode")\ntime.sleep(1.5)')
    upgraded = at_017.ask(url, {"action": "upgrade"}, DB_ROLE=owner, ends_in="018_lock")
    assert upgraded["code"] == "deadline", upgraded["message"]
    database.execute(
        f"reassign owned by {owner} to postgres; drop owned by {owner}, {login}; drop role {login}, {owner}"
    )


def test_without_the_guards_connection_it_is_ended(at_017: Project, database: Database) -> None:
    """Nobody could look any more, so the locks are given back at once."""
    at_017.add("018_lock", 'op.execute("lock table leads in access exclusive mode")\nop.execute("select pg_sleep(90)")')
    process = at_017.start("migrate", "rehearse", "--max-lock-hold-ms", "90000", url=database.url)
    until(database, ASLEEP, 1)
    database.execute("""
        select pg_terminate_backend(l.pid) from pg_locks l
        where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database())
    """)
    until(database, "select count(*) from pg_locks where relation = 'leads'::regclass", 0, within_s=30)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    # whichever of its two sessions it misses first
    assert "session-ended: The server closed" in told or "database-unreachable: The connection was lost" in told


@pytest.mark.parametrize(
    ("body", "table", "blocks"),
    [
        ('op.execute("create or replace view seen as select 2 as n")', "seen", "reads and writes"),
        ('op.execute("alter sequence numbers restart")', "numbers", "writes"),
        ('op.execute("lock table only split in access exclusive mode")', "split", "reads and writes"),
        ('op.execute("reindex index idx_dry_run_canal")', "dry_run_log", "reads and writes"),
        ('op.execute("drop table dry_run_log")', "dry_run_log", "reads and writes"),
        ('op.execute("alter table dry_run_log rename to old_log")', "dry_run_log", "reads and writes"),
    ],
)
def test_whatever_is_locked_is_seen(at_017: Project, database: Database, body: str, table: str, blocks: str) -> None:
    """Views, sequences, partitioned tables, an index as its table, and what is dropped or renamed meanwhile."""
    database.execute("""
        create view seen as select 1 as n; create sequence numbers;
        create table split (n int) partition by range (n); create table split_1 partition of split default;
    """)
    at_017.add("018_lock", f"{body}\ntime.sleep(0.05)")
    (seen,) = rehearse(at_017, database)["revisions"]
    assert (seen["strongest"]["table"], seen["strongest"]["blocks"]) == (table, blocks)
    at_017.add("018_lock", f"{body}\nop.execute('select pg_sleep(20)')")
    assert rehearse(at_017, database, max_lock_hold_ms=200)["code"] == "lock-hold-exceeded"


def test_figures_follow_a_table_through_a_rename(at_017: Project, database: Database) -> None:
    database.execute("create table a as select n from generate_series(1, 10) n")
    at_017.add("018_writes", 'op.execute("update a set n = n + 1")')
    at_017.add("019_renames", 'op.execute("alter table a rename to b")\n'
               'op.execute("alter table b alter n type bigint")', after="018_writes")  # fmt: skip
    first, second = rehearse(at_017, database)["revisions"]
    assert (first["rows_written"], second["rows_written"]) == ({"a": 10}, {})
    assert (first["rewritten"], second["rewritten"]) == ([], ["a"])


def test_alembics_context_is_there(at_017: Project, database: Database) -> None:
    at_017.add("018_context", "from alembic import context\nassert not context.is_offline_mode()\n"
               'assert context.config.get_main_option("script_location")')  # fmt: skip
    assert rehearse(at_017, database)["ok"]


def test_a_mixed_revision_is_refused_as_the_run_refuses_it(at_017: Project, database: Database) -> None:
    at_017.add("018_mixed", 'op.execute("create table t (n int)")\n'
               'with op.get_context().autocommit_block():\n    op.execute("select 1")')  # fmt: skip
    assert rehearse(at_017, database)["code"] == "mixed-revision"
    assert at_017.ask(database.url, {"action": "upgrade"})["code"] == "mixed-revision"


def test_the_new_value_that_a_revision_adds_itself_is_a_real_failure(at_017: Project, database: Database) -> None:
    """Although an earlier one adds another value."""
    database.execute("create type mood as enum ('a')")
    at_017.add("018_value", ADD_VALUE)
    at_017.add("019_both", f"{ADD_VALUE}\n{USE_VALUE}".replace("'b'", "'c'"), after="018_value")
    answer = rehearse(at_017, database)
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "55P04")


def test_setting_all_constraints_says_nothing_of_the_revision(at_017: Project, database: Database) -> None:
    at_017.add("018_sets", 'op.execute("set constraints all immediate")')
    answer = rehearse(at_017, database)
    assert [one["outcome"] for one in answer["revisions"]] == ["inconclusive"]
    assert at_017.ask(database.url, {"action": "upgrade"})["status"] == "success"
