"""Read what is decided on: the leads of a tenant in their order, in one query and little memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, exists, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import array

from dispatch_agent.contacts import email, phone
from dispatch_agent.lead import Lead
from dispatch_agent.request import Cursor
from models import Agendamento, Blocklist, Disparo, DryRunLog, LeadEmail, LeadTelefone, Tenant
from models import Lead as Leads

FETCHED_ROWS = 2_000
"""How many rows the server-side cursor hands over at once."""
COMING = ("proposto", "confirmado")


@dataclass(frozen=True)
class Account:
    """A tenant, as the agent needs to know it."""

    tenant_id: UUID
    timezone: str


def find_account(connection: Connection, name: str) -> Account | None:
    """Return the tenant with that id or slug, None where there is none."""
    is_it = or_(cast(Tenant.tenant_id, Text) == name.lower(), Tenant.slug == name)
    row = connection.execute(select(Tenant.tenant_id, Tenant.timezone).where(is_it)).first()
    return None if row is None else Account(row.tenant_id, row.timezone)


def read_blocked(connection: Connection, tenant_id: UUID) -> frozenset[str]:
    """Return the contacts of people who asked not to be contacted, in the form in which contacts are compared."""
    rows = connection.execute(select(Blocklist.telefone, Blocklist.email).where(Blocklist.tenant_id == tenant_id))
    found = (known for row in rows for known in (phone(row.telefone or ""), email(row.email or "")))
    return frozenset(known for known in found if known)


def count_sends(connection: Connection, tenant_id: UUID, run_id: str, now: datetime) -> dict[str, dict[str, int]]:
    """Count by channel what was sent in the last `minute`, `hour` and `day`: really, and by this run as it would.

    The log's own moments have no zone: they are compared in that of the session, in which they were written.
    """
    really = select(Disparo.canal, (now - Disparo.sent_at).label("age")).where(
        Disparo.tenant_id == tenant_id, Disparo.status == "sent", Disparo.sent_at <= now
    )
    would = select(DryRunLog.canal_decidido, (func.localtimestamp() - DryRunLog.created_at).label("age")).where(
        DryRunLog.run_id == run_id, DryRunLog.disparo_seria_executado
    )
    sends = really.union_all(would).subquery()
    within = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
    counts = [func.count().filter(sends.c.age < age).label(name) for name, age in within.items()]
    rows = connection.execute(
        select(sends.c.canal, *counts).where(sends.c.age < within["day"]).group_by(sends.c.canal)
    ).mappings()
    return {row["canal"]: {name: row[name] for name in within} for row in rows}


def read_leads(
    connection: Connection,
    account: Account,
    run_id: str,
    now: datetime,
    limit: int,
    after: Cursor | None = None,
    only: UUID | None = None,
) -> Iterator[Lead]:
    """Yield the leads that the run has not decided on, highest interest first, the older one on a tie."""
    query = _query(account, now).where(~exists().where(DryRunLog.run_id == run_id, DryRunLog.lead_id == Leads.lead_id))
    if after is not None:
        query = query.where(_comes_after(after))
    if only is not None:
        query = query.where(Leads.lead_id == only)
    streamed = connection.execution_options(stream_results=True, yield_per=FETCHED_ROWS)
    for row in streamed.execute(query.limit(limit)):
        yield Lead(*row)


def _query(account: Account, now: datetime) -> Select[Any]:
    """Return the query for leads as `Lead` has them, its columns in the same order."""
    return (
        select(
            Leads.lead_id,
            Leads.nome,
            Leads.documento,
            Leads.status,
            Leads.interesse,
            Leads.data_ingestao,
            _contacts(LeadTelefone, LeadTelefone.telefone, LeadTelefone.telefone_principal, LeadTelefone.telefone_id),
            _contacts(LeadEmail, LeadEmail.email, LeadEmail.email_principal, LeadEmail.email_id),
            Leads.telefone_raw,
            Leads.email_raw,
            select(func.min(Agendamento.data_hora))
            .where(
                Agendamento.lead_id == Leads.lead_id, Agendamento.status.in_(COMING), Agendamento.data_hora > now
            )
            .scalar_subquery(),
            exists().where(Blocklist.tenant_id == account.tenant_id, Blocklist.lead_id == Leads.lead_id),
        )
        .where(Leads.tenant_id == account.tenant_id)
        .order_by(Leads.interesse.desc().nulls_last(), Leads.data_ingestao, Leads.lead_id)
    )


def _contacts(table: Any, contact: Any, principal: Any, key: Any) -> ColumnElement[Any]:
    """Return the usable contacts of a lead as an array, the principal ones first."""
    usable = select(contact).where(table.lead_id == Leads.lead_id, table.valido_para_disparo)
    return func.array(usable.order_by(principal.desc(), table.created_at, key).scalar_subquery())


def _comes_after(cursor: Cursor) -> ColumnElement[bool]:
    later = tuple_(Leads.data_ingestao, Leads.lead_id) > tuple_(cursor.data_ingestao, cursor.lead_id)
    if cursor.interesse is None:
        return and_(Leads.interesse.is_(None), later)
    less = or_(Leads.interesse < cursor.interesse, Leads.interesse.is_(None))
    return or_(less, and_(Leads.interesse == cursor.interesse, later))
