with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, format('%I.%I', n.nspname, s.stxname), v.text
from r join pg_statistic_ext s on s.stxrelid = r.oid join pg_namespace n on n.oid = s.stxnamespace
cross join lateral (values
    ('statistics', pg_get_statisticsobjdef(s.oid)),
    ('comments_on_statistics', obj_description(s.oid, 'pg_statistic_ext'))
) v (section, text)
