select p.*, quote_ident(p.pubname) as name
from pg_publication p
where not exists (select from pg_depend d
                  where d.classid = 'pg_publication'::regclass and d.objid = p.oid and d.deptype = 'e')
