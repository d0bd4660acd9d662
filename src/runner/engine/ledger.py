"""The ledger: who ran what, when and for how long, in schema `runner`, which autogenerate does not compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.types import JSON

from runner import __version__
from runner.answer import Answer
from runner.engine.state import Run
from runner.errors import ConnectionLost, InvalidSettings, translating
from runner.invocation import Invocation
from runner.length import fit
from runner.postgres import connect, queries, sqlstate, trust
from runner.postgres.advisory_lock import MigrationLock
from runner.postgres.invalid_indexes import Before
from runner.postgres.transaction import EndsTransaction, ReleasesLock, Transaction
from runner.postgres.version_table import lock_key
from runner.project import VersionTable, quote
from runner.script import graph
from runner.script.syntax import Checksums

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from runner.results import ImageRun, LedgerRow


# Columns that older images made the tables without, in the order in which they were added.
VERSIONED, INVALID_BEFORE = "migration_log.version_table", "migration_run.invalid_before"
NEWEST = CODE = "migration_log.code_checksum"
COLUMNS = "ledger"
"""Key of the columns in `Connection.info`, once nothing is missing."""
KEY = lock_key("migrate ledger")


def _sql(name: str) -> str:
    return queries.load_named("runner.engine", "ledger.sql")[name]


def _query(name: str) -> TextClause:
    return text(_sql(name))


def prepare(connection: Connection) -> None:
    """Create schema `runner` and its tables unless they exist; `connection` is in AUTOCOMMIT.

    Raises `InvalidSettings` if the role may not create a schema.
    """
    # CREATE SCHEMA checks the privilege even if the schema exists, so it is sent only when something is missing
    if NEWEST in _columns(connection):
        return
    with translating(ProgrammingError, lambda error: _denied(error, connection)):
        connection.exec_driver_sql(_sql("make"), {"key": KEY})
    # others may have made some of it first
    trust.look(connection)


def _columns(connection: Connection) -> set[str]:
    """Return the columns of both tables, none without a ledger."""
    known: set[str] | None = connection.info.get(COLUMNS)
    if known is None:
        known = set(connection.execute(_query("columns")).scalars())
        # only now: what was not there a moment ago may be somebody else's
        if known and not trust.exists(connection, "log"):
            return set()
        # an older ledger, or none, may become a whole one at any moment
        if NEWEST in known:
            connection.info[COLUMNS] = known
    return known


def _read(connection: Connection, name: str, needs: str = "migration_log.revision") -> "list[RowMapping]":
    """Return the rows of a query; none without a ledger, or with one that lacks a column, as an older image made it."""
    columns = _columns(connection)
    if needs not in columns:
        return []
    # rows from before there was the column are those of the only project that there was
    run, log = ("r.version_table", "l.version_table") if VERSIONED in columns else (f"'{VersionTable()}'",) * 2
    codes = ("code_checksum", "downgrade_checksum")
    code = ", ".join(f"l.{name}" if CODE in columns else f"null::text as {name}" for name in codes)
    query = text(_sql(name).format(run=run, log=log, code=code))
    return list(connection.execute(query, _of_project(connection)).mappings())


def _of_project(connection: Connection) -> dict[str, str]:
    return {"version_table": str(connect.version_table(connection))}


def _denied(error: ProgrammingError, connection: Connection) -> InvalidSettings | None:
    if sqlstate.sqlstate(error) != sqlstate.INSUFFICIENT_PRIVILEGE:
        return None
    role, database = connection.exec_driver_sql("select current_user, current_database()").one()
    owner = connection.execute(_query("owner")).scalar_one_or_none()
    if owner is not None:
        return InvalidSettings(
            f"The ledger's tables belong to `{owner}`; `{role}` may not add the columns that an older image lacked.",
            f"Set `DB_ROLE` to `{owner}`, or run `migrate upgrade` as that role once.",
        )
    return InvalidSettings(
        f"The role `{role}` may not create the schema `runner` in `{database}`, where the ledger is kept.",
        f"Run `GRANT CREATE ON DATABASE {quote(database)} TO {quote(role)}` as the database's owner.",
    )


def begin(connection: Connection, run: Run) -> int:
    """Write the row of a run that begins, and return its `run_id`."""
    return _begin(connection, run, None)


def record_idle(connection: Connection, run: Run) -> None:
    """Write the row of a run that found nothing to do, with its answer; `migrate promote` accepts it as proof."""
    _begin(connection, run, fit(run.draft.succeed().as_json()))


def _begin(connection: Connection, run: Run, answer: Mapping[str, Any] | None) -> int:
    invocation = run.invocation
    run_id: int = connection.execute(
        # by default SQLAlchemy would store None as JSON's null, which is not SQL's
        _query("begin").bindparams(bindparam("answer", type_=JSON(none_as_null=True))),
        {
            "request_id": invocation.request_id,
            "version_table": str(invocation.settings.version_table),
            "action": run.draft.action,
            "target": run.resolved.target,
            "planned": list(run.change.pending),
            "direction": run.resolved.direction or "upgrade",
            "actor": run.terms.actor,
            # a call is answered by what ended it
            "idempotency_key": None if run.is_first_half else run.terms.idempotency_key,
            "payload_sha256": run.terms.payload_sha256,
            "plan": run.terms.plan,
            "function_version": invocation.settings.function_version,
            "image_digest": invocation.settings.image_digest,
            "heads": list(run.resolved.heads),
            "tool_version": __version__,
            "answer": answer,
            "idle": answer is not None,
        },
    ).scalar_one()
    return run_id


def record_ended_session(connection: Connection, invocation: Invocation, actor: str | None, session: str) -> bool:
    """Write that `actor` ended a session; return False where there is no ledger, or one that an older image made."""
    if VERSIONED not in _columns(connection):
        return False
    connection.execute(
        _query("ended_session"),
        {
            "request_id": invocation.request_id,
            "session": session,
            "actor": actor,
            "function_version": invocation.settings.function_version,
            "image_digest": invocation.settings.image_digest,
            "tool_version": __version__,
            **_of_project(connection),
        },
    )
    return True


def success(run: Run, lock: MigrationLock, transaction: Transaction) -> str:
    """Return the statement that writes the current revision's row inside its transaction.

    The server rejects the row where a proof fails; `refusal` translates that error.
    """
    held, work = lock.held
    statement = _sql("success").format(lock=held, work=work, same=transaction.is_marked)
    with transaction.driver.cursor() as cursor:
        return str(cursor.mogrify(statement, _of_attempt(run)).decode())


def refusal(error: BaseException) -> Exception | None:
    """Return the exception for a rejected row of `success`, None for other errors."""
    diagnosis: Any = getattr(getattr(error, "orig", error), "diag", None)
    if diagnosis is None or (diagnosis.schema_name, diagnosis.table_name) != ("runner", "migration_log"):
        return None
    unproven = {"run_id": ConnectionLost(), "direction": ReleasesLock(), "revision": EndsTransaction(late=True)}
    return unproven.get(diagnosis.column_name)


def locks(connection: Connection, run_id: int) -> dict[str, dict[str, str]]:
    """Return the locks that each revision of a run held before its commit: the strongest mode by the table's name."""
    return {row.revision: row.locks for row in connection.execute(_query("locks"), {"run_id": run_id})}


def record_failure(connection: Connection, run: Run, error_code: str) -> None:
    """Write that the current revision failed; `connection` is not the one that is rolled back."""
    connection.execute(_query("failure"), {**_of_attempt(run), "error_code": error_code})


def _of_attempt(run: Run) -> dict[str, object]:
    attempt, step = run.current_attempt, run.current_attempt.step
    return {
        "version_table": str(run.invocation.settings.version_table),
        "run_id": run.run_id,
        "revision": step.revision,
        "direction": step.direction,
        **_texts(Checksums(None) if step.script is None else graph.checksums(step.script)),
        "duration_ms": attempt.duration_ms,
        "lock_wait_ms": run.lock_wait_ms(),
    }


def _texts(checksums: Checksums) -> dict[str, object]:
    return {
        "checksum": checksums.text,
        "code_checksum": checksums.code,
        "downgrade_checksum": checksums.downgrade,
    }


def record_repair(connection: Connection, run_id: int, revision: str, checksums: Checksums) -> None:
    """Write the checksums of an applied revision's present text, which was not run."""
    parameters = {"run_id": run_id, "revision": revision, **_texts(checksums), **_of_project(connection)}
    connection.execute(_query("repair"), parameters)


def close_interrupted(connection: Connection, run_id: int | None) -> None:
    """Mark the project's runs that were killed as interrupted, and the revision each was in.

    `run_id` is the present run.
    """
    if not _columns(connection):
        return
    prepare(connection)
    connection.execute(_query("close_interrupted"), {"run_id": run_id or 0, **_of_project(connection)})


def record_invalid(connection: Connection, run: Run, invalid: Mapping[str, str]) -> Before:
    """Write which indexes are invalid before a revision's autocommit block, and return what its tries found and began.

    That is what the earliest one found, with the drops that any of them began. `invalid` are names by oid.
    """
    query = _query("record_invalid").bindparams(bindparam("invalid", type_=JSONB))
    parameters = {"run_id": run.run_id, "revision": run.current_attempt.step.revision, "invalid": dict(invalid)}
    return Before(**connection.execute(query, {**parameters, **_of_project(connection)}).scalar_one())


def record_drop(connection: Connection, run: Run, index: Mapping[str, str]) -> Before:
    """Write which index, a name by its oid, a revision is about to drop concurrently."""
    query = _query("record_drop").bindparams(bindparam("dropped", type_=JSONB))
    parameters = {"run_id": run.run_id, "revision": run.current_attempt.step.revision, "dropped": dict(index)}
    return Before(**connection.execute(query, parameters).scalar_one())


def unfinished_drops(connection: Connection) -> "dict[tuple[str, str], RowMapping]":
    """Return the `revision` and its `direction` by the oid and the name of each index that its DROP is yet to finish.

    Empty without a ledger.
    """
    rows = _read(connection, "unfinished_drops", needs=INVALID_BEFORE)
    return {(row["oid"], row["name"]): row for row in rows}


def answered(connection: Connection, key: str, payload_sha256: str | None) -> dict[str, Any] | None:
    """Return the successful answer to an earlier call with the same key and payload, None if there is none."""
    if not _columns(connection):
        return None
    parameters = {"key": key, "payload_sha256": payload_sha256, **_of_project(connection)}
    return connection.execute(_query("answered"), parameters).scalar_one_or_none()


@dataclass(frozen=True)
class Recorded:
    """The text of a revision that the ledger has: the last one recorded, and the one that ran."""

    revision: str
    ran_at: str
    """The day on which the last one was recorded, in UTC."""
    checksum: str
    code_checksum: str | None
    """Of what the text runs, here and below None where an older image wrote the row."""
    downgrade_checksum: str | None
    ran_checksum: str | None
    """Of the text that ran; it is another one after a repair. None if the ledger has only the repair."""
    ran_code: str | None

    @property
    def is_accepted_only(self) -> bool:
        """Return whether a repair recorded a text that runs something else than what ran."""
        known = None not in (self.code_checksum, self.ran_code)
        return known and self.checksum != self.ran_checksum and self.code_checksum != self.ran_code

    def runs_the_same(self, present: Checksums) -> bool | None:
        """Return whether a text runs the same as the one that ran; None where that is not known."""
        if present.text == self.ran_checksum:
            return True
        return None if None in (present.code, self.ran_code) else present.code == self.ran_code


def checksums(connection: Connection) -> dict[str, Recorded]:
    """Return what the ledger has of the text of each revision, by revision; empty without a ledger."""
    return {row["revision"]: Recorded(**row) for row in _read(connection, "checksums")}


@dataclass(frozen=True)
class Testimony:
    """What the ledger says of a revision, or of a stamp."""

    revision: str
    run_id: int
    direction: str
    ran_at: str
    """The day, in UTC."""
    settles: bool
    """Whether it is a stamp without a step, which says that the version table is right as it is."""


def testimonies(connection: Connection) -> list[Testimony]:
    """Return the newest row of each revision, and all stamps; empty without a ledger."""
    return [Testimony(**row) for row in _read(connection, "testimonies")]


def finish(connection: Connection, run_id: int, answer: Answer, plan_of_rest: str | None = None) -> None:
    """Write how the run ended, with its answer and, for a `partial` one, the plan id that resumes it."""
    document = fit(answer.as_json())
    parameters = {"run_id": run_id, "status": answer.status, "answer": document, "plan_of_rest": plan_of_rest}
    query = _query("finish").bindparams(bindparam("answer", type_=JSON))
    connection.execute(query, parameters)


def plan_of_rest(connection: Connection, plan: str) -> str | None:
    """Return the id of the plan for the rest, if the last run was held to `plan` and ended `partial`; else None."""
    if not _columns(connection):
        return None
    return connection.execute(_query("plan_of_rest"), {"plan": plan, **_of_project(connection)}).scalar_one_or_none()


def redone(connection: Connection) -> str | None:
    """Return the revision that a `redo` has reverted, if no revision ran since; else None."""
    return next((row["revision"] for row in _read(connection, "redone")), None)


def killed(connection: Connection) -> list[str]:
    """Return the request ids of the runs without an end; if nobody holds the migration lock, they were killed."""
    return [row["request_id"] for row in _read(connection, "killed")]


@dataclass(frozen=True)
class KilledBuild:
    """A run that was killed in the autocommit block of a revision, and what that block had found."""

    request_id: str
    revision: str
    before: Before


def killed_builds(connection: Connection) -> list[KilledBuild]:
    """Return the killed runs that were in an autocommit block, or behind it; see `killed`."""
    rows = _read(connection, "killed_builds", needs=NEWEST)
    return [KilledBuild(row["request_id"], row["revision"], Before(**row["before"])) for row in rows]


def latest(connection: Connection) -> "dict[str, LedgerRow]":
    """Return the newest row of each revision, by revision; empty without a ledger."""
    # its classes take 8 ms, which a run that changes a database saves
    from runner.results import LedgerRow

    rows = _read(connection, "latest")
    return {row["revision"]: LedgerRow(**{**row, "started_at": _as_utc(row["started_at"])}) for row in rows}


def images(connection: Connection) -> "list[ImageRun]":
    """Return the last run of each of the latest 50 images, and when a run of that image last succeeded.

    `heads` are the image's own revisions, `to` is where the run left the database. Empty without a ledger, or with one
    that an older image made.
    """
    # as in `latest`

    from runner.results import ImageRun

    rows = _read(connection, "images", needs="migration_run.heads")
    moments = ("started_at", "succeeded_at")
    return [ImageRun(**{**row, **{name: _as_utc(row[name]) for name in moments}}) for row in rows]


def _as_utc(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
