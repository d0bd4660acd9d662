with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, quote_ident(p.polname), v.text
from r join pg_policy p on p.polrelid = r.oid
cross join lateral (values
    ('policies', concat(
        'AS ', case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end, ' FOR ',
        case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE'
                      else 'ALL' end, ' TO ',
        (select string_agg(case m.role when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(m.role)) end, ', '
                           order by m.role) from unnest(p.polroles) m (role)),
        ' USING (' || pg_get_expr(p.polqual, r.oid) || ')',
        ' WITH CHECK (' || pg_get_expr(p.polwithcheck, r.oid) || ')')),
    ('comments_on_policies', obj_description(p.oid, 'pg_policy'))
) v (section, text)
