"""Lookup of a tenant by id or slug."""

import unicodedata
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from dispatch_agent import zones
from models import Tenant
from runner.errors import MigrationError, translating


@dataclass(eq=False)
class UnknownTenant(MigrationError):
    named: str
    code = "unknown-tenant"
    what = "There is no tenant `{named}`."
    left = "Nothing was changed."
    hint = "Name one by its id or its slug; `dispatch-agent sample-data` creates `test-001`."


@dataclass(eq=False)
class InactiveTenant(MigrationError):
    named: str
    status: str
    code = "inactive-tenant"
    what = "The tenant `{named}` has the status `{status}`, so nobody is contacted for it."
    left = "Nothing was recorded."
    hint = "If that is wrong, set `status` to `active` in its row of `tenants`."


@dataclass(eq=False)
class InvalidTimeZone(MigrationError):
    named: str
    tenant_id: UUID
    zone: str
    code = "settings"
    what = "The tenant `{named}` has the time zone `{zone}`, which does not exist."
    left = "Nothing was recorded."
    hint = "Correct `timezone` in the row of `tenants` with `tenant_id` {tenant_id}, to one such as `America/Manaus`."


@dataclass(eq=False)
class RunOfAnotherLead(MigrationError):
    run_id: str
    lead_id: str
    code = "run-mismatch"
    what = "The run `{run_id}` has decided on other leads, and not on `{lead_id}`."
    left = "Nothing was recorded."
    hint = "Give each lead a run id of its own."


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
    # a slug may have the form of a UUID, so both are compared; an accent may be a character of its own
    forms = {named, *(unicodedata.normalize(form, named) for form in ("NFC", "NFD"))}
    meant: list[ColumnElement[bool]] = [Tenant.slug.in_(forms)]
    if (known := as_id(named)) is not None:
        meant.append(Tenant.tenant_id == known)
    query = select(Tenant.tenant_id).where(or_(*meant)).order_by((Tenant.slug == named).desc().nulls_last())
    found = connection.scalar(query)
    if found is None:
        raise UnknownTenant(named)
    return found


def find_active(connection: Connection, named: str) -> tuple[UUID, str]:
    """Return id and time zone of the tenant with this id or slug.

    Raises `UnknownTenant`, `InactiveTenant`, `InvalidTimeZone`.
    """
    found = find(connection, named)
    query = select(Tenant.status, Tenant.timezone).where(Tenant.tenant_id == found)
    status, zone = connection.execute(query).one()
    if status != "active":
        raise InactiveTenant(named, status)
    with translating(ValueError, lambda _: InvalidTimeZone(named, found, zone)):
        zones.zone(zone)
    return found, zone


def as_id(named: str) -> UUID | None:
    """Return `named` as a UUID, None where it is not one."""
    try:
        return UUID(named)
    except ValueError:
        return None
