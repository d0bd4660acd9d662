"""The time-outs of each statement of a run: it neither makes the application queue nor passes the deadline.

A statement that waits for a lock makes every later statement on that table wait behind it, so `lock_timeout` is
short. Concurrent index work and VALIDATE CONSTRAINT have until the deadline: they block neither reads nor writes, and
a short `lock_timeout` would end the former even on an empty table, since it waits for old snapshots.
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY

Both time-outs are ceilings. A revision may set a lower `lock_timeout` or `statement_timeout`, which then holds until
its end, except that concurrent work keeps its own `lock_timeout`. A higher one, or 0, is set back after the statement
that set it. What waits longer all the same, for example in a function that sets `lock_timeout` itself, is cancelled by
the watchdog of the run.
"""

from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from psycopg2.extensions import cursor as PlainCursor  # noqa: N812 - a class
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from runner.deadline import Deadline
from runner.errors import DeadlinePassed, translating
from runner.postgres import sql

STALE_MS = 250
"""In a transaction `statement_timeout`, which bounds each statement, is set again after so many milliseconds."""
# With the schema, since a revision may have set any `search_path`. An interval reads all the units of a time-out.
READ = ", ".join(
    f"(extract(epoch from pg_catalog.current_setting('{name}')::pg_catalog.interval)"
    " operator(pg_catalog.*) 1000)::pg_catalog.int8"
    for name in ("lock_timeout", "statement_timeout")
)
READ = f"select {READ}"


@dataclass
class Timeouts:
    """The time-outs of one connection, in milliseconds."""

    deadline: Deadline
    lock_timeout_ms: int
    """The ceiling of a statement that is no concurrent work."""
    lock_ceiling_ms: int = 0
    """The ceiling of the present statement, with which the watchdog compares its wait."""
    _lock_ms: int | None = None
    """The lower `lock_timeout` that the revision has set."""
    _statement_ms: int | None = None
    """The lower `statement_timeout` that the revision has set."""
    _set_ms: int = 0
    """The `statement_timeout` that was set last."""

    def at_begin(self) -> str:
        """Return the statements that set the time-outs of a transaction that begins."""
        self._lock_ms = self._statement_ms = None
        self.lock_ceiling_ms, self._set_ms = self.lock_timeout_ms, self.deadline.remaining_ms
        return f"set local lock_timeout = {self.lock_timeout_ms}; set local statement_timeout = {self._set_ms}"

    def before(self, connection: Connection, statement: str, *, alone: bool = True) -> str:
        """Return what sets the time-outs for a statement, empty where the transaction has them already.

        Concurrent work has until the deadline only where it is `alone`: other statements may hold locks meanwhile.
        Raises `DeadlinePassed` if the time is up, so that the statement is not sent.
        """
        if self.deadline.remaining_s <= 0:
            raise DeadlinePassed
        concurrent = alone and sql.is_concurrent_work(statement)
        self.lock_ceiling_ms = self.deadline.remaining_ms if concurrent else self._lower_lock_ms()
        # in AUTOCOMMIT each time: no transaction begins, at which they could have been set
        if concurrent or autocommits(connection):
            return self._setting(connection, self.lock_ceiling_ms)
        # not before each statement, which would double a revision's round trips
        stale = self._set_ms - self.deadline.remaining_ms >= STALE_MS and not self._statement_ms
        return self._setting(connection, None) if stale else ""

    def after(self, connection: Connection, statement: str) -> None:
        """Lower what a statement has raised, and remember what it has lowered."""
        if sql.may_set(statement):
            lock_ms, statement_ms = send(connection, READ)
            self._lock_ms = lock_ms if 0 < lock_ms < self.lock_timeout_ms else None
            if statement_ms != self._set_ms:
                self._statement_ms = statement_ms if 0 < statement_ms < self.deadline.remaining_ms else None
            if lock_ms != self._lower_lock_ms() or statement_ms not in (self._set_ms, self._statement_ms):
                send(connection, self._setting(connection, self._lower_lock_ms()))
        elif sql.is_concurrent_work(statement):
            # the next statement must not wait for its lock until the deadline, nor one that comes past SQLAlchemy
            self.lock_ceiling_ms = self._lower_lock_ms()
            send(connection, self._setting(connection, self._lower_lock_ms()))

    def _lower_lock_ms(self) -> int:
        return self._lock_ms or self.lock_timeout_ms

    def _setting(self, connection: Connection, lock_ms: int | None) -> str:
        local = "" if autocommits(connection) else "local "
        self._set_ms = self._statement_ms or self.deadline.remaining_ms
        lock = "" if lock_ms is None else f"set {local}lock_timeout = {lock_ms}; "
        return f"{lock}set {local}statement_timeout = {self._set_ms}"


def bind(connection: Connection, deadline: Deadline, lock_timeout_ms: int) -> None:
    """Set the time-outs of a connection that only reads.

    A statement past the deadline is not sent: it raises `DeadlinePassed`.
    """
    timeouts = Timeouts(deadline, lock_timeout_ms)
    event.listen(connection, "begin", lambda opened: send(opened, timeouts.at_begin()))

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if setting := timeouts.before(opened, statement):
            send(opened, setting)

    event.listen(connection, "before_cursor_execute", before)


def autocommits(connection: Connection) -> bool:
    """Return whether each statement on `connection` is a transaction of its own."""
    dbapi: Any = connection.connection.dbapi_connection
    return bool(dbapi.autocommit)


def has_failed(connection: Connection) -> bool:
    """Return whether a statement has failed in the present transaction, which then accepts no other."""
    dbapi: Any = connection.connection.dbapi_connection
    return bool(dbapi.info.transaction_status == TRANSACTION_STATUS_INERROR)


def send(connection: Connection, statements: str, parameters: Any = None) -> Any:
    """Send statements in one message, and return the first row of the last one, None if it returns no rows.

    Raises `DBAPIError`, as SQLAlchemy's own statements do.
    """

    # on the driver's own cursor, since SQLAlchemy's would call the listeners again; and on its plain one, since this is
    # not the revision's
    dbapi: Any = connection.connection.dbapi_connection

    def wrap(error: psycopg2.Error) -> DBAPIError:
        return DBAPIError(statements, None, error, hide_parameters=True, connection_invalidated=dbapi.closed != 0)

    with translating(psycopg2.Error, wrap), PlainCursor(dbapi) as cursor:
        cursor.execute(statements, parameters)
        return cursor.fetchone() if cursor.description else None
