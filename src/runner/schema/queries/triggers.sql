with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, quote_ident(g.tgname), v.text
-- a trigger with a parent is a partition's copy of its partitioned table's
from r join pg_trigger g on g.tgrelid = r.oid and not g.tgisinternal and g.tgparentid = 0
cross join lateral (values
    ('triggers', pg_get_triggerdef(g.oid)
                 || case g.tgenabled when 'O' then '' else ' -- enabled: ' || g.tgenabled::text end),
    ('comments_on_triggers', obj_description(g.oid, 'pg_trigger'))
) v (section, text)
