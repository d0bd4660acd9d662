-- The statements of `trust.py`. The line above each statement has its name.

-- name: find
-- A row for each reason not to use one of our relations, the first one first; none for relations that do not exist.
with ours as (
    select c.oid, c.relkind, c.relowner, format('%%I.%%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (n.nspname = 'runner' and c.relname in ('migration_run', 'migration_log'))
       or (n.nspname = %(schema)s and c.relname = %(name)s)
), owned as (
    select 1 as place, 'SCHEMA' as kind, 'runner' as name, nspowner as owner from pg_namespace where nspname = 'runner'
    union all
    select 2, 'TABLE', name, relowner from ours
)
select kind, name, detail, current_user::text as role from (
    select place, 'OWNER ' || kind as kind, name, pg_get_userbyid(owner)::text as detail from owned
    where not exists (select from pg_roles r where r.oid = owned.owner and (
        -- include trusted
    ))
    union all
    select 3, 'RELATION', name, '' from ours where relkind not in ('r', 'p')
    union all
    select 4, 'TRIGGER', name, quote_ident(tgname) from pg_trigger join ours on ours.oid = tgrelid where not tgisinternal
    union all
    select 5, 'RULE', name, quote_ident(rulename) from pg_rewrite join ours on ours.oid = ev_class
    where relkind in ('r', 'p')
    union all
    select 6, 'ROWS', name, '' from ours where relkind in ('r', 'p') and row_security_active(oid)
) found order by place, name, detail;

-- name: open
-- Whether every role may create objects in a schema.
select exists (
    select from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    where n.nspname = %(schema)s and a.grantee = 0 and a.privilege_type = 'CREATE');

-- name: shadows
-- The functions and operators of untrusted roles that have the name of one of PostgreSQL's own. An extension's objects
-- belong to whoever made the extension, often a role that is not trusted.
with found as (
    select 'pg_proc'::regclass as catalog, p.oid, p.proowner as owner, 'ROUTINE ' || p.oid::regprocedure::text as name
    from pg_proc p where p.pronamespace = to_regnamespace(%(schema)s)
     and exists (select from pg_proc b where b.proname = p.proname and b.pronamespace = 'pg_catalog'::regnamespace)
    union all
    select 'pg_operator'::regclass, o.oid, o.oprowner, 'OPERATOR ' || format('%%I.%%s (%%s, %%s)', %(schema)s, o.oprname,
           coalesce(nullif(o.oprleft, 0)::regtype::text, 'NONE'), o.oprright::regtype)
    from pg_operator o where o.oprnamespace = to_regnamespace(%(schema)s)
     and exists (select from pg_operator b where b.oprname = o.oprname and b.oprnamespace = 'pg_catalog'::regnamespace)
)
select name, pg_get_userbyid(owner)::text as owner from found
where not exists (select from pg_depend d where d.classid = catalog and d.objid = found.oid and d.deptype = 'e')
  and not exists (select from pg_roles r where r.oid = found.owner and (
      -- include trusted
  ))
order by name;
