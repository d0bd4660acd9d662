"""The transaction of a revision: how it begins, who may end it, and the proof that it is still the same one.

Only Alembic ends it. What a revision does to end it itself is refused where it stands, as far as SQLAlchemy or the
driver's connection shows it. A COMMIT that is sent on a cursor of the driver is noticed afterwards: the timestamp of
the transaction is read in the message that begins it, and must be the same in the statement that proves it.
"""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_INTRANS
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from runner.errors import ConnectionLost
from runner.postgres import sql
from runner.postgres.timeouts import Timeouts, autocommits, send

# A subtransaction too has an id once it has written something, catalogs and locks of rows included.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
WRITTEN = """
    select count(*) from pg_catalog.pg_locks
    where locktype = 'transactionid' and granted and pid = pg_catalog.pg_backend_pid() and mode = 'ExclusiveLock'
"""
# Everything that DISCARD ALL does, except that it would release the session's advisory locks.
# https://www.postgresql.org/docs/current/sql-discard.html
RESET = "reset session authorization; reset all; deallocate all; unlisten *; close all; discard temp; discard sequences"
NOW = "pg_catalog.transaction_timestamp()"
METHODS = ("commit()", "rollback()")
# What replaces a COMMIT that has nothing to commit: a statement without any effect and without rows.
NOTHING = "set transaction read write"


class EndsTransaction(Exception):
    """A revision tries to end its own transaction, or has ended it; `how` names the statement or the method.

    Without `how` it happened where neither SQLAlchemy nor the driver's connection shows it.
    """

    def __init__(self, how: str = "") -> None:
        super().__init__(how)
        self.how = how
        # not only the traceback: where the revision catches it, it is raised again elsewhere
        self.stack = traceback.extract_stack()


class ReleasesLock(Exception):
    """A revision has released the advisory lock of its own session, for example by `pg_advisory_unlock_all()`."""


class GuardedConnection(psycopg2.extensions.connection):
    """A connection of the driver; what would end its transaction asks the `Transaction` that guards it."""

    settings: str = ""
    """The statements that set up the session."""
    role: str = "reset role"
    """The statement that sets the role in which the session runs."""
    guard: "Transaction | None" = None

    def commit(self) -> None:
        """Commit, and begin the next transaction in the same message where one is to follow."""
        if self.guard is None or self.guard.may_end("commit()"):
            if self.guard is not None and self.guard.chains:
                self.guard.commit_and_chain()
            else:
                super().commit()

    def rollback(self) -> None:
        """Roll back."""
        if self.guard is None or self.guard.may_end("rollback()"):
            super().rollback()

    def set_isolation_level(self, level: Any) -> None:
        """Set the isolation level of the next transaction; the driver rolls back the present one."""
        if self.guard is None or self.guard.may_end("set_isolation_level()"):
            super().set_isolation_level(level)


@dataclass
class Transaction:
    """The transactions of one connection, one after the other."""

    connection: Connection
    driver: GuardedConnection
    """The driver's connection of `connection`."""
    timeouts: Timeouts
    locks: tuple[str, str]
    """Two expressions: whether the migration lock is still held, and whether the lock of this session is."""
    running: bool = False
    """Whether the revision's own code is running."""
    opens: bool = False
    """Whether the next transaction is a revision's first, which begins as in a new session."""
    chains: bool = False
    """Whether the next commit begins another revision's transaction."""
    chained: bool = False
    """Whether that has happened, so that SQLAlchemy's beginning has nothing to send."""
    closing: Callable[[], str] | None = None
    """Returns the statement that is sent before the next one in its message, once the revision's code has run."""
    marker: datetime | None = None
    """The timestamp of the present transaction."""
    held: Sequence[bool] = (True, True)
    """What `locks` returned when the present transaction began."""
    sent: list[str] = field(default_factory=list)
    """The statements that the revision has sent so far."""
    written_before: int = 0
    """The number of subtransactions that had written something before the revision began."""
    ended: EndsTransaction | None = None
    """Set once the revision has ended its transaction or tried to, also where it has caught that exception."""

    @property
    def is_marked(self) -> str:
        """Return an expression: whether the transaction that evaluates it is the one whose beginning was marked."""
        # with all its digits: a microsecond later another transaction may have begun
        at = None if self.marker is None else self.marker.isoformat()
        return f"{NOW} = '{at}'::pg_catalog.timestamptz"

    def open(self) -> None:
        """Prepare for the first transaction of another revision."""
        self.sent.clear()
        self.ended = None
        self.opens = not self.chained

    def open_within(self) -> None:
        """Prepare for another revision in the same transaction, as a rehearsal runs them all."""
        self.open()
        self.opens = False
        self.written_before = send(self.connection, WRITTEN)[0]

    def may_end(self, how: str) -> bool:
        """Return whether a method that ends the transaction is carried out; `how` names it.

        Raises `EndsTransaction` if the revision calls it after it has written something.
        """
        if not self.running or self.driver.autocommit:
            return True
        failing = self.driver.info.transaction_status == TRANSACTION_STATUS_INERROR or sys.exc_info()[1] is not None
        if failing and how == "rollback()":
            # part of handling an error, which may end the revision anyway; else its next statement is refused
            self.ended = EndsTransaction(how)
            return True
        self.refuse_end(how)
        return False

    def refuse_end(self, how: str) -> None:
        """Raise `EndsTransaction`, unless the transaction has written nothing, so that its end would change nothing."""
        in_transaction = self.driver.info.transaction_status == TRANSACTION_STATUS_INTRANS
        harmless = in_transaction and (how in METHODS or sql.only_ends_transaction(how))
        if not harmless or self.has_written():
            self.ended = EndsTransaction(how)
            raise self.ended

    def has_ended(self, start: datetime | None) -> bool:
        """Return whether another transaction than the marked one is present; `start` is when the present one began."""
        if self.driver.autocommit:
            return False
        return self.driver.info.transaction_status == TRANSACTION_STATUS_IDLE or start not in (None, self.marker)

    def require_same(self) -> None:
        """Raise `EndsTransaction` unless the present transaction is the one that was marked, and as `require_locks`."""
        marker, *self.held = send(self.connection, self._proofs())
        if marker != self.marker:
            raise EndsTransaction
        self.require_locks()

    def require_locks(self) -> None:
        """Raise `ConnectionLost` without the migration lock, `ReleasesLock` without that of the session itself."""
        lock, work = self.held
        if not lock:
            raise ConnectionLost
        if not work:
            raise ReleasesLock

    def has_written(self) -> bool:
        """Return whether the transaction has an id."""
        return bool(send(self.connection, WRITTEN)[0] > self.written_before)

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Refuse within the block what would end the transaction. Raises `EndsTransaction`, also for one caught."""
        self.running = True
        try:
            yield
        finally:
            self.running = False
        if self.ended is not None:
            raise self.ended

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Allow within the block what `run` refuses, for statements and commits that are not the revision's own."""
        self.running = False
        try:
            yield
        finally:
            self.running = True

    @contextlib.contextmanager
    def resume(self) -> Iterator[None]:
        """Refuse again, within `pause`, what `run` refuses."""
        self.running = True
        try:
            yield
        finally:
            self.running = False

    def restore(self) -> None:
        """Set the role and `search_path` that a revision may have changed."""
        send(self.connection, self._restoring())

    def _restoring(self) -> str:
        return f"reset session authorization; {self.driver.role}; set search_path = public"

    def abandon(self) -> None:
        """Roll back, also a transaction that SQLAlchemy does not know: begun together with a commit, or after one."""
        self.closing, self.chains, self.chained = None, False, False
        # the server has rolled back what a lost connection did; SQLAlchemy marks the connection as invalid then
        with contextlib.suppress(DBAPIError):
            self.connection.rollback()
        try:
            self.driver.rollback()
        except psycopg2.Error:
            self.connection.invalidate()

    def commit_and_chain(self) -> None:
        """Commit, and begin another revision's transaction in the same message: a round trip less for each revision."""
        self.chains, self.opens = False, True
        # psycopg2 still counts as in its transaction, which is true of the one that begins here
        self.marker, *self.held = send(self.connection, f"commit; begin; {self._beginning()}")
        self.chained = True

    def _beginning(self) -> str:
        """Return the statements that come first in a transaction."""
        # in a transaction of its own: UNLISTEN waits for the commit, and a rollback must not bring back what was left
        new = f"{RESET}; {self.driver.settings}; commit; begin; " if self.opens else ""
        self.opens = False
        # a revision may have made later transactions read-only, as the one behind its autocommit block
        return f"{new}set transaction read write; {self.timeouts.at_begin()}; {self._proofs()}"

    def _proofs(self) -> str:
        return f"select {NOW}, {', '.join(self.locks)}"

    def begin(self, opened: Connection) -> None:
        """Set up a transaction that SQLAlchemy begins."""
        if self.chained:
            self.chained = False
        # SET LOCAL has no effect outside of a transaction
        elif not autocommits(opened):
            self.marker, *self.held = send(opened, self._beginning())
            self.require_locks()

    def before(self, opened: Connection, statement: str) -> str:
        """Return what is sent for a statement. Raises `EndsTransaction` or `DeadlinePassed`."""
        if self.running:
            if self.ended is not None:
                raise self.ended
            if not autocommits(opened) and sql.ends_transaction(statement):
                self.refuse_end(statement)
                return NOTHING
            self.sent.append(statement)
        self.timeouts.before(opened, statement)
        if self.running and autocommits(opened):
            # what is done here cannot be rolled back
            _, *self.held = send(opened, self._proofs())
            self.require_locks()
        if self.closing is not None:
            row, self.closing = self.closing(), None
            # deferred constraints now, since no time-out bounds COMMIT, and while the revision's settings hold
            first = f"set constraints all immediate; {self._restoring()}; {self.timeouts.at_begin()}; {row}; "
            # Alembic's statement has no parameters, but the driver looks for placeholders all the same
            return first.replace("%", "%%") + statement
        return statement

    def after(self, opened: Connection, statement: str) -> None:
        """Lower the time-outs that a statement has raised."""
        if self.running:
            self.timeouts.after(opened, statement)


def guard(connection: Connection, timeouts: Timeouts, locks: tuple[str, str]) -> Transaction:
    """Guard the transactions of `connection` from now on; it has none yet.

    `locks` are two expressions, which are evaluated whenever a transaction begins.
    """
    driver = cast("GuardedConnection", connection.connection.dbapi_connection)
    transaction = driver.guard = Transaction(connection, driver, timeouts, locks)
    event.listen(connection, "begin", transaction.begin)

    def before(opened: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return transaction.before(opened, statement), parameters

    event.listen(connection, "before_cursor_execute", before, retval=True)
    event.listen(connection, "after_cursor_execute", lambda opened, _, text, *__: transaction.after(opened, text))
    return transaction
