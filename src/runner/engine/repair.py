"""Accept the present text of an applied revision, and drop the invalid indexes that a failure left."""

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from runner.answer import Change
from runner.engine import ledger, migrate, preconditions
from runner.engine.state import Begun, Resolution, Run
from runner.errors import DeadlinePassed, UnknownRevision, count, translating
from runner.postgres import advisory_lock, connect, invalid_indexes, sqlstate, version_table
from runner.postgres.version_table import VERSION_TABLE
from runner.results import RepairResult
from runner.script import graph
from runner.script.graph import Revisions


def repair(run: Run, revisions: Revisions, target: str) -> None:
    """Record the checksum of an applied revision's present text, and drop invalid indexes.

    Raises `UnknownRevision` for a revision that is not applied, `RevisionFailed` for a text that cannot be imported,
    `DeadlinePassed` if the deadline passes before the last index is dropped.
    """
    invocation = run.invocation
    engine = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    # the lock's connection serves for all: DROP INDEX CONCURRENTLY requires AUTOCOMMIT, and no revision runs
    with (
        advisory_lock.acquire(engine, VERSION_TABLE, invocation.deadline, migrate.report_holder(run)) as lock,
        lock.turn() as connection,
    ):
        heads = version_table.read_heads(connection)
        run.draft.change = Change(heads, heads)
        revision = graph.get(revisions.script, target)
        run.draft.update(target=revision.revision)
        if revision.revision not in graph.applied(revisions.script, heads):
            raise UnknownRevision(
                f"`{revision.revision}` is not applied here, so there is nothing to repair.",
                "List the applied revisions with `migrate history`.",
            )
        # imports the file: a text that does not even import is not accepted
        _ = revision.module
        run.resolution = Resolution(revision.revision, "stamp", tuple(revisions.heads), revisions.snapshots)
        preconditions.require_confirmation(run)
        ledger.prepare(connection)
        ledger.close_interrupted(connection, None)
        run.draft.update(pending=(revision.revision,))
        run.begun = Begun(ledger.begin(connection, run))
        ledger.record_repair(connection, run.begun.run_id, revision.revision, graph.checksum(revision))
        run.draft.update(pending=())
        with translating(DBAPIError, lambda error: _too_late(error, run, connection)):
            cleared = invalid_indexes.drop_invalid(connection, invocation.deadline)
        told = f"Recorded the present text of `{revision.revision}`, and dropped {count(len(cleared), 'leftover')}."
        run.draft.conclude(told, RepairResult(tuple(cleared)))
        ledger.finish(connection, run.begun.run_id, run.draft.succeed())


def _too_late(error: DBAPIError, run: Run, connection: Connection) -> DeadlinePassed | None:
    """Write that the deadline passed before the last index was dropped, and return the error; None for any other."""
    # both mean the deadline: `drop_invalid` gives each drop all the remaining time
    if run.begun is None or not (sqlstate.is_cancelled(error) or sqlstate.is_contention(error)):
        return None
    problem = DeadlinePassed()
    ledger.finish(connection, run.begun.run_id, run.draft.fail(problem))
    return problem
