with p as (
    -- include objects/publications
)
select 'publications', p.name, 'definition', '',
       concat_ws(', ', case when p.puballtables then 'all tables' end,
                 case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                 case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end,
                 case when p.pubviaroot then 'via root' end)
from p
