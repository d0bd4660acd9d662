"""Drive Alembic to a target, whatever happens on the way: contention, lost connections, the deadline.

What happens around each step stands in `steps`; here is what happens between attempts. An attempt that could
not get a lock in time is repeated on the same connections, a lost connection is opened anew, and what was
committed is read from the version table, never guessed.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg2
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine

from runner.answer import Change, Direction
from runner.engine import ledger, preconditions, steps
from runner.engine.state import RUN, Find, Rendering, Run
from runner.engine.watchdog import Watchdog
from runner.errors import (
    ConnectionLost,
    DeadlinePassed,
    Interrupted,
    LockTimeout,
    MigrationError,
    ReadOnlyDatabase,
)
from runner.postgres import (
    advisory_lock,
    connect,
    invalid_indexes,
    redact,
    session,
    sigint,
    sqlstate,
    timeouts,
    translation,
    version_table,
)
from runner.postgres.advisory_lock import GONE, MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.script import alembic_internals, failure, graph, offline
from runner.script.graph import Revisions
from runner.script.step import Route

UPGRADING = ("upgrade", "run-migration")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5
MOST_LOSSES = 5
"""A revision that ends its own server is not run again and again until the deadline."""

logger = logging.getLogger(__name__)


def change(run: Run, known: Revisions, direction: Direction, target: str) -> None:
    """Bring the database to `target` (`upgrade`, `downgrade`), or say that it is there (`stamp`).

    The target is resolved once, under the lock. Raises a `MigrationError`, after which `run.draft`
    says how far it came.
    """

    def find(heads: tuple[str, ...], _: MigrationContext) -> Route:
        return graph.route(known.script, direction, target, heads)

    known.config.attributes[RUN] = run
    with EnvironmentContext(known.config, known.script, destination_rev=target, fn=find):
        known.script.run_env()


def migrate(context: Any, run: Run, find: Find) -> None:
    """Run what `find` finds: a transaction a revision, its ledger row in it, all under the lock."""
    asked = run.invocation
    engine = connect.open_engine(asked.settings, asked.request_id, asked.deadline)
    pauses = asked.deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    with sigint.hearing(run.interrupted):
        while True:
            problem = _connect_and_run(context, run, find, engine)
            if problem is None:
                return
            lost = isinstance(problem, ConnectionLost)
            if lost and run.attempt is not None:
                run.waits = replace(run.waits, connection_losses=run.waits.connection_losses + 1)
            again = (lost or isinstance(problem, LockTimeout)) and run.waits.connection_losses <= MOST_LOSSES
            if not again or next(pauses, None) is None:
                if run.attempt is not None and run.attempt.commits is not None:
                    run.draft.update(unsure=run.attempt.step.revision)
                raise problem
            if lost:
                told = "The connection was lost; reconnecting to continue from the revision that was committed last."
                asked.tell(told, event="reconnecting")


def _connect_and_run(context: Any, run: Run, find: Find, engine: Engine) -> MigrationError | None:
    """Run under a lock and on a connection of this attempt's own; return why it did not come to its end."""
    deadline = run.invocation.deadline
    try:
        with (
            advisory_lock.acquire(engine, VERSION_TABLE, deadline, waiting(run)) as lock,
            engine.connect() as connection,
        ):
            with lock.turn() as ledgers:
                session.refuse_read_only(ledgers)
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
            return run.block("the ledger")
        raise


def waiting(run: Run) -> Callable[[str], None]:
    """Return what tells whom the run waits for."""
    return lambda holder: run.invocation.tell(f"Waiting for the migration lock, held by {holder}.", event="waiting")


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
            f"Retrying `{problem.revision}`, which was rolled back while it waited for {problem.blocker}.",
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
    if run.resolved is not None or (run.terms.plan is None and run.draft.action != "downgrade"):
        return
    assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
    heads = version_table.read_heads(connection)
    run.draft.change = Change(heads, heads)
    connection.rollback()
    found = find(heads, migration)
    run.draft.update(target=found.target)
    assert migration.config is not None  # noqa: S101 - a run always has one
    rendered = offline.render(migration.config, migration.script, [step for step in found.steps if not step.is_stamp])
    # Alembic has one `context` for all revisions, and the rendering had it
    alembic_internals.reinstate(migration)
    run.rendering = Rendering(tuple(rendered), tuple(one.revision for one in migration.script.walk_revisions()))


def translate(error: BaseException, run: Run, lock: MigrationLock, watchdog: Watchdog) -> MigrationError | None:
    """Return what an exception means to the caller; None for one that is not ours to explain."""
    step = None if run.attempt is None else run.attempt.step
    if step is not None:
        logger.debug("%s at %s", type(error).__name__, " < ".join(reversed(redact.frames(error))))
    too_late = sqlstate.is_cancelled(error) and run.invocation.deadline.remaining_s <= 0
    if watchdog.ended_backend or too_late or isinstance(error, DeadlinePassed):
        # who stood in the way is more to the point than that the time is up
        return run.block(watchdog.blocker) if run.waits.tries else DeadlinePassed()
    if isinstance(error, KeyboardInterrupt) or (sqlstate.is_cancelled(error) and run.interrupted.is_set()):
        return Interrupted()
    if isinstance(error, MigrationError):
        return error
    if step is not None and isinstance(error, psycopg2.Error):
        # of a connection that the revision has opened itself, or reached for below SQLAlchemy
        return failure.of_revision(error, step.revision, step.path)
    if sqlstate.is_lost(error):
        return ConnectionLost()
    if sqlstate.is_read_only(error):
        with lock.turn() as connection:
            return ReadOnlyDatabase(session.database_name(connection), "the server rejects writes")
    if sqlstate.is_contention(error):
        return run.block(watchdog.blocker)
    if step is not None:
        return failure.of_revision(error, step.revision, step.path)
    return translation.of_privilege(error)


def _write_down(run: Run, lock: MigrationLock, problem: MigrationError | None) -> None:
    """Write how the run ended, on the lock's connection, which does not roll back."""
    if isinstance(problem, ConnectionLost):
        # the next attempt goes on with this run
        return
    if problem is None:
        run.conclude(run.draft)
        answer = run.draft.succeed()
        _record_idle(run, lock)
    else:
        _settle(run, lock)
        steps.clear_leftovers(run, lock)
        answer = run.draft.fail(problem)
    if run.run_id is None:
        return
    try:
        with lock.turn() as connection:
            if problem is not None and run.attempt is not None:
                ledger.record_failure(connection, run, problem.code)
            partial = run.terms.plan is not None and answer.status == "partial"
            rest = preconditions.plan_of_rest(run, connection) if partial else None
            ledger.finish(connection, run.run_id, answer, rest)
    except GONE:
        logger.warning("The ledger could not be written; the next run will record this one as interrupted.")


def _record_idle(run: Run, lock: MigrationLock) -> None:
    """Write that an upgrade found nothing to do: only so is an image without new revisions known to run well here."""
    if run.begun is not None or run.draft.earlier is not None or run.draft.action not in UPGRADING:
        return
    with lock.turn() as connection:
        ledger.prepare(connection)
        ledger.record_idle(connection, run)


def _settle(run: Run, lock: MigrationLock) -> None:
    """Find out whether a revision was committed before what ended the run; only the version table knows."""
    if run.attempt is None or run.attempt.commits is None:
        return
    try:
        with lock.turn() as connection:
            heads = version_table.read_heads(connection)
    except GONE:
        run.draft.update(unsure=run.attempt.step.revision)
        return
    if set(heads) == set(run.attempt.commits):
        steps.note_done(run)
