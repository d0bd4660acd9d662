with r as (
    -- include objects/relations
), p as (
    -- include objects/functions
), n as (
    -- include objects/schemas
), o (kind, name, owner, acl) as (
    select r.kind, r.name, r.relowner, r.relacl from r
    union all
    -- a null acl is the default: for a function it grants EXECUTE to PUBLIC, for the others nothing beyond the owner
    -- https://www.postgresql.org/docs/current/ddl-priv.html
    select 'functions', p.name, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)) from p
    union all
    -- roles need privileges on schema `public` before the first revision, so these differ from place to place
    select 'schemas', n.name, n.nspowner, n.nspacl from n where n.nspname <> 'public'
)
select o.kind, o.name, 'grants',
       case a.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end,
       string_agg(distinct a.privilege_type || case when a.is_grantable then ' with grant option' else '' end, ', ')
from o cross join lateral aclexplode(o.acl) a
-- MAINTAIN exists since PostgreSQL 17: a snapshot of GRANT ALL must hold on older versions too
where a.grantee <> o.owner and a.privilege_type <> 'MAINTAIN'
group by 1, 2, 4
