-- name: lacking
-- The object that an error names, which of some rights on it the current role lacks, and who may grant them. A message
-- has no schema: first comes an object in a schema that the statement names, then one in `public`, where runs work.
with objects (kind, schema, name, signature, oid, owner) as (
    select case relkind when 'S' then 'sequence' else 'relation' end, nspname, relname, null, c.oid, relowner
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
    union all
    select 'routine', nspname, proname, pg_catalog.pg_get_function_identity_arguments(p.oid), p.oid, proowner
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = pronamespace
    union all
    select 'type', nspname, typname, null, t.oid, typowner
    from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = typnamespace
    union all select 'schema', null, nspname, null, oid, nspowner from pg_catalog.pg_namespace
    union all select 'database', null, datname, null, oid, datdba from pg_catalog.pg_database
    union all select 'tablespace', null, spcname, null, oid, spcowner from pg_catalog.pg_tablespace
    union all select 'language', null, lanname, null, oid, lanowner from pg_catalog.pg_language
    union all select 'foreign server', null, srvname, null, oid, srvowner from pg_catalog.pg_foreign_server
    union all select 'foreign data wrapper', null, fdwname, null, oid, fdwowner from pg_catalog.pg_foreign_data_wrapper
), found as (
    select objects.*, array(
        select wanted from pg_catalog.unnest(%(rights)s::pg_catalog.text[]) wanted where not case kind
            when 'relation' then pg_catalog.has_table_privilege(oid, wanted)
            when 'sequence' then pg_catalog.has_sequence_privilege(oid, wanted)
            when 'routine' then pg_catalog.has_function_privilege(oid, wanted)
            when 'type' then pg_catalog.has_type_privilege(oid, wanted)
            when 'schema' then pg_catalog.has_schema_privilege(oid, wanted)
            when 'database' then pg_catalog.has_database_privilege(oid, wanted)
            when 'tablespace' then pg_catalog.has_tablespace_privilege(oid, wanted)
            when 'language' then pg_catalog.has_language_privilege(oid, wanted)
            when 'foreign server' then pg_catalog.has_server_privilege(oid, wanted)
            else pg_catalog.has_foreign_data_wrapper_privilege(oid, wanted) end
    ) as lacking
    from objects
    where kind = any (%(kinds)s) and name = %(name)s and (schema is null or schema !~ '^pg_|^information_schema$')
)
select current_user::pg_catalog.text as role, kind, schema, name, signature, lacking, rolname as owner, rolsuper
-- nobody logs in as `pg_database_owner`, to which `public` belongs from version 15 on: it stands for the owner
from (select datdba as owns from pg_catalog.pg_database where datname = pg_catalog.current_database()) this
left join found on %(rights)s::pg_catalog.text[] = '{}' or lacking <> '{}'
left join pg_catalog.pg_roles r
    on r.oid = case found.owner::pg_catalog.regrole::pg_catalog.text when 'pg_database_owner' then owns else owner end
order by schema = any (%(schemas)s) desc nulls last, schema = 'public' desc nulls last, schema, signature
limit 1;

-- name: event_triggers
select evtname, nspname, proname, rolname as owner, current_user::pg_catalog.text as role
from pg_catalog.pg_event_trigger join pg_catalog.pg_proc p on p.oid = evtfoid
join pg_catalog.pg_namespace n on n.oid = pronamespace join pg_catalog.pg_roles r on r.oid = evtowner
where evtenabled <> 'D' order by evtname;
