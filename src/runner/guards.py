"""Guards against mistakes. Who may ask at all is IAM's affair."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, text

from runner import adoption, catalog, fingerprint, ledger
from runner.errors import ActionNotAllowed, ConfirmNeeded, PlanNeeded, PlanStale
from runner.lock import Guard
from runner.run import Run
from runner.settings import Settings

READING = frozenset({"check", "current", "heads", "history", "list-migrations", "plan", "rehearse", "show"})
"""Those that leave the database as it is; a rehearsal takes locks all the same."""
PROTECTED = READING - {"rehearse"} | {"upgrade", "run-migration"}
COUNTED_ROWS = 1_000_000
"""Counting stops here: that a table holds more is all that one needs to know."""


def allow(settings: Settings, action: str) -> None:
    """Raise `ActionNotAllowed` unless `ALLOWED_ACTIONS`, or the environment's default, has the verb."""
    allowed = settings.allowed_actions
    if allowed is None and settings.is_protected:
        allowed = PROTECTED
    if allowed is not None and action not in allowed:
        names = ", ".join(f"`{name}`" for name in sorted(allowed))
        raise ActionNotAllowed(action, settings.environment, names)


def hold_to_plan(run: Run, guard: Guard, connection: Connection) -> None:
    """Raise `PlanStale` unless the plan that the caller names still holds, `PlanNeeded` where one must be named.

    A run that came to `partial` has left a plan of the rest behind, under which it is gone on with.
    """
    settings, target = run.invocation.settings, str(run.answer.target)
    if run.terms.plan is None:
        if settings.is_protected and run.direction == "upgrade":
            raise PlanNeeded(str(run.answer.action), settings.environment, target)
        return
    with guard.turn() as ledgers:
        plan = ledger.plan_of_rest(ledgers, run.terms.plan) or run.terms.plan
    parts = plan_parts(run, connection)
    changed = fingerprint.changes(plan, parts, run.known)
    if changed:
        raise PlanStale(changed, target)


def plan_parts(run: Run, connection: Connection) -> fingerprint.Parts:
    """Return what a plan of the pending revisions rests on, as the database is now."""
    coming = [one for one in run.rendered if one.revision in run.answer.pending]
    image = run.invocation.settings.image_digest
    return fingerprint.collect(run.answer.after or (), str(run.answer.target), coming, catalog.read(connection), image)


def confirm_change(run: Run) -> None:
    """Raise `ConfirmNeeded` for a downgrade or a stamp of a protected environment that is not confirmed."""
    protected = run.invocation.settings.is_protected and run.direction in ("downgrade", "stamp")
    if protected and run.terms.confirm != _at(run):
        raise ConfirmNeeded(f"`{run.answer.action}` in `{run.invocation.settings.environment}` is dear", _at(run))


def confirm_losses(run: Run, infos: Iterable[MigrationInfo], connection: Connection) -> None:
    """Raise `ConfirmNeeded`, with the row counts, for a downgrade that drops what holds rows."""
    if run.terms.confirm == _at(run):
        return
    lost = [what for info in infos for what in losses(run.schema, info, connection)]
    if lost:
        raise ConfirmNeeded(f"Downgrading to `{run.answer.target}` drops {' and '.join(lost)}", _at(run))


def losses(schema: Path, info: MigrationInfo, connection: Connection) -> Iterator[str]:
    """Yield the tables and columns that the snapshots say a revision's downgrade drops, with their rows."""
    after = adoption.snapshot(schema, str(info.up_revision_id))
    if after is None:
        return
    parents = [adoption.snapshot(schema, parent) or {"tables": {}} for parent in info.down_revision_ids]
    before = {name: table for parent in parents for name, table in parent["tables"].items()}
    for name in sorted(after["tables"].keys() & catalog.table_names(connection)):
        if name not in before:
            yield from _rows(connection, name, "true", f"`{name}`")
            continue
        for column in sorted(_columns(after["tables"][name]) - _columns(before[name])):
            yield from _rows(connection, name, f"{column} is not null", f"`{name}.{column}`")


def _columns(table: dict[str, dict[str, str]]) -> set[str]:
    return set(table.get("columns", {}))


def _rows(connection: Connection, table: str, condition: str, shown: str) -> Iterator[str]:
    counted = connection.execute(
        text(f"select count(*) from (select from {table} where {condition} limit {COUNTED_ROWS + 1}) counted")  # noqa: S608 - names quoted by PostgreSQL itself
    ).scalar_one()
    if counted:
        many = f"more than {COUNTED_ROWS:,}" if counted > COUNTED_ROWS else f"{counted:,}"
        yield f"{shown} and its {many} {'row' if counted == 1 else 'rows'}"


def _at(run: Run) -> str:
    return ",".join(run.answer.before or ()) or "base"
