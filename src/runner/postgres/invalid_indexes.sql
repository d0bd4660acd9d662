-- name: find
-- All in one row, so that it can be sent beside SQLAlchemy. Without `kind` and `name` it returns all invalid indexes.
-- Not `relkind = 'I'`: the index of a partitioned table is invalid until each partition has one, and is no leftover.
-- The index of a TOAST table counts as one of the table whose values it has. A role that is no superuser may neither
-- name nor drop it.
-- The session that builds an index holds this lock on its table, and every role can see it. VACUUM holds it too, so that
-- an index can count as busy for as long as its table is vacuumed. pg_stat_progress_create_index would be exact, but
-- shows an ordinary role only its own builds.
select coalesce(jsonb_agg(to_jsonb(found) order by found.name), '[]') from (
    select i.indexrelid::bigint as oid, format('%%I.%%I', n.nspname, c.relname) as name,
           c.relispartition or exists (select from pg_constraint k where k.conindid = c.oid) as required,
           exists (select from pg_locks l where l.relation = i.indrelid and l.pid <> pg_backend_pid() and l.granted
                   and l.mode = 'ShareUpdateExclusiveLock'
                   and l.database = (select oid from pg_database where datname = current_database())) as busy
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class t on t.oid = coalesce((select o.oid from pg_class o where o.reltoastrelid = i.indrelid), i.indrelid)
    join pg_namespace tn on tn.oid = t.relnamespace
    where not i.indisvalid and c.relkind = 'i' and tn.nspname !~ '^pg_' and has_schema_privilege(n.oid, 'usage')
      and (%(name)s is null or i.indexrelid = %(index)s)
      and case %(kind)s
          when 'schema' then tn.nspname = %(target)s
          when 'table' then t.oid in (select %(relation)s::oid union
                                      select relid from pg_partition_tree(%(relation)s))
          when 'index' then t.oid in (
              select indrelid from pg_index where indexrelid = %(relation)s union
              select indrelid from pg_partition_tree(%(relation)s) join pg_index on indexrelid = relid)
          else true end
) found;

-- name: find_incomplete
-- The indexes of partitioned tables that are invalid, each with the partitions that have no valid one attached to it.
-- A partition that is being detached does not count for PostgreSQL either.
select coalesce(jsonb_agg(to_jsonb(found) order by found.name), '[]') from (
    select format('%%I.%%I', n.nspname, c.relname) as name,
           exists (select from pg_constraint k where k.conindid = c.oid) as key,
           coalesce((select jsonb_agg(p.name order by p.name) from (
               select format('%%I.%%I', pn.nspname, pc.relname) as name
               from pg_inherits h join pg_class pc on pc.oid = h.inhrelid join pg_namespace pn on pn.oid = pc.relnamespace
               where h.inhparent = i.indrelid and not h.inhdetachpending
                 and not exists (select from pg_inherits a join pg_index own on own.indexrelid = a.inhrelid
                                 where a.inhparent = i.indexrelid and own.indrelid = h.inhrelid and own.indisvalid)
           ) p), '[]') as partitions
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relkind = 'I' and n.nspname !~ '^pg_' and has_schema_privilege(n.oid, 'usage')
) found;

-- name: resolve
-- Along the `search_path` under which the statement runs that has the names, so all else is qualified. The columns are
-- computed in their order, so that the last one changes the path after its use.
select pg_catalog.current_setting('search_path'),
       pg_catalog.to_regclass(%(target)s)::pg_catalog.oid, pg_catalog.to_regclass(%(name)s)::pg_catalog.oid,
       pg_catalog.set_config('search_path', %(path)s, false);

-- name: locate
select c.oid::text, format('%%I.%%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = %(index)s;
