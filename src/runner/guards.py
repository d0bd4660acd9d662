"""Guards against mistakes. Who may ask at all is IAM's affair."""

from collections.abc import Iterable

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, text

from runner import adoption, catalog
from runner.errors import ActionNotAllowed, ConfirmNeeded
from runner.run import Run
from runner.settings import Settings

READING = frozenset({"current", "heads", "history", "show", "list-migrations"})
PROTECTED = READING | {"upgrade"}
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


def confirm_change(run: Run) -> None:
    """Raise `ConfirmNeeded` for a downgrade or a stamp of a protected environment that is not confirmed."""
    protected = run.invocation.settings.is_protected and run.direction in ("downgrade", "stamp")
    if protected and run.terms.confirm != _at(run):
        raise ConfirmNeeded(f"`{run.answer.action}` in `{run.invocation.settings.environment}` is dear", _at(run))


def confirm_losses(run: Run, infos: Iterable[MigrationInfo], connection: Connection) -> None:
    """Raise `ConfirmNeeded`, with the row counts, for a downgrade that drops what holds rows."""
    if run.terms.confirm == _at(run):
        return
    losses = list(_losses(run, infos, connection))
    if losses:
        raise ConfirmNeeded(f"Downgrading to `{run.answer.target}` drops {' and '.join(losses)}", _at(run))


def _losses(run: Run, infos: Iterable[MigrationInfo], connection: Connection) -> Iterable[str]:
    """Yield the tables and columns that the snapshots say a downgrade drops, with how many rows they hold."""
    present = catalog.table_names(connection)
    for info in infos:
        after = adoption.snapshot(run.schema, str(info.up_revision_id))
        if after is None:
            continue
        parents = [adoption.snapshot(run.schema, parent) or {"tables": {}} for parent in info.down_revision_ids]
        before = {name: table for parent in parents for name, table in parent["tables"].items()}
        for name in sorted(after["tables"].keys() & present):
            if name not in before:
                yield from _rows(connection, name, "true", f"`{name}`")
                continue
            for column in sorted(_columns(after["tables"][name]) - _columns(before[name])):
                yield from _rows(connection, name, f"{column} is not null", f"`{name}.{column}`")


def _columns(table: dict[str, dict[str, str]]) -> set[str]:
    return set(table.get("columns", {}))


def _rows(connection: Connection, table: str, condition: str, shown: str) -> Iterable[str]:
    counted = connection.execute(
        text(f"select count(*) from (select from {table} where {condition} limit {COUNTED_ROWS + 1}) counted")  # noqa: S608 - names quoted by PostgreSQL itself
    ).scalar_one()
    if counted:
        many = f"more than {COUNTED_ROWS:,}" if counted > COUNTED_ROWS else f"{counted:,}"
        yield f"{shown} and its {many} {'row' if counted == 1 else 'rows'}"


def _at(run: Run) -> str:
    return ",".join(run.answer.before or ()) or "base"
