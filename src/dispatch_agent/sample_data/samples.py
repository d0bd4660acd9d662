"""Insertion of sample leads into a database; a repeated call adds none twice."""

import importlib.util
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from dispatch_agent import tenants
from dispatch_agent.sample_data import people
from models import Lead, Tenant
from runner.errors import MigrationError
from runner.postgres import connect

CHUNK = 5_000
"""The number of leads that are in memory at once."""
SLUG = re.compile(r"[^\W_]([^\W_]|[.-]){0,62}(?<![.-])")


@dataclass(eq=False)
class Protected(MigrationError):
    environment: str
    code = "action-not-allowed"
    what = "Sample data must not be added in `{environment}`, which is protected."
    left = "Nothing was changed."
    hint = "Use another database, with its own name in `ENVIRONMENT`."


@dataclass(eq=False)
class FakerMissing(MigrationError):
    code = "settings"
    what = "Faker, which generates the names, is not installed."
    left = "Nothing was changed."
    hint = "Install the extra `samples`."


@dataclass(eq=False)
class UnfitSlug(MigrationError):
    slug: str
    code = "invalid-payload"
    what = "`{slug}` is not a tenant, and is not a valid slug for a new one."
    left = "Nothing was changed."
    hint = "Use at most 63 lower-case letters, digits, dots and hyphens."


@dataclass
class Added:
    """The number of rows that a call inserted, by table, and of its leads that existed already."""

    tenant_id: UUID
    tenant_made: bool
    rows: dict[str, int] = field(default_factory=dict)
    there_already: int = 0

    def sentence(self, tenant: str, seed: int) -> str:
        """Return a sentence about the inserted rows."""
        leads = self.rows.get("leads", 0)
        if not leads:
            return f"Nothing to add: `{tenant}` already has the {self.there_already:,} leads of seed {seed}."
        made = f"Created the tenant `{tenant}`. " if self.tenant_made else ""
        more = ", ".join(f"{number:,} {table}" for table, number in self.rows.items() if table != "leads")
        there = f" {self.there_already:,} already existed." if self.there_already else ""
        return f"{made}Added {leads:,} leads of seed {seed} to `{tenant}`, with {more}.{there}"


def refuse(environ: Mapping[str, str]) -> None:
    """Raise `Protected` or `FakerMissing` where samples are impossible, before the connection is opened."""
    environment = connect.protected_environment(environ)
    if environment is not None:
        raise Protected(environment)
    if importlib.util.find_spec("faker") is None:
        raise FakerMissing


def add(connection: Connection, tenant: str, leads: int, seed: int) -> Added:
    """Insert the first `leads` leads of `seed` for a tenant, by id or slug, unless they exist.

    Create the tenant where none has that slug; the caller commits the transaction. Raises `UnfitSlug`.
    """
    added = _hold(connection, tenant)
    slug = connection.scalar(select(Tenant.slug).where(Tenant.tenant_id == added.tenant_id)) or str(added.tenant_id)
    now = datetime.now(UTC)
    for first in range(0, leads, CHUNK):
        ids = {people.lead_id(slug, seed, number): number for number in range(first, min(first + CHUNK, leads))}
        known = set(connection.scalars(select(Lead.lead_id).where(Lead.lead_id.in_(ids))))
        added.there_already += len(known)
        fresh = [number for key, number in ids.items() if key not in known]
        _insert(connection, people.draw(added.tenant_id, slug, seed, fresh, now), added)
    return added


def _hold(connection: Connection, named: str) -> Added:
    """Find or create the tenant and lock its row, so that a concurrent call for the same leads finds them."""
    made = _make(connection, named)
    found = tenants.find(connection, named)
    connection.execute(select(Tenant.tenant_id).where(Tenant.tenant_id == found).with_for_update())
    return Added(found, made)


def _make(connection: Connection, named: str) -> bool:
    with suppress(tenants.UnknownTenant):
        tenants.find(connection, named)
        return False
    if tenants.as_id(named) or not SLUG.fullmatch(named) or named != named.lower():
        raise UnfitSlug(named)
    row = {"tenant_id": uuid5(people.NAMESPACE, named), "slug": named, "company_name": f"Empresa de teste {named}"}
    # another call may create the same tenant at this moment
    return connection.execute(insert(Tenant).values(row).on_conflict_do_nothing()).rowcount == 1


def _insert(connection: Connection, rows: people.Rows, added: Added) -> None:
    for table, drawn in rows.items():
        if drawn:
            connection.execute(insert(table).on_conflict_do_nothing(), drawn)
        added.rows[table.__tablename__] = added.rows.get(table.__tablename__, 0) + len(drawn)
