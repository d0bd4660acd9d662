"""The work around each step, on the connections of one attempt: checks before it, its ledger row within it."""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from runner.answer import Applied, Change, Direction, Progress, names
from runner.engine import baseline, history, ledger, preconditions
from runner.engine.baseline import Baseline
from runner.engine.snapshots import Snapshots
from runner.engine.state import Begun, FindRoute, Resolution, Run, Waits
from runner.engine.watchdog import Watchdog
from runner.errors import (
    ConnectionLost,
    DeadlinePassed,
    Interrupted,
    MigrationError,
    MixedRevision,
    RevisionFailed,
    UnversionedDatabase,
    translating,
)
from runner.postgres import invalid_indexes, session, sqlstate, version_table
from runner.postgres.advisory_lock import GONE, MigrationLock
from runner.postgres.blocker import Blocker
from runner.postgres.sent import Sent
from runner.postgres.timeouts import send
from runner.postgres.transaction import Transaction
from runner.script import alembic_internals, failure, graph
from runner.script.alembic_internals import AlembicStep
from runner.script.step import Route, Step

LEFTOVER_BUDGET_MS = 5000
"""Time to mend one leftover, which waits for older transactions; a leftover that takes longer is only named."""

UNKNOWN = "possibly an invalid index"
"""What an autocommit block leaves, until its end or a look at the database tells."""

PROGRESS: dict[Direction, tuple[str, str]] = {
    "upgrade": ("Applying", "Applied"),
    "downgrade": ("Reverting", "Reverted"),
    "stamp": ("Stamping", "Stamped"),
}


def configure(
    context: Any, run: Run, find_route: FindRoute, lock: MigrationLock, transaction: Transaction, watchdog: Watchdog
) -> None:
    """Pass Alembic the connection, the steps, and the callback that it calls inside each revision's transaction."""
    connection = transaction.connection
    surplus: set[str] = set()

    def yield_steps(heads: tuple[str, ...], migration: MigrationContext) -> Iterator[AlembicStep]:
        run.settled = alembic_internals.purges(migration)
        rows = version_table.read_heads(connection) if run.settled else tuple(heads)
        surplus.update(_surplus(run, rows, migration))
        steps = _find_route(run, find_route, rows, surplus, migration, lock).steps
        if not steps and run.draft.action == "stamp" and run.draft.earlier is None:
            # the version table has the target already, but a stamp also claims that the schema is the target's
            preconditions.compare_stamped(run, run.resolved.target, lock, connection)
            _settle(run, surplus, migration, lock, transaction)
        if steps:
            _follow_autocommit_blocks(migration, run, lock, transaction)
            if run.begun is None:
                run.begun = _begin(run, steps, lock, connection)
                run.draft.update(begun=True)
            # Alembic may have created its version table; the first revision's transaction must have written nothing
            connection.commit()
            for step in _run_each(run, steps, lock, transaction, watchdog):
                removal = _removal(run, surplus, transaction) if step is steps[0] else ""
                around = partial(_run_body, run, step, lock, transaction, migration, removal)
                alembic_internals.wrap(step.alembic_step, around)
                yield step.alembic_step

    def on_version_apply(heads: set[str], **_: Any) -> None:
        # Alembic commits when this returns: from here on, an error leaves open whether the commit went through
        # Alembic still counts the rows that were removed beside it
        kept = heads if alembic_internals.purges(context.get_context()) else heads - surplus
        run.attempt = replace(run.current_attempt, commits=tuple(sorted(kept)))
        transaction.chains = len(run.change.pending) > 1

    context.configure(
        connection=connection,
        **run.invocation.settings.version_table.options,
        transaction_per_migration=True,
        on_version_apply=on_version_apply,
        fn=yield_steps,
        dont_mutate=False,
    )
    alembic_internals.defer_purge(context.get_context())


def _surplus(run: Run, rows: tuple[str, ...], migration: MigrationContext) -> Iterable[str]:
    """Return the rows of the version table that a stamp removes: all with `--purge`, else those that others imply."""
    if alembic_internals.purges(migration):
        return rows
    assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
    return graph.implied_rows(migration.script, rows) if run.draft.action == "stamp" else ()


def _removal(run: Run, surplus: set[str], transaction: Transaction) -> str:
    """Return the statement that removes rows of the version table, empty where there are none."""
    if not surplus:
        return ""
    table = run.invocation.settings.version_table.quoted.replace("%", "%%")
    with transaction.driver.cursor() as cursor:
        statement = cursor.mogrify(f"delete from {table} where version_num = any(%s)", (sorted(surplus),))  # noqa: S608 - quoted
    return f"{statement.decode()}; "


def _settle(
    run: Run, surplus: set[str], migration: MigrationContext, lock: MigrationLock, transaction: Transaction
) -> None:
    """Carry out a stamp without a step: remove rows, and let the ledger say what the version table does.

    Raises `ConfirmNeeded` in a protected environment, unless there is nothing to settle.
    """
    assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
    with lock.turn() as lock_connection:
        contradicted = history.find_contradiction(
            migration.script, run.change.before, lock_connection, run.invocation.settings
        )
    if contradicted is None and not surplus:
        return
    preconditions.require_confirmation(run)
    if surplus:
        send(transaction.connection, _removal(run, surplus, transaction).removesuffix("; "))
        transaction.connection.commit()
    run.settled = True
    after = tuple(row for row in run.change.before if row not in surplus)
    told = f"The version table and the ledger now agree that the database is at `{names(after) or 'base'}`."
    run.draft.update(after=after, warnings=(*run.change.warnings, told))


def _find_route(
    run: Run,
    find_route: FindRoute,
    rows: tuple[str, ...],
    surplus: set[str],
    migration: MigrationContext,
    lock: MigrationLock,
) -> Route:
    """Return the route from the version table's `rows`, but for the `surplus` of a stamp.

    It leads to the caller's target in the first attempt, later to the resolved one.
    """
    script = migration.script
    assert script is not None  # noqa: S101 - an EnvironmentContext always has one
    heads = tuple(row for row in rows if row not in surplus)
    if run.resolution is None:
        return _resolve(run, find_route, rows, heads, migration, script, lock)
    if run.attempt is not None and run.attempt.commits is not None and set(run.attempt.commits) == set(rows):
        # the connection was lost after the commit went through, before its confirmation arrived
        note_done(run)
    run.draft.update(after=rows)
    target, direction = run.resolution.target, run.resolution.direction
    if direction is None:
        return Route((), target)
    if run.is_first_half:
        return graph.redo(script, heads) if heads == (target,) else graph.remaining(script, "upgrade", target, heads)
    return graph.remaining(script, direction, target, heads)


def _resolve(
    run: Run,
    find_route: FindRoute,
    rows: tuple[str, ...],
    heads: tuple[str, ...],
    migration: MigrationContext,
    script: ScriptDirectory,
    lock: MigrationLock,
) -> Route:
    """Resolve the caller's target; the route is empty if an earlier call had the same key and payload."""
    target = None if run.draft.change is None else run.draft.change.target
    run.draft.change = Change(rows, rows, target)
    if _take_earlier_answer(run, lock):
        return Route((), "")
    stamps = run.draft.action == "stamp"
    # before the history is compared: the text of what is reverted first may be another one
    route = find_route(heads, migration) if run.draft.action == "redo" else None
    # of rows that are purged, nothing has to be true
    if not alembic_internals.purges(migration):
        with lock.turn() as lock_connection:
            settings = run.invocation.settings
            history.refuse(script, rows, lock_connection, settings, stamps=stamps, reverted=_reverted(route))
    route = route or find_route(heads, migration)
    run.draft.update(target=route.target)
    direction = route.steps[0].direction if route.steps else "stamp" if stamps else None
    run.resolution = Resolution(route.target, direction, tuple(sorted(script.get_heads())), Snapshots(script))
    return route


def _reverted(route: Route | None) -> str | None:
    """Return the revision that a `redo` reverts; None for another verb, and where an earlier one has reverted it."""
    return next((step.revision for step in route.steps if step.direction == "downgrade"), None) if route else None


def _take_earlier_answer(run: Run, lock: MigrationLock) -> bool:
    """Take the successful answer of an earlier call with the same key and payload; return whether there is one."""
    terms = run.terms
    if terms.idempotency_key is None:
        return False
    with lock.turn() as connection:
        run.draft.earlier = ledger.answered(connection, terms.idempotency_key, terms.payload_sha256)
    return run.draft.earlier is not None


def _begin(run: Run, steps: tuple[Step, ...], lock: MigrationLock, connection: Connection) -> Begun:
    """Check the preconditions, and write the run's row in the ledger once all of them hold."""
    run.draft.update(pending=tuple(step.revision for step in steps))
    with lock.turn() as lock_connection:
        preconditions.refuse_unfit(steps, lock_connection, scratch=run.draft.action == "snapshot")
    baselines: dict[str, Baseline] = {}
    match run.resolved.direction:
        case "stamp":
            preconditions.compare_stamped(run, steps[-1].revision, lock, connection)
        case "upgrade":
            baselines = baseline.find(connection, run.resolved.snapshots, run.change.before, steps)
        case _:
            preconditions.confirm_data_loss(run, steps, connection)
            preconditions.warn_of_other_images(run, lock)
    parts = preconditions.require_plan(run, lock, connection)
    preconditions.require_confirmation(run)
    # on the lock's connection, which is in AUTOCOMMIT: the row has to outlast a revision that is rolled back
    with lock.turn() as lock_connection:
        ledger.prepare(lock_connection)
        return Begun(ledger.begin(lock_connection, run), baselines, parts)


def _run_each(
    run: Run, steps: tuple[Step, ...], lock: MigrationLock, transaction: Transaction, watchdog: Watchdog
) -> Iterator[Step]:
    """Yield each step to Alembic, which runs it and commits before it asks for the next one."""
    tell = run.invocation.tell
    total = len(run.change.applied) + len(steps)
    for step in steps:
        if run.interrupted.is_set():
            # Python may have raised its exception where a callback swallowed it
            run.end_attempt()
            raise Interrupted
        if run.invocation.deadline.remaining_s <= 0:
            # after a lock time-out the error names the step that waited; otherwise no step failed, and none is recorded
            if not run.waits.tries:
                run.end_attempt()
            raise DeadlinePassed
        # the ledger's row would fail as well, but only after the whole step
        if watchdog.lost:
            raise ConnectionLost
        if step.direction != run.resolved.direction:
            _begin_second_half(run, lock)
        transaction.require_locks()
        transaction.open()
        run.begin_attempt(step)
        number = len(run.change.applied) + 1
        about = {"revision": step.revision, "direction": step.direction, "number": number, "total": total}
        doing, done = PROGRESS[step.direction]
        tell(f"{doing} `{step.revision}` ({number} of {total}).", event="begun", **about)
        watchdog.reset()
        yield step
        run.waits = replace(run.waits, waited_ms=run.waits.waited_ms + watchdog.waited_ms)
        _warn_of_leftovers(run, lock)
        applied = note_done(run)
        tell(
            f"{done} `{step.revision}` in {applied.duration_ms:.0f} ms ({number} of {total}).",
            event="done", duration_ms=applied.duration_ms, **about,
        )  # fmt: skip


def _begin_second_half(run: Run, lock: MigrationLock) -> None:
    """End the ledger's row of a `redo` that has reverted its revision, and begin one for applying it."""
    with lock.turn() as connection:
        if run.run_id is not None:
            read_locks(run, connection)
            told = f"Reverted `{run.resolved.target}`, whose present text is applied next."
            ledger.finish(connection, run.run_id, replace(run.draft.succeed(), message=told))
        run.resolution = replace(run.resolved, direction="upgrade")
        run.begun = Begun(ledger.begin(connection, run))


def report_progress(run: Run, progress: Progress | None, blocker: Blocker | None) -> None:
    """Report how far the present step's command has come and what it waits for; called by the watchdog's thread."""
    attempt = run.attempt
    if attempt is None:
        return
    told = [f"`{attempt.step.revision}`: {progress}."] if progress else []
    if blocker is not None:
        told.append(f"{'It' if told else f'`{attempt.step.revision}`'} waits for {blocker}.")
        ending = blocker.ending(run.invocation.settings)
        told += [f"To end the wait: {ending}"] if ending else []
    about = {"phase": progress.phase, "done": progress.done, "blocks": progress.total} if progress else {}
    run.invocation.tell("\n".join(told), event="progress", revision=attempt.step.revision, **about)


def note_done(run: Run) -> Applied:
    """Add the present step, which is committed, to the answer, and return that entry."""
    attempt, change = run.current_attempt, run.change
    step = attempt.step
    existing = run.begun.baselines.get(step.revision) if run.begun else None
    adopted = tuple(sorted(existing.tables)) if existing else ()
    waited_ms = run.lock_wait_ms()
    # the ledger has the locks: see `read_locks`
    done = Applied(step.revision, step.description, step.direction, attempt.duration_ms, waited_ms, {}, adopted)
    # most often the first one: to compare all that are pending would be quadratic over a run
    place = change.pending.index(done.revision)
    pending = change.pending[:place] + change.pending[place + 1 :]
    run.draft.update(after=attempt.commits, applied=(*change.applied, done), pending=pending, leftovers=None)
    run.end_attempt()
    run.waits = Waits()
    return done


def read_locks(run: Run, connection: Connection) -> None:
    """Add to the applied revisions the locks that each held, from the run's rows in the ledger."""
    if run.run_id is not None and run.change.applied:
        locks = ledger.locks(connection, run.run_id)
        # the first half of a `redo` has its own already
        applied = tuple(replace(one, locks=one.locks or locks.get(one.revision, {})) for one in run.change.applied)
        run.draft.update(applied=applied)


def _run_body(
    run: Run,
    step: Step,
    lock: MigrationLock,
    transaction: Transaction,
    migration: MigrationContext,
    removal: str,
    body: Callable[[], None],
) -> None:
    """Run a revision's own code, complete the existing tables, and prepare the row that the version is written with.

    `removal` is what removes rows of the version table before that.
    """
    refuse_unrun(step)
    with transaction.run():
        body()
    existing = run.begun.baselines.get(step.revision) if run.begun else None
    if existing is not None:
        transaction.restore()
        complete(existing, step, transaction)
    alembic_internals.adopt_transaction(migration)
    transaction.closing = lambda: removal + ledger.success(run, lock, transaction)


def refuse_unrun(step: Step) -> None:
    """Raise `RevisionFailed` for a function with `yield` or `async`: to call it runs nothing of it."""
    function = None if step.script is None else getattr(step.script.module, step.direction, None)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise failure.of_unrun(step.revision, step.path, function.__code__.co_firstlineno)


def complete(existing: Baseline, step: Step, transaction: Transaction) -> None:
    """Add what the existing tables of a step lack, inside the revision's transaction.

    Raises `UnversionedDatabase` if they still differ from the snapshot, `RevisionFailed` if their rows or their owner
    make a statement fail.
    """
    connection = transaction.connection
    with translating(DBAPIError, lambda error: _completion_error(error, existing, step)):
        differences = baseline.complete(connection, existing, transaction.sent.defining)
    if differences:
        raise UnversionedDatabase(session.database_name(connection), [str(difference) for difference in differences])


def _completion_error(error: DBAPIError, existing: Baseline, step: Step) -> MigrationError | None:
    """Return the error of a statement that completes a table; None for one after which the step is tried again."""
    if sqlstate.is_lost(error) or sqlstate.is_contention(error):
        return None
    problem = failure.of_revision(error, step.revision, step.path)
    if not isinstance(problem, RevisionFailed):
        return problem
    # to edit the revision, the usual advice, would not help: the statement is the runner's
    tables = ", ".join(f"`{name}`" for name in existing.tables)
    return replace(problem, remedy=f"Correct the rows or the owner of {tables}, then run the same command again.")


def _follow_autocommit_blocks(
    migration: MigrationContext, run: Run, lock: MigrationLock, transaction: Transaction
) -> None:
    """Allow an autocommit block only in a transaction that has written nothing, while the run holds both locks.

    Alembic's block commits whatever came before it: https://alembic.sqlalchemy.org/en/latest/api/runtime.html
    """
    enter = migration.autocommit_block

    def autocommit_block() -> Iterator[None]:
        if transaction.driver.autocommit:
            # within another block there is nothing to do
            yield
            return
        if transaction.has_written():
            raise MixedRevision(run.current_attempt.step.revision)
        # a COMMIT below SQLAlchemy hides what was written before it
        transaction.require_same()
        with transaction.set_running(False):
            if run.current_attempt.before is None:
                _record_invalid(run, lock)
            # Alembic commits on the way in, and begins a transaction on the way out
            with enter(), transaction.undoing_failed(), transaction.set_running(True):
                yield

    alembic_internals.replace_autocommit_block(migration, autocommit_block)


def _record_invalid(run: Run, lock: MigrationLock) -> None:
    """Write which indexes are invalid already, so that what a killed run leaves is told apart from them."""
    with lock.turn() as connection:
        before = ledger.record_invalid(connection, run, invalid_indexes.as_record(invalid_indexes.find(connection)))
    run.attempt = replace(run.current_attempt, before=before)
    run.draft.update(leftovers=(UNKNOWN,))


def note_drop(run: Run, lock: MigrationLock, index: Mapping[str, str]) -> None:
    """Write which index, a name by its oid, the revision begins to drop, so that nothing else drops it meanwhile."""
    with lock.turn() as connection:
        before = ledger.record_drop(connection, run, index)
    run.attempt = replace(run.current_attempt, before=before)


def _warn_of_leftovers(run: Run, lock: MigrationLock) -> None:
    """Warn of the indexes that a revision leaves invalid outside a transaction, in this try or an earlier one."""
    if run.current_attempt.before is None:
        return
    with lock.turn() as connection:
        found = invalid_indexes.find(connection)
    left = [index for index in run.current_attempt.before.left(found) if not index.busy]
    revision, at = run.current_attempt.step.revision, run.current_attempt.commits
    for index in left:
        # a repair names an applied revision, which there is none of at base
        does = "build it again" if index.required else "drop it"
        advice = f"{does} with `migrate repair {at[0]}`" if at else "`migrate check` lists it"
        warning = f"`{index.name}` has been invalid since `{revision}` ran; {advice}."
        run.draft.update(warnings=(*run.change.warnings, warning))
        run.invocation.tell(warning, event="warning")


def clear_leftovers(run: Run, lock: MigrationLock, sent: Sent) -> None:
    """Mend the invalid indexes that a failed revision left outside a transaction, or name them in the answer.

    `sent` are the statements of the revision.
    """
    if run.attempt is None or run.attempt.before is None:
        return
    leftovers = [UNKNOWN]
    # an error here must not hide the run's own; the next run drops what is left before it builds the index
    with contextlib.suppress(*GONE), lock.turn() as connection:
        # what a DROP has begun is left to the next try of it, which could not find the index any more
        on_targets = invalid_indexes.find_on(connection, sent.targets)
        ours = {index.oid for index in run.attempt.before.built(on_targets)}
        left = run.attempt.before.left(invalid_indexes.find(connection))
        # all are named before the first is mended, so that a failure leaves their names in the list
        leftovers[:] = [f"invalid index {index.name}" for index in left]
        for index in left:
            in_time = run.invocation.deadline.remaining_ms > LEFTOVER_BUDGET_MS
            if index.oid in ours and not index.busy and in_time:
                invalid_indexes.mend(connection, index, LEFTOVER_BUDGET_MS)
                leftovers.remove(f"invalid index {index.name}")
    earlier = tuple(one for one in run.change.leftovers or () if one != UNKNOWN)
    run.draft.update(leftovers=(*earlier, *leftovers))
