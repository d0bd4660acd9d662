-- The statements of `ledger.py`. The line above each statement has its name.

-- name: make
-- The migration lock is that of one project, and two that come at once both find nothing; IF NOT EXISTS would let one of
-- them fail. Released at the end of this message, which is a transaction.
select pg_advisory_xact_lock(%(key)s);
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
    answer jsonb,
    version_table text not null default 'public.alembic_version',
    invalid_before jsonb
);
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
    error_code text,
    version_table text not null default 'public.alembic_version',
    code_checksum text,
    downgrade_checksum text
);
-- An older image made the tables without these. Images from before there was `version_table` still write rows, all of
-- this default's project, which was the only one. `migration_log` first, in which order a revision's row locks them.
alter table runner.migration_log
    add column if not exists version_table text not null default 'public.alembic_version',
    add column if not exists code_checksum text, add column if not exists downgrade_checksum text;
alter table runner.migration_run add column if not exists plan text, add column if not exists plan_of_rest text,
    add column if not exists heads text[],
    add column if not exists version_table text not null default 'public.alembic_version',
    add column if not exists invalid_before jsonb;
comment on column runner.migration_log.checksum is 'SHA-256 of the text of the revision';
comment on column runner.migration_log.code_checksum is
    'SHA-256 of its syntax tree, without comments and docstrings; null where it is not known';
comment on column runner.migration_log.downgrade_checksum is
    'SHA-256 of downgrade() and of what it uses of the file; null where it is not known';
comment on column runner.migration_run.actor is 'what the caller claimed, not what was proven';
comment on column runner.migration_run.invalid_before is
    'by revision: the indexes, names by oid, that were invalid before its autocommit block, and those that it drops';
comment on column runner.migration_run.heads is 'the revisions of the image that no other follows';
create index if not exists migration_log_revision on runner.migration_log (revision, log_id);
create index if not exists migration_run_idempotency_key on runner.migration_run (idempotency_key);
create index if not exists migration_run_invalid_before on runner.migration_run (version_table, run_id)
    where invalid_before is not null;
create index if not exists migration_run_planned on runner.migration_run (version_table, run_id) where planned <> '{}';
create index if not exists migration_run_running on runner.migration_run (run_id) where status = 'running';

-- name: columns
-- not `to_regclass`: it fails for a role without USAGE on the schema, and its error does not say what is missing
select c.relname || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'runner' and c.relname in ('migration_run', 'migration_log') and a.attnum > 0;

-- name: owner
select c.relowner::regrole::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'runner' and c.relname = 'migration_run';

-- name: begin
insert into runner.migration_run
    (version_table, request_id, action, target, planned, direction, actor, idempotency_key, payload_sha256, plan,
     function_version, image_digest, heads, tool_version, answer, status, finished_at)
values (:version_table, :request_id, :action, :target, :planned, :direction, :actor, :idempotency_key, :payload_sha256, :plan,
        :function_version, :image_digest, :heads, :tool_version, :answer,
        case when :idle then 'success' else 'running' end, case when :idle then clock_timestamp() end)
returning run_id;

-- name: ended_session
-- Without `image_digest`: to an older image it would be that image's last run, which proves it or not. The caller may
-- have named nobody; the login is known all the same.
insert into runner.migration_run
    (version_table, request_id, action, target, planned, direction, actor, function_version, tool_version, status,
     finished_at, answer)
values (:version_table, :request_id, 'end-session', :session, '{}', 'none',
        coalesce(:actor, 'not named, login ' || session_user), :function_version, :tool_version, 'success',
        clock_timestamp(), jsonb_strip_nulls(jsonb_build_object('image_digest', cast(:image_digest as text))));

-- name: success
-- Sent in one message with the statement that writes the version, so that neither stays without the other. A column
-- that may not be null is null where a proof fails: `run_id` without the migration lock, `direction` without the lock
-- of the work's session, `revision` in another transaction than the one in which the revision began. Not prepared: each
-- revision begins without prepared statements. Of the modes on one table the aggregate keeps the last, the strongest.
-- Oids below 16384 are system catalogs.
-- https://www.postgresql.org/docs/current/view-pg-locks.html
-- https://www.postgresql.org/docs/current/explicit-locking.html
-- https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT
insert into runner.migration_log
    (version_table, run_id, revision, direction, checksum, code_checksum, downgrade_checksum, status, started_at,
     duration_ms, lock_wait_ms, locks)
select %(version_table)s, case when {lock} then %(run_id)s end, case when {same} then %(revision)s end,
       case when {work} then %(direction)s end, %(checksum)s, %(code_checksum)s, %(downgrade_checksum)s, 'success',
       clock_timestamp() - make_interval(secs => %(duration_ms)s / 1000.0), %(duration_ms)s, %(lock_wait_ms)s,
       (select jsonb_object_agg(regexp_replace(l.relation::regclass::text, '^public[.]', ''), l.mode order by array_position(
                   array['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                         'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], l.mode))
        from pg_lock_status() l join pg_class c on c.oid = l.relation
        where l.granted and l.pid = pg_backend_pid() and l.locktype = 'relation' and l.relation >= 16384
          and c.relkind in ('r', 'p', 'm', 'v')
          and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema$|runner$)');

-- name: locks
select revision, locks from runner.migration_log where run_id = :run_id and status = 'success' and locks is not null;

-- name: failure
insert into runner.migration_log
    (version_table, run_id, revision, direction, checksum, code_checksum, downgrade_checksum, status, started_at,
     duration_ms, lock_wait_ms, error_code)
values (:version_table, :run_id, :revision, :direction, :checksum, :code_checksum, :downgrade_checksum, 'failed',
        clock_timestamp() - make_interval(secs => :duration_ms / 1000.0), :duration_ms, :lock_wait_ms, :error_code);

-- name: repair
insert into runner.migration_log
    (version_table, run_id, revision, direction, checksum, code_checksum, downgrade_checksum, status, started_at)
values (:version_table, :run_id, :revision, 'stamp', :checksum, :code_checksum, :downgrade_checksum, 'success',
        clock_timestamp());

-- name: close_interrupted
-- Under both locks no other run of the project is active, so a row that is still `running` belongs to a killed run. It
-- was in the first of its planned revisions that has no row of success.
with dead as (
    update runner.migration_run set status = 'interrupted', finished_at = clock_timestamp()
    where status = 'running' and run_id <> :run_id and version_table = :version_table returning *
)
insert into runner.migration_log (version_table, run_id, revision, direction, status, started_at, error_code)
select d.version_table, d.run_id, (select p.name from unnest(d.planned) with ordinality p(name, place)
                  where p.name not in (select l.revision from runner.migration_log l
                                       where l.run_id = d.run_id and l.status = 'success')
                  order by place limit 1) as revision,
       d.direction, 'interrupted', d.started_at, 'interrupted'
from dead d
where exists (select from unnest(d.planned) p(name)
              where p.name not in (select l.revision from runner.migration_log l
                                   where l.run_id = d.run_id and l.status = 'success'));

-- name: record_invalid
-- A try after one that failed or was killed keeps its list, which it has from the tries before it, and the drops that
-- it began: what is invalid beside that is what an earlier try left. A later success of the revision ends that.
update runner.migration_run
set invalid_before = jsonb_build_object(cast(:revision as text), coalesce(
    (select e.invalid_before -> :revision from runner.migration_run e
     where e.version_table = :version_table and e.invalid_before is not null and e.invalid_before ? :revision
       and not exists (select from runner.migration_log l
                       where l.version_table = :version_table and l.revision = :revision and l.status = 'success'
                         and l.run_id >= e.run_id)
     order by e.run_id desc limit 1), jsonb_build_object('invalid', :invalid, 'dropped', '{}'::jsonb)))
where run_id = :run_id
returning invalid_before -> :revision;

-- name: record_drop
update runner.migration_run
set invalid_before = jsonb_set(invalid_before, array[:revision, 'dropped'],
                               (invalid_before #> array[:revision, 'dropped']) || :dropped)
where run_id = :run_id
returning invalid_before -> :revision;

-- name: unfinished_drops
-- Of every project, since the indexes are the database's. A revision that has succeeded since has dropped its own.
select d.key as oid, d.value as name, e.key as revision, r.direction
from runner.migration_run r, jsonb_each(r.invalid_before) e, jsonb_each_text(e.value -> 'dropped') d
where not exists (select from runner.migration_log l
                  where l.version_table = r.version_table and l.revision = e.key and l.status = 'success'
                    and l.run_id >= r.run_id)
order by r.run_id;

-- name: answered
-- a call that failed is repeated to run again, not to get its error again
select answer from runner.migration_run
where idempotency_key = :key and payload_sha256 = :payload_sha256 and status = 'success'
  and version_table = :version_table
order by run_id desc limit 1;

-- name: checksums
-- What was recorded last, and what ran: a repair records a text, it does not run it.
with logged as (
    select l.log_id, l.revision, l.checksum, l.started_at, r.action, {code}
    from runner.migration_log l join runner.migration_run r using (run_id)
    where l.status = 'success' and l.direction <> 'downgrade' and l.checksum is not null and {log} = :version_table
), ran as (
    select distinct on (revision) * from logged where action <> 'repair' order by revision, log_id desc
)
select distinct on (revision) revision, l.checksum, l.downgrade_checksum,
       to_char(l.started_at at time zone 'UTC', 'YYYY-MM-DD') as ran_at,
       ran.checksum as ran_checksum, ran.code_checksum as ran_code, l.code_checksum
from logged l left join ran using (revision)
order by revision, l.log_id desc;

-- name: testimonies
-- The row of a stamp has all the heads that it wrote; a repair is no stamp, but says that its revision is applied.
select unnest(string_to_array(revision, ',')) as revision, run_id, direction,
       to_char(started_at at time zone 'UTC', 'YYYY-MM-DD') as ran_at, false as settles
from (
    select distinct on (l.revision, l.direction = 'stamp' and r.action <> 'repair') l.revision, l.run_id, l.started_at,
           case when r.action = 'repair' then 'upgrade' else l.direction end as direction
    from runner.migration_log l join runner.migration_run r using (run_id)
    where l.status = 'success' and {log} = :version_table
    order by l.revision, l.direction = 'stamp' and r.action <> 'repair', l.log_id desc
) newest
union all
select target, run_id, direction, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD'), true
from runner.migration_run r
where direction = 'stamp' and action <> 'repair' and planned = '{{}}' and status = 'success' and {run} = :version_table;

-- name: finish
update runner.migration_run
set status = :status, finished_at = clock_timestamp(), answer = :answer, plan_of_rest = :plan_of_rest
where run_id = :run_id;

-- name: plan_of_rest
-- only of the last run with anything to do: a later one changed what the plan consists of
select plan_of_rest from runner.migration_run
where run_id = (select max(run_id) from runner.migration_run
                where planned <> '{}' and version_table = :version_table) and plan = :plan;

-- name: redone
select l.revision from runner.migration_log l join runner.migration_run r using (run_id)
where l.direction = 'downgrade' and r.action = 'redo'
  and l.log_id = (select max(log_id) from runner.migration_log l
                  where l.status = 'success' and l.direction <> 'stamp' and {log} = :version_table);

-- name: killed
select request_id from runner.migration_run r where status = 'running' and {run} = :version_table order by run_id;

-- name: killed_builds
select r.request_id, e.key as revision, e.value as before
from runner.migration_run r, jsonb_each(r.invalid_before) e
where r.status = 'running' and {run} = :version_table order by r.run_id;

-- name: latest
select distinct on (l.revision)
       l.revision, l.direction, l.status, l.started_at, l.duration_ms, l.error_code, r.actor, r.request_id,
       r.image_digest
from runner.migration_log l join runner.migration_run r using (run_id)
-- A repair records a text, it does not run the revision. An image from before there was `version_table` takes another
-- project's live run for a killed one of its own, and writes a row for it.
where r.action <> 'repair' and {run} = :version_table and {log} = :version_table
order by l.revision, l.log_id desc;

-- name: images
select * from (
    select distinct on (image_digest)
           image_digest, action, direction, status, request_id, started_at, heads, answer ->> 'to' as "to",
           -- a window sees all runs of the image; `distinct on` keeps the last one only afterwards
           max(finished_at) filter (where status = 'success') over (partition by image_digest) as succeeded_at
    from runner.migration_run r
    where image_digest is not null and action <> 'end-session' and {run} = :version_table
    order by image_digest, run_id desc
) last
order by started_at desc limit 50;
