"""A revision may not end its own transaction: what tries is refused, what did it is told."""

import textwrap

import pytest

from support.postgres import Database
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


@pytest.mark.parametrize("how", REFUSED)
def test_a_rehearsal_refuses_the_same(project: Project, database: Database, how: str):
    """A rehearsal judges by the same code."""
    project.ask(database.url, {"action": "upgrade"})
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


@pytest.mark.parametrize("how", HARMLESS)
def test_what_commits_nothing_is_allowed(project: Project, database: Database, how: str):
    """These leave the revision's transaction as it is, in a run and in a rehearsal."""
    project.ask(database.url, {"action": "upgrade"})
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


@pytest.mark.parametrize("how", SHOWN)
def test_a_plan_finds_the_same(project: Project, database: Database, how: str) -> None:
    """A plan judges by the same reader of SQL; what only the driver or a session does is not rendered."""
    project.ask(database.url, {"action": "upgrade"})
    project.add("018_ends", CREATES + REFUSED[how])

    planned = project.ask(database.url, {"action": "plan"})

    assert ("transaction-ended", "error") in [(one["rule"], one["level"]) for one in planned["findings"]]
    assert not planned["ok"]


@pytest.mark.parametrize("how", ["a COMMIT before anything is written", "a commit() before anything is written"])
def test_a_plan_says_nothing_of_an_end_that_commits_nothing(project: Project, database: Database, how: str) -> None:
    """The runner does not send it."""
    project.ask(database.url, {"action": "upgrade"})
    project.add("018_harmless", HARMLESS[how])

    planned = project.ask(database.url, {"action": "plan"})

    assert [one["rule"] for one in planned["findings"]] == []
