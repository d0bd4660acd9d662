with r as (
    -- include objects/relations
)
select r.kind, r.name, 'options', o.name, o.value
from r cross join lateral (
    select option_name, option_value from pg_options_to_table(r.reloptions)
    union all
    select 'toast.' || p.option_name, p.option_value
    from pg_class t cross join lateral pg_options_to_table(t.reloptions) p where t.oid = r.reltoastrelid
) o (name, value)
