"""What ran: who, when, what and how long, in schema `runner`, where autogenerate does not look."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.types import JSON

from runner import __version__
from runner.answer import Answer
from runner.engine.state import Run
from runner.errors import ConnectionLost, InvalidSettings, translating
from runner.postgres import sqlstate
from runner.postgres.advisory_lock import MigrationLock
from runner.postgres.version_table import VERSION_TABLE
from runner.script import graph

if TYPE_CHECKING:
    from runner.results import ImageRun, LedgerRow

DDL = """
create schema if not exists runner;
create table if not exists runner.migration_run (
    run_id bigint generated always as identity primary key,
    request_id text not null,
    action text not null,
    target text not null,
    planned text[] not null,
    direction text not null,
    actor text,
    idempotency_key text,
    payload_sha256 text,
    plan text,
    plan_of_rest text,
    function_version text,
    image_digest text,
    heads text[],
    tool_version text not null,
    status text not null default 'running' check (status in ('running', 'success', 'partial', 'error', 'interrupted')),
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    answer jsonb
);
alter table runner.migration_run add column if not exists plan text, add column if not exists plan_of_rest text,
    add column if not exists heads text[];
comment on column runner.migration_run.actor is 'what the caller claimed, not what was proven';
comment on column runner.migration_run.heads is 'the revisions of the image that no other follows';
create table if not exists runner.migration_log (
    log_id bigint generated always as identity primary key,
    run_id bigint not null references runner.migration_run,
    revision text not null,
    direction text not null check (direction in ('upgrade', 'downgrade', 'stamp')),
    checksum text,
    status text not null check (status in ('success', 'failed', 'interrupted')),
    started_at timestamptz not null,
    duration_ms double precision,
    lock_wait_ms double precision,
    locks jsonb,
    error_code text
);
create index if not exists migration_log_revision on runner.migration_log (revision, log_id);
create index if not exists migration_run_idempotency_key on runner.migration_run (idempotency_key);
create index if not exists migration_run_running on runner.migration_run (run_id) where status = 'running';
"""
# `to_regclass` would fail for a role that may not look into the schema, without saying what it lacks.
EXISTS = text("""
    select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                   where n.nspname = 'runner' and c.relname = 'migration_log')
""")
UP_TO_DATE = text("""
    select exists (select from pg_attribute a join pg_class c on c.oid = a.attrelid
                   join pg_namespace n on n.oid = c.relnamespace
                   where n.nspname = 'runner' and c.relname = 'migration_run' and a.attname = 'heads')
""")
BEGIN = text("""
    insert into runner.migration_run
        (request_id, action, target, planned, direction, actor, idempotency_key, payload_sha256, plan,
         function_version, image_digest, heads, tool_version, answer, status, finished_at)
    values (:request_id, :action, :target, :planned, :direction, :actor, :idempotency_key, :payload_sha256, :plan,
            :function_version, :image_digest, :heads, :tool_version, :answer,
            case when :idle then 'success' else 'running' end, case when :idle then clock_timestamp() end)
    returning run_id
""").bindparams(bindparam("answer", type_=JSON(none_as_null=True)))
# It takes several times as long to plan as to run, so it is planned once a connection. It writes nothing unless the
# migration lock is still held by the session `$9`. The lock modes are those of
# https://www.postgresql.org/docs/current/explicit-locking.html, the strongest first; what is below 16384 is a catalog:
# https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT.
PREPARE_SUCCESS = """
    prepare migration_log_success (bigint, text, text, text, float8, float8, text, bigint, int) as
    with held as materialized (select * from pg_locks where granted and pid in (pg_backend_pid(), $9))
    insert into runner.migration_log
        (run_id, revision, direction, checksum, status, started_at, duration_ms, lock_wait_ms, locks)
    select $1, $2, $3, $4, 'success', clock_timestamp() - make_interval(secs => $5 / 1000.0), $5, $6,
           (select jsonb_object_agg(name, mode)
            from (select distinct on (name) l.relation::regclass::text as name, l.mode
                  from held l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
                  where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.relation >= 16384
                    and c.relkind in ('r', 'p', 'm', 'v')
                    and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
                    and c.relname <> $7
                  order by name, array_position(
                      array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
                            'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'],
                      l.mode)) strongest)
    where exists (select from held l where l.pid = $9 and l.locktype = 'advisory' and l.objsubid = 1
                  and ((l.classid::bigint << 32) | l.objid::bigint) = $8)
    returning locks
"""
PREPARED = "runner.migration_log_success"
# Bringing deferred constraints forward puts their work under `statement_timeout`, which does not bound COMMIT.
SUCCESS = """
    set constraints all immediate;
    execute migration_log_success (%(run_id)s, %(revision)s, %(direction)s, %(checksum)s, %(duration_ms)s,
                                   %(lock_wait_ms)s, %(version_table)s, %(key)s, %(pid)s)
"""
FAILURE = text("""
    insert into runner.migration_log
        (run_id, revision, direction, checksum, status, started_at, duration_ms, lock_wait_ms, error_code)
    values (:run_id, :revision, :direction, :checksum, 'failed',
            clock_timestamp() - make_interval(secs => :duration_ms / 1000.0), :duration_ms, :lock_wait_ms, :error_code)
""")
REPAIR = text("""
    insert into runner.migration_log (run_id, revision, direction, checksum, status, started_at)
    values (:run_id, :revision, 'stamp', :checksum, 'success', clock_timestamp())
""")
# Under the lock nobody else can be running, so who says so was killed. Of what it had planned, the first
# revision that it did not finish is the one it was in.
INTERRUPTED = text("""
    with dead as (
        update runner.migration_run set status = 'interrupted', finished_at = clock_timestamp()
        where status = 'running' and run_id <> :run_id returning *
    )
    insert into runner.migration_log (run_id, revision, direction, status, started_at, error_code)
    select d.run_id, (select p.name from unnest(d.planned) with ordinality p(name, place)
                      where p.name not in (select l.revision from runner.migration_log l
                                           where l.run_id = d.run_id and l.status = 'success')
                      order by place limit 1) as revision,
           d.direction, 'interrupted', d.started_at, 'interrupted'
    from dead d
    where exists (select from unnest(d.planned) p(name)
                  where p.name not in (select l.revision from runner.migration_log l
                                       where l.run_id = d.run_id and l.status = 'success'))
""")
ANSWERED = text("""
    select answer from runner.migration_run
    where idempotency_key = :key and payload_sha256 = :payload_sha256 and status = 'success'
    order by run_id desc limit 1
""")
CHECKSUMS = text("""
    select distinct on (revision) revision, checksum, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD') as ran_at
    from runner.migration_log
    where status = 'success' and direction <> 'downgrade' and checksum is not null
    order by revision, log_id desc
""")
FINISH = text("""
    update runner.migration_run
    set status = :status, finished_at = clock_timestamp(), answer = :answer, plan_of_rest = :plan_of_rest
    where run_id = :run_id
""").bindparams(bindparam("answer", type_=JSON))
PLAN_OF_REST = text("""
    select plan_of_rest from runner.migration_run
    where run_id = (select max(run_id) from runner.migration_run where planned <> '{}') and plan = :plan
""")
RUNNING = text("select request_id from runner.migration_run where status = 'running' order by run_id")
LATEST = text("""
    select distinct on (l.revision)
           l.revision, l.direction, l.status, l.started_at, l.duration_ms, l.error_code, r.actor, r.request_id,
           r.image_digest
    from runner.migration_log l join runner.migration_run r using (run_id)
    where r.action <> 'repair'
    order by l.revision, l.log_id desc
""")
IMAGES = text("""
    select * from (
        select distinct on (image_digest)
               image_digest, action, direction, status, request_id, started_at, heads, answer ->> 'to' as "to",
               max(finished_at) filter (where status = 'success') over (partition by image_digest) as succeeded_at
        from runner.migration_run where image_digest is not null
        order by image_digest, run_id desc
    ) last
    order by started_at desc limit 50
""")


def prepare(connection: Connection) -> None:
    """Make schema `runner` and its tables unless they are there; `connection` is in AUTOCOMMIT.

    Raises `InvalidSettings` when the role may not create a schema.
    """
    if connection.execute(UP_TO_DATE).scalar_one():
        return
    with translating(ProgrammingError, lambda error: _denied(error, connection)):
        connection.exec_driver_sql(DDL)


def _denied(error: ProgrammingError, connection: Connection) -> InvalidSettings | None:
    if sqlstate.sqlstate(error) != sqlstate.INSUFFICIENT_PRIVILEGE:
        return None
    role, database = connection.exec_driver_sql("select current_user, current_database()").one()
    return InvalidSettings(
        f"The role `{role}` may not create the schema `runner` in `{database}`, where the ledger is kept.",
        f'Run `GRANT CREATE ON DATABASE "{database}" TO "{role}"` as the database\'s owner.',
    )


def begin(connection: Connection, run: Run) -> int:
    """Write that a run has begun and return its `run_id`."""
    return _begin(connection, run, None)


def record_idle(connection: Connection, run: Run) -> None:
    """Write that a run found nothing to do, with its whole answer: who asked, and which image found the database so."""
    _begin(connection, run, run.draft.succeed().as_json())


def _begin(connection: Connection, run: Run, answer: Mapping[str, Any] | None) -> int:
    asked = run.invocation
    run_id: int = connection.execute(
        BEGIN,
        {
            "request_id": asked.request_id,
            "action": run.draft.action,
            "target": run.settled.target,
            "planned": list(run.change.pending),
            "direction": run.settled.direction or "upgrade",
            "actor": run.terms.actor,
            "idempotency_key": run.terms.idempotency_key,
            "payload_sha256": run.terms.payload_sha256,
            "plan": run.terms.plan,
            "function_version": asked.settings.function_version,
            "image_digest": asked.settings.image_digest,
            "heads": list(run.settled.heads),
            "tool_version": __version__,
            "answer": answer,
            "idle": answer is not None,
        },
    ).scalar_one()
    return run_id


def record_success(connection: Connection, run: Run, lock: MigrationLock) -> dict[str, str]:
    """Write the current revision's row, inside its transaction, and return the locks that it holds.

    They are the strongest lock mode on each table, by the table's name. Raises `ConnectionLost` where the
    migration lock is not ours any more, so that the revision is rolled back.
    """
    # kept with the connection, and forgotten with it
    if PREPARED not in connection.info:
        connection.exec_driver_sql(PREPARE_SUCCESS)
        connection.info[PREPARED] = True
    ours = {"version_table": VERSION_TABLE, "key": lock.key, "pid": lock.pid}
    row = connection.exec_driver_sql(SUCCESS, {**_about(run), **ours}).first()
    if row is None:
        raise ConnectionLost
    return row.locks or {}


def record_failure(connection: Connection, run: Run, error_code: str) -> None:
    """Write that the current revision failed, on a connection that does not roll back."""
    connection.execute(FAILURE, {**_about(run), "error_code": error_code})


def _about(run: Run) -> dict[str, object]:
    attempt, step = run.trying, run.trying.step
    return {
        "run_id": run.run_id,
        "revision": step.revision,
        "direction": step.direction,
        "checksum": None if step.script is None else graph.checksum(step.script),
        "duration_ms": attempt.duration_ms,
        "lock_wait_ms": run.lock_wait_ms(),
    }


def record_repair(connection: Connection, run_id: int, revision: str, checksum: str) -> None:
    """Write that a revision's text is accepted as it is now; nothing of it was run."""
    connection.execute(REPAIR, {"run_id": run_id, "revision": revision, "checksum": checksum})


def close_interrupted(connection: Connection, run_id: int | None) -> None:
    """Write down which runs were killed, and in which revision; `run_id` is the one that still runs."""
    if not connection.execute(EXISTS).scalar_one():
        return
    connection.execute(INTERRUPTED, {"run_id": run_id or 0})


def answered(connection: Connection, key: str, payload_sha256: str | None) -> dict[str, Any] | None:
    """Return the successful answer to an earlier call with the same key and the same payload."""
    if not connection.execute(EXISTS).scalar_one():
        return None
    return connection.execute(ANSWERED, {"key": key, "payload_sha256": payload_sha256}).scalar_one_or_none()


def checksums(connection: Connection) -> dict[str, Any]:
    """Return the newest `checksum` and the day it `ran_at`, by revision; empty without a ledger."""
    if not connection.execute(EXISTS).scalar_one():
        return {}
    return {row.revision: row for row in connection.execute(CHECKSUMS)}


def finish(connection: Connection, run_id: int, answer: Answer, plan_of_rest: str | None = None) -> None:
    """Write how the run ended, with its whole answer, and the plan that a `partial` one is resumed under."""
    told = {"status": answer.status, "answer": answer.as_json(), "plan_of_rest": plan_of_rest}
    connection.execute(FINISH, {"run_id": run_id, **told})


def plan_of_rest(connection: Connection, plan: str) -> str | None:
    """Return the plan of what the last run left to do, if that was a `partial` one under `plan`."""
    if not connection.execute(UP_TO_DATE).scalar_one():
        return None
    return connection.execute(PLAN_OF_REST, {"plan": plan}).scalar_one_or_none()


def killed(connection: Connection) -> list[str]:
    """Return the request ids of the runs that never ended, provided that nobody holds the lock."""
    if not connection.execute(EXISTS).scalar_one():
        return []
    return list(connection.execute(RUNNING).scalars())


def latest(connection: Connection) -> "dict[str, LedgerRow]":
    """Return the newest row of each revision, keyed by revision; empty where no ledger exists yet."""
    from runner.results import LedgerRow

    if not connection.execute(EXISTS).scalar_one():
        return {}
    rows = connection.execute(LATEST).mappings()
    return {row["revision"]: LedgerRow(**{**row, "started_at": _moment(row["started_at"])}) for row in rows}


def images(connection: Connection) -> "list[ImageRun]":
    """Return the last run of each of the latest 50 images, and when a run of that image last ended well.

    `heads` are the image's own revisions, `to` is where the run left the database. Empty where no ledger knows them.
    """
    from runner.results import ImageRun

    if not connection.execute(UP_TO_DATE).scalar_one():
        return []
    rows = connection.execute(IMAGES).mappings()
    moments = ("started_at", "succeeded_at")
    return [ImageRun(**{**row, **{name: _moment(row[name]) for name in moments}}) for row in rows]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
