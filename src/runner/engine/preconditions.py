"""What is checked before the first step, once it is known what would happen."""

from collections.abc import Iterable

from sqlalchemy import Connection

from runner.engine import baseline, data_loss, ledger, plan_id
from runner.engine.plan_id import Parts
from runner.engine.state import Run
from runner.errors import ConfirmNeeded, Drift, InvalidSettings, PlanNeeded, PlanStale
from runner.postgres import session
from runner.postgres.advisory_lock import MigrationLock
from runner.schema import catalog, drift
from runner.script.step import Step


def require_plan(run: Run, lock: MigrationLock, connection: Connection) -> Parts:
    """Return what the plan that the caller names rests on; nothing where none is named.

    Raises `PlanStale` unless it still holds, `PlanNeeded` where one must be named. A run that came to `partial`
    has left a plan of the rest behind, under which the caller may resume.
    """
    settings, target = run.invocation.settings, run.settled.target
    if run.terms.plan is None:
        if settings.is_protected and run.settled.direction == "upgrade":
            raise PlanNeeded(str(run.draft.action), settings.environment, target)
        return {}
    with lock.turn() as ledgers:
        rest = ledger.plan_of_rest(ledgers, run.terms.plan)
    parts = plan_parts(run, connection)
    changed = plan_id.changes(rest or run.terms.plan, parts, run.rendering.known)
    if changed:
        raise PlanStale(changed, target)
    return parts


def plan_of_rest(run: Run, connection: Connection) -> str:
    """Return the id under which the caller may resume a `partial` run.

    What the applied revisions touched is as they left it, anything else as it was when the run began: a change
    that somebody else made meanwhile does not get in.
    """
    here = catalog.read(connection)
    gone = {one.revision for one in run.change.applied}
    applied = [one for one in run.rendering.steps if one.revision in gone]
    ours = {part for one in applied for part in plan_id.touched(here, one)}
    now, then = plan_parts(run, connection), {} if run.begun is None else run.begun.parts
    by_us = {part: text for part, text in now.items() if part in ours or part == plan_id.HEADS}
    return plan_id.identify({part: by_us.get(part, then.get(part, "")) for part in now if part in {**by_us, **then}})


def plan_parts(run: Run, connection: Connection) -> Parts:
    """Return what a plan of the pending revisions rests on, as the database is now."""
    coming = [one for one in run.rendering.steps if one.revision in run.change.pending]
    settings = run.invocation.settings
    place, here = plan_id.place(settings.environment, connection), catalog.read(connection)
    return plan_id.collect(place, run.change.after, run.settled.target, coming, here, settings.image_digest)


def require_confirmation(run: Run) -> None:
    """Raise `ConfirmNeeded` for a downgrade or a stamp of a protected environment that is not confirmed."""
    settings, confirmed = run.invocation.settings, run.terms.confirm
    changes = run.settled.direction in ("downgrade", "stamp")
    if not settings.is_protected or not changes or confirmed == _at(run):
        return
    wrong = f", and `{confirmed}` is not the current revision" if confirmed else ""
    raise ConfirmNeeded(f"`{run.draft.action}` in `{settings.environment}` requires confirmation{wrong}", _at(run))


def confirm_data_loss(run: Run, steps: Iterable[Step], connection: Connection) -> None:
    """Raise `ConfirmNeeded`, with the row counts, for a downgrade that drops what holds rows."""
    if run.terms.confirm == _at(run):
        return
    here, rendered = catalog.read(connection), {one.revision: one for one in run.rendering.steps}
    lost = [
        what
        for step in steps
        for what in data_loss.find(run.settled.snapshots, step, rendered.get(step.revision), here, connection)
    ]
    if lost:
        raise ConfirmNeeded(f"Downgrading to `{run.settled.target}` drops {' and '.join(lost)}", _at(run))


def compare_stamped(run: Run, target: str, connection: Connection) -> None:
    """Raise `Drift` unless the database is what the target's snapshot says, but for what is accepted."""
    snapshots = run.settled.snapshots
    expected = catalog.EMPTY if target == "base" else baseline.snapshot(snapshots, target)
    if expected is None:
        raise InvalidSettings(
            f"There is no snapshot of `{target}` to compare the database with.", "Write it with `migrate snapshot`."
        )
    found = drift.find(expected, catalog.read(connection), drift.load(snapshots))
    if found.differences:
        entries = [drift.render(one) for one in found.differences]
        raise Drift(session.database_name(connection), [str(one) for one in found.differences], target, entries)


def warn_of_other_images(run: Run, lock: MigrationLock) -> None:
    """Say which of the revisions that are reverted another image applied, whose `upgrade()` may differ."""
    with lock.turn() as connection:
        known = ledger.latest(connection)
    ours = run.invocation.settings.image_digest
    images = [(name, known[name].image_digest) for name in run.change.pending if name in known]
    others = [f"`{name}` was applied by another image, `{image}`." for name, image in images if image != ours and image]
    if others:
        run.draft.update(warnings=tuple(others))
        for sentence in others:
            run.invocation.tell(sentence, event="warning")


def _at(run: Run) -> str:
    return ",".join(run.change.before) or "base"
