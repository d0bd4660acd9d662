with r as (
    -- include objects/relations
)
select r.kind, r.name, v.section, quote_ident(k.conname), v.text
-- NOT NULL, which has a constraint since PostgreSQL 18, is read with the columns
from r join pg_constraint k on k.conrelid = r.oid and k.contype <> 'n'
cross join lateral (values
    ('constraints', pg_get_constraintdef(k.oid) || case when exists (
        -- DISABLE TRIGGER ALL leaves a foreign key valid, and does not enforce it
        select from pg_trigger g where g.tgconstraint = k.oid and g.tgisinternal and g.tgenabled <> 'O'
    ) then ' -- its triggers are disabled' else '' end),
    ('comments_on_constraints', obj_description(k.oid, 'pg_constraint'))
) v (section, text)
