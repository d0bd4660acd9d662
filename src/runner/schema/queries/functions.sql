with p as (
    -- include objects/functions
)
select 'functions', p.name, v.section, '', v.text
from p left join pg_aggregate g on g.aggfnoid = p.oid
cross join lateral (values
    -- `pg_get_functiondef` does not accept aggregates
    ('definition', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) else concat(
        'aggregate ', g.aggkind, g.aggnumdirectargs, ' parallel ', p.proparallel,
        ' sfunc ', g.aggtransfn::regprocedure, ' stype ', format_type(g.aggtranstype, null),
        ' finalfunc ' || nullif(g.aggfinalfn, 0)::regprocedure || case when g.aggfinalextra then ' extra' end,
        ' combinefunc ' || nullif(g.aggcombinefn, 0)::regprocedure,
        ' serialfunc ' || nullif(g.aggserialfn, 0)::regprocedure,
        ' deserialfunc ' || nullif(g.aggdeserialfn, 0)::regprocedure,
        ' initcond ' || quote_literal(g.agginitval),
        ' msfunc ' || nullif(g.aggmtransfn, 0)::regprocedure,
        ' minvfunc ' || nullif(g.aggminvtransfn, 0)::regprocedure,
        ' mstype ' || format_type(nullif(g.aggmtranstype, 0), null),
        ' mfinalfunc ' || nullif(g.aggmfinalfn, 0)::regprocedure,
        ' minitcond ' || quote_literal(g.aggminitval),
        ' sortop ' || nullif(g.aggsortop, 0)::regoperator) end),
    ('comments', obj_description(p.oid, 'pg_proc'))
) v (section, text)
