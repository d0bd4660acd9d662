with p as (
    -- include objects/publications
)
-- through JSON, since the column `rowfilter` exists only since PostgreSQL 15
select 'publications', p.name, 'tables', format('%I.%I', t.schemaname, t.tablename),
       concat('published', ' where ' || (to_jsonb(t) ->> 'rowfilter'))
from p join pg_publication_tables t on t.pubname = p.pubname and not p.puballtables
