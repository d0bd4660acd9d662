"""Drive Alembic: find the steps, guard before the first, run each, tell of each."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from runner import adoption, database, failure, ledger, lock, revisions
from runner.adoption import Adopted
from runner.deadline import Deadline
from runner.errors import Drift, MigrationError, ReadOnlyDatabase, UnversionedDatabase
from runner.payloads import Answer, Applied
from runner.revisions import Revisions, Step
from runner.settings import Settings

VERSION_TABLE = "alembic_version"
DEFAULT_TIMEOUT_S = 900
"""The longest that a Lambda may run, so that a laptop gives up no later."""

RUN = "runner.run"
Tell = Callable[..., None]
Steps = Callable[[tuple[str, ...], MigrationContext], list[Step]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Invocation:
    """Say for whom and under which conditions something is done.

    `tell` is called as it goes on with a sentence and named fields, and may be called often.
    """

    settings: Settings
    request_id: str
    deadline: Deadline
    tell: Tell


@dataclass
class Run:
    """Follow one run that may change the database; `answer` gathers what it did."""

    invocation: Invocation
    answer: Answer
    actor: str | None
    conclude: Callable[[Answer], None]
    """Writes the answer's message once all went well."""
    schema: Path = Path()
    """Where the snapshots are."""
    run_id: int | None = None
    step: MigrationInfo | None = None
    started: float = 0.0
    heads: tuple[str, ...] = ()
    adopted: dict[str, Adopted] = field(default_factory=dict)


def change(run: Run, known: Revisions, direction: str, target: str) -> None:
    """Bring the database to `target` (`upgrade`, `downgrade`), or say that it is there (`stamp`).

    The target is resolved once, under the lock. Raises a `MigrationError`, after which `run.answer`
    says how far it came.
    """

    def find(heads: tuple[str, ...], _: MigrationContext) -> list[Step]:
        found = revisions.steps(known.script, direction, target, heads)
        run.answer.target = revisions.absolute(known.script, target, found, heads)
        return found

    known.config.attributes[RUN] = run
    with EnvironmentContext(known.config, known.script, fn=find, destination_rev=target):
        known.script.run_env()


def read_heads(connection: Connection) -> tuple[str, ...]:
    """Return the revisions that a database is at, without any lock; empty at base."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()


@contextmanager
def reading(invocation: Invocation) -> Iterator[Connection]:
    """Open a connection that takes no lock and writes nothing."""
    opened = database.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    with opened.connect() as connection:
        yield connection


def migrate(context: Any, run: Run, find: Steps) -> None:
    """Run what `find` finds: a transaction a revision, its ledger row in it, all under the lock."""
    asked_by = run.invocation
    engine = database.open_engine(asked_by.settings, asked_by.request_id, asked_by.deadline)

    def waiting(holder: str) -> None:
        asked_by.tell(f"Waiting for the migration lock, held by {holder}.", event="waiting")

    with lock.hold(engine, VERSION_TABLE, asked_by.deadline, waiting) as guard:
        _refuse_reader(guard)
        try:
            with engine.connect() as connection:
                _configure(context, run, find, connection, guard)
                with context.begin_transaction():
                    context.run_migrations()
        except Exception as error:
            problem = _translate(error, run, guard)
            if problem is None:
                raise
        else:
            _conclude(run, guard)
            return
        _record_failure(run, guard, problem)
    raise problem


def _refuse_reader(guard: Connection) -> None:
    replica, read_only, name = guard.exec_driver_sql(
        "select pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, current_database()"
    ).one()
    if replica:
        raise ReadOnlyDatabase(name, "the server is a replica")
    if read_only:
        raise ReadOnlyDatabase(name, "`default_transaction_read_only` is on")


def _configure(context: Any, run: Run, find: Steps, connection: Connection, guard: Connection) -> None:
    def steps(heads: tuple[str, ...], migration: MigrationContext) -> Iterator[Step]:
        run.answer.before = run.answer.after = tuple(heads)
        assert migration.script is not None  # noqa: S101 - an EnvironmentContext always has one
        run.schema = Path(migration.script.dir) / "schema"
        found = find(heads, migration)
        if found:
            _prepare(run, found, connection, guard)
            yield from _each(run, found)

    def applied(ctx: MigrationContext, step: MigrationInfo, heads: set[str], **_: Any) -> None:
        assert ctx.connection is not None  # noqa: S101 - online mode always has one
        _finish_step(run, step, ctx.connection)
        run.heads = tuple(sorted(heads))

    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        on_version_apply=applied,
        fn=steps,
    )


def _prepare(run: Run, found: list[Step], connection: Connection, guard: Connection) -> None:
    """Guard before the first step, and begin the ledger's row once nothing stands in the way."""
    infos = [step.info for step in found]
    run.answer.pending = [_name(info) for info in infos]
    if infos[0].is_stamp:
        _compare_stamped(run, infos[-1], connection)
    elif infos[0].is_upgrade:
        _find_adopted(run, infos, connection)
    ledger.prepare(guard)
    asked = run.invocation
    run.run_id = ledger.begin(
        guard, asked.settings, asked.request_id, str(run.answer.action), str(run.answer.target), run.actor
    )
    run.answer.begun = True


def _find_adopted(run: Run, infos: list[MigrationInfo], connection: Connection) -> None:
    pairs = [(_name(info), info.down_revision_ids) for info in infos]
    adopted, wrong = adoption.find(connection, run.schema, pairs)
    if wrong:
        raise UnversionedDatabase(_database(connection), [str(difference) for difference in wrong])
    run.adopted = {one.revision: one for one in adopted}


def _compare_stamped(run: Run, info: MigrationInfo, connection: Connection) -> None:
    target = ",".join(info.destination_revision_ids) or "base"
    wrong = adoption.stray(connection, run.schema, target)
    if wrong:
        raise Drift(_database(connection), target, [str(difference) for difference in wrong])


def _each(run: Run, found: list[Step]) -> Iterator[Step]:
    """Yield each step to Alembic, which runs and commits it before the next is asked for."""
    tell = run.invocation.tell
    for number, step in enumerate(found, 1):
        run.step = info = step.info
        name, direction = _name(info), _direction(info)
        about = {"revision": name, "direction": direction, "number": number, "total": len(found)}
        tell(f"Begun: {direction} `{name}` ({number} of {len(found)}).", event="begun", **about)
        run.started = time.monotonic()
        yield step
        duration_ms = _since_ms(run.started)
        adopted = sorted(run.adopted[name].tables) if name in run.adopted else []
        run.answer.after = run.heads
        run.answer.pending.pop(0)
        run.answer.applied.append(Applied(name, step.doc or "", direction, duration_ms, adopted))
        tell(
            f"Done: {direction} `{name}` in {duration_ms:.0f} ms ({number} of {len(found)}).",
            event="done", duration_ms=duration_ms, **about,
        )  # fmt: skip
    run.step = None


def _finish_step(run: Run, info: MigrationInfo, connection: Connection) -> None:
    """Complete what was adopted and write the ledger's row, inside the revision's own transaction."""
    name = _name(info)
    if name in run.adopted:
        wrong = adoption.complete(connection, run.adopted[name])
        if wrong:
            raise UnversionedDatabase(_database(connection), [str(difference) for difference in wrong])
    assert run.run_id is not None  # noqa: S101 - `_prepare` came before the first step
    ledger.record(connection, run.run_id, name, _direction(info), _checksum(info), _since_ms(run.started))


def _translate(error: Exception, run: Run, guard: Connection) -> MigrationError | None:
    """Return what an exception means to the caller; None for one that is not ours to explain."""
    if isinstance(error, MigrationError):
        return error
    if failure.is_read_only(error):
        return ReadOnlyDatabase(_database(guard), "it refuses to write")
    if run.step is not None:
        logger.debug("%s at %s", type(error).__name__, " < ".join(reversed(failure.frames(error))))
        return failure.of_revision(error, _name(run.step), _path(run.step))
    return failure.of_privilege(error)


def _record_failure(run: Run, guard: Connection, problem: MigrationError) -> None:
    """Write the failure down on the lock's connection, which does not roll back."""
    run.answer.fail(problem)
    if run.run_id is None:
        return
    try:
        if run.step is not None:
            name, direction, checksum = _name(run.step), _direction(run.step), _checksum(run.step)
            ledger.record(guard, run.run_id, name, direction, checksum, _since_ms(run.started), problem.code)
        ledger.finish(guard, run.run_id, run.answer.as_json())
    except DBAPIError:
        logger.warning("The ledger could not be written: the connection that holds the lock is lost.")


def _conclude(run: Run, guard: Connection) -> None:
    run.conclude(run.answer)
    if run.run_id is not None:
        ledger.finish(guard, run.run_id, run.answer.as_json())


def _database(connection: Connection) -> str:
    return str(connection.exec_driver_sql("select current_database()").scalar_one())


def _name(info: MigrationInfo) -> str:
    """Name a step by its revision; a stamp by the revision that it stamps."""
    if info.is_stamp:
        return ",".join(info.destination_revision_ids) or "base"
    return str(info.up_revision_id)


def _direction(info: MigrationInfo) -> str:
    if info.is_stamp:
        return "stamp"
    return "upgrade" if info.is_upgrade else "downgrade"


def _path(info: MigrationInfo) -> str | None:
    revision = info.up_revision
    return str(revision.path) if isinstance(revision, Script) else None


def _checksum(info: MigrationInfo) -> str | None:
    path = _path(info)
    return revisions.checksum(path) if path and not info.is_stamp else None


def _since_ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
