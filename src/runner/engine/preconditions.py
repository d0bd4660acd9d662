"""Guards against mistakes, once it is known what would happen."""

from collections.abc import Iterable

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection

from runner.engine import data_loss, ledger, plan_id
from runner.engine.state import Run
from runner.errors import ConfirmNeeded, PlanNeeded, PlanStale
from runner.postgres.advisory_lock import MigrationLock
from runner.schema import catalog


def require_plan(run: Run, lock: MigrationLock, connection: Connection) -> None:
    """Raise `PlanStale` unless the plan that the caller names still holds, `PlanNeeded` where one must be named.

    A run that came to `partial` has left a plan of the rest behind, under which it is gone on with.
    """
    settings, target = run.invocation.settings, str(run.answer.target)
    if run.terms.plan is None:
        if settings.is_protected and run.direction == "upgrade":
            raise PlanNeeded(str(run.answer.action), settings.environment, target)
        return
    with lock.turn() as ledgers:
        rest = ledger.plan_of_rest(ledgers, run.terms.plan)
    run.parts = plan_parts(run, connection)
    changed = plan_id.changes(rest or run.terms.plan, run.parts, run.known)
    if changed:
        raise PlanStale(changed, target)


def plan_of_rest(run: Run, connection: Connection) -> str:
    """Return the id under which a `partial` run may be gone on with.

    What the applied revisions touched is as they left it, anything else as it was when the run began: a change
    that somebody else made meanwhile does not get in.
    """
    here = catalog.read(connection)
    gone = {one.revision for one in run.answer.applied}
    applied = [one for one in run.rendered if one.revision in gone]
    ours = {part for one in applied for part in plan_id.touched(here, one)}
    now = plan_parts(run, connection)
    by_us = {part: text for part, text in now.items() if part in ours or part == plan_id.HEADS}
    return plan_id.identify(
        {part: by_us.get(part, run.parts.get(part, "")) for part in now if part in by_us | run.parts}
    )


def plan_parts(run: Run, connection: Connection) -> plan_id.Parts:
    """Return what a plan of the pending revisions rests on, as the database is now."""
    coming = [one for one in run.rendered if one.revision in run.answer.pending]
    settings = run.invocation.settings
    place, here = plan_id.place(settings.environment, connection), catalog.read(connection)
    heads, target = run.answer.after or (), str(run.answer.target)
    return plan_id.collect(place, heads, target, coming, here, settings.image_digest)


def confirm_change(run: Run) -> None:
    """Raise `ConfirmNeeded` for a downgrade or a stamp of a protected environment that is not confirmed."""
    settings, confirmed = run.invocation.settings, run.terms.confirm
    if not settings.is_protected or run.direction not in ("downgrade", "stamp") or confirmed == _at(run):
        return
    wrong = f", and `{confirmed}` is not the current revision" if confirmed else ""
    raise ConfirmNeeded(f"`{run.answer.action}` in `{settings.environment}` wants to be confirmed{wrong}", _at(run))


def confirm_losses(run: Run, infos: Iterable[MigrationInfo], connection: Connection) -> None:
    """Raise `ConfirmNeeded`, with the row counts, for a downgrade that drops what holds rows."""
    if run.terms.confirm == _at(run):
        return
    here, rendered = catalog.read(connection), {one.revision: one for one in run.rendered}
    lost = [
        what
        for info in infos
        for what in data_loss.find(run.schema, info, rendered.get(str(info.up_revision_id)), here, connection)
    ]
    if lost:
        raise ConfirmNeeded(f"Downgrading to `{run.answer.target}` drops {' and '.join(lost)}", _at(run))


def _at(run: Run) -> str:
    return ",".join(run.answer.before or ()) or "base"
