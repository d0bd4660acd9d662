"""The schema at head, as SQLAlchemy models. `alembic check` compares them with the revisions."""

from models.agenda import Agendamento, Disparo
from models.base import Base
from models.dry_run import DryRunLog
from models.leads import Blocklist, BlocklistChave, Lead, LeadEmail, LeadTelefone
from models.tenants import Tenant

__all__ = [
    "Agendamento",
    "Base",
    "Blocklist",
    "BlocklistChave",
    "Disparo",
    "DryRunLog",
    "Lead",
    "LeadEmail",
    "LeadTelefone",
    "Tenant",
]
