with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, v.thing, v.text
from r cross join lateral (values
    ('definition', '', case r.relkind when 'v' then pg_get_viewdef(r.oid)
                                      when 'm' then 'materialized ' || pg_get_viewdef(r.oid) end),
    ('comments', '', obj_description(r.oid, 'pg_class')),
    ('shape', 'partition_key', pg_get_partkeydef(r.oid)),
    ('shape', 'partition_bound', pg_get_expr(r.relpartbound, r.oid)),
    ('shape', 'inherits', (select string_agg(h.inhparent::regclass::text, ', ' order by h.inhseqno)
                           from pg_inherits h where h.inhrelid = r.oid)),
    ('shape', 'persistence', case when r.relpersistence = 'u' and r.relkind <> 'S' then 'unlogged' end),
    ('shape', 'access_method', (select m.amname from pg_am m where m.oid = r.relam and m.amname <> 'heap')),
    ('shape', 'of_type', nullif(r.reloftype, 0)::regtype::text),
    ('settings', 'row_security', case when r.relrowsecurity and r.relforcerowsecurity then 'on, forced'
                                      when r.relrowsecurity then 'on' when r.relforcerowsecurity then 'forced' end),
    ('settings', 'replica_identity', case r.relreplident when 'f' then 'full' when 'i' then
        (select 'using index ' || i.relname from pg_index x join pg_class i on i.oid = x.indexrelid
         where x.indrelid = r.oid and x.indisreplident) when 'n' then 'nothing' end)
) v (section, thing, text)
