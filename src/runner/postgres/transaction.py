"""The transaction of a revision: how it begins, who may end it, and the proof that it is still the same one.

Only Alembic ends it. What a revision does to end it itself is refused where it stands, through SQLAlchemy and on the
driver's connection. A COMMIT on a cursor of the driver is noted. What comes past all of them is noticed at the end: the
timestamp of the transaction is read in the message that begins it, and must be the same in the one that writes the
version.
"""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_INTRANS
from psycopg2.extensions import cursor as PlainCursor  # noqa: N812 - a class
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from runner.errors import ConnectionLost
from runner.postgres import sql
from runner.postgres.invalid_indexes import Leftovers
from runner.postgres.search_path import ENTER, LEAVE
from runner.postgres.sent import Sent
from runner.postgres.timeouts import Timeouts, autocommits, has_failed, send

# A subtransaction too has an id once it has written something, catalogs and locks of rows included.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
# Qualified, operators too, like all that is sent under the `search_path` of a revision.
WRITTEN = """
    select pg_catalog.count(*) from pg_catalog.pg_locks
    where locktype operator(pg_catalog.=) 'transactionid' and granted
      and pid operator(pg_catalog.=) pg_catalog.pg_backend_pid() and mode operator(pg_catalog.=) 'ExclusiveLock'
"""
# Everything that DISCARD ALL does, except that it would release the session's advisory locks.
# https://www.postgresql.org/docs/current/sql-discard.html
RESET = "reset session authorization; reset all; deallocate all; unlisten *; close all; discard temp; discard sequences"
# In microseconds, since the driver would read a timestamp by the session's `datestyle`.
NOW = "(extract(epoch from pg_catalog.transaction_timestamp()) operator(pg_catalog.*) 1000000)::pg_catalog.int8"
METHODS = ("commit()", "rollback()")
# What replaces a COMMIT that has nothing to commit: a statement without any effect and without rows.
NOTHING = "set transaction read write"
CLOSING = "set constraints all immediate"
"""How the message that ends a revision begins: deferred constraints are checked while no COMMIT waits for them."""


class EndsTransaction(Exception):
    """A revision tries to end its own transaction, or has ended it; `how` names the statement or the method.

    It is `late` where the transaction has ended: on a cursor of the driver, or, without `how`, in a way that none of
    our classes sees.
    """

    def __init__(self, how: str = "", *, late: bool = False) -> None:
        super().__init__(how)
        self.how, self.late = how, late
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

    def cursor(self, name: Any = None, cursor_factory: Any = None, *arguments: Any, **options: Any) -> Any:
        """Return a cursor, of a class that notes its statements also where the revision asks for another class."""
        kind = cursor_factory or cast("Any", self.cursor_factory) or PlainCursor
        # any callable may be a factory, and of what it returns nothing is known
        if self.guard is not None and isinstance(kind, type) and not issubclass(kind, GuardedCursor):
            kind = type(kind.__name__, (GuardedCursor, kind), {})
        return super().cursor(name, kind, *arguments, **options)

    def set_isolation_level(self, level: Any) -> None:
        """Set the isolation level of the next transaction; the driver rolls back the present one."""
        if self.guard is None or self.guard.may_end("set_isolation_level()"):
            super().set_isolation_level(level)


class GuardedCursor(psycopg2.extensions.cursor):
    """A cursor of the driver, of SQLAlchemy's statements and of those that a revision sends past it."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's own name
        """Send a statement, and note it while a revision is running."""
        connection = cast("GuardedConnection", self.connection)
        guard = connection.guard
        if guard is None or not guard.running:
            super().execute(query, vars)
            return
        text = _as_text(query, connection)
        # with parameters, also none of them, the driver reads `%%` as `%`
        text = text if vars is None else text.replace("%%", "%")
        # what comes through SQLAlchemy and ends something was refused before it came here
        ends = not guard.driver.autocommit and sql.ends_transaction(text)
        if ends and guard.ends_nothing(text):
            guard.restart()
            super().execute(NOTHING)
            return
        leftovers = guard.leftovers if guard.driver.autocommit else None
        if leftovers is not None:
            leftovers.clear(text)
        with guard.noting(text, ends=ends):
            super().execute(query, vars)
            while leftovers is not None and leftovers.clear_again(text):
                super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Send a statement once for each of many parameters, and note it."""
        with self._noting(query):
            super().executemany(query, vars_list)

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        """Call a function, and note it."""
        with self._noting(f"select {procname}()"):
            return super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, *arguments: Any, **options: Any) -> None:
        """Copy by a statement, and note it."""
        with self._noting(sql):
            super().copy_expert(sql, file, *arguments, **options)

    def copy_from(self, file: Any, table: Any, *arguments: Any, **options: Any) -> None:
        """Copy into a table, and note it."""
        with self._noting(f"copy {table} from stdin"):
            super().copy_from(file, table, *arguments, **options)

    def copy_to(self, file: Any, table: Any, *arguments: Any, **options: Any) -> None:
        """Copy from a table, and note it."""
        with self._noting(f"copy {table} to stdout"):
            super().copy_to(file, table, *arguments, **options)

    def _noting(self, query: Any) -> AbstractContextManager[None]:
        """Return a block whose statement is noted while a revision is running."""
        connection = cast("GuardedConnection", self.connection)
        guard = connection.guard
        if guard is None or not guard.running:
            return contextlib.nullcontext()
        text = _as_text(query, connection)
        return guard.noting(text, ends=not guard.driver.autocommit and sql.ends_transaction(text))


def _as_text(query: Any, connection: GuardedConnection) -> str:
    """Return a query as text, also one that is bytes or that `psycopg2.sql` has composed."""
    if isinstance(query, str):
        return query
    return query.decode(errors="replace") if isinstance(query, bytes) else str(query.as_string(connection))


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
    """Whether the next transaction begins as in a new session: a revision's first, or the first after a rollback."""
    enters: bool = False
    """Whether that transaction is a revision's, with the `search_path` of the project instead of our own."""
    chains: bool = False
    """Whether the next commit begins another revision's transaction."""
    chained: bool = False
    """Whether that has happened, so that SQLAlchemy's beginning has nothing to send."""
    closing: Callable[[], str] | None = None
    """Returns the statement that is sent before the next one in its message, once the revision's code has run."""
    marker: int | None = None
    """The timestamp of the present transaction, in microseconds since 1970; None until it is read."""
    held: Sequence[bool] = (True, True)
    """What `locks` returned when the present transaction began."""
    sent: Sent = field(default_factory=Sent)
    """The statements that the revision has sent so far."""
    alone: bool = True
    """Whether none of them takes a lock that blocks reads or writes: all are concurrent work."""
    within: bool = False
    """Whether all revisions share one transaction, as in a rehearsal."""
    measure: Callable[[str], AbstractContextManager[object]] = contextlib.nullcontext
    """Returns a block around each statement of the revision; a rehearsal measures it."""
    leftovers: Leftovers | None = None
    """What mends the leftovers of earlier tries; None in a rehearsal, which enters no autocommit block."""
    written_before: int = 0
    """The number of subtransactions that had written something before the revision began."""
    ended: EndsTransaction | None = None
    """Set once the revision has ended its transaction or tried to, also where it has caught that exception."""
    rolled_back: bool = False
    """Whether the revision has rolled its transaction back while it handled an error."""

    @property
    def is_marked(self) -> str:
        """Return an expression: whether the transaction that evaluates it is the one whose beginning was marked."""
        return f"{NOW} = {self.marker}"

    def open(self) -> None:
        """Prepare for the first transaction of another revision."""
        self.sent.clear()
        self.alone, self.ended, self.rolled_back = True, None, False
        self.opens = self.enters = not self.chained

    def open_within(self) -> None:
        """Prepare for another revision in the same transaction, as a rehearsal runs them all."""
        self.open()
        self.opens, self.within = False, True
        self.written_before = send(self.connection, WRITTEN)[0]

    def may_end(self, how: str) -> bool:
        """Return whether a method that ends the transaction is carried out; `how` names it.

        Raises `EndsTransaction` if the revision calls it after it has written something.
        """
        if not self.running or self.driver.autocommit:
            return True
        failing = has_failed(self.connection) or sys.exc_info()[1] is not None
        if failing and how == "rollback()":
            # part of handling an error, which may end the revision anyway; else its next statement is refused
            self.ended, self.rolled_back = EndsTransaction(how), True
            return True
        self.refuse_end(how)
        return False

    def refuse_end(self, how: str) -> None:
        """Raise `EndsTransaction`, unless the end would change nothing."""
        if not self.ends_nothing(how):
            self.ended = EndsTransaction(how)
            raise self.ended
        self.restart()

    def restart(self) -> None:
        """End a transaction that has written nothing, with its locks and settings, and begin it anew."""
        # that of a rehearsal has to go on
        if not self.within:
            self.sent.clear()
            self.alone = True
            self._begin(self.connection, "commit; begin; ")

    def ends_nothing(self, how: str) -> bool:
        """Return whether an end of the transaction would change nothing, since the revision has written nothing."""
        in_transaction = self.driver.info.transaction_status == TRANSACTION_STATUS_INTRANS
        harmless = in_transaction and (how in METHODS or sql.only_ends_transaction(how))
        return harmless and not self.has_written()

    def end_of(self, error: BaseException) -> EndsTransaction | None:
        """Return how the revision has ended its transaction; None if `error` is a failure of another kind."""
        # a rollback while an error is handled may have been part of the failure
        return error if isinstance(error, EndsTransaction) else None if self.rolled_back else self.ended

    def require_open(self) -> None:
        """Raise `EndsTransaction` if the server has no transaction or another one, although we saw none end."""
        if self.ended is None and self.marker is not None and not self.driver.autocommit and self._is_over():
            self.ended = EndsTransaction(late=True)
            raise self.ended

    def _is_over(self) -> bool:
        """Return whether the server's transaction is not the marked one; False where it has failed and cannot tell."""
        status = self.driver.info.transaction_status
        if status == TRANSACTION_STATUS_INTRANS:
            # the revision's own error is what is told where this one fails as well
            with contextlib.suppress(psycopg2.Error), PlainCursor(self.driver) as cursor:
                cursor.execute(f"select {NOW}")
                return cursor.fetchone() != (self.marker,)
        return status == TRANSACTION_STATUS_IDLE

    def require_same(self) -> None:
        """Raise `EndsTransaction` unless the present transaction is the one that was marked, and as `require_locks`."""
        marker = self.marker
        self.mark(self.connection)
        if marker not in (None, self.marker):
            raise EndsTransaction(late=True)
        self.require_locks()

    def mark(self, opened: Connection, first: str = "") -> None:
        """Send the statements `first`, and read the timestamp of the transaction and the state of the locks."""
        self.marker, *self.held = send(opened, f"{first}select {NOW}, {', '.join(self.locks)}")

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
        try:
            with self.set_running(True):
                try:
                    yield
                finally:
                    # options of a connection stay in place, and the version is written through it
                    self.driver.cursor_factory = GuardedCursor
                    self.connection.execution_options(schema_translate_map=None, stream_results=False, yield_per=None)
        except BaseException:
            # looked at here, since a rollback comes next; an error after the end of the transaction undoes nothing
            self.require_open()
            raise
        if self.connection.closed:
            self.ended = EndsTransaction("close()")
        if self.ended is not None:
            raise self.ended

    @contextlib.contextmanager
    def noting(self, text: str, *, ends: bool = False) -> Iterator[None]:
        """Note the statement of the block; `ends` if it ends the transaction."""
        try:
            with self.measure(text):
                yield
        finally:
            # after an error too: the text may have failed behind its COMMIT
            if text != NOTHING and not (ends and sql.only_ends_transaction(text)):
                self.sent.add(text, autocommit=self.driver.autocommit)
            self.alone = self.alone and sql.is_concurrent_work(text)
            if ends:
                self.ended = EndsTransaction(text, late=True)

    @contextlib.contextmanager
    def set_running(self, running: bool) -> Iterator[None]:
        """Say within the block whether statements and commits are the revision's own."""
        before, self.running = self.running, running
        try:
            yield
        finally:
            self.running = before

    @contextlib.contextmanager
    def undoing_failed(self) -> Iterator[None]:
        """Roll back, where the block fails, the failed transaction that it has begun itself in AUTOCOMMIT."""
        try:
            yield
        except BaseException:
            # what Alembic and we send behind the block would fail in it, and hide the revision's own error
            if self.driver.info.transaction_status == TRANSACTION_STATUS_INERROR:
                send(self.connection, "rollback")
            raise

    def bound(self, other: GuardedConnection) -> None:
        """Set the time-outs of a connection that the revision opens by our engine; in a rehearsal it may not write."""
        if not self.running:
            return
        lock_ms, statement_ms = self.timeouts.lock_timeout_ms, self.timeouts.deadline.remaining_ms
        with other.cursor() as cursor:
            cursor.execute(f"set lock_timeout = {lock_ms}; set statement_timeout = {statement_ms}; {ENTER}")
            if self.within:
                cursor.execute("set default_transaction_read_only = on")
        other.commit()

    def restore(self) -> None:
        """Set the role and `search_path` that a revision may have changed, to those that it began with."""
        send(self.connection, f"{self._own_role}; {ENTER}")

    @property
    def _own_role(self) -> str:
        return f"reset session authorization; {self.driver.role}"

    def abandon(self) -> None:
        """Roll back, also a transaction that SQLAlchemy does not know: begun together with a commit, or after one."""
        self.closing, self.chains, self.chained, self.marker = None, False, False, None
        # the next attempt reads the version table first, and must not do so under the settings of the revision
        self.opens, self.enters = True, False
        # by the revision, which has ended the session with it
        if self.connection.closed:
            return
        # the server has rolled back what a lost connection did; SQLAlchemy marks the connection as invalid then
        with contextlib.suppress(DBAPIError):
            self.connection.rollback()
        try:
            self.driver.rollback()
        except psycopg2.Error:
            self.connection.invalidate()

    def commit_and_chain(self) -> None:
        """Commit, and begin another revision's transaction in the same message: a round trip less for each revision."""
        self.chains, self.opens, self.enters = False, True, True
        # psycopg2 still counts as in its transaction, which is true of the one that begins here
        self._begin(self.connection, "commit; begin; ")
        self.chained = True

    def _begin(self, opened: Connection, first: str = "") -> None:
        # in a transaction of its own: UNLISTEN waits for the commit, and a rollback must not bring back what was left
        path = f"; {ENTER}" if self.enters else ""
        new = f"{RESET}; {self.driver.settings}{path}; commit; begin; " if self.opens else ""
        # until the message has succeeded, nothing is known of the transaction
        self.opens, self.enters, self.marker = False, False, None
        # a revision may have made later transactions read-only, as the one behind its autocommit block
        self.mark(opened, f"{first}{new}set transaction read write; {self.timeouts.at_begin()}; ")

    def begin(self, opened: Connection) -> None:
        """Set up a transaction that SQLAlchemy begins."""
        if self.chained:
            self.chained = False
        # SET LOCAL has no effect outside of a transaction
        elif not autocommits(opened):
            self._begin(opened)
            self.require_locks()

    def before(self, opened: Connection, statement: str) -> str:
        """Return what is sent for a statement. Raises `EndsTransaction` or `DeadlinePassed`."""
        autocommit = autocommits(opened)
        if self.running:
            if self.ended is not None:
                raise self.ended
            if not autocommit and sql.ends_transaction(statement):
                self.refuse_end(statement)
                return NOTHING
            # not in a rehearsal, whose transaction is that of all revisions
            if not autocommit and not self.sent.number and not self.within and sql.sets_transaction(statement):
                return self._begin_anew(opened, statement)
        # a failed transaction accepts nothing but its end, or ROLLBACK TO SAVEPOINT
        if has_failed(opened):
            return statement
        setting = self.timeouts.before(opened, statement, alone=autocommit or self.alone)
        # what is done in AUTOCOMMIT cannot be rolled back, so both locks are proven before it; not before a statement
        # that does nothing, and fails behind any query of its transaction
        proves = not sql.sets_transaction(statement) if autocommit else self.marker is None
        if self.running and proves:
            self.mark(opened, f"{setting}; " if setting else "")
            self.require_locks()
        elif setting:
            send(opened, setting)
        if self.closing is not None:
            return self._close() + statement
        return statement

    def _begin_anew(self, opened: Connection, statement: str) -> str:
        """Return a SET TRANSACTION, after making it the first statement of its transaction, which the mark was."""
        if self.marker is not None and not self.has_written():
            send(opened, f"rollback; begin; {self.timeouts.at_begin()}")
            self.marker = None
        return statement

    def _close(self) -> str:
        """Return the statements that are sent before the one that writes the version, in its message."""
        assert self.closing is not None  # noqa: S101 - called only where it is set
        if self.marker is None:
            self.mark(self.connection)
        row, self.closing = self.closing(), None
        # deferred constraints now, since no time-out bounds COMMIT, and while the revision's settings hold
        first = f"{CLOSING}; {self._own_role}; {LEAVE}; {self.timeouts.at_begin()}; {row}; "
        # Alembic's statement has no parameters, but the driver looks for placeholders all the same
        return first.replace("%", "%%")

    def after(self, opened: Connection, statement: str) -> None:
        """Lower the time-outs that a statement has raised."""
        if self.running:
            self.timeouts.after(opened, statement)


def guard(connection: Connection, timeouts: Timeouts, locks: tuple[str, str]) -> Transaction:
    """Guard the transactions of `connection` from now on; it has none yet.

    `locks` are two expressions, which are evaluated whenever a transaction begins.
    """
    driver = cast("GuardedConnection", connection.connection.dbapi_connection)
    driver.cursor_factory = GuardedCursor
    transaction = driver.guard = Transaction(connection, driver, timeouts, locks)
    event.listen(connection, "begin", transaction.begin)
    event.listen(connection.engine, "connect", lambda other, _: transaction.bound(other))

    def before(opened: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return transaction.before(opened, statement), parameters

    event.listen(connection, "before_cursor_execute", before, retval=True)
    event.listen(connection, "after_cursor_execute", lambda opened, _, text, *__: transaction.after(opened, text))
    return transaction
