select 'event_triggers', quote_ident(g.evtname), 'definition', '',
       concat('on ', g.evtevent, ' execute ', g.evtfoid::regprocedure,
              ' when tag in (' || array_to_string(g.evttags, ', ') || ')',
              case g.evtenabled when 'O' then '' else ' -- enabled: ' || g.evtenabled::text end)
from pg_event_trigger g
where not exists (select from pg_depend d
                  where d.classid = 'pg_event_trigger'::regclass and d.objid = g.oid and d.deptype = 'e')
