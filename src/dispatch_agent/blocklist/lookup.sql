-- The statements of `lookup.py`.

-- name: may-write
select current_setting('transaction_read_only') = 'off'
   and has_table_privilege('blocklist_chaves', 'insert') and has_table_privilege('blocklist_chaves', 'delete');

-- name: is-empty
select not exists (select from blocklist where tenant_id = :tenant);

-- name: is-complete
select exists (
    select from blocklist_chaves
    where tenant_id = :tenant and versao = :version and chave is null and blocklist_id is null
);

-- name: find
-- One statement, so that all of it is of one moment. A subquery with LIMIT or OFFSET never becomes a join or a scan of
-- the tenant's rows, whose choice would depend on statistics: of the keys they know nothing before the first catch-up.
-- Where no key begins with a digit, none is a phone without area code.
select 'key', sought, null::text, null::uuid from unnest(string_to_array(:keys, chr(10))) sought
where (
    select 1 from blocklist_chaves
    where tenant_id = :tenant and chave = sought collate "C" and versao = :version limit 1
) is not null
union all
select 'key', sought, null, null from unnest(string_to_array(:tails, chr(10))) sought
where exists (
    select from blocklist_chaves
    where tenant_id = :tenant and versao = :version and chave >= '0' collate "C" and chave < ':' collate "C"
) and (
    select 1 from blocklist_chaves
    where tenant_id = :tenant and chave = sought collate "C" and versao = :version limit 1
) is not null
union all
select 'lead', sought, null, null from unnest(string_to_array(:leads, ',')) sought
where (select 1 from blocklist where tenant_id = :tenant and lead_id = sought::uuid limit 1) is not null
union all
select 'marked', b.telefone, b.email, case when b.lead_id is null then b.id end
from (
    select blocklist_id from blocklist_chaves
    where tenant_id = :tenant and versao = 0 and chave is null limit :most
) m left join lateral (
    select * from blocklist where id = m.blocklist_id and tenant_id = :tenant offset 0
) b on true
union all
(select 'complete', null, null, null from blocklist_chaves
 where tenant_id = :tenant and versao = :version and chave is null and blocklist_id is null);

-- name: unread
select b.id, true, b.telefone, b.email, b.lead_id,
       array(select m.chave_id from blocklist_chaves m where m.blocklist_id = b.id and m.versao = 0)
from blocklist b
where b.tenant_id = :tenant and (
    select 1 from blocklist_chaves k where k.blocklist_id = b.id and k.versao = :version limit 1
) is null;

-- name: marked
select m.blocklist_id, b.id is not null, b.telefone, b.email, b.lead_id, m.marks
from (
    select blocklist_id, array_agg(chave_id) as marks from blocklist_chaves
    where tenant_id = :tenant and versao = 0 and chave is null group by blocklist_id
) m left join lateral (
    select * from blocklist where id = m.blocklist_id and tenant_id = :tenant offset 0
) b on true;

-- name: keep
-- What an earlier text of a changed row left goes, and so do the marks that were read with the present text; a newer
-- mark stays. Other versions have not read these rows, so for them the list is not complete.
with changed as (
    delete from blocklist_chaves where ctid = any (array(
        select k.ctid from unnest(string_to_array(:changed, ',')::uuid[]) changed (id), lateral (
            select ctid, versao, chave_id, tenant_id from blocklist_chaves where blocklist_id = changed.id offset 0
        ) k where k.tenant_id = :tenant
        and (k.versao <> 0 or k.chave_id in (select unnest(string_to_array(:marks, ',')::bigint[])))
    ))
), others as (
    delete from blocklist_chaves
    where tenant_id = :tenant and chave is null and blocklist_id is null and versao <> :version
)
insert into blocklist_chaves (tenant_id, blocklist_id, versao, chave)
select :tenant, found.id, :version, found.chave
from unnest(string_to_array(:rows, ',')::uuid[], string_to_array(:keys, chr(10), '')) found (id, chave)
where (select 1 from blocklist where id = found.id and tenant_id = :tenant limit 1) is not null;

-- name: complete
with older as (
    delete from blocklist_chaves where tenant_id = :tenant and versao between 1 and :version - 1
), others as (
    delete from blocklist_chaves
    where tenant_id = :tenant and chave is null and blocklist_id is null and versao > :version
)
insert into blocklist_chaves (tenant_id, versao) values (:tenant, :version);

-- name: nameless
select b.id, count(*) over ()
from blocklist_chaves k, lateral (
    select id from blocklist where id = k.blocklist_id and lead_id is null offset 0
) b
where k.tenant_id = :tenant and k.versao = :version and k.chave is null limit :named;
