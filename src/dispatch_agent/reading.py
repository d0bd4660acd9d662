"""Read the leads of a tenant in their order, in one query and little memory, and the data that decisions need."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)

from dispatch_agent.lead import Lead
from dispatch_agent.request import Cursor
from dispatch_agent.rules.limits import Usage
from models import Agendamento, Disparo, DryRunLog, LeadEmail, LeadTelefone
from models import Lead as Leads

FETCHED_ROWS = 2_000
"""The number of rows that the server-side cursor returns at once."""
COMING = ("proposto", "confirmado")
# Python supports the years 1 to 9999, PostgreSQL many more: a mistyped year must not end the run.
EARLIEST, LATEST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LONGEST_RAW = 30_000
"""The number of characters of a raw string that are read; a hundred contacts need no more."""
DAY = timedelta(days=1)
# A run writes to the tables that it reads, so that statistics are always from before: of a table that was small, or of
# a run that had no rows. By indexes alone, in their order, no plan is a wrong one.
BY_INDEX = "set enable_seqscan = off; set enable_sort = off"


def read_usage(connection: Connection, tenant_id: UUID, run_id: str, now: datetime) -> Usage:
    """Count the sends of the last minute, hour and day: the real and coming ones, and those that this run decided on.

    The log's timestamps have no zone: they are compared in the session's zone, in which they were written.
    """
    real = _real_sends(tenant_id, now, now + DAY).subquery()
    # a coming send counts by how soon it is due, as a past one by how long ago it was
    apart = func.greatest(now - real.c.moment, real.c.moment - now)
    really = select(real.c.canal, apart.label("age"))
    ours = _recorded(run_id)
    would = select(ours.c.canal_decidido, (func.localtimestamp() - ours.c.created_at).label("age")).where(
        ours.c.tenant_id == tenant_id,
        ours.c.disparo_seria_executado.is_(True),
        ours.c.created_at > func.localtimestamp() - DAY,
    )
    sends = really.union_all(would).subquery()
    minute, hour = (sends.c.age < timedelta(seconds=seconds) for seconds in (60, 3_600))
    counted = {
        "minute": func.count().filter(minute),
        "hour": func.count().filter(hour),
        "day": func.count(),
        "whatsapp": func.count().filter(hour, sends.c.canal == "whatsapp"),
        "email": func.count().filter(hour, sends.c.canal == "email"),
    }
    row = connection.execute(select(*(count.label(name) for name, count in counted.items())))
    return Usage(**row.mappings().one())


def read_sends(
    connection: Connection, tenant_id: UUID, now: datetime, until: datetime
) -> list[tuple[datetime, str, int]]:
    """Return the real sends of the last day and the coming ones, as moment, channel and number for each second."""
    sends = _real_sends(tenant_id, now, until).subquery()
    second = func.date_trunc("second", sends.c.moment)
    rows = connection.execute(select(second, sends.c.canal, func.count()).group_by(second, sends.c.canal))
    return [(moment, channel, number) for moment, channel, number in rows]


def _real_sends(tenant_id: UUID, now: datetime, until: datetime) -> CompoundSelect[Any]:
    """Return the query for channel and moment of each send that counts, from a day ago until then.

    What is pending or being sent counts from now on, or from its scheduled moment. Where nobody knows whether it was
    sent, it counts as sent.
    """
    ours = Disparo.tenant_id == tenant_id
    sent = select(Disparo.canal, Disparo.sent_at.label("moment")).where(
        ours, Disparo.status.in_(("sent", "unknown")), Disparo.sent_at > now - DAY
    )
    # `sent_at` is named, since the index has it beside the tenant
    coming = select(Disparo.canal, func.greatest(Disparo.scheduled_at, now)).where(
        ours,
        Disparo.sent_at.is_(None),
        Disparo.status.in_(("pending", "sending")),
        or_(Disparo.scheduled_at.is_(None), Disparo.scheduled_at < until),
    )
    unknown = select(Disparo.canal, Disparo.updated_at).where(
        ours, Disparo.sent_at.is_(None), Disparo.status == "unknown", Disparo.updated_at > now - DAY
    )
    return union_all(sent, coming, unknown)


def count_recorded(connection: Connection, tenant_id: UUID, run_id: str) -> int:
    """Count the leads that the run has already decided on."""
    ours = _recorded(run_id)
    return connection.execute(select(func.count()).where(ours.c.tenant_id == tenant_id)).scalar_one()


def _recorded(run_id: str) -> Subquery:
    """Return the query for what the run has recorded, found by the run alone.

    PostgreSQL moves no condition into a subquery with OFFSET. Where statistics know nothing of the tenant's latest
    rows, an index of the tenant would seem as good as that of the run, and all of the tenant's rows would be read.
    """
    table = DryRunLog.__table__.c
    columns = (table.tenant_id, table.lead_id, table.canal_decidido, table.disparo_seria_executado, table.created_at)
    return select(*columns).where(table.run_id == run_id).offset(0).subquery("recorded")


def read_leads(
    connection: Connection,
    tenant_id: UUID,
    run_id: str,
    now: datetime,
    limit: int,
    after: Cursor | None = None,
    only: UUID | None = None,
) -> Iterator[Lead]:
    """Yield the leads that the run has not decided on, highest interest first, the older one on a tie."""
    query = undecided(tenant_id, run_id, now)
    if after is not None:
        query = query.where(_comes_after(after))
    if only is not None:
        query = query.where(Leads.lead_id == only)
    options = {"stream_results": True, "yield_per": FETCHED_ROWS}
    for row in connection.execute(query.limit(limit), execution_options=options):
        yield Lead(*row)


def read_contacts(connection: Connection, tenant_id: UUID) -> Iterator[Lead]:
    """Yield the tenant's leads with their contacts alone."""
    query = select(cast(Leads.lead_id, Text), *_texts(), _refused()).where(Leads.tenant_id == tenant_id)
    options = {"stream_results": True, "yield_per": FETCHED_ROWS}
    for lead_id, phones, emails, raw_phones, raw_emails, refused in connection.execute(
        query, execution_options=options
    ):
        yield Lead(lead_id, None, None, "", None, EARLIEST, phones, emails, raw_phones, raw_emails, None, refused)


def undecided(tenant_id: UUID, run_id: str, now: datetime) -> Select[Any]:
    """Return the query for the leads that the run has not decided on.

    A subquery with a limit never becomes a join: it is a look into the unique index for each lead, whatever the
    statistics say. As a join with a run of which they know nothing, it compared each lead with all rows of the run.
    """
    decided = select(literal(1)).where(DryRunLog.run_id == run_id, DryRunLog.lead_id == Leads.lead_id).limit(1)
    return _query(tenant_id, now).where(decided.scalar_subquery().is_(None))


def is_of_another_lead(connection: Connection, tenant_id: UUID, run_id: str, lead_id: UUID) -> bool:
    """Tell whether the run has decided on leads, and not on this one."""
    ours = _recorded(run_id)
    query = select(func.bool_or(ours.c.lead_id == lead_id)).where(ours.c.tenant_id == tenant_id)
    return connection.execute(query).scalar_one() is False


def has_lead(connection: Connection, tenant_id: UUID, lead_id: UUID) -> bool:
    """Tell whether the tenant has that lead."""
    query = select(exists().where(Leads.tenant_id == tenant_id, Leads.lead_id == lead_id))
    return bool(connection.execute(query).scalar_one())


def _query(tenant_id: UUID, now: datetime) -> Select[Any]:
    """Return the query for leads; its columns have the order of the fields of `Lead`."""
    return (
        select(
            cast(Leads.lead_id, Text),
            Leads.nome,
            Leads.documento,
            Leads.status,
            Leads.interesse,
            func.greatest(func.least(Leads.data_ingestao, LATEST), EARLIEST),
            *_texts(),
            select(func.min(func.least(Agendamento.data_hora, LATEST)))
            .where(
                Agendamento.tenant_id == tenant_id,
                Agendamento.lead_id == Leads.lead_id,
                Agendamento.status.in_(COMING),
                Agendamento.data_hora > now,
            )
            .scalar_subquery(),
            _refused(),
        )
        .where(Leads.tenant_id == tenant_id)
        .order_by(Leads.interesse.desc().nulls_last(), Leads.data_ingestao, Leads.lead_id)
    )


def _texts() -> tuple[ColumnElement[Any], ...]:
    """Return the usable contacts of a lead, structured and raw."""
    return (
        _contacts(LeadTelefone, LeadTelefone.telefone, LeadTelefone.telefone_principal, LeadTelefone.telefone_id),
        _contacts(LeadEmail, LeadEmail.email, LeadEmail.email_principal, LeadEmail.email_id),
        func.left(Leads.telefone_raw, LONGEST_RAW),
        func.left(Leads.email_raw, LONGEST_RAW),
    )


def _contacts(table: Any, contact: Any, principal: Any, key: Any) -> ColumnElement[Any]:
    """Return the usable contacts of a lead as an array, the principal ones first."""
    usable = select(contact).where(table.lead_id == Leads.lead_id, table.valido_para_disparo)
    return func.array(usable.order_by(principal.desc(), table.created_at, key).scalar_subquery())


def _refused() -> ColumnElement[Any]:
    """Return the contacts of a lead that are not `valido_para_disparo`."""
    phones = select(LeadTelefone.telefone).where(
        LeadTelefone.lead_id == Leads.lead_id, ~LeadTelefone.valido_para_disparo
    )
    emails = select(LeadEmail.email).where(LeadEmail.lead_id == Leads.lead_id, ~LeadEmail.valido_para_disparo)
    return func.array(phones.union_all(emails).scalar_subquery())


def _comes_after(cursor: Cursor) -> ColumnElement[bool]:
    later = tuple_(Leads.data_ingestao, Leads.lead_id) > tuple_(cursor.data_ingestao, cursor.lead_id)
    if cursor.interesse is None:
        return and_(Leads.interesse.is_(None), later)
    less = or_(Leads.interesse < cursor.interesse, Leads.interesse.is_(None))
    return or_(less, and_(Leads.interesse == cursor.interesse, later))
