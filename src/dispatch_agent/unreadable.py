"""The contacts of leads that have nothing to send to, as the leads are now."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from dispatch_agent import reading
from dispatch_agent.contacts import of_lead
from models import Tenant

NAMED = 100
"""The number of leads that are told by their id."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The contacts that cannot be read."""

    total: int = 0
    leads: tuple[str, ...] = ()
    """The first of their leads."""

    def as_told(self) -> dict[str, object]:
        """Return them as answers tell them."""
        return {"total": self.total, "leads": list(self.leads)}


def read(connection: Connection, tenant: UUID | None) -> Unreadable:
    """Return the contacts of one tenant's leads or of all; each lead is read, a million in about half a minute."""
    connection.exec_driver_sql(reading.BY_INDEX)
    total = 0
    leads: list[str] = []
    for one in [tenant] if tenant else connection.scalars(select(Tenant.tenant_id)).all():
        for lead in reading.read_contacts(connection, one):
            if unreadable := of_lead.find(lead).unreadable:
                total += unreadable
                leads += [lead.lead_id][: NAMED - len(leads)]
    return Unreadable(total, tuple(leads))
