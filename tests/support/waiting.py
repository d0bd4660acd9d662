"""Waiting for a state that a test needs, by queries to the server."""

import subprocess
import time

from runner.postgres import version_table
from runner.project import VersionTable
from support.postgres import Database

# Each query is limited to the test's own database: other tests may use the same server.
ACTIVE = "select count(*) from pg_stat_activity where state = 'active' and datname = current_database()"
ASLEEP = f"{ACTIVE} and query like 'select pg_sleep%'"
BLOCKED = f"{ACTIVE} and wait_event_type = 'Lock'"
UNTOLD = f"{ACTIVE} and query like '%while not exists%' and pid <> pg_backend_pid()"
"""The number of sessions that run the body `UNTIL_TOLD`."""
OURS = "select count(*) from pg_stat_activity where application_name like 'migrate %' and datname = current_database()"
LOCKED = """
    select count(*) from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())
"""
SESSIONS = {"the lock's": version_table.key(VersionTable()), "the migration's": version_table.work_key(VersionTable())}
"""The key that each of a run's two sessions holds."""
HANG_S = 60
"""The limit of a wait that would never end; it proves nothing, since everything may take long on a busy machine."""


def until(database: Database, question: str, wanted: int, within_s: float = HANG_S) -> float:
    """Wait until a count has the wanted value, and return the duration in seconds."""
    started = time.monotonic()
    while database.query(question) != [(wanted,)]:
        assert time.monotonic() - started < within_s, (question, database.query(question))
        time.sleep(0.02)
    return time.monotonic() - started


def until_waited(database: Database, seconds: float) -> None:
    """Wait until the server says of one session that it has waited for a lock for so long without a break."""
    question = f"""
        select count(*) from pg_locks join pg_stat_activity using (pid)
        where not granted and datname = current_database() and clock_timestamp() - waitstart > interval '{seconds} s'
    """
    until(database, question, 1)


def terminate(database: Database, whose: str) -> None:
    """Terminate one of a run's two sessions, a key of `SESSIONS`."""
    ended = database.query(f"""
        select pg_terminate_backend(pid) from pg_locks
        where locktype = 'advisory' and objsubid = 1 and ((classid::bigint << 32) | objid::bigint) = {SESSIONS[whose]}
          and database = (select oid from pg_database where datname = current_database()) group by pid
    """)
    assert ended == [(True,)]


def until_said(process: "subprocess.Popen[str]", words: str) -> str:
    """Wait until a program writes these words to stderr, and return its output so far; the rest stays unread."""
    said = ""
    assert process.stderr is not None
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said
