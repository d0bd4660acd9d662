with r as (
    -- include objects/relations
), p as (
    -- include objects/functions
), n as (
    -- include objects/schemas
), o (kind, name, owner, acl) as (
    select r.kind, r.name, r.relowner, r.relacl from r
    union all
    select 'functions', p.name, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)) from p
    union all
    -- who migrates, and who reads, needs rights in schema `public` before the first revision
    select 'schemas', n.name, n.nspowner, n.nspacl from n where n.nspname <> 'public'
)
select o.kind, o.name, 'grants',
       case a.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end,
       string_agg(distinct a.privilege_type || case when a.is_grantable then ' with grant option' else '' end, ', ')
from o cross join lateral aclexplode(o.acl) a
-- MAINTAIN came with PostgreSQL 17: `GRANT ALL` shall read the same before and after
where a.grantee <> o.owner and a.privilege_type <> 'MAINTAIN'
group by 1, 2, 4
