"""What happens around each step, on the connections of one attempt."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from runner.answer import Applied, Change, Direction
from runner.engine import baseline, history, ledger, preconditions
from runner.engine.baseline import Baseline
from runner.engine.state import Attempt, Begun, Find, Resolved, Run, Waits
from runner.engine.watchdog import Watchdog
from runner.errors import (
    ConnectionLost,
    DeadlinePassed,
    MigrationError,
    MixedRevision,
    RevisionFailed,
    UnversionedDatabase,
    translating,
)
from runner.postgres import invalid_indexes, session, sqlstate
from runner.postgres.advisory_lock import GONE, MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.script import alembic_internals, failure, graph
from runner.script.alembic_internals import AlembicStep
from runner.script.step import Route, Step

XID = text("select pg_current_xact_id_if_assigned()::text")
LEFTOVER_BUDGET_MS = 5000
PROGRESS: dict[Direction, tuple[str, str]] = {
    "upgrade": ("Applying", "Applied"),
    "downgrade": ("Reverting", "Reverted"),
    "stamp": ("Stamping", "Stamped"),
}


def configure(
    context: Any, run: Run, find: Find, lock: MigrationLock, connection: Connection, watchdog: Watchdog
) -> None:
    """Give Alembic the connection, the steps, and what is done inside each revision's transaction."""

    def steps(heads: tuple[str, ...], migration: MigrationContext) -> Iterator[AlembicStep]:
        found = _find(run, find, heads, migration, lock).steps
        if not found and run.draft.action == "stamp" and run.draft.earlier is None:
            # it says so already; whether that is true is asked all the same
            preconditions.compare_stamped(run, run.settled.target, connection)
        if found:
            _refuse_mixed_revisions(migration, run, lock, connection)
            if run.begun is None:
                run.begun = _begin(run, found, lock, connection)
                run.draft.update(begun=True)
            # Alembic has made its version table by now, and a revision begins with nothing written
            connection.commit()
            for step in _each(run, found, lock, watchdog):
                yield step.alembics

    def applied(ctx: MigrationContext, heads: set[str], **_: Any) -> None:
        assert ctx.connection is not None  # noqa: S101 - online mode always has one
        locks = _finish(run, ctx.connection, lock)
        run.attempt = replace(run.trying, locks=locks, commits=tuple(sorted(heads)))

    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        on_version_apply=applied,
        fn=steps,
    )


def _find(run: Run, find: Find, heads: tuple[str, ...], migration: MigrationContext, lock: MigrationLock) -> Route:
    """Find the steps: the first time as asked, later to the absolute target from where the database is now."""
    script = migration.script
    assert script is not None  # noqa: S101 - an EnvironmentContext always has one
    if run.resolved is None:
        return _resolve(run, find, heads, migration, script, lock)
    if run.attempt is not None and run.attempt.commits is not None and set(run.attempt.commits) == set(heads):
        # its commit was asked for and went through, although nobody could tell us
        note_done(run)
    run.draft.update(after=tuple(heads))
    if run.resolved.direction is None:
        return Route((), run.resolved.target)
    return graph.remaining(script, run.resolved.direction, run.resolved.target, heads)


def _resolve(
    run: Run,
    find: Find,
    heads: tuple[str, ...],
    migration: MigrationContext,
    script: ScriptDirectory,
    lock: MigrationLock,
) -> Route:
    """Resolve what was asked for, once; nothing is left to do where an earlier call did the very same."""
    target = None if run.draft.change is None else run.draft.change.target
    run.draft.change = Change(tuple(heads), tuple(heads), target)
    if _answered_before(run, lock):
        return Route((), "")
    with lock.turn() as ledgers:
        history.refuse_changed(script, heads, ledgers)
    found = find(heads, migration)
    run.draft.update(target=found.target)
    direction = found.steps[0].direction if found.steps else None
    snapshots = alembic_internals.folder(script) / "schema"
    run.resolved = Resolved(found.target, direction, tuple(sorted(script.get_heads())), snapshots)
    return found


def _answered_before(run: Run, lock: MigrationLock) -> bool:
    """Take over the successful answer of an earlier call with the same key and the same payload."""
    terms = run.terms
    if terms.idempotency_key is None:
        return False
    with lock.turn() as connection:
        run.draft.earlier = ledger.answered(connection, terms.idempotency_key, terms.payload_sha256)
    return run.draft.earlier is not None


def _begin(run: Run, found: tuple[Step, ...], lock: MigrationLock, connection: Connection) -> Begun:
    """Check before the first step, and write the ledger's row once nothing stands in the way."""
    run.draft.update(pending=tuple(step.revision for step in found))
    baselines: dict[str, Baseline] = {}
    match run.settled.direction:
        case "stamp":
            preconditions.compare_stamped(run, found[-1].revision, connection)
        case "upgrade":
            baselines = baseline.find(connection, run.settled.snapshots, run.change.before, found)
        case _:
            preconditions.confirm_data_loss(run, found, connection)
            preconditions.warn_of_other_images(run, lock)
    parts = preconditions.require_plan(run, lock, connection)
    preconditions.require_confirmation(run)
    with lock.turn() as ledgers:
        ledger.prepare(ledgers)
        return Begun(ledger.begin(ledgers, run), baselines, parts)


def _each(run: Run, found: tuple[Step, ...], lock: MigrationLock, watchdog: Watchdog) -> Iterator[Step]:
    """Yield each step to Alembic, which runs and commits it before the next is asked for."""
    tell = run.invocation.tell
    total = len(run.change.applied) + len(found)
    if not lock.is_held():
        raise ConnectionLost
    for step in found:
        if run.invocation.deadline.remaining_s <= 0:
            if not run.waits.tries:
                run.attempt = None
            raise DeadlinePassed
        # what the watchdog has not noticed yet, the ledger's row will
        if watchdog.lost:
            raise ConnectionLost
        run.attempt = Attempt(step)
        number = len(run.change.applied) + 1
        about = {"revision": step.revision, "direction": step.direction, "number": number, "total": total}
        doing, done = PROGRESS[step.direction]
        tell(f"{doing} `{step.revision}` ({number} of {total}).", event="begun", **about)
        watchdog.forget()
        yield step
        run.waits = replace(run.waits, slept_ms=run.waits.slept_ms + watchdog.waited_ms)
        applied = note_done(run)
        tell(
            f"{done} `{step.revision}` in {applied.duration_ms:.0f} ms ({number} of {total}).",
            event="done", duration_ms=applied.duration_ms, **about,
        )  # fmt: skip


def note_done(run: Run) -> Applied:
    """Note that the present step is committed."""
    attempt, change = run.trying, run.change
    step = attempt.step
    kept = run.begun.baselines.get(step.revision) if run.begun else None
    adopted = tuple(sorted(kept.tables)) if kept else ()
    waited_ms = run.lock_wait_ms()
    done = Applied(
        step.revision, step.description, step.direction, attempt.duration_ms, waited_ms, attempt.locks, adopted
    )
    pending = tuple(one for one in change.pending if one != step.revision)
    run.draft.update(after=attempt.commits, applied=(*change.applied, done), pending=pending)
    run.attempt, run.waits = None, Waits()
    return done


def _finish(run: Run, connection: Connection, lock: MigrationLock) -> dict[str, str]:
    """Complete what was there and write the ledger's row, inside the revision's own transaction; return its locks."""
    step = run.trying.step
    kept = run.begun.baselines.get(step.revision) if run.begun else None
    if kept is not None:
        complete(kept, step, connection)
    return ledger.record_success(connection, run, lock)


def complete(kept: Baseline, step: Step, connection: Connection) -> None:
    """Complete what was there, inside the revision's transaction. Raises `UnversionedDatabase` where it differs then.

    Where its rows or its owner do not allow completing it, that is not the revision's fault.
    """
    with translating(DBAPIError, lambda error: _of_completion(error, kept, step)):
        wrong = baseline.complete(connection, kept)
    if wrong:
        raise UnversionedDatabase(session.database_name(connection), [str(difference) for difference in wrong])


def _of_completion(error: DBAPIError, kept: Baseline, step: Step) -> MigrationError | None:
    if sqlstate.is_lost(error) or sqlstate.is_contention(error):
        return None
    problem = failure.of_revision(error, step.revision, step.path)
    if not isinstance(problem, RevisionFailed):
        return problem
    tables = ", ".join(f"`{name}`" for name in kept.tables)
    return replace(problem, remedy=f"Correct the rows or the owner of {tables}, then run the same command again.")


def _refuse_mixed_revisions(migration: MigrationContext, run: Run, lock: MigrationLock, connection: Connection) -> None:
    """Let a revision enter an autocommit block only with nothing written yet and the lock still ours.

    Alembic's block commits whatever came before it: https://alembic.sqlalchemy.org/en/latest/api/runtime.html
    """
    enter = migration.autocommit_block

    def autocommit_block() -> Iterator[None]:
        if connection.execute(XID).scalar_one() is not None:
            raise MixedRevision(run.trying.step.revision)
        if not lock.is_held_as_seen_by(connection):
            raise ConnectionLost
        run.attempt = replace(run.trying, invalid_before=frozenset(invalid_indexes.invalid(connection)))
        with enter():
            yield

    alembic_internals.replace_autocommit_block(migration, autocommit_block)


def clear_leftovers(run: Run, lock: MigrationLock) -> None:
    """Drop the invalid indexes that a failed non-transactional revision left, or name them in the answer."""
    if run.attempt is None or run.attempt.invalid_before is None:
        return
    left: list[str] = []
    # what could not be dropped is named; the next run drops it before it builds
    with contextlib.suppress(*GONE), lock.turn() as connection:
        found = invalid_indexes.invalid(connection).items()
        new = [name for oid, name in found if oid not in run.attempt.invalid_before]
        connection.exec_driver_sql(f"set statement_timeout = {LEFTOVER_BUDGET_MS}")
        for name in new:
            left.append(f"invalid index {name}")
            if run.invocation.deadline.remaining_s * 1000 > LEFTOVER_BUDGET_MS:
                connection.exec_driver_sql(f"drop index concurrently if exists {name}")
                left.pop()
    run.draft.update(leftovers=tuple(left))
