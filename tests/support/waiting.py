"""Wait for a moment that a test needs, asked of the server itself."""

import subprocess
import time

from support.postgres import Database

# Each asks about the test's own database: where tests share a server, others are at work there too.
ACTIVE = "select count(*) from pg_stat_activity where state = 'active' and datname = current_database()"
ASLEEP = f"{ACTIVE} and query like 'select pg_sleep%'"
BLOCKED = f"{ACTIVE} and wait_event_type = 'Lock'"
UNTOLD = f"{ACTIVE} and query like '%while not exists%' and pid <> pg_backend_pid()"
"""How many are at work on what `UNTIL_TOLD` ends."""
OURS = "select count(*) from pg_stat_activity where application_name like 'migrate %' and datname = current_database()"
LOCKED = """
    select count(*) from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())
"""
HANG_S = 60
"""Ends a wait for what never comes, and proves nothing: a busy machine may need long for anything."""


def until(database: Database, question: str, wanted: int, within_s: float = HANG_S) -> float:
    """Wait until a count is what is wanted, and return how long that took in seconds."""
    started = time.monotonic()
    while database.query(question) != [(wanted,)]:
        assert time.monotonic() - started < within_s, (question, database.query(question))
        time.sleep(0.02)
    return time.monotonic() - started


def until_said(process: "subprocess.Popen[str]", words: str) -> str:
    """Wait until a program says these words on stderr, and return all that it has said; the rest is read from there."""
    said = ""
    assert process.stderr is not None
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said
