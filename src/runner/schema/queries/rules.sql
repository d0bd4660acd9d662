with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, quote_ident(w.rulename), v.text
-- `_RETURN` is a view's definition
from r join pg_rewrite w on w.ev_class = r.oid and w.rulename <> '_RETURN'
cross join lateral (values
    ('rules', pg_get_ruledef(w.oid)
              || case w.ev_enabled when 'O' then '' else ' -- enabled: ' || w.ev_enabled::text end),
    ('comments_on_rules', obj_description(w.oid, 'pg_rewrite'))
) v (section, text)
