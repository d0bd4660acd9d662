select c.*, format('%I.%I', n.nspname, c.relname) as name,
       case c.relkind when 'v' then 'views' when 'm' then 'views' when 'S' then 'sequences' when 'c' then 'types'
                      else 'tables' end as kind
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S', 'c') and c.relname <> :version_table
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
