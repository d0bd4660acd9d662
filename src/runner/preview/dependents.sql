-- What PostgreSQL drops with objects by CASCADE, found as its own dependency.c finds it: what depends on a dropped
-- object (n), unless it is a part of one (a, i, e, P, S); and a whole (i, e) of which a part depends on one, such as the
-- view of a rule. https://www.postgresql.org/docs/current/catalog-pg-depend.html
with recursive heir (oid) as (
    select h.inhrelid from unnest(cast(:names as text[])) r (name)
    join pg_inherits h on :kind = 'column' and h.inhparent = to_regclass(r.name)
    union
    select h.inhrelid from heir join pg_inherits h on h.inhparent = heir.oid
), root (classid, objid, objsubid) as (
    select v.classid, v.objid, v.objsubid
    from unnest(cast(:names as text[]), cast(:parts as text[])) r (name, part)
    cross join lateral (
        select 'pg_class'::regclass::oid, to_regclass(r.name)::oid, 0 where :kind = 'relation'
        union all
        select 'pg_type'::regclass, to_regtype(r.name), 0 where :kind = 'type'
        union all
        select 'pg_proc'::regclass, to_regprocedure(r.name), 0 where :kind = 'routine'
        union all
        select 'pg_namespace'::regclass, to_regnamespace(r.name), 0 where :kind = 'schema'
        union all
        select 'pg_extension'::regclass, e.oid, 0 from pg_extension e
        where :kind = 'extension' and e.extname = r.name
        union all
        select 'pg_class'::regclass, a.attrelid, a.attnum from pg_attribute a
        where a.attname = r.part and (
            (:kind in ('column', 'own column') and a.attrelid = to_regclass(r.name))
            -- those that have inherited it, and no definition of their own
            or (:kind = 'column' and not a.attislocal and a.attrelid in (select h.oid from heir h)))
        union all
        select 'pg_constraint'::regclass, k.oid, 0 from pg_constraint k
        where :kind = 'constraint' and k.conrelid = to_regclass(r.name) and k.conname = r.part
        union all
        select s.classid, s.objid, s.objsubid from pg_shdepend s
        where :kind = 'role' and s.refclassid = 'pg_authid'::regclass
          and s.refobjid = case r.name when 'current_user' then quote_ident(current_user)::regrole
                                       when 'session_user' then quote_ident(session_user)::regrole
                                       else to_regrole(r.name) end
          and s.deptype = 'o' and s.dbid = (select d.oid from pg_database d where d.datname = current_database())
    ) v (classid, objid, objsubid)
    where v.objid is not null
), reached (classid, objid, objsubid, is_part, from_class, from_id, from_subid) as (
    select r.classid, r.objid, r.objsubid, :kind <> 'role', 0::oid, 0::oid, 0 from root r
    union
    select e.* from reached x cross join lateral (
        select d.classid, d.objid, d.objsubid, d.deptype <> 'n', x.classid, x.objid, x.objsubid
        from pg_depend d
        where d.refclassid = x.classid and d.refobjid = x.objid and x.objsubid in (0, d.refobjsubid)
        union all
        select d.refclassid, d.refobjid, d.refobjsubid, x.is_part, x.classid, x.objid, x.objsubid
        from pg_depend d
        where d.classid = x.classid and d.objid = x.objid and x.objsubid in (0, d.objsubid)
          and d.deptype in ('i', 'e') and x.from_class <> 0
          and not (d.refclassid = x.from_class and d.refobjid = x.from_id and x.from_subid in (0, d.refobjsubid))
    ) e
), found as (
    select x.classid, x.objid, x.objsubid, bool_or(x.is_part) as is_part,
           -- a column of a table that goes as a whole
           x.objsubid <> 0 and bool_or(x.objsubid = 0) over (partition by x.classid, x.objid) as is_within
    from reached x group by 1, 2, 3
)
select i.type as kind, i.identity, n.nspname as schema, c.relname as owner, p.part
from found f
cross join lateral pg_identify_object(f.classid, f.objid, f.objsubid) i
-- the relation of what belongs to one, and its name there
left join lateral (
    select k.conrelid, k.conname from pg_constraint k
    where f.classid = 'pg_constraint'::regclass and k.oid = f.objid and k.conrelid <> 0
    union all
    select t.tgrelid, t.tgname from pg_trigger t where f.classid = 'pg_trigger'::regclass and t.oid = f.objid
    union all
    select o.polrelid, o.polname from pg_policy o where f.classid = 'pg_policy'::regclass and o.oid = f.objid
    union all
    select w.ev_class, w.rulename from pg_rewrite w where f.classid = 'pg_rewrite'::regclass and w.oid = f.objid
    union all
    select a.attrelid, a.attname from pg_attribute a
    where f.classid = 'pg_class'::regclass and a.attrelid = f.objid and a.attnum = f.objsubid and f.objsubid <> 0
    union all
    select g.adrelid, a.attname from pg_attrdef g
    join pg_attribute a on a.attrelid = g.adrelid and a.attnum = g.adnum
    where f.classid = 'pg_attrdef'::regclass and g.oid = f.objid
) p (relation, part) on true
left join pg_class c on c.oid = p.relation
left join pg_namespace n on n.oid = c.relnamespace
where not f.is_part and not f.is_within
  and (:kind = 'role' or not exists (
      select from root r where r.classid = f.classid and r.objid = f.objid and r.objsubid in (0, f.objsubid)))
order by 1, 2
