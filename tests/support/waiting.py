"""Wait for a moment that a test needs, asked of the server itself."""

import time

from support.postgres import Database

ASLEEP = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
OURS = "select count(*) from pg_stat_activity where application_name like 'migrate %' and datname = current_database()"
BLOCKED = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
LOCKED = "select count(*) from pg_locks where locktype = 'advisory'"


def until(database: Database, question: str, wanted: int, within_s: float = 20) -> float:
    """Wait until a count is what is wanted, and return how long that took in seconds."""
    started = time.monotonic()
    while database.query(question) != [(wanted,)]:
        assert time.monotonic() - started < within_s, (question, database.query(question))
        time.sleep(0.02)
    return time.monotonic() - started
