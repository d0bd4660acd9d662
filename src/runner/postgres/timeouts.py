"""The time-outs of each statement of a revision: it neither makes the application queue nor passes the deadline.

A statement that waits for a lock makes every later statement on that table wait behind it, so `lock_timeout` is
short. Concurrent index work and VALIDATE CONSTRAINT have until the deadline: they block neither reads nor writes, and
a short `lock_timeout` would end the former even on an empty table, since it waits for old snapshots.
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from typing import Any

from sqlalchemy import Connection, event

from runner.deadline import Deadline
from runner.errors import DeadlinePassed
from runner.postgres import sql

STALE_MS = 250
"""In a transaction `statement_timeout`, which bounds each statement, is set again after so many milliseconds."""


def bind(connection: Connection, deadline: Deadline, lock_timeout_ms: int) -> None:
    """Set the time-outs at the beginning of each transaction and before each statement on `connection`.

    Times are in milliseconds. A statement past the deadline is not sent: it raises `DeadlinePassed`.
    """
    set_at_ms = 0

    def begin(opened: Connection) -> None:
        nonlocal set_at_ms
        # SET LOCAL ends with the transaction, and has no effect outside of one
        if not _autocommits(opened):
            set_at_ms = deadline.remaining_ms
            _send(opened, f"set local lock_timeout = {lock_timeout_ms}; set local statement_timeout = {set_at_ms}")

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal set_at_ms
        if deadline.remaining_s <= 0:
            raise DeadlinePassed
        remaining_ms = deadline.remaining_ms
        concurrent = sql.is_concurrent_work(statement)
        local = "" if _autocommits(opened) else "local "
        # in AUTOCOMMIT each time: no transaction begins, at which they could have been set
        if not local or concurrent:
            lock_ms = remaining_ms if concurrent else lock_timeout_ms
            _send(opened, f"set {local}lock_timeout = {lock_ms}; set {local}statement_timeout = {remaining_ms}")
        # not before each statement: that would double a revision's round trips
        elif set_at_ms - remaining_ms >= STALE_MS:
            set_at_ms = remaining_ms
            _send(opened, f"set local statement_timeout = {remaining_ms}")

    def after(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        # the next statement of the transaction must not wait for its lock until the deadline
        if not _autocommits(opened) and sql.is_concurrent_work(statement):
            _send(opened, f"set local lock_timeout = {lock_timeout_ms}")

    event.listen(connection, "begin", begin)
    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)


def _autocommits(connection: Connection) -> bool:
    dbapi: Any = connection.connection.dbapi_connection
    return bool(dbapi.autocommit)


def _send(connection: Connection, settings: str) -> None:
    # on the driver's own cursor, since SQLAlchemy's would call these listeners again
    dbapi: Any = connection.connection.dbapi_connection
    with dbapi.cursor() as cursor:
        cursor.execute(settings)
