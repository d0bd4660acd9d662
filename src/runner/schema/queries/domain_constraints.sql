with t as (
    -- include objects/types
)
select 'types', t.name, v.section, quote_ident(k.conname), v.text
from t join pg_constraint k on k.contypid = t.oid and k.contype <> 'n'
cross join lateral (values
    ('constraints', pg_get_constraintdef(k.oid)),
    ('comments_on_constraints', obj_description(k.oid, 'pg_constraint'))
) v (section, text)
