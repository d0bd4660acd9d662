"""The queries that a catalog is read with.

Each of `QUERIES` gives rows of (kind, object, section, thing, text). A row without text only says that the
object is there. They run with an empty `search_path`, so that every name comes out qualified.
"""

# What initdb, an extension or the runner itself made is nobody's drift.
MADE_BY_EXTENSION = """
    exists (select from pg_depend d where d.classid = '{catalog}'::regclass and d.objid = {oid} and d.deptype = 'e')
"""
OURS = f"n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner') and not {MADE_BY_EXTENSION}"
# what a range type brings along is told by the type
FUNCTIONS = f"""{OURS.format(catalog="pg_proc", oid="p.oid")} and not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')"""
RELATION = "format('%I.%I', n.nspname, c.relname)"

OWNERS = f"""
    select {RELATION} as name,
           case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'i' then 'index'
                          when 'S' then 'sequence' when 'f' then 'foreign table' when 'p' then 'partitioned table'
                          when 'c' then 'type' when 'I' then 'partitioned index' else 'table' end as kind,
           coalesce((select format('%I.%I', m.nspname, t.relname) from pg_index x join pg_class t on t.oid = x.indrelid
                     join pg_namespace m on m.oid = t.relnamespace where x.indexrelid = c.oid), '') as owner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where {OURS.format(catalog="pg_class", oid="c.oid")}
"""
TABLES = f"""
    select {RELATION} from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relname <> :version_table and {OURS.format(catalog="pg_class", oid="c.oid")}
"""
RELATIONS = f"""
    with r as (
        select c.*, {RELATION} as name,
               case c.relkind when 'v' then 'views' when 'm' then 'views' when 'S' then 'sequences'
                              when 'c' then 'types' else 'tables' end as kind
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'S', 'c') and c.relname <> :version_table
        and {OURS.format(catalog="pg_class", oid="c.oid")}
    )
"""

# MAINTAIN came with PostgreSQL 17: `GRANT ALL` shall read the same before and after.
GRANTS = """
    select {kind}, {name}, 'grants',
           case a.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end,
           string_agg(distinct a.privilege_type || case when a.is_grantable then ' with grant option' else '' end, ', ')
    from {source} cross join lateral aclexplode({acl}) a
    where a.grantee <> {owner} and a.privilege_type <> 'MAINTAIN' and {condition}
    group by 1, 2, 4
"""


def _parts(section: str, catalog: str, join: str, oid: str, name: str, definition: str) -> str:
    """Return the query for what hangs on a relation and has a name: its text, and the comment on it."""
    return f"""
        {RELATIONS}
        select r.kind, r.name, v.section, {name}, v.text
        from r {join} cross join lateral (values
            ('{section}', {definition}), ('comments_on_{section}', obj_description({oid}, '{catalog}'))
        ) v (section, text)"""


QUERIES = [
    f"""
    {RELATIONS}
    select r.kind, r.name, v.section, v.thing, v.text
    from r cross join lateral (values
        ('definition', '', case r.relkind when 'v' then pg_get_viewdef(r.oid)
                                          when 'm' then 'materialized ' || pg_get_viewdef(r.oid) end),
        ('comments', '', obj_description(r.oid, 'pg_class')),
        ('shape', 'partition_key', pg_get_partkeydef(r.oid)),
        ('shape', 'partition_bound', pg_get_expr(r.relpartbound, r.oid)),
        ('shape', 'inherits', (select string_agg(h.inhparent::regclass::text, ', ' order by h.inhseqno)
                               from pg_inherits h where h.inhrelid = r.oid)),
        ('shape', 'persistence', case when r.relpersistence = 'u' and r.relkind <> 'S' then 'unlogged' end),
        ('shape', 'access_method', (select m.amname from pg_am m where m.oid = r.relam and m.amname <> 'heap')),
        ('shape', 'of_type', nullif(r.reloftype, 0)::regtype::text),
        ('settings', 'row_security', case when r.relrowsecurity and r.relforcerowsecurity then 'on, forced'
                                          when r.relrowsecurity then 'on' when r.relforcerowsecurity then 'forced' end),
        ('settings', 'replica_identity', case r.relreplident when 'f' then 'full' when 'i' then
            (select 'using index ' || i.relname from pg_index x join pg_class i on i.oid = x.indexrelid
             where x.indrelid = r.oid and x.indisreplident) when 'n' then 'nothing' end)
    ) v (section, thing, text)""",
    f"""
    {RELATIONS}
    select r.kind, r.name, v.section, quote_ident(a.attname), v.text
    from r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_attrdef f on f.adrelid = r.oid and f.adnum = a.attnum
    cross join lateral (values
        ('columns', case when r.relkind in ('r', 'p', 'c') then
            format_type(a.atttypid, a.atttypmod)
            || case a.attidentity when 'a' then ' generated always as identity'
                                  when 'd' then ' generated by default as identity' else '' end
            || case when a.attgenerated = '' then '' else
                    ' generated always as (' || pg_get_expr(f.adbin, f.adrelid) || ') '
                    || case a.attgenerated when 's' then 'stored' else 'virtual' end end
            || coalesce((select ' collate ' || quote_ident(o.collname) from pg_collation o
                         where o.oid = a.attcollation and o.oid <> t.typcollation), '') end),
        ('not_null', case when a.attnotnull then 'not null' || coalesce((
            select ' not valid' from pg_constraint k where k.conrelid = r.oid and k.contype = 'n'
            and k.conkey[1] = a.attnum and not k.convalidated), '') end),
        ('defaults', case when a.attgenerated = '' then pg_get_expr(f.adbin, f.adrelid) end),
        ('column_options', nullif(concat_ws(', ',
            'statistics ' || nullif(coalesce(a.attstattarget, -1), -1),
            case when a.attstorage <> t.typstorage then case a.attstorage when 'p' then 'storage plain'
                when 'e' then 'storage external' when 'm' then 'storage main' else 'storage extended' end end,
            case a.attcompression when 'p' then 'compression pglz' when 'l' then 'compression lz4' end,
            -- 17.12 keeps a number of its own here, which differs from table to table and pg_dump leaves out
            (select string_agg(o, ', ') from unnest(a.attoptions) o where split_part(o, '=', 1) <> 'pg_attver')), '')),
        ('comments', col_description(r.oid, a.attnum))
    ) v (section, text)
    where r.relkind <> 'S'""",
    f"""
    {RELATIONS}
    select r.kind, r.name, 'options', o.name, o.value
    from r cross join lateral (
        select option_name, option_value from pg_options_to_table(r.reloptions)
        union all
        select 'toast.' || p.option_name, p.option_value
        from pg_class t cross join lateral pg_options_to_table(t.reloptions) p where t.oid = r.reltoastrelid
    ) o (name, value)""",
    _parts(
        "constraints",
        "pg_constraint",
        "join pg_constraint k on k.conrelid = r.oid and k.contype <> 'n'",
        "k.oid",
        "quote_ident(k.conname)",
        """pg_get_constraintdef(k.oid) || case when exists (
            select from pg_trigger g where g.tgconstraint = k.oid and g.tgisinternal and g.tgenabled <> 'O'
        ) then ' -- its triggers are disabled' else '' end""",
    ),
    _parts(
        "indexes",
        "pg_class",
        """join pg_index x on x.indrelid = r.oid join pg_class i on i.oid = x.indexrelid and not exists (
            select from pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))""",
        "i.oid",
        "quote_ident(i.relname)",
        "pg_get_indexdef(i.oid) || case when x.indisvalid then '' else ' -- invalid' end",
    ),
    _parts(
        "triggers",
        "pg_trigger",
        "join pg_trigger g on g.tgrelid = r.oid and not g.tgisinternal and g.tgparentid = 0",
        "g.oid",
        "quote_ident(g.tgname)",
        """pg_get_triggerdef(g.oid)
           || case g.tgenabled when 'O' then '' else ' -- enabled: ' || g.tgenabled::text end""",
    ),
    _parts(
        "rules",
        "pg_rewrite",
        "join pg_rewrite w on w.ev_class = r.oid and w.rulename <> '_RETURN'",
        "w.oid",
        "quote_ident(w.rulename)",
        "pg_get_ruledef(w.oid) || case w.ev_enabled when 'O' then '' else ' -- enabled: ' || w.ev_enabled::text end",
    ),
    _parts(
        "policies",
        "pg_policy",
        "join pg_policy p on p.polrelid = r.oid",
        "p.oid",
        "quote_ident(p.polname)",
        """concat('AS ', case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end, ' FOR ',
            case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE'
                          else 'ALL' end, ' TO ',
            (select string_agg(case m.role when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(m.role)) end, ', '
                               order by m.role) from unnest(p.polroles) m (role)),
            ' USING (' || pg_get_expr(p.polqual, r.oid) || ')',
            ' WITH CHECK (' || pg_get_expr(p.polwithcheck, r.oid) || ')')""",
    ),
    _parts(
        "statistics",
        "pg_statistic_ext",
        "join pg_statistic_ext s on s.stxrelid = r.oid join pg_namespace n on n.oid = s.stxnamespace",
        "s.oid",
        "format('%I.%I', n.nspname, s.stxname)",
        "pg_get_statisticsobjdef(s.oid)",
    ),
    RELATIONS
    + GRANTS.format(kind="r.kind", name="r.name", source="r", acl="r.relacl", owner="r.relowner", condition="true"),
    f"""
    {RELATIONS}
    select r.kind, r.name, 'definition', '',
           format('as %s start %s increment %s minvalue %s maxvalue %s cache %s', format_type(s.seqtypid, null),
                  s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache)
           || case when s.seqcycle then ' cycle' else '' end
           || coalesce((select format(' owned by %s.%I', d.refobjid::regclass, a.attname)
                        from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                        where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype in ('a', 'i')
                        and d.refclassid = 'pg_class'::regclass), '')
    from r join pg_sequence s on s.seqrelid = r.oid""",
    f"""
    select 'functions', p.oid::regprocedure::text, v.section, '', v.text
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    left join pg_aggregate g on g.aggfnoid = p.oid
    cross join lateral (values
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
    where {FUNCTIONS}""",
    GRANTS.format(
        kind="'functions'",
        name="p.oid::regprocedure::text",
        source="pg_proc p join pg_namespace n on n.oid = p.pronamespace",
        acl="coalesce(p.proacl, acldefault('f', p.proowner))",
        owner="p.proowner",
        condition=FUNCTIONS,
    ),
    f"""
    select 'types', format('%I.%I', n.nspname, t.typname), v.section, '', v.text
    from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_range g on g.rngtypid = t.oid
    cross join lateral (values
        ('definition', case t.typtype
            when 'e' then (select 'enum (' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                           || ')' from pg_enum e where e.enumtypid = t.oid)
            when 'd' then concat(
                'domain ', format_type(t.typbasetype, t.typtypmod),
                (select ' collate ' || quote_ident(o.collname) from pg_collation o join pg_type b
                 on b.oid = t.typbasetype where o.oid = t.typcollation and o.oid <> b.typcollation),
                ' default ' || pg_get_expr(t.typdefaultbin, 0), case when t.typnotnull then ' not null' end)
            when 'r' then concat(
                'range (subtype = ', format_type(g.rngsubtype, null),
                (select format(', subtype_opclass = %I', o.opcname) from pg_opclass o where o.oid = g.rngsubopc),
                (select format(', collation = %I', o.collname) from pg_collation o where o.oid = g.rngcollation),
                ', canonical = ' || nullif(g.rngcanonical, 0)::regprocedure,
                ', subtype_diff = ' || nullif(g.rngsubdiff, 0)::regprocedure,
                ', multirange_type_name = ', format_type(g.rngmultitypid, null), ')') end),
        ('comments', obj_description(t.oid, 'pg_type'))
    ) v (section, text)
    where (t.typtype in ('e', 'd', 'r') or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
    and {OURS.format(catalog="pg_type", oid="t.oid")}""",
    f"""
    select 'types', format('%I.%I', n.nspname, t.typname), v.section, quote_ident(k.conname), v.text
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
    join pg_constraint k on k.contypid = t.oid and k.contype <> 'n'
    cross join lateral (values
        ('constraints', pg_get_constraintdef(k.oid)),
        ('comments_on_constraints', obj_description(k.oid, 'pg_constraint'))
    ) v (section, text)
    where {OURS.format(catalog="pg_type", oid="t.oid")}""",
    f"""
    select 'schemas', quote_ident(n.nspname), 'comments', '', d.description
    from pg_namespace n
    left join pg_description d on d.classoid = 'pg_namespace'::regclass and d.objoid = n.oid
        and d.description <> 'standard public schema'
    where (n.nspname <> 'public' or d.objoid is not null) and {OURS.format(catalog="pg_namespace", oid="n.oid")}""",
    # who migrates, and who reads, needs rights in schema `public` before the first revision
    GRANTS.format(
        kind="'schemas'",
        name="quote_ident(n.nspname)",
        source="pg_namespace n",
        acl="n.nspacl",
        owner="n.nspowner",
        condition=f"n.nspname <> 'public' and {OURS.format(catalog='pg_namespace', oid='n.oid')}",
    ),
    "select 'extensions', quote_ident(e.extname), null, null, null from pg_extension e where e.extname <> 'plpgsql'",
    f"""
    select 'publications', quote_ident(p.pubname), 'definition', '',
           concat_ws(', ', case when p.puballtables then 'all tables' end,
                     case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                     case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end,
                     case when p.pubviaroot then 'via root' end)
    from pg_publication p where not {MADE_BY_EXTENSION.format(catalog="pg_publication", oid="p.oid")}""",
    f"""
    select 'publications', quote_ident(p.pubname), 'tables', format('%I.%I', t.schemaname, t.tablename),
           concat('published', ' where ' || (to_jsonb(t) ->> 'rowfilter'))
    from pg_publication p join pg_publication_tables t on t.pubname = p.pubname and not p.puballtables
    where not {MADE_BY_EXTENSION.format(catalog="pg_publication", oid="p.oid")}""",
    f"""
    select 'event_triggers', quote_ident(g.evtname), 'definition', '',
           concat('on ', g.evtevent, ' execute ', g.evtfoid::regprocedure,
                  ' when tag in (' || array_to_string(g.evttags, ', ') || ')',
                  case g.evtenabled when 'O' then '' else ' -- enabled: ' || g.evtenabled::text end)
    from pg_event_trigger g where not {MADE_BY_EXTENSION.format(catalog="pg_event_trigger", oid="g.oid")}""",
]
