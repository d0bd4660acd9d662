"""Never queue the application, never outlive the deadline: what bounds each statement of a revision.

A statement that waits for a lock makes every later one on that table wait behind it, so `lock_timeout` is
short. Concurrent index work and `VALIDATE CONSTRAINT` block neither reads nor writes, and a short
`lock_timeout` would kill the former even on an empty table, since it waits for old snapshots: they may take
until the deadline. https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from typing import Any

from sqlalchemy import Connection, event

from runner.deadline import Deadline
from runner.errors import DeadlinePassed
from runner.postgres import sql

STALE_MS = 250
"""`statement_timeout` is a statement's, not a transaction's: it is set again once this much has passed."""


def bind(connection: Connection, deadline: Deadline, lock_timeout_ms: int) -> None:
    """Set the time-outs at the beginning of each transaction and before each statement on `connection`.

    A statement that would begin past the deadline raises `DeadlinePassed` instead.
    """
    set_at_ms = 0

    def begin(opened: Connection) -> None:
        nonlocal set_at_ms
        if not _autocommits(opened):
            set_at_ms = deadline.remaining_ms
            _send(opened, f"set local lock_timeout = {lock_timeout_ms}; set local statement_timeout = {set_at_ms}")

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal set_at_ms
        if deadline.remaining_s <= 0:
            raise DeadlinePassed
        remaining_ms = deadline.remaining_ms
        harmless = sql.is_concurrent_work(statement)
        local = "" if _autocommits(opened) else "local "
        if not local or harmless:
            lock_ms = remaining_ms if harmless else lock_timeout_ms
            _send(opened, f"set {local}lock_timeout = {lock_ms}; set {local}statement_timeout = {remaining_ms}")
        elif set_at_ms - remaining_ms >= STALE_MS:
            set_at_ms = remaining_ms
            _send(opened, f"set local statement_timeout = {remaining_ms}")

    def after(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not _autocommits(opened) and sql.is_concurrent_work(statement):
            _send(opened, f"set local lock_timeout = {lock_timeout_ms}")

    event.listen(connection, "begin", begin)
    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)


def _autocommits(connection: Connection) -> bool:
    dbapi: Any = connection.connection.dbapi_connection
    return bool(dbapi.autocommit)


def _send(connection: Connection, settings: str) -> None:
    dbapi: Any = connection.connection.dbapi_connection
    with dbapi.cursor() as cursor:
        cursor.execute(settings)
