"""Really run a change, in one transaction that is rolled back, and measure each of its revisions.

It holds real locks for as long as the change takes, so it is ended as soon as one that blocks writes has been
held for too long: measure on a clone, and elsewhere only what is over in a moment. Two things are not rolled
back, as in PostgreSQL at large: the values drawn from a sequence, and the room that dead rows take until a VACUUM.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, text

from runner import adoption, database, engine, failure, interrupt, lock, plan, revisions, steps, timeouts
from runner.adoption import Adopted
from runner.catalog import VERSION_TABLE
from runner.errors import LockHeldTooLong, MigrationError, RevisionFailed, count
from runner.holds import Hold, Holds
from runner.lock import Guard
from runner.payloads import revisions as shown
from runner.revisions import Revisions, Step
from runner.run import Current, Run
from runner.watchdog import Watchdog

GUARD = "rehearsal_is_never_committed"
# Whatever commits, a raw COMMIT of a revision too, meets this trigger and fails.
ARM = f"""
    create temporary table {GUARD} (armed boolean) on commit drop;
    create function pg_temp.{GUARD}() returns trigger language plpgsql as
        $$ begin raise exception 'a rehearsal is never committed' using constraint = '{GUARD}'; end $$;
    create constraint trigger {GUARD} after insert on {GUARD} deferrable initially deferred
        for each row execute function pg_temp.{GUARD}();
    insert into {GUARD} values (true)
"""  # noqa: S608 - put together from the constant above
ENDS_TRANSACTION = re.compile(r"\s*(?:ROLLBACK|ABORT)\b(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)", re.IGNORECASE)
# What a commit would do with deferred constraints; the next transaction begins with them deferred again.
DEFERRABLE = text("""
    select coalesce(string_agg(name, ', '), '') as all,
           coalesce(string_agg(name, ', ') filter (where deferred), '') as deferred
    from (select format('%I.%I', n.nspname, c.conname) as name, c.condeferred as deferred
          from pg_constraint c join pg_namespace n on n.oid = c.connamespace
          where c.condeferrable and n.nspname !~ '^pg_') can_wait
""")
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
WRITTEN = text("""
    select relid::regclass::text as name, n_tup_ins + n_tup_upd + n_tup_del as value from pg_stat_xact_user_tables
    where schemaname !~ '^pg_' and schemaname <> 'runner' and n_tup_ins + n_tup_upd + n_tup_del > 0
""")
FILES = text("""
    select c.oid::regclass::text as name, pg_relation_filenode(c.oid) as value
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
""")
LABELS = text("select enumtypid::regtype::text || '.' || enumlabel from pg_enum")
# https://www.postgresql.org/docs/current/sql-altertype.html: a new value cannot be used before the commit
NEW_LABEL_USED = "55P04"


class NotTransactional(Exception):
    """A revision is about to leave the transaction."""


class EndsTransaction(Exception):
    """A revision rolls back by itself."""


@dataclass(frozen=True)
class State:
    """Hold what a transaction has done so far."""

    locks: dict[str, str]
    written: dict[str, int]
    files: dict[str, int]


@dataclass
class Rehearsed:
    """Tell how one revision went."""

    revision: str
    description: str
    outcome: str = "not-rehearsed"
    """`rehearsed`, `failed`, `stopped` for a lock held too long, `not-rehearsed`, or `inconclusive`.

    Inconclusive is what only the one transaction made fail.
    """
    reason: str | None = None
    duration_ms: float | None = None
    lock_wait_ms: float | None = None
    rows_written: dict[str, int] = field(default_factory=dict)
    rewritten: list[str] = field(default_factory=list)
    locks: dict[str, str] = field(default_factory=dict)
    """The strongest mode on each table, unless an earlier revision held it already."""
    strongest: Hold | None = None
    held_before: dict[str, str] = field(default_factory=dict)
    """The locks of earlier revisions, which are kept; it cannot be seen whether this one took them again."""


@dataclass(frozen=True)
class Stage:
    """Hold what a rehearsal is played on."""

    run: Run
    connection: Connection
    migration: MigrationContext
    guard: Guard
    holds: Holds
    watchdog: Watchdog
    adopted: dict[str, Adopted]


def rehearse(run: Run, known: Revisions, target: str, max_lock_hold_ms: int) -> None:
    """Run the steps to `target` in one transaction, roll it back, and fill `run.answer` with what was seen.

    Raises `LockHeldTooLong`, `RevisionFailed`, `LockTimeout`, and what the change itself would be refused with.
    """
    asked, answer = run.invocation, run.answer
    opened = database.open_engine(asked.settings, asked.request_id, asked.deadline)
    with (
        lock.hold(opened, VERSION_TABLE, asked.deadline, engine.waiting(run)) as guard,
        opened.connect() as connection,
        interrupt.hearing() as run.interrupted,
    ):
        engine.refuse_reader(guard)
        guard.refuse_pooler(connection)
        with guard.turn() as ledgers:
            heads = engine.read_heads(ledgers)
            direction = revisions.direction(known.script, target, heads)
            found = revisions.steps(known.script, direction, target, heads)
            steps.refuse_changed_history(known.script, heads, ledgers)
            adopted = plan.find_adopted(known, heads, found, ledgers) if direction == "upgrade" else []
        answer.before = answer.after = heads
        answer.target = revisions.absolute(known.script, target, found, heads)
        answer.pending = [str(step.info.up_revision_id) for step in found]
        connection.rollback()
        pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
        holds, watchdog = Holds(guard, pid, max_lock_hold_ms), Watchdog(guard, pid, asked.deadline, run.interrupted)
        _never_commit(connection)
        timeouts.bind(connection, asked.deadline, asked.settings.lock_timeout_ms)
        migration = MigrationContext.configure(connection)
        stage = Stage(run, connection, migration, guard, holds, watchdog, {one.revision: one for one in adopted})
        if found:
            _play(stage, found)
        else:
            answer.message = f"Nothing to rehearse: the database is at `{shown(heads) or 'base'}`."


def _play(stage: Stage, found: list[Step]) -> None:
    """Rehearse step after step until one cannot be, and roll everything back."""
    run, holds, watchdog = stage.run, stage.holds, stage.watchdog
    played = [Rehearsed(str(step.info.up_revision_id), step.doc or "") for step in found]
    stage.migration.autocommit_block = _refuse_autocommit  # type: ignore[method-assign]
    watchdog.start()
    holds.start()
    try:
        for number, (step, seen) in enumerate(zip(found, played, strict=True), 1):
            total = len(found)
            about = {"revision": seen.revision, "number": number, "total": total}
            run.invocation.tell(f"Begun: rehearse `{seen.revision}` ({number} of {total}).", event="begun", **about)
            _rehearse(stage, step, seen)
            if seen.outcome != "rehearsed":
                break
            told = f"Done: rehearse `{seen.revision}` in {seen.duration_ms:.0f} ms ({number} of {total})."
            run.invocation.tell(told, event="done", **about)
    except BaseException as error:
        problem = _explain(error, stage)
        if problem is None:
            raise
    else:
        run.answer.message = _message(played, holds.longest())
        return
    finally:
        watchdog.stop()
        holds.stop()
        stage.connection.rollback()
        run.answer.extra |= {"ok": all(one.outcome == "rehearsed" for one in played)}
        run.answer.extra["revisions"] = [asdict(one) for one in played]
    raise problem


def _rehearse(stage: Stage, step: Step, seen: Rehearsed) -> None:
    """Run one step up to where its commit would be, and note in `seen` what it did."""
    connection, run = stage.connection, stage.run
    run.current = Current(step.info, seen.description)
    before = _look(connection, stage.holds)
    stage.watchdog.waited_ms = 0.0
    savepoint = connection.begin_nested()
    started = time.monotonic()
    try:
        with Operations.context(stage.migration):
            step.migration_fn()
        if seen.revision in stage.adopted:
            adoption.complete(connection, stage.adopted[seen.revision])
        _settle_constraints(connection)
    except NotTransactional:
        savepoint.rollback()
        seen.reason = "it leaves the transaction (autocommit block)"
    except Exception as error:
        seen.duration_ms = round((time.monotonic() - started) * 1000, 1)
        if stage.holds.exceeded is not None:
            seen.outcome = "stopped"
            raise
        if _is_false_failure(error, stage, savepoint):
            seen.outcome = "inconclusive"
            seen.reason = "it uses an enum's value that an earlier one adds, which takes a commit between the two"
            return
        seen.outcome = "failed"
        raise
    else:
        ended = time.monotonic()
        seen.duration_ms = round((ended - started) * 1000, 1)
        savepoint.commit()
        seen.outcome = "rehearsed"
        after = _look(connection, stage.holds)
        _note(seen, before, after)
        seen.lock_wait_ms = stage.watchdog.waited_ms
        held = [stage.holds.of(table, mode, started, ended) for table, mode in seen.locks.items()]
        seen.strongest = max(held, key=_strength, default=None)


def _strength(hold: Hold) -> tuple[bool, bool, float]:
    return hold.blocks is not None, hold.mode == "AccessExclusiveLock", hold.held_ms


def _note(seen: Rehearsed, before: State, after: State) -> None:
    """Note what is there after a revision and was not before it; the transaction's locks add up."""
    seen.locks = {table: mode for table, mode in after.locks.items() if before.locks.get(table) != mode}
    seen.held_before = before.locks
    counts = {table: rows - before.written.get(table, 0) for table, rows in after.written.items()}
    seen.rows_written = {table: rows for table, rows in sorted(counts.items()) if rows}
    both = sorted(before.files.keys() & after.files.keys())
    seen.rewritten = [table for table in both if before.files[table] != after.files[table]]


def _look(connection: Connection, holds: Holds) -> State:
    written, files = ({row.name: row.value for row in connection.execute(query)} for query in (WRITTEN, FILES))
    return State(holds.held(), written, files)


def _never_commit(connection: Connection) -> None:
    """Make every commit on `connection` fail, and every rollback but our own."""

    def arm(opened: Connection) -> None:
        dbapi: Any = opened.connection.dbapi_connection
        with dbapi.cursor() as cursor:
            cursor.execute(ARM)

    def refuse(_opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if ENDS_TRANSACTION.match(statement):
            raise EndsTransaction

    event.listen(connection, "begin", arm)
    event.listen(connection, "before_cursor_execute", refuse)


@contextmanager
def _refuse_autocommit() -> Iterator[None]:
    raise NotTransactional
    yield


def _settle_constraints(connection: Connection) -> None:
    """Do what a commit does with deferred constraints, and defer them again for the next revision.

    So its "pending trigger events" are gone, as they are after a real commit.
    """
    found = connection.execute(DEFERRABLE).one()
    if found.all:
        connection.exec_driver_sql(f"set constraints {found.all} immediate")
    if found.deferred:
        connection.exec_driver_sql(f"set constraints {found.deferred} deferred")


def _is_false_failure(error: Exception, stage: Stage, savepoint: Any) -> bool:
    """Tell whether a revision only fails because those before it are not committed; undo it if so."""
    if failure.sqlstate(error) != NEW_LABEL_USED:
        return False
    savepoint.rollback()
    with stage.guard.turn() as other:
        committed = set(other.execute(LABELS).scalars())
    return bool(set(stage.connection.execute(LABELS).scalars()) - committed)


def _explain(error: BaseException, stage: Stage) -> MigrationError | None:
    current, exceeded = stage.run.current, stage.holds.exceeded
    if current is None:
        # Ctrl-C before the first step
        return engine.translate(error, stage.run, stage.guard, stage.watchdog)
    if exceeded is not None:
        stage.holds.wait_for_end()
        allowed = stage.holds.max_hold_ms
        blocks = str(exceeded.blocks)
        return LockHeldTooLong(current.name, exceeded.table, exceeded.mode, blocks, exceeded.held_ms, allowed)
    if isinstance(error, EndsTransaction) or failure.names_constraint(error, GUARD):
        reason = "it ends the transaction by itself, which would leave a failed run half-done"
        return RevisionFailed(current.name, Path(str(current.path)).name, None, reason)
    return engine.translate(error, stage.run, stage.guard, stage.watchdog)


def _message(played: list[Rehearsed], longest: Hold | None) -> str:
    done = [one for one in played if one.outcome == "rehearsed"]
    took = sum(one.duration_ms or 0 for one in done)
    said = [f"Rehearsed {count(len(done), 'revision')} in {took:,.0f} ms, and rolled everything back."]
    if longest:
        said.append(f"`{longest.table}` was locked against {longest.blocks} for {longest.held_ms:,.0f} ms.")
    stopped = next((one for one in played if one.outcome != "rehearsed"), None)
    if stopped:
        said.append(f"It stopped before `{stopped.revision}`: {stopped.reason}.")
    return " ".join(said)
