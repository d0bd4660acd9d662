"""Really run a change, in one transaction that is rolled back, and measure each of its revisions.

It holds real locks for as long as the change takes, so it is ended as soon as one that blocks writes has been
held for too long: measure on a clone, and elsewhere only what is over in a moment. Two things are not rolled
back, as in PostgreSQL at large: the values drawn from a sequence, and the room that dead rows take until a VACUUM.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, text

from runner.answer import revisions as shown
from runner.engine import migrate, steps
from runner.engine.baseline import Baseline
from runner.engine.state import Current, Run
from runner.engine.watchdog import Watchdog
from runner.errors import ConnectionLost, LockHeldTooLong, MigrationError, MixedRevision, RevisionFailed, count
from runner.postgres import advisory_lock, connect, sigint, sql, sqlstate, timeouts
from runner.postgres.advisory_lock import MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.preview import plan, rollback_only, xact_stats
from runner.preview.lock_monitor import HeldLock, LockMonitor
from runner.script import graph
from runner.script.graph import Revisions, Step

LABELS = text("select enumlabel, enumtypid::regtype::text || '.' || enumlabel as name from pg_enum")
# https://www.postgresql.org/docs/current/sql-altertype.html: a new value cannot be used before the commit
NEW_LABEL_USED = "55P04"
SETS_CONSTRAINTS = re.compile(r"\s*set\s+constraints\b", re.IGNORECASE)
READING_VERBS = ("select", "set", "show", "")


class NotTransactional(Exception):
    """A revision is about to leave the transaction."""


@dataclass
class Rehearsed:
    """Tell how one revision went."""

    revision: str
    description: str
    outcome: str = "not-rehearsed"
    """`rehearsed`, `failed`, `stopped` for a lock held too long, `not-rehearsed`, or `inconclusive`.

    Inconclusive is what only the one transaction made fail.
    """
    reason: str | None = None
    duration_ms: float | None = None
    lock_wait_ms: float | None = None
    rows_written: dict[str, int] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    locks: dict[str, str] = field(default_factory=dict)
    """The strongest mode on each table, unless an earlier revision held it already."""
    strongest: HeldLock | None = None
    held_before: dict[str, str] = field(default_factory=dict)
    """The locks of earlier revisions, which are kept; it cannot be seen whether this one took them again."""


@dataclass(frozen=True)
class Rehearsal:
    """Hold what a rehearsal is played on."""

    run: Run
    connection: Connection
    migration: MigrationContext
    lock: MigrationLock
    monitor: LockMonitor
    watchdog: Watchdog
    adopted: dict[str, Baseline]
    sent: list[str]
    """The verbs of the statements that the current revision has sent."""


def rehearse(run: Run, known: Revisions, target: str, max_lock_hold_ms: int) -> None:
    """Run the steps to `target` in one transaction, roll it back, and fill `run.answer` with what was seen.

    Raises `LockHeldTooLong`, `RevisionFailed`, `LockTimeout`, and what the change itself would be refused with.
    """
    asked, answer = run.invocation, run.answer
    opened = connect.open_engine(asked.settings, asked.request_id, asked.deadline)
    with (
        advisory_lock.acquire(opened, VERSION_TABLE, asked.deadline, migrate.waiting(run)) as lock,
        opened.connect() as connection,
        sigint.hearing() as run.interrupted,
    ):
        migrate.refuse_reader(lock)
        lock.refuse_pooler(connection)
        with lock.turn() as ledgers:
            heads = migrate.read_heads(ledgers)
            direction = graph.direction(known.script, target, heads)
            found = graph.steps(known.script, direction, target, heads)
            steps.refuse_changed_history(known.script, heads, ledgers)
            adopted = plan.find_adopted(known, heads, found, ledgers) if direction == "upgrade" else []
        answer.before = answer.after = heads
        answer.target = graph.absolute(known.script, target, found, heads)
        answer.pending = [str(step.info.up_revision_id) for step in found]
        connection.rollback()
        if not found:
            answer.message = f"Nothing to rehearse: the database is at `{shown(heads) or 'base'}`."
            return
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        monitor = LockMonitor(lock, pid, max_lock_hold_ms, opened.connect)
        watchdog = Watchdog(lock, pid, asked.deadline, run.interrupted)
        rollback_only.enforce(connection)
        timeouts.bind(connection, asked.deadline, asked.settings.lock_timeout_ms)
        with EnvironmentContext(known.config, known.script) as environment:
            environment.configure(connection=connection)
            migration = environment.get_context()
            by_revision = {one.revision: one for one in adopted}
            _play(Rehearsal(run, connection, migration, lock, monitor, watchdog, by_revision, []), found)


def _play(rehearsal: Rehearsal, found: list[Step]) -> None:
    """Rehearse step after step until one cannot be, and roll everything back."""
    run, monitor, watchdog = rehearsal.run, rehearsal.monitor, rehearsal.watchdog
    played = [Rehearsed(str(step.info.up_revision_id), step.doc or "") for step in found]
    rehearsal.migration.autocommit_block = _refuse_autocommit(rehearsal)  # type: ignore[method-assign]
    event.listen(rehearsal.connection, "before_cursor_execute", lambda *_: rehearsal.sent.append(_[2]))
    watchdog.start()
    monitor.start()
    try:
        # what the seal itself may not do is no revision's fault
        rehearsal.connection.begin()
        for number, (step, seen) in enumerate(zip(found, played, strict=True), 1):
            total = len(found)
            about = {"revision": seen.revision, "number": number, "total": total}
            run.invocation.tell(f"Begun: rehearse `{seen.revision}` ({number} of {total}).", event="begun", **about)
            _rehearse(rehearsal, step, seen)
            if seen.outcome != "rehearsed":
                break
            told = f"Done: rehearse `{seen.revision}` in {seen.duration_ms:.0f} ms ({number} of {total})."
            run.invocation.tell(told, event="done", **about)
        longest = monitor.longest()
    except BaseException as error:
        problem = _explain(error, rehearsal)
        if problem is None:
            raise
    else:
        # a backend that was ended after its last statement has not noticed
        problem = _ended(rehearsal)
        run.answer.message = _message(played, longest)
    finally:
        watchdog.stop()
        monitor.stop()
        rehearsal.connection.rollback()
        run.answer.extra |= {"ok": all(one.outcome == "rehearsed" for one in played)}
        run.answer.extra["revisions"] = [asdict(one) for one in played]
    if problem is not None:
        raise problem


def _rehearse(rehearsal: Rehearsal, step: Step, seen: Rehearsed) -> None:
    """Run one step up to where its commit would be, and note in `seen` what it did."""
    connection, run = rehearsal.connection, rehearsal.run
    run.current = Current(step.info, seen.description)
    before, held_before = xact_stats.look(connection), rehearsal.monitor.held()
    rehearsal.watchdog.waited_ms = 0.0
    savepoint = connection.begin_nested()
    rehearsal.sent.clear()
    started = time.monotonic()
    try:
        with Operations.context(rehearsal.migration):
            step.migration_fn()
        if seen.revision in rehearsal.adopted:
            steps.complete(rehearsal.adopted[seen.revision], run.current, connection)
        rollback_only.settle_constraints(connection)
    except NotTransactional:
        savepoint.rollback()
        seen.reason = "it leaves the transaction (autocommit block)"
    except Exception as error:
        seen.duration_ms = round((time.monotonic() - started) * 1000, 1)
        seen.reason = _false_failure(error, rehearsal, savepoint)
        ended = rehearsal.monitor.exceeded or rehearsal.monitor.lost
        seen.outcome = "stopped" if ended else "inconclusive" if seen.reason else "failed"
        if not seen.reason:
            raise
    else:
        ended_at = time.monotonic()
        after, held = xact_stats.look(connection), rehearsal.monitor.held()
        savepoint.commit()
        seen.outcome, seen.duration_ms = "rehearsed", round((ended_at - started) * 1000, 1)
        seen.lock_wait_ms, seen.held_before = rehearsal.watchdog.waited_ms, held_before
        seen.rows_written = xact_stats.rows_between(before, after)
        seen.rewritten = xact_stats.rewritten_between(before, after)
        seen.locks = {table: mode for table, mode in held.items() if held_before.get(table) != mode}
        held_locks = [rehearsal.monitor.of(table, mode, started, ended_at) for table, mode in seen.locks.items()]
        seen.strongest = max(held_locks, key=_strength, default=None)


def _strength(held: HeldLock) -> tuple[bool, bool, float]:
    return held.blocks is not None, held.mode == "AccessExclusiveLock", held.held_ms


def _refuse_autocommit(rehearsal: Rehearsal) -> Callable[[], Any]:
    @contextmanager
    def autocommit_block() -> Iterator[None]:
        verbs = (sql.read(one).verb for text in rehearsal.sent for one in sql.split(text))
        current = rehearsal.run.current
        if current is not None and any(verb.partition(" ")[0] not in READING_VERBS for verb in verbs):
            raise MixedRevision(current.name)
        raise NotTransactional
        yield

    return autocommit_block


def _false_failure(error: Exception, rehearsal: Rehearsal, savepoint: Any) -> str | None:
    """Say why a revision only fails in a rehearsal, and undo it; None for one that would fail in the run too."""
    if rollback_only.is_violated(error) and SETS_CONSTRAINTS.match(str(getattr(error, "statement", ""))):
        savepoint.rollback()
        return "it sets all constraints, and one keeps a rehearsal from being committed"
    if sqlstate.sqlstate(error) != NEW_LABEL_USED:
        return None
    savepoint.rollback()
    with rehearsal.lock.turn() as other:
        committed = {row.name for row in other.execute(LABELS)}
    earlier = {row.enumlabel for row in rehearsal.connection.execute(LABELS) if row.name not in committed}
    named = set(re.findall(r'"((?:[^"]|"")*)"', sqlstate.primary_message(error)))
    if earlier & named:
        return "it uses an enum's value that an earlier one adds, which takes a commit between the two"
    return None


def _ended(rehearsal: Rehearsal) -> MigrationError | None:
    """Say why the backend was ended, None where it was not."""
    current, exceeded = rehearsal.run.current, rehearsal.monitor.exceeded
    if exceeded is not None and current is not None:
        rehearsal.monitor.wait_for_end()
        allowed, blocks = rehearsal.monitor.max_hold_ms, str(exceeded.blocks)
        return LockHeldTooLong(current.name, exceeded.table, exceeded.mode, blocks, exceeded.held_ms, allowed)
    if rehearsal.monitor.lost:
        rehearsal.monitor.wait_for_end()
        return ConnectionLost()
    return None


def _explain(error: BaseException, rehearsal: Rehearsal) -> MigrationError | None:
    current, ended = rehearsal.run.current, _ended(rehearsal)
    if ended is not None:
        return ended
    if current is not None and rollback_only.is_violated(error):
        reason = "it ends the transaction by itself, which would leave a failed run half-done"
        return RevisionFailed(current.name, Path(str(current.path)).name, None, reason)
    return migrate.translate(error, rehearsal.run, rehearsal.lock, rehearsal.watchdog)


def _message(played: list[Rehearsed], longest: HeldLock | None) -> str:
    done = [one for one in played if one.outcome == "rehearsed"]
    took = sum(one.duration_ms or 0 for one in done)
    said = [f"Rehearsed {count(len(done), 'revision')} in {took:,.0f} ms, and rolled everything back."]
    if longest:
        said.append(f"`{longest.table}` was locked against {longest.blocks} for {longest.held_ms:,.0f} ms.")
    stopped = next((one for one in played if one.outcome != "rehearsed"), None)
    if stopped:
        said.append(f"It stopped before `{stopped.revision}`: {stopped.reason}.")
    return " ".join(said)
