-- The statements of `activity.py`. The line above each statement has its name.

-- name: session
-- The id of a session as `%c` in `log_line_prefix` writes it: its start and its pid, in hexadecimal digits.
-- https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-LOG-LINE-PREFIX
to_hex(trunc(extract(epoch from a.backend_start))::bigint) || '.' || to_hex(a.pid)

-- name: progress
-- The commands of which PostgreSQL reports how far they are: https://www.postgresql.org/docs/current/progress-reporting.html
select pid, command, phase, relid, blocks_done as done, blocks_total as total from pg_stat_progress_create_index
union all
select pid, 'VACUUM', phase, relid, heap_blks_scanned, heap_blks_total from pg_stat_progress_vacuum
union all
select pid, command, phase, relid, heap_blks_scanned, heap_blks_total from pg_stat_progress_cluster
union all
select pid, 'ANALYZE', phase, relid, sample_blks_scanned, sample_blks_total from pg_stat_progress_analyze
union all
select pid, command, 'copying', relid, bytes_processed, bytes_total from pg_stat_progress_copy

-- name: progress_of
select command, phase, regexp_replace(relid::regclass::text, '^public[.]', '') as table, done, total
from ({progress}) p where pid = %(pid)s

-- name: blocker
-- Sessions that wait ahead in the queue block too; the oldest transaction is most likely the one they all wait for.
-- https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
select coalesce(regexp_replace(w.relation::regclass::text, '^public[.]', ''), w.locktype) as wanted, b.pid,
       a.application_name as application, a.state, {session} as session,
       extract(epoch from clock_timestamp() - a.state_change)::float as state_s,
       extract(epoch from clock_timestamp() - w.waitstart)::float * 1000 as waited_ms,
       coalesce(r.rolsuper, false) as superuser
from unnest(pg_blocking_pids(%(pid)s)) as b(pid)
left join pg_stat_activity a on a.pid = b.pid left join pg_roles r on r.oid = a.usesysid
-- the lock may have been granted since the list was made
join pg_locks w on w.pid = %(pid)s and not w.granted
order by coalesce(a.xact_start, a.backend_start) nulls last limit 1

-- name: read
-- `pg_locks` is read once: each reading locks the server's lock manager. The lock of a prepared transaction has no pid.
-- https://www.postgresql.org/docs/current/view-pg-locks.html
with lock as materialized (
    select l.*, (l.classid::bigint << 32) | l.objid::bigint as key,
           array_position(array['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
                                'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'],
                          l.mode) as strength
    from pg_locks l
), held as (
    -- of the modes on one table the aggregate keeps the last, the strongest; oids below 16384 are system catalogs
    select l.pid, l.virtualtransaction,
           jsonb_object_agg(regexp_replace(l.relation::regclass::text, '^public[.]', ''), l.mode order by l.strength)
               as locks
    from lock l join pg_class c on c.oid = l.relation
    where l.granted and l.locktype = 'relation' and l.relation >= 16384 and c.relkind in ('r', 'p', 'm', 'v')
      and l.database = (select oid from pg_database where datname = current_database())
    group by l.pid, l.virtualtransaction
), progress as (
    {progress}
)
select a.pid, {session} as session, a.usename::text as login, a.application_name as application,
       a.backend_type as kind, a.state,
       extract(epoch from clock_timestamp() - a.state_change)::float as state_s,
       extract(epoch from clock_timestamp() - a.xact_start)::float as transaction_s,
       extract(epoch from clock_timestamp() - a.backend_start)::float as connected_s,
       a.query, coalesce((select r.rolsuper from pg_roles r where r.oid = a.usesysid), false) as superuser,
       (select coalesce(regexp_replace(w.relation::regclass::text, '^public[.]', ''), w.locktype)
        from lock w where w.pid = a.pid and not w.granted limit 1) as waits_for,
       case when exists (select from lock w where w.pid = a.pid and not w.granted)
            then pg_blocking_pids(a.pid) else '{{}}' end as blocked_by,
       coalesce((select h.locks from held h where h.pid = a.pid limit 1), '{{}}') as locks,
       exists (select from lock l where l.pid = a.pid and l.granted and l.locktype = 'advisory' and l.objsubid = 1
                 and l.key = %(key)s) as holds_migration_lock,
       p.command, p.phase, p.done, p.total,
       regexp_replace(p.relid::regclass::text, '^public[.]', '') as progress_table
from pg_stat_activity a left join progress p on p.pid = a.pid
where a.datname = current_database() and a.pid <> pg_backend_pid()

-- name: prepared
-- Its locks have the virtual transaction in which it was prepared, or one of its own after a restart of the server.
select p.gid as name, p.owner::text, extract(epoch from clock_timestamp() - p.prepared)::float as age_s,
       'ROLLBACK PREPARED ' || quote_literal(p.gid) as ending,
       coalesce((select jsonb_object_agg(regexp_replace(l.relation::regclass::text, '^public[.]', ''), l.mode)
                 from pg_locks l join pg_class c on c.oid = l.relation
                 where l.locktype = 'relation' and l.pid is null and l.virtualtransaction in (
                         select t.virtualtransaction from pg_locks t
                         where t.locktype = 'transactionid' and t.transactionid = p.transaction and t.pid is null)
                   and l.relation >= 16384 and c.relkind in ('r', 'p', 'm', 'v')), '{}') as locks
from pg_prepared_xacts p where p.database = current_database() order by p.prepared

-- name: login
-- The role that logged in, and whether it may see the state of others and end their sessions.
-- https://www.postgresql.org/docs/current/predefined-roles.html
select session_user::text as login, pg_has_role(session_user, 'pg_read_all_stats', 'usage') as sees,
       pg_has_role(session_user, 'pg_signal_backend', 'usage') as ends

-- name: target
-- One session, and why it may not be ended; null where it may.
select a.pid, {session} as session, a.usename::text as login, a.application_name as application, a.state,
       extract(epoch from clock_timestamp() - a.state_change)::float as state_s, r.rolsuper as superuser,
       case when a.backend_type <> 'client backend' then 'it is one of the server''s own processes'
            when a.datname is distinct from current_database() then 'it is connected to another database'
            when r.rolsuper then 'it is a superuser''s'
            -- by the name that each run gives its sessions; whoever else holds the migration lock is in the way
            when starts_with(a.application_name, 'migrate ') then 'it is a migration''s'
            when a.usename = 'rdsproxyadmin' or a.application_name ~* '^rds ?proxy'
                then 'it is one of RDS Proxy, which gives it to other clients'
       end as obstacle
from pg_stat_activity a left join pg_roles r on r.oid = a.usesysid
where a.pid = %(pid)s and a.pid <> pg_backend_pid()

-- name: end
-- Compared and ended in one statement: between two, the pid could become another session's. It waits for the end.
-- https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
with target as materialized ({target})
select pg_terminate_backend(pid, %(wait_ms)s) from target where session = %(session)s and obstacle is null
