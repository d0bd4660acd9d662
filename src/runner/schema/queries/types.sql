with t as (
    -- include objects/types
)
select 'types', t.name, v.section, '', v.text
from t left join pg_range g on g.rngtypid = t.oid
cross join lateral (values
    ('definition', case t.typtype
        when 'e' then (select 'enum (' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                       || ')' from pg_enum e where e.enumtypid = t.oid)
        when 'd' then concat(
            'domain ', format_type(t.typbasetype, t.typtypmod),
            (select ' collate ' || quote_ident(o.collname) from pg_collation o join pg_type b
             on b.oid = t.typbasetype where o.oid = t.typcollation and o.oid <> b.typcollation),
            ' default ' || pg_get_expr(t.typdefaultbin, 0), case when t.typnotnull then ' not null' end)
        when 'r' then concat(
            'range (subtype = ', format_type(g.rngsubtype, null),
            (select format(', subtype_opclass = %I', o.opcname) from pg_opclass o where o.oid = g.rngsubopc),
            (select format(', collation = %I', o.collname) from pg_collation o where o.oid = g.rngcollation),
            ', canonical = ' || nullif(g.rngcanonical, 0)::regprocedure,
            ', subtype_diff = ' || nullif(g.rngsubdiff, 0)::regprocedure,
            ', multirange_type_name = ', format_type(g.rngmultitypid, null), ')') end),
    ('comments', obj_description(t.oid, 'pg_type'))
) v (section, text)
-- of the composite types, only those that are not a table's row type
where t.typtype in ('e', 'd', 'r') or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
