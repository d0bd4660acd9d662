with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, quote_ident(i.relname), v.text
from r join pg_index x on x.indrelid = r.oid
-- the index of a constraint is part of the constraint
join pg_class i on i.oid = x.indexrelid and not exists (
    select from pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
cross join lateral (values
    ('indexes', pg_get_indexdef(i.oid) || case when x.indisvalid then '' else ' -- invalid' end),
    ('comments_on_indexes', obj_description(i.oid, 'pg_class'))
) v (section, text)
