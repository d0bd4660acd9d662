-- of one table, with `search_path` empty
with t as (
    select pg_catalog.to_regclass(:scratch)::pg_catalog.oid as oid
)
select 'constraints' as section, c.conname::pg_catalog.text as thing, pg_catalog.pg_get_constraintdef(c.oid) as printed
from t join pg_catalog.pg_constraint c on c.conrelid = t.oid
union all
select 'defaults', a.attname::pg_catalog.text, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
from t join pg_catalog.pg_attrdef d on d.adrelid = t.oid
join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.adnum
union all
select 'not_null', a.attname::pg_catalog.text, 'not null'
from t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnotnull
