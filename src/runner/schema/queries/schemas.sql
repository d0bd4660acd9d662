with n as (
    -- include objects/schemas
)
select 'schemas', n.name, 'comments', '', d.description
from n left join pg_description d on d.classoid = 'pg_namespace'::regclass and d.objoid = n.oid
    -- the comment that initdb makes
    and d.description <> 'standard public schema'
where n.nspname <> 'public' or d.objoid is not null
