-- of one table, with `search_path` empty
select 'constraints' as section, c.conname::pg_catalog.text as thing, pg_catalog.pg_get_constraintdef(c.oid) as printed
from pg_catalog.pg_constraint c where c.conrelid = pg_catalog.to_regclass(:scratch)::pg_catalog.oid
union all
select 'defaults', a.attname::pg_catalog.text, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
from pg_catalog.pg_attrdef d join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
where d.adrelid = pg_catalog.to_regclass(:scratch)::pg_catalog.oid
