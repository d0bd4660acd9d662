select 'extensions', quote_ident(e.extname), null, null, null from pg_extension e where e.extname <> 'plpgsql'
