"""Revert the newest revision and apply its present text, under one lock, with a row in the ledger for each half.

Whatever ends it between the two halves, a repeated `redo` applies the revision and reverts nothing.
"""

from alembic.runtime.migration import MigrationContext

from runner.answer import Draft, conclude_change
from runner.engine import ledger, migrate
from runner.engine.state import Run
from runner.script import graph
from runner.script.graph import Revisions
from runner.script.step import Route


def redo(run: Run, revisions: Revisions) -> None:
    """Revert the newest applied revision by the `downgrade()` of its file, and apply the file's `upgrade()`.

    Raises a `MigrationError`; `run.draft` then has how far the run came.
    """

    def find_route(heads: tuple[str, ...], migration: MigrationContext) -> Route:
        assert migration.connection is not None  # noqa: S101 - online mode always has one
        return graph.redo(revisions.script, heads, ledger.redone(migration.connection))

    migrate.follow(run, revisions, find_route, "head")


def conclude(draft: Draft) -> None:
    """Set the message of a successful `redo`."""
    change = draft.change
    assert change is not None  # noqa: S101 - a successful run has read the version table
    if not change.applied:
        conclude_change(draft)
        return
    took = sum(one.duration_ms for one in change.applied)
    reverted = any(one.direction == "downgrade" for one in change.applied)
    did = "Reverted it and applied" if reverted else "An earlier `redo` had reverted it; applied"
    draft.conclude(f"`{change.target}`: {did} its present text, in {took:.0f} ms.")
