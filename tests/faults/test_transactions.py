"""A revision may not end its own transaction: what tries is refused, what did it is told."""

import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from support import waiting
from support.postgres import Database, dump
from support.project import Project

CREATES = "op.execute('create table made ()')\n"

# each after a statement that has written something, so that something would be committed or lost
REFUSED = {
    "a COMMIT": "op.execute('COMMIT')",
    "an END behind a comment": "op.execute('/* all done */ end')",
    "a COMMIT within a longer text": "op.execute('create table other (); COMMIT; create table third ()')",
    "a ROLLBACK": "op.execute('rollback work')",
    "PREPARE TRANSACTION": "op.execute(\"prepare transaction 'x'\")",
    "commit() of the connection": "op.get_bind().commit()",
    "rollback() of the connection": "op.get_bind().rollback()",
    "rollback() of a session": "from sqlalchemy.orm import Session\ns = Session(op.get_bind())\n"
    "s.execute(sa.text('select 1'))\ns.rollback()",
    "rollback() of the driver": "op.get_bind().connection.rollback()",
    "commit() of the driver": "op.get_bind().connection.driver_connection.commit()",
    "an isolation level of the driver": "op.get_bind().connection.driver_connection.set_isolation_level(0)",
}


@pytest.mark.parametrize("how", REFUSED)
def test_an_end_of_the_transaction_is_refused_where_it_stands(project: Project, database: Database, how: str):
    """Nothing of the revision remains, and the answer names the line."""
    project.add("018_ends", CREATES + REFUSED[how] + "\nop.execute('create table after ()')")

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "transaction-ended"
    line = (project.folder / "alembic/versions/018_ends.py").read_text().splitlines()[answer["line"] - 1]
    assert line.strip() == REFUSED[how].splitlines()[-1]
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    assert database.query("select relname from pg_class where relname in ('made', 'after', 'other', 'third')") == []
    assert "the failed revision was rolled back" in answer["message"]
    assert "autocommit_block()" in answer["hint"]


@pytest.mark.parametrize("how", REFUSED)
def test_a_caught_refusal_still_fails_the_revision(project: Project, database: Database, how: str):
    """A revision cannot swallow it."""
    body = "try:\n" + textwrap.indent(REFUSED[how], "    ") + "\nexcept Exception:\n    pass\n"
    project.add("018_ends", CREATES + body)

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "transaction-ended"
    assert database.query("select relname from pg_class where relname = 'made'") == []


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("how", REFUSED)
def test_a_rehearsal_refuses_the_same(project: Project, database: Database, how: str):
    """A rehearsal judges by the same code."""
    project.add("018_ends", CREATES + REFUSED[how])

    answer = project.ask(database.url, {"action": "rehearse"})

    assert answer["code"] == "transaction-ended"


HARMLESS = {
    "a COMMIT before anything is written": "op.execute('COMMIT')\n" + CREATES,
    "a commit() before anything is written": "op.get_bind().commit()\n" + CREATES,
    "a rollback() before anything is written": "op.get_bind().rollback()\n" + CREATES,
    "a commit() after a query": "op.get_bind().execute(sa.text('select 1'))\nop.get_bind().commit()\n" + CREATES,
    "a driver's commit() before anything is written": "op.get_bind().connection.commit()\n" + CREATES,
    "savepoints": CREATES + "op.execute('savepoint a')\nop.execute('rollback to a')\nop.execute('release savepoint a')",
    "begin_nested": "with op.get_bind().begin_nested():\n    " + CREATES,
    "a nested rollback": CREATES + "nested = op.get_bind().begin_nested()\nnested.rollback()",
    "commit() of a session": "from sqlalchemy.orm import Session\ns = Session(op.get_bind())\n"
    "s.execute(sa.text('create table made ()'))\ns.commit()\ns.close()",
    "a function with COMMIT in its body": CREATES
    + "op.execute('create procedure p() language plpgsql as $$ begin commit; end $$')",
}


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("how", HARMLESS)
def test_what_commits_nothing_is_allowed(project: Project, database: Database, how: str):
    """These leave the revision's transaction as it is, in a run and in a rehearsal."""
    project.add("018_harmless", HARMLESS[how])
    project.add("019_next", "op.execute('create table next ()')", after="018_harmless")

    rehearsed = project.ask(database.url, {"action": "rehearse"})
    assert [one["outcome"] for one in rehearsed["revisions"]] == ["rehearsed", "rehearsed"]
    project.ask(database.url, {"action": "upgrade"})

    assert database.query("select version_num from alembic_version") == [("019_next",)]
    assert database.query("select count(*) from pg_class where relname in ('made', 'next')") == [(2,)]


IN_A_BLOCK = {
    "BEGIN and COMMIT": "op.execute('begin')\nop.execute('create table made ()')\nop.execute('commit')",
    "BEGIN and COMMIT in one text": "op.execute('begin; create table made (); commit')",
    "BEGIN, an error and ROLLBACK": "op.execute('create table made ()')\nop.execute('begin')\n"
    "try:\n    op.execute('select 1 / 0')\nexcept sa.exc.DBAPIError:\n    op.execute('rollback')",
    "BEGIN and SET TRANSACTION": "op.execute('begin')\nop.execute('set transaction isolation level serializable')\n"
    "op.execute('create table made ()')\nop.execute('commit')",
    "CALL of a procedure with COMMIT": "op.execute('create procedure p() language plpgsql as "
    "$$ begin create table made (); commit; end $$')\nop.execute('call p()')",
    "DO with COMMIT": "op.execute('do $$ begin create table made (); commit; end $$')",
}


@pytest.mark.parametrize("how", IN_A_BLOCK)
def test_an_autocommit_block_may_commit(project: Project, database: Database, how: str):
    """There is no transaction of the revision to end."""
    project.add("018_block", "with op.get_context().autocommit_block():\n" + textwrap.indent(IN_A_BLOCK[how], "    "))

    project.ask(database.url, {"action": "upgrade"})

    assert database.query("select version_num from alembic_version") == [("018_block",)]
    assert database.query("select count(*) from pg_class where relname = 'made'") == [(1,)]


BEGINS = "with op.get_context().autocommit_block():\n    op.execute('create table made ()')\n    op.execute('begin')\n"


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("insert into one values (1)", "UniqueViolation (23505) on constraint `one_n_key` of table `one`"),
        ("select 1 / 0", "DivisionByZero (22012)"),
    ],
)
def test_an_error_behind_a_begin_in_a_block_is_told(
    project: Project, database: Database, statement: str, told: str
) -> None:
    """The failed transaction is the revision's own, and nothing but its end can follow."""
    database.execute("create table one (n int unique); insert into one values (1)")
    project.add("018_block", f"{BEGINS}    op.execute({statement!r})\n    op.execute('commit')")
    failed = project.ask(database.url, {"action": "upgrade"})
    assert f"`018_block` failed in line 11 of `018_block.py`: {told}" in failed["message"]
    assert failed["leftovers"] == []
    assert database.query("select count(*) from pg_class where relname = 'made'") == [(1,)]


RAW = "op.get_bind().connection.cursor().execute({!r})\n"
UNSEEN = {
    "COMMIT": RAW.format("COMMIT"),
    "COMMIT and BEGIN": RAW.format("COMMIT; BEGIN"),
    "COMMIT AND CHAIN": RAW.format("COMMIT AND CHAIN"),
    "ROLLBACK": RAW.format("ROLLBACK"),
}


@pytest.mark.parametrize("after", ["", "op.execute('create table after ()')", "raise ValueError"])
@pytest.mark.parametrize("how", UNSEEN)
def test_an_end_below_sqlalchemy_is_told(project: Project, database: Database, how: str, after: str):
    """The version does not move, the statements are named, and the answer does not say that they were rolled back."""
    project.add("018_ends", CREATES + UNSEEN[how] + after)

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "transaction-ended"
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]
    assert "`create table made ()`" in answer["message"]
    assert "rolled back" not in answer["message"]
    assert "The database is at `017_dry_run_log`" in answer["message"]
    assert answer["leftovers"][0] == "create table made ()"
    rows = database.query("select status, error_code from runner.migration_log where revision = '018_ends'")
    assert rows == [("failed", "transaction-ended")]


DRIVER_ONLY = "cursor = op.get_bind().connection.cursor()\ncursor.execute('create table made ()')\n"
UNSEEN_WORK = {
    "a COMMIT": DRIVER_ONLY + "cursor.execute('COMMIT')",
    "a COMMIT and a failure": DRIVER_ONLY + "cursor.execute('COMMIT')\nraise ValueError",
    "a COMMIT in a text that fails": DRIVER_ONLY + "cursor.execute('COMMIT; select 1 / 0')",
    "a COMMIT on a cursor made by hand": "import psycopg2.extensions\n"
    "cursor = psycopg2.extensions.cursor(op.get_bind().connection.driver_connection)\n"
    "cursor.execute('create table made ()')\ncursor.execute('COMMIT; BEGIN')\nraise ValueError",
    "a COMMIT, and one that is seen": DRIVER_ONLY + "cursor.execute('COMMIT')\nop.execute('COMMIT')",
}


@pytest.mark.parametrize("how", UNSEEN_WORK)
def test_work_that_nobody_saw_is_not_said_to_be_rolled_back(project: Project, database: Database, how: str) -> None:
    """Nothing is known of what went through the driver's cursor, except that its transaction has ended."""
    project.add("018_ends", UNSEEN_WORK[how])

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "transaction-ended"
    assert "rolled back" not in answer["message"]
    assert "may remain" in answer["message"]
    assert database.query("select count(*) from pg_class where relname = 'made'") == [(1,)]


CURSOR = "cursor = op.get_bind().connection.cursor()\n"
MANY = CURSOR + "cursor.executemany('insert into ran values (%s)', [(1,), (2,)])\n"


def test_what_many_parameters_did_is_named(project: Project, database: Database) -> None:
    """The driver sends it once for each, and has a method of its own for that."""
    database.execute("create table ran (place int)")
    project.add("018_ends", MANY + "cursor.execute('COMMIT')")
    assert project.ask(database.url, {"action": "upgrade"})["leftovers"] == ["insert into ran values (%s)"]
    assert database.query("table ran") == [(1,), (2,)]


BATCHES = """
cursor = op.get_bind().connection.cursor()
for place in range(200):
    cursor.execute("insert into ran values (%s)", (place,))
    cursor.execute("COMMIT")
    cursor.execute("select pg_sleep(0.1)")
"""


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("lost", [False, True], ids=["the deadline", "a lost connection"])
def test_committed_batches_are_not_denied(project: Project, database: Database, lost: bool) -> None:
    """The session is gone by then; another one has seen that its transaction was not the revision's."""
    database.execute("create table ran (place int)")
    project.add("018_batches", BATCHES)
    run = project.start("migrate", "--timeout", "60" if lost else "3", "upgrade", url=database.url)
    if lost:
        waiting.until(database, "select count(*) > 15 from ran", True)
        waiting.terminate(database, "the migration's")
    _, told = run.communicate(timeout=60)

    assert "transaction-ended: `018_batches` ended its own transaction in line 11 of `018_batches.py`" in told
    assert "partly applied" not in told
    assert "rolled back" not in told
    places = [place for (place,) in database.query("select place from ran")]
    assert len(places) == len(set(places)), "the revision was run again"


def test_only_the_first_of_many_statements_are_named(project: Project, database: Database) -> None:
    """An answer has a limit, and the log line and the ledger row that hold it too."""
    database.execute("create table ran (place int)")
    inserts = "for place in range(300):\n    cursor.execute('insert into ran values (%s)', (place,))\n"
    project.add("018_ends", CURSOR + inserts + "cursor.execute('COMMIT')")
    answer = project.ask(database.url, {"action": "upgrade"})
    statement = "insert into ran values (%s)"
    assert answer["leftovers"] == [*(statement for _ in range(50)), "250 more"]
    assert f"may remain: {', '.join([f'`{statement}`'] * 5)}, and 295 more." in answer["message"]


LONG = """
from pathlib import Path
def resident_mb():
    return int(Path('/proc/self/status').read_text().partition('VmRSS:')[2].split()[0]) // 1024
before = resident_mb()
cursor = op.get_bind().connection.cursor()
for place in range(100):
    cursor.execute(f"select length('{'x' * 1_000_000}{place}')")
assert resident_mb() - before < 50
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has this file")
def test_long_statements_are_not_kept(project: Project, database: Database) -> None:
    """A revision may write a table's rows as text, and a function has little memory."""
    project.add("018_long", LONG)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["status"] == "success", answer["message"]


ISOLATION = "op.execute('set transaction isolation level repeatable read')\n"
SEES = "op.execute(\"create table made as select current_setting('transaction_isolation') as level\")\n"


@pytest.mark.usefixtures("migrated")
def test_a_revision_may_set_its_isolation(project: Project, database: Database) -> None:
    """That has to come before any query, and so before the mark of the transaction."""
    database.execute("create table kept ()")
    project.add("018_first", "op.execute('create table before ()')")
    project.add("019_isolates", ISOLATION + "op.execute('set transaction read write')\n" + SEES, after="018_first")
    project.add("020_only", ISOLATION, after="019_isolates")
    answer = project.ask(database.url, {"action": "rehearse"})
    assert [one["outcome"] for one in answer["revisions"]] == ["rehearsed", "inconclusive", "not-rehearsed"], answer
    answer = project.ask(database.url, {"action": "upgrade"})
    assert answer["to"] == "020_only", answer["message"]
    assert database.query("table made") == [("repeatable read",)]


def test_an_end_below_sqlalchemy_is_told_behind_a_set_isolation(project: Project, database: Database) -> None:
    """The mark is only later."""
    project.add("018_ends", ISOLATION + CREATES + UNSEEN["COMMIT and BEGIN"])
    assert project.ask(database.url, {"action": "upgrade"})["code"] == "transaction-ended"


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("after", ["op.execute('create table after ()')", "op.execute('select 1')"])
@pytest.mark.parametrize("how", [*UNSEEN, "ROLLBACK and BEGIN"])
def test_a_rehearsal_tells_an_end_below_sqlalchemy(project: Project, database: Database, how: str, after: str) -> None:
    """In the same word as the run, and with nothing left."""
    before = dump(database)
    project.add("018_ends", CREATES + UNSEEN.get(how, RAW.format("ROLLBACK; BEGIN")) + after)
    answer = project.ask(database.url, {"action": "rehearse"})
    assert answer["code"] == "transaction-ended", answer["message"]
    assert dump(database) == before


@pytest.mark.usefixtures("migrated")
def test_a_rehearsal_is_safe_where_triggers_do_not_fire(project: Project, database: Database) -> None:
    """A database that receives a logical replication may have this setting."""
    with closing(database.server.connect()) as admin:
        admin.cursor().execute(f"alter database {database.name} set session_replication_role = replica")
    project.add("018_ends", CREATES + UNSEEN["COMMIT"])
    assert project.ask(database.url, {"action": "rehearse"})["code"] == "transaction-ended"
    assert database.query("select count(*) from pg_class where relname = 'made'") == [(0,)]


CONCURRENT = "op.execute('create index concurrently made on leads (nome)')"


@pytest.mark.parametrize("body", [CONCURRENT, "op.execute('COMMIT')\n" + CONCURRENT, "op.execute('vacuum leads')"])
def test_what_cannot_run_in_a_transaction_names_the_block(project: Project, database: Database, body: str) -> None:
    """The idiom of a COMMIT before it does not help here, and the hint says what does."""
    path = project.add("018_index", body)
    answer = project.ask(database.url, {"action": "upgrade"})
    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "25001")
    assert "`with op.get_context().autocommit_block():`" in answer["hint"]
    last = body.splitlines()[-1]
    path.write_text(
        path.read_text().replace(f"    {last}", f"    with op.get_context().autocommit_block():\n        {last}")
    )
    assert project.ask(database.url, {"action": "upgrade"})["to"] == "018_index"


def test_an_end_before_an_autocommit_block_is_told(project: Project, database: Database):
    """A COMMIT hides what was written before it from the look at the transaction's id."""
    block = "with op.get_context().autocommit_block():\n    op.execute('create table after ()')"
    project.add("018_ends", CREATES + RAW.format("COMMIT; BEGIN") + block)

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "transaction-ended"
    assert database.query("select relname from pg_class where relname = 'after'") == []


def test_an_end_after_an_autocommit_block_is_told(project: Project, database: Database):
    """The proof begins anew behind the block."""
    block = "with op.get_context().autocommit_block():\n    op.execute('create table before ()')\n"
    project.add("018_ends", block + CREATES + RAW.format("COMMIT; BEGIN"))

    answer = project.ask(database.url, {"action": "upgrade"})

    assert answer["code"] == "transaction-ended"
    assert database.query("select version_num from alembic_version") == [("017_dry_run_log",)]


def test_a_failing_session_keeps_its_own_error(project: Project, database: Database):
    """SQLAlchemy rolls back while an exception leaves its block, which is not the revision's doing."""
    body = "from sqlalchemy.orm import Session\nwith Session(op.get_bind()) as s, s.begin():\n    "
    project.add("018_fails", CREATES + body + "s.execute(sa.text('select 1 / 0'))")

    answer = project.ask(database.url, {"action": "upgrade"})

    assert (answer["code"], answer["sqlstate"]) == ("revision-failed", "22012")


def test_work_after_a_rollback_is_refused(project: Project, database: Database):
    """A revision that catches an error, rolls back and goes on would lose what came before."""
    body = """
    try:
        op.execute("select 1 / 0")
    except Exception:
        op.get_bind().rollback()
    op.execute("create table after ()")
    """
    project.add("018_goes_on", CREATES + textwrap.dedent(body))

    answer = project.ask(database.url, {"action": "upgrade"})

    assert (answer["code"], answer["line"]) == ("transaction-ended", 13)
    assert database.query("select relname from pg_class where relname in ('made', 'after')") == []


SHOWN = [how for how in REFUSED if "driver" not in how and "session" not in how]


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("how", SHOWN)
def test_a_plan_finds_the_same(project: Project, database: Database, how: str) -> None:
    """A plan judges by the same reader of SQL; what only the driver or a session does is not rendered."""
    project.add("018_ends", CREATES + REFUSED[how])

    planned = project.ask(database.url, {"action": "plan"})

    assert ("transaction-ended", "error") in [(one["rule"], one["level"]) for one in planned["findings"]]
    assert not planned["ok"]


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("how", ["a COMMIT before anything is written", "a commit() before anything is written"])
def test_a_plan_says_nothing_of_an_end_that_commits_nothing(project: Project, database: Database, how: str) -> None:
    """The runner does not send it."""
    project.add("018_harmless", HARMLESS[how])

    planned = project.ask(database.url, {"action": "plan"})

    assert [one["rule"] for one in planned["findings"]] == []
