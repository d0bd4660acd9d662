"""Accept the text that an applied revision has now, and clear what a failure left."""

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from runner.answer import Change
from runner.engine import ledger, migrate, preconditions
from runner.engine.state import Begun, Resolved, Run
from runner.errors import DeadlinePassed, UnknownRevision, count, translating
from runner.postgres import advisory_lock, connect, invalid_indexes, sqlstate, version_table
from runner.postgres.version_table import VERSION_TABLE
from runner.results import RepairResult
from runner.script import graph
from runner.script.graph import Revisions


def repair(run: Run, known: Revisions, target: str) -> None:
    """Record the text that an applied revision has now, and drop invalid indexes.

    Raises `UnknownRevision` for a revision that is not applied here.
    """
    asked = run.invocation
    opened = connect.open_engine(asked.settings, asked.request_id, asked.deadline)
    with (
        advisory_lock.acquire(opened, VERSION_TABLE, asked.deadline, migrate.waiting(run)) as lock,
        lock.turn() as connection,
    ):
        heads = version_table.read_heads(connection)
        run.draft.change = Change(heads, heads)
        revision = graph.get(known.script, target)
        run.draft.update(target=revision.revision)
        if revision.revision not in graph.applied(known.script, heads):
            raise UnknownRevision(
                f"`{revision.revision}` is not applied here, so there is nothing to repair.",
                "List the applied revisions with `migrate history`.",
            )
        # what is no Python is not to be accepted
        _ = revision.module
        run.resolved = Resolved(revision.revision, "stamp", tuple(known.heads), known.snapshots)
        preconditions.require_confirmation(run)
        ledger.prepare(connection)
        ledger.close_interrupted(connection, None)
        run.draft.update(pending=(revision.revision,))
        run.begun = Begun(ledger.begin(connection, run))
        ledger.record_repair(connection, run.begun.run_id, revision.revision, graph.checksum(revision))
        run.draft.update(pending=())
        with translating(DBAPIError, lambda error: _too_late(error, run, connection)):
            cleared = invalid_indexes.drop_invalid(connection, asked.deadline)
        told = f"Recorded the present text of `{revision.revision}`, and dropped {count(len(cleared), 'leftover')}."
        run.draft.conclude(told, RepairResult(tuple(cleared)))
        ledger.finish(connection, run.begun.run_id, run.draft.succeed())


def _too_late(error: DBAPIError, run: Run, connection: Connection) -> DeadlinePassed | None:
    """Record that the time ran out before the last index was dropped."""
    if run.begun is None or not (sqlstate.is_cancelled(error) or sqlstate.is_contention(error)):
        return None
    problem = DeadlinePassed()
    ledger.finish(connection, run.begun.run_id, run.draft.fail(problem))
    return problem
