"""Accept the present text of an applied revision, and mend the invalid indexes that a failure left."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from alembic.script import Script
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from runner import signals
from runner.answer import Change, names
from runner.engine import ledger, migrate, preconditions
from runner.engine.snapshots import Snapshots
from runner.engine.state import Begun, Resolution, Run
from runner.engine.watchdog import POLL_INTERVAL_S
from runner.errors import (
    DeadlinePassed,
    Interrupted,
    InvalidIndexRemains,
    MigrationError,
    UnknownRevision,
    count,
    translating,
)
from runner.postgres import connect, invalid_indexes, sqlstate, trust, version_table
from runner.postgres.invalid_indexes import InvalidIndex
from runner.results import RepairResult
from runner.script import graph
from runner.script.graph import Revisions

RECORDED = "The text of the revision is recorded, and invalid indexes may remain."
"""The state after a signal."""


def repair(run: Run, revisions: Revisions, target: str | None) -> None:
    """Record the checksum of an applied revision's present text, where one is named, and mend invalid indexes.

    Raises `UnknownRevision` for a revision that is not applied, `RevisionFailed` for a text that cannot be imported,
    `DeadlinePassed` if the deadline passes before the last index is mended, `InvalidIndexRemains` if one cannot be.
    """
    invocation = run.invocation
    engine = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    with (
        migrate.hold_lock(run, engine) as lock,
        # only for its lock: a run whose lock's session has died goes on with its work
        engine.connect() as work,
    ):
        lock.hold_work(work, invocation.deadline, migrate.report_holder(run))
        # the lock's connection serves for all: DROP INDEX CONCURRENTLY requires AUTOCOMMIT, and no revision runs
        with lock.turn() as connection:
            run_id = _record(run, revisions, target, connection)
            cleared, busy, dropped = _clear(run, connection)
            left = count(len(cleared), "leftover")
            told = f"Cleared {left}."
            if target is not None:
                told = f"Recorded the present text of `{run.resolved.target}`, and cleared {left}."
                told += _differing(graph.get(revisions.script, run.resolved.target), connection)
            if busy:
                told += f" Left alone, because a session may be building it: {_quoted(busy)}."
            if dropped:
                told += f" Left to the revision whose next run finishes its DROP: {_quoted(dropped)}."
            run.draft.conclude(told, RepairResult(tuple(cleared)))
            ledger.finish(connection, run_id, run.draft.succeed())


def _record(run: Run, revisions: Revisions, target: str | None, connection: Connection) -> int:
    """Record the checksum of the revision's present text, and return the id of the run in the ledger."""
    trust.exists(connection, "version")
    heads = version_table.read_heads(connection)
    run.draft.change = Change(heads, heads)
    revision = None if target is None else _applied(revisions, target, heads)
    name = names(heads) or "base" if revision is None else revision.revision
    run.draft.update(target=name)
    run.resolution = Resolution(name, "stamp", tuple(revisions.heads), Snapshots(revisions.script))
    preconditions.require_confirmation(run)
    ledger.prepare(connection)
    ledger.close_interrupted(connection, None)
    run.draft.update(pending=(name,) if revision else ())
    run.begun = Begun(ledger.begin(connection, run))
    if revision is not None:
        ledger.record_repair(connection, run.begun.run_id, name, graph.checksums(revision))
    run.draft.update(pending=())
    return run.begun.run_id


def _applied(revisions: Revisions, target: str, heads: tuple[str, ...]) -> Script:
    """Return the applied revision that `target` names."""
    revision = graph.get(revisions.script, target)
    if revision.revision not in graph.applied(revisions.script, heads):
        raise UnknownRevision(
            f"`{revision.revision}` is not applied here, so there is nothing to repair.",
            "List the applied revisions with `migrate history`.",
        )
    # imports the file: a text that does not even import is not accepted
    _ = revision.module
    return revision


def _differing(revision: Script, connection: Connection) -> str:
    """Return the sentence for a text that runs something else than what ran; empty for any other."""
    if not ledger.checksums(connection)[revision.revision].is_accepted_only:
        return ""
    return (
        " It runs something else than what ran here: the database stays as the old text made it, and `migrate check` "
        "reports that until the schema is the one of the new text's snapshot."
    )


def _clear(run: Run, connection: Connection) -> tuple[list[str], list[str], list[str]]:
    """Mend the invalid indexes; return their names, those of the busy ones, and of those that a revision drops."""
    cleared: list[str] = []
    busy: list[str] = []
    dropped: list[str] = []
    drops = ledger.unfinished_drops(connection)
    with (
        signals.hearing(run.interrupted),
        _cancelling(connection, run.interrupted),
        translating(KeyboardInterrupt, lambda _: Interrupted(remains=RECORDED)),
    ):
        for index in invalid_indexes.find(connection):
            # the next try of the revision would not find it any more
            if index.identity in drops or index.busy:
                (dropped if index.identity in drops else busy).append(index.name)
                continue
            with translating(DBAPIError, partial(_not_mended, index, run, connection)):
                invalid_indexes.mend(connection, index, run.invocation.deadline.remaining_ms)
            cleared.append(index.name)
    return cleared, busy, dropped


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


@contextmanager
def _cancelling(connection: Connection, interrupted: threading.Event) -> Iterator[None]:
    """Cancel the statement of `connection` once `interrupted` is set: to mend waits for other transactions."""
    driver: Any = connection.connection.dbapi_connection
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_INTERVAL_S):
            if interrupted.is_set():
                driver.cancel()

    watcher = threading.Thread(target=watch, name="repair", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _not_mended(index: InvalidIndex, run: Run, connection: Connection, error: DBAPIError) -> MigrationError | None:
    """Write that an index could not be mended, and return the error for it; None for a lost connection."""
    if run.interrupted.is_set():
        # SQLAlchemy may have given the connection up, so the next run writes that this one was interrupted
        return Interrupted(remains=RECORDED)
    if run.begun is None or sqlstate.is_lost(error):
        return None
    # both mean the deadline: each index is given all the remaining time
    late = sqlstate.is_cancelled(error) or sqlstate.is_contention(error)
    problem = DeadlinePassed() if late else InvalidIndexRemains(index.name, sqlstate.sqlstate(error))
    ledger.finish(connection, run.begun.run_id, run.draft.fail(problem))
    return problem
