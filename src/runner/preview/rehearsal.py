"""The rehearsal: runs all steps of a change in one transaction, measures each of them, and rolls everything back.

Its locks are real and last until the end, so it stops once a lock that blocks writes was held too long. Rehearse on a
clone, and in production only what takes a moment. As with any rollback in PostgreSQL, two things remain: the values
drawn from sequences, and the space of dead rows until the next VACUUM.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from runner import signals
from runner.answer import Change, names
from runner.engine import baseline, history, migrate, preconditions, steps
from runner.engine.baseline import Baseline
from runner.engine.snapshots import Snapshots
from runner.engine.state import Attempt, Run
from runner.engine.watchdog import Watchdog
from runner.errors import (
    ConnectionLost,
    DatabaseFailed,
    InvalidSettings,
    LockHeldTooLong,
    MigrationError,
    MixedRevision,
    count,
)
from runner.postgres import connect, session, trust, version_table
from runner.postgres.advisory_lock import MigrationLock
from runner.postgres.search_path import ENTER, LEAVE
from runner.postgres.sent import Sent
from runner.postgres.timeouts import Timeouts, send
from runner.postgres.transaction import EndsTransaction, Transaction, guard
from runner.preview import plan, rehearsal_only, rollback_only, scan_findings, xact_stats
from runner.preview.lock_monitor import LockMonitor
from runner.preview.plan import Examined
from runner.preview.scan_findings import Work
from runner.preview.scans import Scans
from runner.preview.xact_stats import XactStats
from runner.results import HeldLock, Outcome, RehearsalResult, RehearsedRevision
from runner.script import alembic_internals, failure, graph, offline
from runner.script.graph import Revisions
from runner.script.step import Step


class NotTransactional(Exception):
    """A revision enters an autocommit block."""


@dataclass(frozen=True)
class Rehearsal:
    """The connections of a rehearsal, and what it has recorded so far."""

    run: Run
    connection: Connection
    migration: MigrationContext
    lock: MigrationLock
    monitor: LockMonitor
    watchdog: Watchdog
    baselines: Mapping[str, Baseline]
    transaction: Transaction
    scans: Scans
    seen: list[RehearsedRevision] = field(default_factory=list)
    """The results so far."""
    works: list[Work] = field(default_factory=list)
    """What was read under a lock so far."""


def rehearse(run: Run, revisions: Revisions, target: str, max_lock_hold_ms: int) -> None:
    """Run the steps to `target` in one transaction, roll it back, and conclude `run.draft` with the measurements.

    Raises `LockHeldTooLong`, `RevisionFailed`, `LockTimeout`, and the errors by which the change would be refused
    before its first step.
    """
    invocation = run.invocation
    offline.run_env(revisions.config, revisions.script)
    engine = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    with (
        migrate.hold_lock(run, engine) as lock,
        engine.connect() as connection,
        signals.hearing(run.interrupted),
    ):
        with lock.turn() as lock_connection:
            session.refuse_read_only(lock_connection)
            trust.exists(lock_connection, "version")
        lock.refuse_pooler(connection)
        with lock.turn() as lock_connection:
            heads = version_table.read_heads(lock_connection)
            history.refuse(revisions.script, heads, lock_connection, invocation.settings)
            direction = graph.direction(revisions.script, target, heads)
            route = graph.route(revisions.script, direction, target, heads)
            preconditions.refuse_unfit(route.steps, lock_connection)
            upgrades = direction == "upgrade"
            snapshots = Snapshots(revisions.script)
            baselines = baseline.find(lock_connection, snapshots, heads, route.steps) if upgrades else {}
        run.draft.change = Change(heads, heads, route.target, tuple(step.revision for step in route.steps))
        lock.hold_work(connection, invocation.deadline, migrate.report_holder(run))
        if not route.steps:
            run.draft.conclude(f"Nothing to rehearse: the database is at `{names(heads) or 'base'}`.")
            return
        pid = session.backend_pid(connection)
        monitor = LockMonitor(lock, pid, max_lock_hold_ms, engine.connect)
        # first: it makes the transaction read-write, which has to come before any query
        rollback_only.enforce(connection)
        timeouts = Timeouts(invocation.deadline, invocation.settings.lock_timeout_ms)
        transaction = guard(connection, timeouts, lock.held)
        report = partial(steps.report_progress, run)
        watchdog = Watchdog(lock, pid, invocation.deadline, run.interrupted, timeouts, report)
        with EnvironmentContext(revisions.config, revisions.script) as environment:
            environment.configure(connection=connection)
            migration = environment.get_context()
            scans = Scans(transaction.driver)
            rehearsal = Rehearsal(run, connection, migration, lock, monitor, watchdog, baselines, transaction, scans)
            _rehearse_all(rehearsal, route.steps)
        # rendered only where it matters, since that executes the revisions again
        if heaviest := scan_findings.heaviest(rehearsal.works):
            with lock.turn() as lock_connection:
                found = plan.find(invocation, revisions, route.steps, baselines, lock_connection)
            _add_findings(rehearsal, heaviest, found)


def _rehearse_all(rehearsal: Rehearsal, steps: Sequence[Step]) -> None:
    """Rehearse the steps in order until one stops or fails, and roll everything back."""
    run, monitor, watchdog, seen = rehearsal.run, rehearsal.monitor, rehearsal.watchdog, rehearsal.seen
    not_rehearsed = [RehearsedRevision(step.revision, step.description) for step in steps]
    alembic_internals.replace_autocommit_block(rehearsal.migration, _refuse_autocommit(rehearsal))
    watchdog.start()
    monitor.start()
    longest = None
    try:
        # before the first step, so that a failure of `rollback_only` is not taken for the step's
        rehearsal.connection.begin()
        rehearsal.scans.open(rehearsal.connection)
        rehearsal.transaction.measure = rehearsal.scans.measure
        for number, step in enumerate(steps, 1):
            total = len(steps)
            about = {"revision": step.revision, "number": number, "total": total}
            run.invocation.tell(f"Rehearsing `{step.revision}` ({number} of {total}).", event="begun", **about)
            _rehearse(rehearsal, step)
            if seen[-1].outcome != "rehearsed":
                break
            told = f"Rehearsed `{step.revision}` in {seen[-1].duration_ms:.0f} ms ({number} of {total})."
            run.invocation.tell(told, event="done", **about)
        # before the rollback, which ends the time of every lock
        longest = monitor.longest()
    except BaseException as error:
        # stopped first, as in a run: it says only afterwards that it has ended the session or its wait
        watchdog.stop()
        problem = _explain(error, rehearsal)
        if problem is None:
            raise
    else:
        # a session that was ended after its last statement has raised no error
        problem = _ended_session_error(rehearsal)
    finally:
        watchdog.stop()
        monitor.stop()
        rehearsal.transaction.abandon()
        revisions = (*seen, *not_rehearsed[len(seen) :])
        result = RehearsalResult(all(one.outcome == "rehearsed" for one in revisions), revisions)
        run.draft.conclude(_message(revisions, longest), result)
    if problem is not None:
        raise problem


def _add_findings(rehearsal: Rehearsal, heaviest: Work, found: Examined) -> None:
    """Add to the answer what the rehearsal has measured and the lint has not found."""
    draft = rehearsal.run.draft
    assert isinstance(draft.result, RehearsalResult)  # noqa: S101 - the rehearsal has concluded it
    findings, allowed = scan_findings.find(rehearsal.works, found.rendered, found.report)
    ok = draft.result.ok and all(one.level != "error" for one in findings)
    said = [draft.message, heaviest.told, *([] if found.report.linter else [plan.UNLINTED])]
    result = replace(draft.result, ok=ok, findings=tuple(findings), allowed=tuple(allowed))
    draft.conclude(" ".join(said), result)


def _rehearse(rehearsal: Rehearsal, step: Step) -> None:
    """Run one step up to its commit, and add its result to `rehearsal.seen`.

    Raises the step's own exception unless it would succeed outside a rehearsal.
    """
    connection, transaction = rehearsal.connection, rehearsal.transaction
    rehearsal.run.attempt = Attempt(step)
    result = RehearsedRevision(step.revision, step.description)
    rollback_only.reset(connection, transaction.driver.settings)
    before, held_before = xact_stats.read(connection), rehearsal.monitor.held()
    rehearsal.watchdog.reset()
    # a step that cannot be rehearsed is undone without the steps before it; not SQLAlchemy's, which a `commit()` closes
    send(connection, rehearsal_only.SAVE)
    transaction.open_within()
    send(connection, ENTER)
    rehearsal.scans.begin(before.files)
    started = time.monotonic()
    try:
        steps.refuse_unrun(step)
        with transaction.run():
            alembic_internals.run(step.alembic_step, rehearsal.migration)
        rehearsal.scans.settle()
        transaction.require_same()
        transaction.restore()
        if step.revision in rehearsal.baselines:
            steps.complete(rehearsal.baselines[step.revision], step, transaction)
        rollback_only.settle_constraints(connection)
        send(connection, LEAVE)
    except NotTransactional:
        rehearsal_only.undo(connection)
        rehearsal.seen.append(replace(result, reason="it leaves the transaction (autocommit block)"))
    except Exception as error:
        took_ms = round((time.monotonic() - started) * 1000, 1)
        reason = rehearsal_only.find(error, connection, rehearsal.lock)
        ended = rehearsal.monitor.exceeded or rehearsal.monitor.lost
        outcome: Outcome = "stopped" if ended else "inconclusive" if reason else "failed"
        rehearsal.seen.append(replace(result, outcome=outcome, reason=reason, duration_ms=took_ms))
        if not reason:
            raise
    else:
        measured = _measure(rehearsal, result, started, before, held_before)
        send(connection, rehearsal_only.RELEASE)
        rehearsal.seen.append(measured)


def _measure(
    rehearsal: Rehearsal, result: RehearsedRevision, started: float, before: XactStats, held_before: dict[str, str]
) -> RehearsedRevision:
    """Return the result of a step that has run to its end.

    `started` is on the monotonic clock; `before` and `held_before` were read at that moment.
    """
    ended_at, monitor = time.monotonic(), rehearsal.monitor
    after, held = xact_stats.read(rehearsal.connection), monitor.held()
    works = scan_findings.name(result.revision, rehearsal.scans, after.roots | before.roots)
    rehearsal.works.extend(works)
    # the transaction keeps the locks of earlier steps, so only a new or a stronger one is this step's
    locks = {table: mode for table, mode in held.items() if held_before.get(table) != mode}
    held_locks = [monitor.of(table, mode, started, ended_at) for table, mode in locks.items()]
    return replace(
        result,
        outcome="rehearsed",
        duration_ms=round((ended_at - started) * 1000, 1),
        lock_wait_ms=rehearsal.watchdog.waited_ms,
        rows_written=xact_stats.rows_between(before, after),
        rows_read=scan_findings.rows_read(works),
        rewritten=tuple(xact_stats.rewritten_between(before, after)),
        locks=locks,
        strongest=max(held_locks, key=_strength, default=None),
        held_before=held_before,
    )


def _strength(held: HeldLock) -> tuple[bool, bool, float]:
    return held.blocks is not None, held.mode == "AccessExclusiveLock", held.held_ms


def _refuse_autocommit(rehearsal: Rehearsal) -> Callable[[], Iterator[None]]:
    def autocommit_block() -> Iterator[None]:
        if rehearsal.transaction.has_written():
            raise MixedRevision(rehearsal.run.current_attempt.step.revision)
        raise NotTransactional
        # never reached; it makes the function a generator, which `replace_autocommit_block` takes
        yield

    return autocommit_block


def _ended_session_error(rehearsal: Rehearsal) -> MigrationError | None:
    """Return the error for a session that the lock monitor ended, None if it did not."""
    attempt, exceeded = rehearsal.run.attempt, rehearsal.monitor.exceeded
    if exceeded is not None and attempt is not None:
        # whoever has the answer may rely on the locks being released
        rehearsal.monitor.wait_for_end()
        allowed, blocks = rehearsal.monitor.max_hold_ms, str(exceeded.blocks)
        revision = attempt.step.revision
        return LockHeldTooLong(revision, exceeded.table, exceeded.mode, blocks, exceeded.held_ms, allowed)
    if rehearsal.monitor.lost:
        rehearsal.monitor.wait_for_end()
        return ConnectionLost()
    return None


def _explain(error: BaseException, rehearsal: Rehearsal) -> MigrationError | None:
    attempt, ended = rehearsal.run.attempt, _ended_session_error(rehearsal)
    # first: a session that was ended fails with whatever error its next statement meets
    if ended is not None:
        return ended
    transaction = rehearsal.transaction
    end = EndsTransaction() if rollback_only.is_violated(error) else transaction.end_of(error)
    if attempt is not None and end is not None:
        # nothing remains: a COMMIT fails by the trigger, and after a ROLLBACK nothing is written
        return replace(failure.of_ended_transaction(end, attempt.step.revision, attempt.step.path, Sent()), late=False)
    problem = migrate.translate(error, rehearsal.run, rehearsal.lock, rehearsal.watchdog, transaction)
    if attempt is None and isinstance(problem, DatabaseFailed):
        advice = "Rehearse as a role that may create them, or where no event trigger refuses them."
        return InvalidSettings(
            "The database refuses the table and the trigger that a rehearsal needs (SQLSTATE "
            f"{problem.sqlstate}){problem.why}.",
            problem.remedy if problem.reason else advice,
        )
    return problem


def _message(revisions: Sequence[RehearsedRevision], longest: HeldLock | None) -> str:
    done = [one for one in revisions if one.outcome == "rehearsed"]
    took = sum(one.duration_ms or 0 for one in done)
    said = [f"Rehearsed {count(len(done), 'revision')} in {took:,.0f} ms, and rolled everything back."]
    if longest:
        said.append(f"A lock on `{longest.table}` blocked {longest.blocks} for {longest.held_ms:,.0f} ms.")
    stopped = next((one for one in revisions if one.outcome != "rehearsed"), None)
    if stopped:
        said.append(f"The rehearsal stopped before `{stopped.revision}`: {stopped.reason}.")
    return " ".join(said)
