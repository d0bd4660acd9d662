-- The statements of `trust.py`. The line above each statement has its name.

-- name: find
-- Which of our relations exist, and the first reason not to use one of them, null without one. Whoever only reads need
-- not trust an owner: to read a table runs no code of its owner.
with ours as (
    select c.oid, c.relkind, c.relowner, format('%%I.%%I', n.nspname, c.relname) as name,
           case when n.nspname = 'runner' and c.relname = 'migration_run' then 'run'
                when n.nspname = 'runner' and c.relname = 'migration_log' then 'log' else 'version' end as part
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (n.nspname = 'runner' and c.relname in ('migration_run', 'migration_log'))
       or (n.nspname = %(schema)s and c.relname = %(name)s)
), owned as (
    select 1 as place, 'SCHEMA' as kind, 'runner' as name, nspowner as owner,
           has_schema_privilege(oid, 'CREATE') as writable from pg_namespace where nspname = 'runner'
    union all
    select 2, 'TABLE', name, relowner, has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE') from ours
), found as (
    select place, 'OWNER ' || kind as kind, name, pg_get_userbyid(owner)::text as detail from owned
    where (writable or not %(reads)s) and not exists (select from pg_roles r where r.oid = owned.owner and (
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
)
select array(select part from ours), first.kind, first.name, first.detail, us.role
from (select current_user::text as role) us
left join (select kind, name, detail from found order by place, name, detail limit 1) first on true;

-- name: open
-- Whether every role may create objects in a schema.
select exists (
    select from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    where n.nspname = %(schema)s and a.grantee = 0 and a.privilege_type = 'CREATE');

-- name: shadows
-- The functions and operators of untrusted roles that have the name of one of PostgreSQL's own. Those of an extension
-- belong to whom its script ran as, which is a superuser where another role may create it.
-- https://www.postgresql.org/docs/current/sql-createextension.html
with found as (
    select p.proowner as owner, 'ROUTINE ' || p.oid::regprocedure::text as name
    from pg_proc p where p.pronamespace = to_regnamespace(%(schema)s)
     and exists (select from pg_proc b where b.proname = p.proname and b.pronamespace = 'pg_catalog'::regnamespace)
    union all
    select o.oprowner, 'OPERATOR ' || format('%%I.%%s (%%s, %%s)', %(schema)s, o.oprname,
           coalesce(nullif(o.oprleft, 0)::regtype::text, 'NONE'), o.oprright::regtype)
    from pg_operator o where o.oprnamespace = to_regnamespace(%(schema)s)
     and exists (select from pg_operator b where b.oprname = o.oprname and b.oprnamespace = 'pg_catalog'::regnamespace)
)
select name, pg_get_userbyid(owner)::text as owner from found
where not exists (select from pg_roles r where r.oid = found.owner and (
      -- include trusted
  ))
order by name;
