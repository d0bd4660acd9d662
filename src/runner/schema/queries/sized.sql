with r as (
    -- include objects/relations
)
select r.name from r where r.relkind in ('r', 'p', 'm')
