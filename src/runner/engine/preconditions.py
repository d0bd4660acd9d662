"""The preconditions: what is checked before the first step, once the steps are known."""

from collections.abc import Iterable
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from runner.engine import data_loss, history, ledger, plan_id
from runner.engine.plan_id import Parts
from runner.engine.state import Run
from runner.errors import ConfirmNeeded, Drift, InvalidSettings, PlanNeeded, PlanStale, RevisionFailed
from runner.postgres import connect, session, version_table
from runner.postgres.advisory_lock import MigrationLock
from runner.project import VersionTable
from runner.schema import catalog, drift
from runner.script import alembic_internals, emptiness
from runner.script.step import Step


def refuse_unfit(steps: Iterable[Step], connection: Connection, *, scratch: bool = False) -> None:
    """Raise `RevisionFailed` for an id that the version table cannot hold, or `EmptyRevision`.

    In a `scratch` database, which is dropped at once, an empty revision does not become history. `connection` is not
    the one on which Alembic makes the version table: a column has to be committed to be widened.
    """
    steps = tuple(steps)
    refuse_long_ids(steps, connection)
    for step in () if scratch else steps:
        emptiness.refuse(step)


def refuse_long_ids(steps: Iterable[Step], connection: Connection) -> None:
    """Raise `RevisionFailed` for a step after which the version table would have an id that its column cannot hold."""
    table = connect.version_table(connection)
    column = version_table.read_column(connection)
    longest = column.length if column else _length_in_alembic(connection, table)
    for step in steps:
        for revision in step.ends:
            if longest is not None and len(revision) > longest:
                raise _too_long(revision, longest, step, table if column else None)


def _length_in_alembic(connection: Connection, table: VersionTable) -> int | None:
    """Return how many characters an id may have in the version table that Alembic will make."""
    return alembic_internals.version_length(MigrationContext.configure(connection, opts=table.options))


def _too_long(revision: str, longest: int, step: Step, table: VersionTable | None) -> RevisionFailed:
    reason = f"its id has {len(revision)} characters, and the version table holds {longest}"
    remedy = "Shorten the id in `{file}`, and in the revisions that follow it"
    if table is not None:
        remedy += f", or widen the column: `ALTER TABLE {table} ALTER COLUMN version_num TYPE varchar({len(revision)})`"
    file = revision if step.script is None else Path(step.script.path).name
    return RevisionFailed(revision, file, None, reason, remedy=f"{remedy}.")


def require_plan(run: Run, lock: MigrationLock, connection: Connection) -> Parts:
    """Return the parts of the plan that the caller names, empty if the caller names none.

    Raises `PlanStale` if the plan does not hold any more, `PlanNeeded` if the environment requires one.
    """
    settings, target = run.invocation.settings, run.resolved.target
    if run.terms.plan is None:
        if settings.is_protected and run.resolved.direction == "upgrade":
            raise PlanNeeded(str(run.draft.action), settings.environment, target)
        return {}
    # a `partial` run made the caller's plan stale itself, so it left the plan of the rest in the ledger
    with lock.turn() as lock_connection:
        rest = ledger.plan_of_rest(lock_connection, run.terms.plan)
    linted = plan_parts(run, connection)
    # squawk is not asked again: where an unlinted plan counts, its id may be either
    either = [linted] if settings.is_protected else [linted, {**linted, plan_id.LINT: plan_id.NOT_LINTED}]
    found = [plan_id.changes(rest or run.terms.plan, parts, run.rendering.revision_ids) for parts in either]
    changes = min(found, key=len)
    if changes:
        raise PlanStale(changes, target)
    return either[found.index(changes)]


def plan_of_rest(run: Run, connection: Connection) -> str:
    """Return the id of the plan for the revisions that a `partial` run did not apply.

    A part that the applied revisions touched has its present text, any other its text when the run began: a change that
    somebody else made during the run still makes the plan stale.
    """
    actual = catalog.read(connection)
    applied_ids = {applied.revision for applied in run.change.applied}
    applied = [rendered for rendered in run.rendering.steps if rendered.revision in applied_ids]
    touched = {part for parts in plan_id.touched(actual, applied).values() for part in parts}
    now, then = plan_parts(run, connection), {} if run.begun is None else run.begun.parts
    changed = {part: text for part, text in now.items() if part in touched or part == plan_id.HEADS}
    # a part that somebody else added meanwhile is in neither; without it, this plan is stale when it is resumed
    kept = {**then, **changed}
    return plan_id.identify({part: kept[part] for part in now if part in kept})


def plan_parts(run: Run, connection: Connection) -> Parts:
    """Return the parts of a plan for the pending revisions, with their present texts."""
    pending = [rendered for rendered in run.rendering.steps if rendered.revision in run.change.pending]
    settings = run.invocation.settings
    place, actual = plan_id.place(settings.environment, connection), catalog.read(connection)
    return plan_id.collect(place, run.change.after, run.resolved.target, pending, actual, settings.image_digest)


def require_confirmation(run: Run) -> None:
    """Raise `ConfirmNeeded` in a protected environment for what is not confirmed, unless it is an upgrade."""
    settings, confirmed = run.invocation.settings, run.terms.confirm
    # a repair is a `stamp` in the ledger; an upgrade is held to a plan instead
    changes = run.resolved.direction in ("downgrade", "stamp")
    if not settings.is_protected or not changes or confirmed == _at(run):
        return
    wrong = f", and `{confirmed}` is not the current revision" if confirmed else ""
    raise ConfirmNeeded(f"`{run.draft.action}` in `{settings.environment}` requires confirmation{wrong}", _at(run))


def confirm_data_loss(run: Run, steps: Iterable[Step], connection: Connection) -> None:
    """Raise `ConfirmNeeded`, with the row counts, where a step down drops rows, in any environment."""
    if run.terms.confirm == _at(run):
        return
    reverted = {one.revision: one for one in run.rendering.steps if one.direction == "downgrade"}
    actual = catalog.read(connection)
    lost = [
        what
        for step in steps
        if step.direction == "downgrade"
        for what in data_loss.find(run.resolved.snapshots, step, reverted.get(step.revision), actual, connection)
    ]
    if lost:
        doing = "Reverting" if run.draft.action == "redo" else "Downgrading to"
        raise ConfirmNeeded(f"{doing} `{run.resolved.target}` drops {' and '.join(lost)}", _at(run))


def compare_stamped(run: Run, target: str, lock: MigrationLock, connection: Connection) -> None:
    """Raise `Drift` if the database differs from the target's snapshot in more than the accepted differences.

    Raises `InvalidSettings` if the target has no snapshot, or one that was made from another text. A snapshot is of one
    head: where the version table has lost one of several, that it was applied is taken from the ledger.
    """
    snapshots = run.resolved.snapshots
    with lock.turn() as lock_connection:
        lost = history.find_lost_branches(snapshots.script, run.change.before, lock_connection, run.invocation.settings)
    if set(target.split(",")) & set(lost):
        told = f"The schema was not compared, since it has several heads; that `{target}` was applied is in the ledger."
        run.draft.update(warnings=(*run.change.warnings, told))
        return
    expected = catalog.EMPTY if target == "base" else snapshots.catalog(target)
    if expected is None:
        raise InvalidSettings(
            f"There is no snapshot of `{target}` to compare the database with.", "Write it with `migrate snapshot`."
        )
    snapshots.refuse_outdated([target] if target != "base" else [])
    found = drift.find(expected, catalog.read(connection), drift.load(snapshots.folder))
    if found.differences:
        entries = [drift.render(difference) for difference in found.differences]
        sentences = [str(difference) for difference in found.differences]
        raise Drift(session.database_name(connection), sentences, target, entries)


def warn_of_other_images(run: Run, lock: MigrationLock) -> None:
    """Warn of each revision to revert that another image applied: `downgrade()` here may not match its `upgrade()`."""
    with lock.turn() as connection:
        rows = ledger.latest(connection)
    ours = run.invocation.settings.image_digest
    images = [(name, rows[name].image_digest) for name in dict.fromkeys(run.change.pending) if name in rows]
    others = [f"`{name}` was applied by another image, `{image}`." for name, image in images if image != ours and image]
    if others:
        run.draft.update(warnings=tuple(others))
        for sentence in others:
            run.invocation.tell(sentence, event="warning")


def _at(run: Run) -> str:
    """Return the current revision as `confirm` names it: several heads with a comma between them."""
    return ",".join(run.change.before) or "base"
