"""Lookup of a tenant by id or slug."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, or_, select

from models import Tenant
from runner.errors import MigrationError


@dataclass(eq=False)
class UnknownTenant(MigrationError):
    named: str
    code = "unknown-tenant"
    what = "There is no tenant `{named}`."
    left = "Nothing was changed."
    hint = "Name one by its id or its slug; `dispatch-agent sample-data` creates `test-001`."


@dataclass(eq=False)
class UnknownLead(MigrationError):
    lead_id: str
    named: str
    code = "unknown-lead"
    what = "The tenant `{named}` has no lead `{lead_id}`."
    left = "Nothing was recorded."
    hint = "Name one of the tenant's leads by its id."


def find(connection: Connection, named: str) -> UUID:
    """Return the id of the tenant with this id or slug. Raises `UnknownTenant`."""
    # a slug may have the form of a UUID, so both are compared
    meant = [Tenant.slug == named]
    if (known := as_id(named)) is not None:
        meant.append(Tenant.tenant_id == known)
    found = connection.scalar(select(Tenant.tenant_id).where(or_(*meant)))
    if found is None:
        raise UnknownTenant(named)
    return found


def as_id(named: str) -> UUID | None:
    """Return `named` as a UUID, None where it is not one."""
    try:
        return UUID(named)
    except ValueError:
        return None
