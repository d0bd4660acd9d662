"""What happens around each revision, on the connections of one try."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from runner.answer import Applied
from runner.engine import baseline, ledger, preconditions
from runner.engine.baseline import Baseline
from runner.engine.state import Current, Run
from runner.engine.watchdog import Watchdog
from runner.errors import (
    ConnectionLost,
    DeadlinePassed,
    Drift,
    HistoryChanged,
    InvalidSettings,
    MixedRevision,
    RevisionFailed,
    UnversionedDatabase,
)
from runner.postgres import invalid_indexes, sqlstate
from runner.postgres.advisory_lock import GONE, MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.schema import catalog, drift
from runner.script import failure, graph
from runner.script.graph import Step

XID = text("select pg_current_xact_id_if_assigned()::text")
LEFTOVER_BUDGET_MS = 5000


def configure(
    context: Any,
    run: Run,
    find: Callable[[tuple[str, ...], MigrationContext], list[Step]],
    lock: MigrationLock,
    connection: Connection,
    watchdog: Watchdog,
) -> None:
    """Give Alembic the connection, the steps, and what is done inside each revision's transaction."""

    def steps(heads: tuple[str, ...], migration: MigrationContext) -> Iterator[Step]:
        assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
        run.schema = Path(migration.script.dir) / "schema"
        found = _find(run, find, heads, migration, lock)
        if not found and run.answer.action == "stamp" and run.answer.earlier is None:
            # it says so already; whether that is true is asked all the same
            _compare_stamped(run, str(run.answer.target), connection)
        if found:
            _refuse_mixed_revisions(migration, run, lock, connection)
            if run.run_id is None:
                _prepare(run, found, lock, connection)
            # Alembic has made its version table by now, and a revision begins with nothing written
            connection.commit()
            yield from _each(run, found, lock, watchdog)

    def applied(ctx: MigrationContext, heads: set[str], **_: Any) -> None:
        assert ctx.connection is not None  # noqa: S101 - online mode always has one
        _finish(run, ctx.connection, lock)
        _current(run).heads = tuple(sorted(heads))

    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        on_version_apply=applied,
        fn=steps,
    )


def _find(
    run: Run,
    find: Callable[[tuple[str, ...], MigrationContext], list[Step]],
    heads: tuple[str, ...],
    migration: MigrationContext,
    lock: MigrationLock,
) -> list[Step]:
    """Find the steps: the first time as asked, later to the absolute target from where the database is now."""
    script = migration.script
    assert script is not None  # noqa: S101 - an EnvironmentContext always has one
    if not run.resolved:
        run.heads = tuple(sorted(script.get_heads()))
        run.answer.before = run.answer.after = tuple(heads)
        if _answered_before(run, lock):
            return []
        with lock.turn() as ledgers:
            refuse_changed_history(script, heads, ledgers)
        found = find(heads, migration)
        run.resolved = True
        if found:
            run.direction = Current(found[0].info, "").direction
        return found
    if run.current is not None and run.current.heads is not None and set(run.current.heads) == set(heads):
        # its commit was asked for and went through, although nobody could tell us
        done(run)
    run.answer.after = tuple(heads)
    if not run.direction:
        return []
    return graph.remaining(script, run.direction, str(run.answer.target), heads)


def _answered_before(run: Run, lock: MigrationLock) -> bool:
    """Take over the successful answer of an earlier call with the same key and the same payload."""
    terms = run.terms
    if terms.idempotency_key is None:
        return False
    with lock.turn() as connection:
        run.answer.earlier = ledger.answered(connection, terms.idempotency_key, terms.payload_sha256)
    return run.answer.earlier is not None


def refuse_changed_history(script: ScriptDirectory, heads: tuple[str, ...], connection: Connection) -> None:
    """Raise `HistoryChanged` when an applied revision's text is not what ran."""
    for problem in changed_history(script, heads, connection):
        raise problem


def changed_history(
    script: ScriptDirectory, heads: tuple[str, ...], connection: Connection
) -> Iterator[HistoryChanged]:
    """Yield the applied revisions whose text is not what ran. No record means adopted."""
    recorded = ledger.checksums(connection)
    for revision in sorted(graph.applied_scripts(script, heads), key=lambda one: one.revision):
        known, found = recorded.get(revision.revision), graph.checksum(revision)
        if known is not None and found != known.checksum:
            yield HistoryChanged(revision.revision, known.ran_at, known.checksum, found)


def _prepare(run: Run, found: list[Step], lock: MigrationLock, connection: Connection) -> None:
    """Guard before the first step, and begin the ledger's row once nothing stands in the way."""
    coming = [Current(step.info, "") for step in found]
    run.answer.pending = [one.name for one in coming]
    if run.direction == "stamp":
        _compare_stamped(run, coming[-1].name, connection)
    elif run.direction == "upgrade":
        _find_adopted(run, [one.info for one in coming], connection)
    else:
        preconditions.confirm_losses(run, [one.info for one in coming], connection)
        _warn_of_other_images(run, lock)
    preconditions.require_plan(run, lock, connection)
    preconditions.confirm_change(run)
    with lock.turn() as ledgers:
        ledger.prepare(ledgers)
        run.run_id = ledger.begin(ledgers, run)
    run.answer.begun = True


def _warn_of_other_images(run: Run, lock: MigrationLock) -> None:
    """Say which of the revisions that are reverted another image applied, whose `upgrade()` may differ."""
    with lock.turn() as connection:
        known = ledger.latest(connection)
    ours = run.invocation.settings.image_digest
    images = [(name, known[name]["image_digest"]) for name in run.answer.pending if name in known]
    others = [f"`{name}` was applied by another image, `{image}`." for name, image in images if image != ours and image]
    if others:
        run.answer.extra["warnings"] = others
        for sentence in others:
            run.invocation.tell(sentence, event="warning")


def _find_adopted(run: Run, infos: list[MigrationInfo], connection: Connection) -> None:
    pairs = [(str(info.up_revision_id), info.down_revision_ids) for info in infos]
    adopted, wrong = baseline.find(connection, run.schema, run.answer.before or (), pairs)
    if wrong:
        raise UnversionedDatabase(_name_of(connection), [str(difference) for difference in wrong])
    run.adopted = {one.revision: one for one in adopted}


def _compare_stamped(run: Run, target: str, connection: Connection) -> None:
    """Raise `Drift` unless the database is what the target's snapshot says, but for what is accepted."""
    expected = catalog.EMPTY if target == "base" else baseline.snapshot(run.schema, target)
    if expected is None:
        raise InvalidSettings(
            f"There is no snapshot of `{target}` to compare the database with.", "Write it with `migrate snapshot`."
        )
    found = drift.find(expected, catalog.read(connection), drift.load(run.schema))
    if found.differences:
        entries = [drift.render(one) for one in found.differences]
        raise Drift(_name_of(connection), [str(one) for one in found.differences], target, entries)


def _each(run: Run, found: list[Step], lock: MigrationLock, watchdog: Watchdog) -> Iterator[Step]:
    """Yield each step to Alembic, which runs and commits it before the next is asked for."""
    tell = run.invocation.tell
    total = len(run.answer.applied) + len(found)
    if not lock.is_held():
        raise ConnectionLost
    for step in found:
        if run.invocation.deadline.remaining_s <= 0:
            if not run.tries:
                run.current = None
            raise DeadlinePassed
        # what the watchdog has not noticed yet, the ledger's row will
        if watchdog.lost:
            raise ConnectionLost
        run.current = current = Current(step.info, step.doc or "")
        number = len(run.answer.applied) + 1
        about = {"revision": current.name, "direction": current.direction, "number": number, "total": total}
        tell(f"Begun: {current.direction} `{current.name}` ({number} of {total}).", event="begun", **about)
        watchdog.waited_ms, watchdog.blocker = 0.0, ""
        yield step
        run.slept_ms += watchdog.waited_ms
        finished = done(run)
        tell(
            f"Done: {current.direction} `{current.name}` in {finished.duration_ms:.0f} ms ({number} of {total}).",
            event="done", duration_ms=finished.duration_ms, **about,
        )  # fmt: skip


def done(run: Run) -> Applied:
    """Note that the current revision is committed."""
    current = _current(run)
    adopted = sorted(run.adopted[current.name].tables) if current.name in run.adopted else []
    done = Applied(
        current.name,
        current.description,
        current.direction,
        current.took_ms,
        run.lock_wait_ms(),
        current.locks,
        adopted,
    )
    run.answer.after = current.heads
    run.answer.applied.append(done)
    if current.name in run.answer.pending:
        run.answer.pending.remove(current.name)
    run.current, run.waited_since, run.tries, run.slept_ms, run.connection_losses, run.blocker = (
        None,
        None,
        0,
        0.0,
        0,
        "",
    )
    return done


def _finish(run: Run, connection: Connection, lock: MigrationLock) -> None:
    """Complete what was adopted and write the ledger's row, inside the revision's own transaction."""
    current = _current(run)
    if current.name in run.adopted:
        complete(run.adopted[current.name], current, connection)
    current.locks = ledger.record_success(connection, run, lock)


def complete(adopted: Baseline, current: Current, connection: Connection) -> None:
    """Complete what was there, inside the revision's transaction. Raises `UnversionedDatabase` where it differs then.

    Where its rows or its owner do not allow completing it, that is not the revision's fault.
    """
    try:
        wrong = baseline.complete(connection, adopted)
    except DBAPIError as error:
        if sqlstate.is_lost(error) or sqlstate.is_contention(error):
            raise
        problem = failure.of_revision(error, current.name, current.path)
    else:
        if wrong:
            raise UnversionedDatabase(_name_of(connection), [str(difference) for difference in wrong])
        return
    if isinstance(problem, RevisionFailed):
        tables = ", ".join(f"`{name}`" for name in adopted.tables)
        problem = replace(problem, remedy=f"Mend the rows or the owner of {tables}, then run the same command again.")
    raise problem


def _refuse_mixed_revisions(migration: MigrationContext, run: Run, lock: MigrationLock, connection: Connection) -> None:
    """Let a revision enter an autocommit block only with nothing written yet and the lock still ours.

    Alembic's block commits whatever came before it: https://alembic.sqlalchemy.org/en/latest/api/runtime.html
    """
    enter = migration.autocommit_block

    @contextmanager
    def autocommit_block() -> Iterator[None]:
        current = _current(run)
        if connection.execute(XID).scalar_one() is not None:
            raise MixedRevision(current.name)
        if not lock.is_held_as_seen_by(connection):
            raise ConnectionLost
        current.invalid_before = frozenset(invalid_indexes.invalid(connection))
        with enter():
            yield

    migration.autocommit_block = autocommit_block  # type: ignore[method-assign]


def clear_leftovers(run: Run, lock: MigrationLock) -> None:
    """Drop the invalid indexes that a failed non-transactional revision left, or name them in the answer."""
    if run.current is None or run.current.invalid_before is None:
        return
    run.answer.extra["leftovers"] = []
    try:
        with lock.turn() as connection:
            found = invalid_indexes.invalid(connection).items()
            left = [name for oid, name in found if oid not in run.current.invalid_before]
            connection.exec_driver_sql(f"set statement_timeout = {LEFTOVER_BUDGET_MS}")
            for name in left:
                run.answer.extra["leftovers"].append(f"invalid index {name}")
                if run.invocation.deadline.remaining_s * 1000 > LEFTOVER_BUDGET_MS:
                    connection.exec_driver_sql(f"drop index concurrently if exists {name}")
                    run.answer.extra["leftovers"].pop()
    except GONE:
        # what could not be dropped is named; the next run drops it before it builds
        return


def database_name(lock: MigrationLock) -> str:
    """Return the name of the database that the lock is in."""
    with lock.turn() as connection:
        return _name_of(connection)


def _name_of(connection: Connection) -> str:
    return str(connection.exec_driver_sql("select current_database()").scalar_one())


def _current(run: Run) -> Current:
    assert run.current is not None  # noqa: S101 - called between begin and commit of a step
    return run.current
