-- relations of all kinds, since they share one namespace in each schema
select format('%I.%I', n.nspname, c.relname) as name,
       case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'i' then 'index'
                      when 'S' then 'sequence' when 'f' then 'foreign table' when 'p' then 'partitioned table'
                      when 'c' then 'type' when 'I' then 'partitioned index' else 'table' end as kind,
       coalesce((select format('%I.%I', m.nspname, t.relname) from pg_index x join pg_class t on t.oid = x.indrelid
                 join pg_namespace m on m.oid = t.relnamespace where x.indexrelid = c.oid), '') as owner
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
