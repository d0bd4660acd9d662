"""Run Alembic up to a target, through lock time-outs and lost connections, until the deadline.

`steps` has the work around each step, this module has the attempts. After a lock time-out the next attempt uses the
same connections, after a lost connection it opens new ones. The version table says what was committed.
"""

import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg2
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine

from runner import signals
from runner.answer import Change, Direction
from runner.engine import ledger, preconditions, steps
from runner.engine.state import RUN, FindRoute, Rendering, Run
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
    redact,
    session,
    sqlstate,
    translation,
    trust,
    version_table,
)
from runner.postgres.advisory_lock import GONE, MigrationLock
from runner.postgres.invalid_indexes import Leftovers
from runner.postgres.sent import Sent
from runner.postgres.timeouts import Timeouts
from runner.postgres.transaction import ReleasesLock, Transaction, guard
from runner.script import alembic_internals, failure, graph, offline
from runner.script.graph import Revisions
from runner.script.step import Route, Step

UPGRADING = ("upgrade", "run-migration")
"""Verbs whose run proves an image, even if it finds nothing to do."""

REVERTING = ("downgrade", "redo")
"""Verbs whose steps are rendered to find what they drop."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5
"""Pauses between attempts double from FIRST_PAUSE_S up to this."""
MOST_LOSSES = 5
"""A step that loses more connections than this ends its server itself, so it is not repeated until the deadline."""

logger = logging.getLogger(__name__)


def change(run: Run, revisions: Revisions, direction: Direction, target: str) -> None:
    """Bring the database to `target` (`upgrade`, `downgrade`), or only write that it is there (`stamp`).

    The target is resolved once, under the lock. Raises a `MigrationError`; `run.draft` then has how far the run came.
    """

    follow(run, revisions, lambda heads, _: graph.route(revisions.script, direction, target, heads), target)


def follow(run: Run, revisions: Revisions, find_route: FindRoute, target: str) -> None:
    """Make Alembic execute `env.py`, and so `migrate`, with the steps that `find_route` returns.

    Raises a `MigrationError`; `run.draft` then has how far the run came.
    """

    def find_steps(heads: tuple[str, ...], migration: MigrationContext) -> Route:
        refuse_unreached()
        return find_route(heads, migration)

    def refuse_unreached() -> None:
        # the engine sets it first of all; an `env.py` that runs Alembic by itself calls `find_route` without it
        if run.draft.change is None:
            raise failure.of_unreached(revisions.script.env_py_location)

    # `env.py` has no parameters: it takes the run from `attributes`, and `migrate` takes `fn` from the context
    revisions.config.attributes[RUN] = run
    # `dont_mutate`, which the engine takes back, since Alembic would make the version table before it asks for steps
    with EnvironmentContext(
        revisions.config, revisions.script, destination_rev=target, fn=find_steps, dont_mutate=True
    ):
        graph.run_environment(revisions.script)
    refuse_unreached()


def migrate(context: Any, run: Run, find_route: FindRoute) -> None:
    """Run the steps of the route under the lock, each in a transaction together with its ledger row.

    `context` is `alembic.context`. Raises a `MigrationError` if an attempt failed and no other may follow.
    """
    invocation = run.invocation
    engine = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    pauses = invocation.deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    with signals.hearing(run.interrupted):
        while True:
            problem = _connect_and_run(context, run, find_route, engine)
            if problem is None:
                return
            lost = isinstance(problem, ConnectionLost)
            # a loss outside a step says nothing about the step
            if lost and run.attempt is not None:
                run.waits = replace(run.waits, connection_losses=run.waits.connection_losses + 1)
            # a lock time-out returns here only from outside a step, or once the deadline leaves no pause
            again = (lost or isinstance(problem, LockTimeout)) and run.waits.connection_losses <= MOST_LOSSES
            if not again or next(pauses, None) is None:
                if run.attempt is not None and run.attempt.commits is not None:
                    run.draft.update(unsure=run.attempt.step.revision)
                raise _of_losses(run, problem) or problem
            if lost:
                told = "The connection was lost; reconnecting to continue from the revision that was committed last."
                invocation.tell(told, event="reconnecting")


def _of_losses(run: Run, last: MigrationError) -> MigrationError | None:
    """Return the error for a step that has lost a connection in each of its tries, None for any other."""
    if run.attempt is None or run.waits.connection_losses <= MOST_LOSSES:
        return None
    step = run.attempt.step
    return failure.of_losses(step.revision, step.path, run.waits.connection_losses, last)


def _connect_and_run(context: Any, run: Run, find_route: FindRoute, engine: Engine) -> MigrationError | None:
    """Run the steps under the lock, on connections of this attempt; return why it ended early, None if it did not."""
    deadline = run.invocation.deadline
    try:
        with (
            hold_lock(run, engine) as lock,
            engine.connect() as connection,
        ):
            with lock.turn() as lock_connection:
                session.refuse_read_only(lock_connection)
                trust.exists(lock_connection, "version")
            lock.refuse_pooler(connection)
            lock.hold_work(connection, deadline, report_holder(run))
            # only now: a run whose lock's session has died goes on with its work
            with lock.turn() as lock_connection:
                ledger.close_interrupted(lock_connection, run.run_id)
            timeouts = Timeouts(deadline, run.invocation.settings.lock_timeout_ms)
            transaction = guard(connection, timeouts, lock.held)
            transaction.leftovers = Leftovers(
                connection,
                deadline,
                lambda: None if run.attempt is None else run.attempt.before,
                partial(steps.note_drop, run, lock),
            )
            problem = _try_until_unblocked(context, run, find_route, lock, transaction)
            # still under the lock: without it, the next run would take this one for killed
            _record_outcome(run, lock, problem, transaction.sent)
            return problem
    except GONE as error:
        if sqlstate.is_lost(error):
            return translation.of_loss(error)
        if sqlstate.is_contention(error):
            return run.count_lock_timeout(None, "the ledger")
        raise


def hold_lock(run: Run, engine: Engine) -> AbstractContextManager[MigrationLock]:
    """Return a block that holds the migration lock; see `advisory_lock.acquire`."""
    invocation = run.invocation
    return advisory_lock.acquire(engine, invocation.settings.version_table, invocation.deadline, report_holder(run))


def report_holder(run: Run) -> Callable[[str], None]:
    """Return a function that reports which session holds the migration lock that `run` waits for."""
    return lambda holder: run.invocation.tell(f"Waiting for the migration lock, held by {holder}.", event="waiting")


def _try_until_unblocked(
    context: Any, run: Run, find_route: FindRoute, lock: MigrationLock, transaction: Transaction
) -> MigrationError | None:
    """Run the steps, and repeat after each lock time-out; return why that ended early, None if it did not.

    No attempt waits without a time-out, not even the last: behind a waiting DDL statement, every later one waits too.
    """
    deadline = run.invocation.deadline
    blocked: str | None = None
    pauses = deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    while True:
        problem = _try_once(context, run, find_route, lock, transaction)
        if not isinstance(problem, LockTimeout):
            return problem
        # another step waits for another lock, so its pauses begin short again
        if problem.revision != blocked:
            blocked, pauses = problem.revision, deadline.pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        remains = run.draft.change is not None and run.draft.change.leftovers is not None
        state = "what its autocommit block has committed remains" if remains else "it was rolled back"
        told = f"Waited for {problem.blocker}.\nRetrying `{problem.revision}`; {state}."
        told += f"\nTo end the wait: {problem.ending}" if problem.ending else ""
        run.invocation.tell(told, event="blocked", revision=problem.revision, tries=problem.tries)
        if next(pauses, None) is None:
            return problem


def _try_once(
    context: Any, run: Run, find_route: FindRoute, lock: MigrationLock, transaction: Transaction
) -> MigrationError | None:
    pid = session.backend_pid(transaction.connection)
    report = partial(steps.report_progress, run)
    watchdog = Watchdog(lock, pid, run.invocation.deadline, run.interrupted, transaction.timeouts, report)
    steps.configure(context, run, find_route, lock, transaction, watchdog)
    watchdog.start()
    try:
        _render_ahead(context.get_context(), run, find_route, transaction.connection)
        _secure_version_table(context.get_context(), lock, transaction.connection)
        with context.begin_transaction():
            context.run_migrations()
    except BaseException as error:
        # stopped first: it must not cancel the rollback
        watchdog.stop()
        transaction.abandon()
        problem = translate(error, run, lock, watchdog, transaction)
        if problem is None:
            raise
        # lost since: SQLAlchemy would reconnect in silence, without the lock and the guard of the session
        lost = transaction.connection.invalidated and not watchdog.ended_backend
        return ConnectionLost() if lost and isinstance(problem, LockTimeout) else problem
    finally:
        watchdog.stop()
        if watchdog.unconfirmed:
            _warn_of_standby(run)
    # also after the last revision: whoever pressed Ctrl-C has to know what it stopped
    return Interrupted() if run.interrupted.is_set() else None


def _warn_of_standby(run: Run) -> None:
    warning = "The last commit is done on this server, and its synchronous standby has not confirmed it."
    run.draft.update(warnings=(*run.change.warnings, warning))
    run.invocation.tell(warning, event="warning")


def _secure_version_table(migration: MigrationContext, lock: MigrationLock, connection: Connection) -> None:
    """Make the version table where there is none, and refuse one that others made meanwhile: Alembic reads it next."""
    with lock.turn() as lock_connection:
        there = trust.exists(lock_connection, "version")
    if not there:
        # in the transaction that Alembic goes on with, so that it is undone together with that
        connection.begin()
        alembic_internals.ensure_version_table(migration)
        trust.look(connection)


def _render_ahead(migration: MigrationContext, run: Run, find_route: FindRoute, connection: Connection) -> None:
    """Render the steps if they are to be compared with the caller's plan, or to find what a downgrade drops.

    This comes before Alembic's own run: `alembic.op` is one for the whole process, and rendering takes it.
    """
    if run.resolution is not None or (run.terms.plan is None and run.draft.action not in REVERTING):
        return
    assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
    heads = version_table.read_heads(connection)
    run.draft.change = Change(heads, heads)
    route = find_route(heads, migration)
    # Alembic's own run begins the transaction that it uses
    connection.rollback()
    run.draft.update(target=route.target)
    assert migration.config is not None  # noqa: S101 - a run always has one
    rendered = offline.render(migration.config, migration.script, [step for step in route.steps if not step.is_stamp])
    # `alembic.context` is one for the whole process too
    alembic_internals.reinstate(migration)
    revision_ids = tuple(script.revision for script in migration.script.walk_revisions())
    run.rendering = Rendering(tuple(rendered), revision_ids)


def translate(
    error: BaseException, run: Run, lock: MigrationLock, watchdog: Watchdog, transaction: Transaction
) -> MigrationError | None:
    """Return the error for an exception of an attempt; None for one that must keep its traceback.

    The order matters: a cancelled statement, for example, may be the deadline's, Ctrl-C's or the revision's own.
    """
    step = None if run.attempt is None else run.attempt.step
    if step is not None:
        logger.debug("%s at %s", type(error).__name__, " < ".join(reversed(redact.frames(error))))
        # the server refused the ledger's row, and with it the version
        error = ledger.refusal(error) or error
        broken = _breaks_protocol(error, run, step, transaction)
        if broken is not None:
            return broken
    stopped = _of_stop(error, run, watchdog)
    if stopped is not None:
        return stopped
    if isinstance(error, MigrationError):
        return error
    if step is not None and isinstance(error, psycopg2.Error):
        # SQLAlchemy wraps the errors of our connection, so the revision opened this one or used the driver itself
        return failure.of_revision(error, step.revision, step.path, run.invocation)
    if sqlstate.is_lost(error):
        return translation.of_loss(error)
    if sqlstate.is_read_only(error) and (step is None or _rejects_writes(lock)):
        with lock.turn() as connection:
            return ReadOnlyDatabase(session.database_name(connection), "the server rejects writes")
    if sqlstate.is_contention(error):
        return run.count_lock_timeout(watchdog.blocker)
    if step is not None:
        return failure.of_revision(error, step.revision, step.path, run.invocation)
    return _of_version_table(error, run)


def _rejects_writes(lock: MigrationLock) -> bool:
    """Return whether it is the server that rejects writes, and not a setting of the revision's own transaction."""
    try:
        with lock.turn() as connection:
            session.refuse_read_only(connection)
    except ReadOnlyDatabase:
        return True
    return False


def _of_version_table(error: BaseException, run: Run) -> MigrationError | None:
    """Return the error for a statement outside of the steps, most often of the version table; None for a bug."""
    table = run.invocation.settings.version_table
    return version_table.unusable(error, table) or translation.of_database(error, run.invocation)


def _of_stop(error: BaseException, run: Run, watchdog: Watchdog) -> MigrationError | None:
    """Return the error for an attempt that the deadline, Ctrl-C or the watchdog ended, None for any other."""
    cancelled = sqlstate.is_cancelled(error)
    too_late = cancelled and run.invocation.deadline.remaining_s <= 0
    if watchdog.ended_backend or too_late or isinstance(error, DeadlinePassed):
        # the session that blocked the step helps the caller more than the deadline does
        return run.count_lock_timeout(watchdog.blocker) if run.waits.tries else DeadlinePassed()
    # SQLAlchemy gives up a connection whose statement Ctrl-C interrupts, and in an autocommit block that is what fails
    if isinstance(error, KeyboardInterrupt) or (run.interrupted.is_set() and (cancelled or sqlstate.is_lost(error))):
        return Interrupted()
    return run.count_lock_timeout(watchdog.blocker) if cancelled and watchdog.ended_wait else None


def _breaks_protocol(error: BaseException, run: Run, step: Step, transaction: Transaction) -> MigrationError | None:
    """Return the error for a revision that ended its transaction or released the lock of its session, else None."""
    ended = transaction.end_of(error)
    if ended is not None:
        problem = failure.of_ended_transaction(ended, step.revision, step.path, transaction.sent)
        if problem.late:
            run.draft.update(leftovers=problem.leftovers)
        return problem
    return failure.of_released_lock(step.revision, step.path) if isinstance(error, ReleasesLock) else None


def _record_outcome(run: Run, lock: MigrationLock, problem: MigrationError | None, sent: Sent) -> None:
    """Write how the run ended, on the lock's connection, which is in AUTOCOMMIT.

    `sent` are the statements of the last revision.
    """
    if isinstance(problem, ConnectionLost):
        # the next attempt continues the same run; if there is none, the next run marks this one as interrupted
        return
    if problem is not None:
        _read_commit(run, lock)
        steps.clear_leftovers(run, lock, sent)
    with contextlib.suppress(*GONE), lock.turn() as connection:
        steps.read_locks(run, connection)
    if problem is None:
        run.conclude(run.draft)
        _record_idle(run, lock)
    answer = run.draft.succeed() if problem is None else run.draft.fail(problem)
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
    """Write a row without a step: of an upgrade, the only proof that an image without new revisions runs."""
    idle = run.begun is None and run.draft.action in UPGRADING
    if run.draft.earlier is not None or not (idle or run.settled):
        return
    with lock.turn() as connection:
        ledger.prepare(connection)
        ledger.record_idle(connection, run)


def _read_commit(run: Run, lock: MigrationLock) -> None:
    """Read from the version table whether a revision was committed before the error that ended the run."""
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
