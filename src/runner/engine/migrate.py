"""Drive Alembic to a target, whatever happens on the way: contention, lost connections, the deadline.

What happens around each revision stands in `steps`; here is what happens between tries. A try that could
not get a lock in time is repeated on the same connections, a lost connection is opened anew, and what was
committed is read from the version table, never guessed.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from runner.engine import ledger, preconditions, steps
from runner.engine.state import RUN, Run
from runner.engine.watchdog import Watchdog
from runner.errors import (
    ConnectionLost,
    DeadlinePassed,
    Interrupted,
    LockTimeout,
    MigrationError,
    ReadOnlyDatabase,
    UnknownRevision,
)
from runner.invocation import Invocation
from runner.postgres import (
    advisory_lock,
    connect,
    invalid_indexes,
    redact,
    sigint,
    sqlstate,
    timeouts,
    translation,
    version_table,
)
from runner.postgres.advisory_lock import GONE, MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.script import failure, graph, offline
from runner.script.graph import Revisions, Step

UPGRADING = ("upgrade", "run-migration")
Find = Callable[[tuple[str, ...], MigrationContext], list[Step]]

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5
MOST_LOSSES = 5
"""A revision that ends its own server is not run again and again until the deadline."""

logger = logging.getLogger(__name__)


def change(run: Run, known: Revisions, direction: str, target: str) -> None:
    """Bring the database to `target` (`upgrade`, `downgrade`), or say that it is there (`stamp`).

    The target is resolved once, under the lock. Raises a `MigrationError`, after which `run.answer`
    says how far it came.
    """

    def find(heads: tuple[str, ...], _: MigrationContext) -> list[Step]:
        found = graph.steps(known.script, direction, target, heads)
        run.answer.target = graph.absolute(known.script, target, found, heads)
        return found

    known.config.attributes[RUN] = run
    with EnvironmentContext(known.config, known.script, fn=find, destination_rev=target):
        known.script.run_env()


def repair(run: Run, known: Revisions, target: str) -> list[str]:
    """Record the text that an applied revision has now, drop invalid indexes, and return their names.

    Raises `UnknownRevision` for a revision that is not applied here.
    """
    asked = run.invocation
    opened = connect.open_engine(asked.settings, asked.request_id, asked.deadline)
    with advisory_lock.acquire(opened, VERSION_TABLE, asked.deadline, waiting(run)) as lock, lock.turn() as connection:
        heads = read_heads(connection)
        run.answer.before = run.answer.after = heads
        revision = graph.get(known.script, target)
        run.answer.target = revision.revision
        if revision.revision not in graph.applied(known.script, heads):
            raise UnknownRevision(
                f"`{revision.revision}` is not applied here, so there is nothing to repair.",
                "See what is with `migrate history`.",
            )
        # what is no Python is not to be accepted
        _ = revision.module
        run.direction, run.heads = "stamp", tuple(known.heads)
        preconditions.confirm_change(run)
        ledger.prepare(connection)
        ledger.close_interrupted(connection, None)
        run.answer.pending = [revision.revision]
        run.run_id = ledger.begin(connection, run)
        ledger.record_repair(connection, run.run_id, revision.revision, graph.checksum(revision))
        run.answer.pending = []
        try:
            cleared = invalid_indexes.drop_invalid(connection, asked.deadline)
        except DBAPIError as error:
            problem = DeadlinePassed() if sqlstate.is_cancelled(error) or sqlstate.is_contention(error) else None
            if problem is None:
                raise
            run.answer.fail(problem)
            ledger.finish(connection, run.run_id, run.answer.as_json())
        else:
            run.conclude(run.answer)
            ledger.finish(connection, run.run_id, run.answer.as_json())
            return cleared
    raise problem


def read_heads(connection: Connection) -> tuple[str, ...]:
    """Return the revisions that a database is at, without any lock; empty at base.

    Raises `InvalidSettings` for a role that may not look.
    """
    if not connection.exec_driver_sql(version_table.MAY_LOOK).scalar_one():
        raise version_table.forbidden()
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()


@contextmanager
def reading(invocation: Invocation) -> Iterator[Connection]:
    """Open a connection that only reads: one picture of the database, no migration lock, and the time-outs."""
    opened = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    with opened.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        timeouts.bind(connection, invocation.deadline, invocation.settings.lock_timeout_ms)
        yield connection


def migrate(context: Any, run: Run, find: Find) -> None:
    """Run what `find` finds: a transaction a revision, its ledger row in it, all under the lock."""
    asked = run.invocation
    engine = connect.open_engine(asked.settings, asked.request_id, asked.deadline)
    pauses = asked.deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    with sigint.hearing() as run.interrupted:
        while True:
            problem = _connect_and_run(context, run, find, engine)
            if problem is None:
                return
            run.connection_losses += isinstance(problem, ConnectionLost) and run.current is not None
            again = isinstance(problem, ConnectionLost | LockTimeout) and run.connection_losses <= MOST_LOSSES
            if not again or next(pauses, None) is None:
                if run.current is not None and run.current.heads is not None:
                    run.answer.unsure = run.current.name
                raise problem
            if isinstance(problem, ConnectionLost):
                told = "The connection was lost; reading where the database is, and going on."
                asked.tell(told, event="reconnecting")


def _connect_and_run(context: Any, run: Run, find: Find, engine: Engine) -> MigrationError | None:
    """Run under a lock and on a connection of this try's own; return why it did not come to its end."""
    deadline = run.invocation.deadline
    try:
        with (
            advisory_lock.acquire(engine, VERSION_TABLE, deadline, waiting(run)) as lock,
            engine.connect() as connection,
        ):
            refuse_reader(lock)
            lock.refuse_pooler(connection)
            connection.rollback()
            with lock.turn() as ledgers:
                ledger.close_interrupted(ledgers, run.run_id)
            timeouts.bind(connection, deadline, run.invocation.settings.lock_timeout_ms)
            invalid_indexes.rebuild_leftovers(connection, deadline)
            problem = _try_until_unblocked(context, run, find, lock, connection)
            _write_down(run, lock, problem)
            return problem
    except GONE as error:
        if sqlstate.is_lost(error):
            return ConnectionLost()
        if sqlstate.is_contention(error):
            return run.blocked("the ledger")
        raise


def waiting(run: Run) -> Callable[[str], None]:
    """Return what tells whom the run waits for."""
    return lambda holder: run.invocation.tell(f"Waiting for the migration lock, held by {holder}.", event="waiting")


def refuse_reader(lock: MigrationLock) -> None:
    """Raise `ReadOnlyDatabase` for a replica, and where transactions are read-only."""
    with lock.turn() as connection:
        refuse_read_only(connection)


def refuse_read_only(connection: Connection) -> None:
    """Raise `ReadOnlyDatabase` where nothing can be written."""
    replica, read_only, name = connection.exec_driver_sql(
        "select pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, current_database()"
    ).one()
    if replica:
        raise ReadOnlyDatabase(name, "the server is a replica")
    if read_only:
        raise ReadOnlyDatabase(name, "`default_transaction_read_only` is on")


def _try_until_unblocked(
    context: Any, run: Run, find: Find, lock: MigrationLock, connection: Connection
) -> MigrationError | None:
    """Run the steps, again and again where one could not get its lock in time, and never without a time-out."""
    deadline = run.invocation.deadline
    blocked: str | None = None
    pauses = deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    while True:
        problem = _try_once(context, run, find, lock, connection)
        if not isinstance(problem, LockTimeout):
            return problem
        if problem.revision != blocked:
            blocked, pauses = problem.revision, deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        run.invocation.tell(
            f"Waiting: `{problem.revision}` was rolled back and tries again; it waits for {problem.blocker}.",
            event="blocked", revision=problem.revision, tries=problem.tries,
        )  # fmt: skip
        if next(pauses, None) is None:
            return problem


def _try_once(context: Any, run: Run, find: Find, lock: MigrationLock, connection: Connection) -> MigrationError | None:
    pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
    watchdog = Watchdog(lock, pid, run.invocation.deadline, run.interrupted)
    steps.configure(context, run, find, lock, connection, watchdog)
    watchdog.start()
    try:
        _render_ahead(context.get_context(), run, find, connection)
        with context.begin_transaction():
            context.run_migrations()
    except BaseException as error:
        watchdog.stop()
        connection.rollback()
        problem = translate(error, run, lock, watchdog)
        if problem is None:
            raise
        return problem
    finally:
        watchdog.stop()
    return None


def _render_ahead(migration: MigrationContext, run: Run, find: Find, connection: Connection) -> None:
    """Render the steps, to hold them against the plan that the caller names, or to see what a downgrade drops.

    It comes before Alembic's own run, which hands its one `op` to the revisions.
    """
    if run.resolved or (run.terms.plan is None and run.answer.action != "downgrade"):
        return
    assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
    heads = run.answer.before = run.answer.after = read_heads(connection)
    connection.rollback()
    found = [step for step in find(heads, migration) if not step.info.is_stamp]
    ours = migration.environment_context
    assert ours is not None and ours.config is not None  # noqa: S101, PT018 - a run always has one
    run.rendered = offline.render(ours.config, migration.script, found)
    # Alembic has one `context` for all revisions, and the rendering had it
    ours.__enter__()
    run.known = [one.revision for one in migration.script.walk_revisions()]


def translate(error: BaseException, run: Run, lock: MigrationLock, watchdog: Watchdog) -> MigrationError | None:
    """Return what an exception means to the caller; None for one that is not ours to explain."""
    current = run.current
    if current is not None:
        logger.debug("%s at %s", type(error).__name__, " < ".join(reversed(redact.frames(error))))
    too_late = sqlstate.is_cancelled(error) and run.invocation.deadline.remaining_s <= 0
    if watchdog.ended_backend or too_late or isinstance(error, DeadlinePassed):
        # who stood in the way is more to the point than that the time is up
        return run.blocked(watchdog.blocker) if run.tries else DeadlinePassed()
    if isinstance(error, KeyboardInterrupt) or (sqlstate.is_cancelled(error) and run.interrupted.is_set()):
        return Interrupted()
    if isinstance(error, MigrationError):
        return error
    if current is not None and isinstance(error, psycopg2.Error):
        # of a connection that the revision has opened itself, or reached for below SQLAlchemy
        return failure.of_revision(error, current.name, current.path)
    if sqlstate.is_lost(error):
        return ConnectionLost()
    if sqlstate.is_read_only(error):
        return ReadOnlyDatabase(steps.database_name(lock), "it refuses to write")
    if sqlstate.is_contention(error):
        return run.blocked(watchdog.blocker)
    if current is not None:
        return failure.of_revision(error, current.name, current.path)
    return translation.of_privilege(error)


def _write_down(run: Run, lock: MigrationLock, problem: MigrationError | None) -> None:
    """Write how the run ended, on the lock's connection, which does not roll back."""
    if problem is None:
        run.conclude(run.answer)
        _record_idle(run, lock)
    elif isinstance(problem, ConnectionLost):
        # the next try goes on with this run
        return
    else:
        _settle(run, lock)
        steps.clear_leftovers(run, lock)
        run.answer.fail(problem)
    if run.run_id is None:
        return
    try:
        with lock.turn() as connection:
            if problem is not None and run.current is not None:
                ledger.record_failure(connection, run, problem.code)
            partial = run.terms.plan is not None and run.answer.status == "partial"
            rest = preconditions.plan_of_rest(run, connection) if partial else None
            ledger.finish(connection, run.run_id, run.answer.as_json(), rest)
    except GONE:
        logger.warning("The ledger could not be written; the next run notes this one as interrupted.")


def _record_idle(run: Run, lock: MigrationLock) -> None:
    """Write that an upgrade found nothing to do: only so is an image without new revisions known to run well here."""
    if run.run_id is not None or run.answer.earlier is not None or run.answer.action not in UPGRADING:
        return
    run.direction = "upgrade"
    with lock.turn() as connection:
        ledger.prepare(connection)
        ledger.record_idle(connection, run)


def _settle(run: Run, lock: MigrationLock) -> None:
    """Find out whether a revision was committed before what ended the run; only the version table knows."""
    if run.current is None or run.current.heads is None:
        return
    try:
        with lock.turn() as connection:
            heads = read_heads(connection)
    except GONE:
        run.answer.unsure = run.current.name
        return
    if set(heads) == set(run.current.heads):
        steps.done(run)
