"""Really run a change, in one transaction that is rolled back, and measure each of its revisions.

It holds real locks for as long as the change takes, so it is ended as soon as one that blocks writes has been
held for too long: measure on a clone, and elsewhere only what is over in a moment. Two things are not rolled
back, as in PostgreSQL at large: the values drawn from a sequence, and the room that dead rows take until a VACUUM.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, text

from runner.answer import Change, names
from runner.engine import baseline, history, migrate, steps
from runner.engine.baseline import Baseline
from runner.engine.state import Attempt, Run
from runner.engine.watchdog import Watchdog
from runner.errors import ConnectionLost, LockHeldTooLong, MigrationError, MixedRevision, RevisionFailed, count
from runner.postgres import advisory_lock, connect, session, sigint, sql, sqlstate, timeouts, version_table
from runner.postgres.advisory_lock import MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.preview import rollback_only, xact_stats
from runner.preview.lock_monitor import LockMonitor
from runner.results import HeldLock, Outcome, RehearsalResult, RehearsedRevision
from runner.script import alembic_internals, graph
from runner.script.graph import Revisions
from runner.script.step import Step

LABELS = text("select enumlabel, enumtypid::regtype::text || '.' || enumlabel as name from pg_enum")


class NotTransactional(Exception):
    """A revision is about to leave the transaction."""


@dataclass(frozen=True)
class Rehearsal:
    """Hold what a rehearsal is played on."""

    run: Run
    connection: Connection
    migration: MigrationContext
    lock: MigrationLock
    monitor: LockMonitor
    watchdog: Watchdog
    baselines: Mapping[str, Baseline]
    seen: list[RehearsedRevision]
    """How the revisions went so far."""
    sent: list[str]
    """The verbs of the statements that the current revision has sent."""


def rehearse(run: Run, known: Revisions, target: str, max_lock_hold_ms: int) -> None:
    """Run the steps to `target` in one transaction, roll it back, and conclude `run.draft` with what was seen.

    Raises `LockHeldTooLong`, `RevisionFailed`, `LockTimeout`, and what the change itself would be refused with.
    """
    asked = run.invocation
    opened = connect.open_engine(asked.settings, asked.request_id, asked.deadline)
    with (
        advisory_lock.acquire(opened, VERSION_TABLE, asked.deadline, migrate.waiting(run)) as lock,
        opened.connect() as connection,
        sigint.hearing(run.interrupted),
    ):
        with lock.turn() as ledgers:
            session.refuse_read_only(ledgers)
        lock.refuse_pooler(connection)
        with lock.turn() as ledgers:
            heads = version_table.read_heads(ledgers)
            direction = graph.direction(known.script, target, heads)
            found = graph.route(known.script, direction, target, heads)
            history.refuse_changed(known.script, heads, ledgers)
            kept = baseline.find(ledgers, known.snapshots, heads, found.steps) if direction == "upgrade" else {}
        run.draft.change = Change(heads, heads, found.target, tuple(step.revision for step in found.steps))
        connection.rollback()
        if not found.steps:
            run.draft.conclude(f"Nothing to rehearse: the database is at `{names(heads) or 'base'}`.")
            return
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        monitor = LockMonitor(lock, pid, max_lock_hold_ms, opened.connect)
        watchdog = Watchdog(lock, pid, asked.deadline, run.interrupted)
        rollback_only.enforce(connection)
        timeouts.bind(connection, asked.deadline, asked.settings.lock_timeout_ms)
        with EnvironmentContext(known.config, known.script) as environment:
            environment.configure(connection=connection)
            migration = environment.get_context()
            _rehearse_all(Rehearsal(run, connection, migration, lock, monitor, watchdog, kept, [], []), found.steps)


def _rehearse_all(rehearsal: Rehearsal, found: Sequence[Step]) -> None:
    """Rehearse step after step until one cannot be, and roll everything back."""
    run, monitor, watchdog, seen = rehearsal.run, rehearsal.monitor, rehearsal.watchdog, rehearsal.seen
    untried = [RehearsedRevision(step.revision, step.description) for step in found]
    alembic_internals.replace_autocommit_block(rehearsal.migration, _refuse_autocommit(rehearsal))
    event.listen(rehearsal.connection, "before_cursor_execute", lambda *_: rehearsal.sent.append(_[2]))
    watchdog.start()
    monitor.start()
    longest = None
    try:
        # what the seal itself may not do is no revision's fault
        rehearsal.connection.begin()
        for number, step in enumerate(found, 1):
            total = len(found)
            about = {"revision": step.revision, "number": number, "total": total}
            run.invocation.tell(f"Rehearsing `{step.revision}` ({number} of {total}).", event="begun", **about)
            _rehearse(rehearsal, step)
            if seen[-1].outcome != "rehearsed":
                break
            told = f"Rehearsed `{step.revision}` in {seen[-1].duration_ms:.0f} ms ({number} of {total})."
            run.invocation.tell(told, event="done", **about)
        longest = monitor.longest()
    except BaseException as error:
        problem = _explain(error, rehearsal)
        if problem is None:
            raise
    else:
        # a backend that was ended after its last statement has not noticed
        problem = _ended(rehearsal)
    finally:
        watchdog.stop()
        monitor.stop()
        rehearsal.connection.rollback()
        revisions = (*seen, *untried[len(seen) :])
        result = RehearsalResult(all(one.outcome == "rehearsed" for one in revisions), revisions)
        run.draft.conclude(_message(revisions, longest), result)
    if problem is not None:
        raise problem


def _rehearse(rehearsal: Rehearsal, step: Step) -> None:
    """Run one step up to where its commit would be, and note what it did."""
    connection, watchdog = rehearsal.connection, rehearsal.watchdog
    rehearsal.run.attempt = Attempt(step)
    about = RehearsedRevision(step.revision, step.description)
    before, held_before = xact_stats.look(connection), rehearsal.monitor.held()
    watchdog.forget()
    savepoint = connection.begin_nested()
    rehearsal.sent.clear()
    started = time.monotonic()
    try:
        alembic_internals.run(step.alembics, rehearsal.migration)
        if step.revision in rehearsal.baselines:
            steps.complete(rehearsal.baselines[step.revision], step, connection)
        rollback_only.settle_constraints(connection)
    except NotTransactional:
        savepoint.rollback()
        rehearsal.seen.append(replace(about, reason="it leaves the transaction (autocommit block)"))
    except Exception as error:
        took_ms = round((time.monotonic() - started) * 1000, 1)
        reason = _false_failure(error, rehearsal, savepoint)
        ended = rehearsal.monitor.exceeded or rehearsal.monitor.lost
        outcome: Outcome = "stopped" if ended else "inconclusive" if reason else "failed"
        rehearsal.seen.append(replace(about, outcome=outcome, reason=reason, duration_ms=took_ms))
        if not reason:
            raise
    else:
        ended_at = time.monotonic()
        after, held = xact_stats.look(connection), rehearsal.monitor.held()
        savepoint.commit()
        locks = {table: mode for table, mode in held.items() if held_before.get(table) != mode}
        held_locks = [rehearsal.monitor.of(table, mode, started, ended_at) for table, mode in locks.items()]
        done = replace(
            about,
            outcome="rehearsed",
            duration_ms=round((ended_at - started) * 1000, 1),
            lock_wait_ms=watchdog.waited_ms,
            rows_written=xact_stats.rows_between(before, after),
            rewritten=tuple(xact_stats.rewritten_between(before, after)),
            locks=locks,
            strongest=max(held_locks, key=_strength, default=None),
            held_before=held_before,
        )
        rehearsal.seen.append(done)


def _strength(held: HeldLock) -> tuple[bool, bool, float]:
    return held.blocks is not None, held.mode == "AccessExclusiveLock", held.held_ms


def _refuse_autocommit(rehearsal: Rehearsal) -> Callable[[], Iterator[None]]:
    def autocommit_block() -> Iterator[None]:
        if any(map(sql.writes, rehearsal.sent)):
            raise MixedRevision(rehearsal.run.trying.step.revision)
        raise NotTransactional
        yield

    return autocommit_block


def _false_failure(error: Exception, rehearsal: Rehearsal, savepoint: Any) -> str | None:
    """Say why a revision only fails in a rehearsal, and undo it; None for one that would fail in the run too."""
    if rollback_only.is_violated(error) and sql.sets_constraints(str(getattr(error, "statement", ""))):
        savepoint.rollback()
        return "it sets all constraints, one of which prevents the rehearsal from committing"
    # https://www.postgresql.org/docs/current/sql-altertype.html: a new value cannot be used before the commit
    if sqlstate.sqlstate(error) != sqlstate.UNSAFE_NEW_ENUM_VALUE:
        return None
    savepoint.rollback()
    with rehearsal.lock.turn() as other:
        committed = {row.name for row in other.execute(LABELS)}
    earlier = {row.enumlabel for row in rehearsal.connection.execute(LABELS) if row.name not in committed}
    named = set(re.findall(r'"((?:[^"]|"")*)"', sqlstate.primary_message(error)))
    if earlier & named:
        return "it uses an enum value that an earlier revision adds, which requires a commit in between"
    return None


def _ended(rehearsal: Rehearsal) -> MigrationError | None:
    """Say why the backend was ended, None where it was not."""
    attempt, exceeded = rehearsal.run.attempt, rehearsal.monitor.exceeded
    if exceeded is not None and attempt is not None:
        rehearsal.monitor.wait_for_end()
        allowed, blocks = rehearsal.monitor.max_hold_ms, str(exceeded.blocks)
        revision = attempt.step.revision
        return LockHeldTooLong(revision, exceeded.table, exceeded.mode, blocks, exceeded.held_ms, allowed)
    if rehearsal.monitor.lost:
        rehearsal.monitor.wait_for_end()
        return ConnectionLost()
    return None


def _explain(error: BaseException, rehearsal: Rehearsal) -> MigrationError | None:
    attempt, ended = rehearsal.run.attempt, _ended(rehearsal)
    if ended is not None:
        return ended
    if attempt is not None and rollback_only.is_violated(error):
        reason = "it ends its transaction, so a failed run would stay partly applied"
        return RevisionFailed(attempt.step.revision, Path(str(attempt.step.path)).name, None, reason)
    return migrate.translate(error, rehearsal.run, rehearsal.lock, rehearsal.watchdog)


def _message(played: Sequence[RehearsedRevision], longest: HeldLock | None) -> str:
    done = [one for one in played if one.outcome == "rehearsed"]
    took = sum(one.duration_ms or 0 for one in done)
    said = [f"Rehearsed {count(len(done), 'revision')} in {took:,.0f} ms, and rolled everything back."]
    if longest:
        said.append(f"A lock on `{longest.table}` blocked {longest.blocks} for {longest.held_ms:,.0f} ms.")
    stopped = next((one for one in played if one.outcome != "rehearsed"), None)
    if stopped:
        said.append(f"The rehearsal stopped before `{stopped.revision}`: {stopped.reason}.")
    return " ".join(said)
