"""What ran: who, when, what and how long, in schema `runner`, where autogenerate does not look."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.types import JSON

from runner import __version__
from runner.errors import InvalidSettings
from runner.settings import Settings

INSUFFICIENT_PRIVILEGE = "42501"

DDL = """
create schema if not exists runner;
create table if not exists runner.migration_run (
    run_id bigint generated always as identity primary key,
    request_id text not null,
    action text not null,
    target text not null,
    actor text,
    function_version text,
    image_digest text,
    tool_version text not null,
    status text not null default 'running' check (status in ('running', 'success', 'partial', 'error')),
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    answer jsonb
);
comment on column runner.migration_run.actor is 'what the caller claimed, not what was proven';
create table if not exists runner.migration_log (
    log_id bigint generated always as identity primary key,
    run_id bigint not null references runner.migration_run,
    revision text not null,
    direction text not null check (direction in ('upgrade', 'downgrade', 'stamp')),
    checksum text,
    status text not null check (status in ('success', 'failed')),
    started_at timestamptz not null,
    duration_ms double precision not null,
    error_code text
);
create index if not exists migration_log_revision on runner.migration_log (revision, log_id);
"""
EXISTS = text("select to_regclass('runner.migration_log') is not null")
BEGIN = text("""
    insert into runner.migration_run
        (request_id, action, target, actor, function_version, image_digest, tool_version)
    values (:request_id, :action, :target, :actor, :function_version, :image_digest, :tool_version)
    returning run_id
""")
RECORD = text("""
    insert into runner.migration_log
        (run_id, revision, direction, checksum, status, started_at, duration_ms, error_code)
    values (:run_id, :revision, :direction, :checksum, :status,
            clock_timestamp() - make_interval(secs => :duration_ms / 1000.0), :duration_ms, :error_code)
""")
FINISH = text("""
    update runner.migration_run set status = :status, finished_at = clock_timestamp(), answer = :answer
    where run_id = :run_id
""").bindparams(bindparam("answer", type_=JSON))
LATEST = text("""
    select distinct on (l.revision)
           l.revision, l.direction, l.status, l.started_at, l.duration_ms, l.error_code, r.actor, r.request_id,
           r.image_digest
    from runner.migration_log l join runner.migration_run r using (run_id)
    order by l.revision, l.log_id desc
""")


def prepare(connection: Connection) -> None:
    """Make schema `runner` and its tables unless they are there; `connection` is in AUTOCOMMIT.

    Raises `InvalidSettings` when the role may not create a schema.
    """
    if connection.execute(EXISTS).scalar_one():
        return
    try:
        connection.exec_driver_sql(DDL)
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != INSUFFICIENT_PRIVILEGE:
            raise
        denied = connection.exec_driver_sql("select current_user, current_database()").one()
    else:
        return
    raise InvalidSettings(
        f"The role `{denied[0]}` may not create the schema `runner` in `{denied[1]}`, where the ledger is kept.",
        f"Run `GRANT CREATE ON DATABASE {denied[1]} TO {denied[0]}` as the database's owner.",
    )


def begin(
    connection: Connection, settings: Settings, request_id: str, action: str, target: str, actor: str | None
) -> int:
    """Write that a run has begun and return its `run_id`."""
    run_id: int = connection.execute(
        BEGIN,
        {
            "request_id": request_id,
            "action": action,
            "target": target,
            "actor": actor,
            "function_version": settings.function_version,
            "image_digest": settings.image_digest,
            "tool_version": __version__,
        },
    ).scalar_one()
    return run_id


def record(
    connection: Connection,
    run_id: int,
    revision: str,
    direction: str,
    checksum: str | None,
    duration_ms: float,
    error_code: str | None = None,
) -> None:
    """Write one revision's row, inside whatever transaction `connection` is in."""
    connection.execute(
        RECORD,
        {
            "run_id": run_id,
            "revision": revision,
            "direction": direction,
            "checksum": checksum,
            "status": "failed" if error_code else "success",
            "duration_ms": duration_ms,
            "error_code": error_code,
        },
    )


def finish(connection: Connection, run_id: int, answer: Mapping[str, Any]) -> None:
    """Write how the run ended, with its whole answer."""
    connection.execute(FINISH, {"run_id": run_id, "status": answer["status"], "answer": dict(answer)})


def latest(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return the newest row of each revision, keyed by revision; empty where no ledger exists yet."""
    if not connection.execute(EXISTS).scalar_one():
        return {}
    rows = connection.execute(LATEST).mappings()
    return {row["revision"]: {**row, "started_at": row["started_at"].isoformat()} for row in rows}
