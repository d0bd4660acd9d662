with r as (
    -- include objects/relations
)
select r.kind, r.name, 'definition', '',
       format('as %s start %s increment %s minvalue %s maxvalue %s cache %s', format_type(s.seqtypid, null),
              s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache)
       || case when s.seqcycle then ' cycle' else '' end
       -- a dependency is `a` for OWNED BY, as of a serial column, and `i` for an identity column
       || coalesce((select format(' owned by %s.%I', d.refobjid::regclass, a.attname)
                    from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                    where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype in ('a', 'i')
                    and d.refclassid = 'pg_class'::regclass), '')
from r join pg_sequence s on s.seqrelid = r.oid
