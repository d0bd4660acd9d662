"""The rows of the blocklist that name nobody, and so block nobody: no contact can be read, and no lead is given."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select, text

from dispatch_agent import reading
from dispatch_agent.contacts.keys import VERSION, keys, names_somebody
from models import Blocklist

NAMED = 100
"""The number of rows that are told by their id."""
FETCHED_ROWS = 2_000

MAY_READ_KEYS = text("select has_table_privilege(to_regclass('blocklist_chaves'), 'select')")
# Each tenant is found through the first column of `idx_blocklist_tenant`, since DISTINCT would read all rows:
# https://wiki.postgresql.org/wiki/Loose_indexscan
TENANTS = text("""
    with recursive known as (
        (select tenant_id from blocklist order by tenant_id limit 1)
        union all
        select (select tenant_id from blocklist where tenant_id > known.tenant_id order by tenant_id limit 1)
        from known where known.tenant_id is not null
    )
    select tenant_id from known where tenant_id is not null
""")
# One statement, so that no row changes between the reading of its keys and that of its mark.
STORED = text("""
    select k.blocklist_id is null, k.versao = 0, b.id, b.telefone, b.email
    from blocklist_chaves k left join lateral (
        select id, telefone, email from blocklist
        where id = k.blocklist_id and tenant_id = :tenant and lead_id is null offset 0
    ) b on true
    where k.tenant_id = :tenant and k.chave is null and k.versao in (0, :version)
""")


@dataclass(frozen=True, slots=True)
class Nameless:
    """The rows that name nobody."""

    total: int = 0
    ids: tuple[UUID, ...] = ()
    """The first of them."""

    def as_told(self) -> dict[str, object]:
        """Return them as answers tell them."""
        return {"total": self.total, "ids": [str(one) for one in self.ids]}


def read(connection: Connection, tenant: UUID | None) -> Nameless:
    """Return the rows of one tenant or of all; nothing is written."""
    connection.exec_driver_sql(reading.BY_INDEX)
    stored = connection.execute(MAY_READ_KEYS).scalar_one()
    tenants = connection.scalars(TENANTS) if tenant is None else [tenant]
    found = [row for one in tenants for row in _of(connection, one, stored)]
    return Nameless(len(found), tuple(found[:NAMED]))


def _of(connection: Connection, tenant: UUID, stored: bool) -> Iterator[UUID]:
    """Return a tenant's rows, by the stored keys where all of its blocklist has them."""
    known = _stored(connection, tenant) if stored else None
    return _streamed(connection, tenant) if known is None else iter(known)


def _stored(connection: Connection, tenant: UUID) -> list[UUID] | None:
    """Return the rows that were read as naming nobody, and the marked ones that do; None without a complete list."""
    complete, unmarked, marked = False, set(), {}
    for of_list, is_marked, row, *texts in connection.execute(STORED, {"tenant": tenant, "version": VERSION}):
        if of_list:
            complete = True
        elif row is not None and is_marked:
            marked[row] = _names_nobody(*texts)
        elif row is not None:
            unmarked.add(row)
    nameless = {row for row, is_nameless in marked.items() if is_nameless}
    return sorted((unmarked - marked.keys()) | nameless) if complete else None


def _streamed(connection: Connection, tenant: UUID) -> Iterator[UUID]:
    query = select(Blocklist.id, Blocklist.telefone, Blocklist.email)
    ours = query.where(Blocklist.lead_id.is_(None), Blocklist.tenant_id == tenant)
    options = {"stream_results": True, "yield_per": FETCHED_ROWS}
    for row, *texts in connection.execute(ours, execution_options=options):
        if _names_nobody(*texts):
            yield row


def _names_nobody(*texts: str | None) -> bool:
    return not names_somebody([key for one in texts if one for key in keys(one)])
