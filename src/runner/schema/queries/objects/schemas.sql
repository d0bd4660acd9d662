select n.*, quote_ident(n.nspname) as name
from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
  and not exists (select from pg_depend d
                  where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
