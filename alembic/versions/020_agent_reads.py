"""What the dispatch agent reads has an index: a tenant's leads in their order, and what belongs to one lead."""

import sqlalchemy as sa

from runner.operations import create_index_concurrently, drop_index_concurrently

revision = "020_agent_reads"
down_revision = "019_dry_run_once"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_leads_prioridade": (
        "leads",
        ["tenant_id", sa.text("interesse DESC NULLS LAST"), "data_ingestao", "lead_id"],
    ),
    "idx_lead_telefones_lead": ("lead_telefones", ["lead_id"]),
    "idx_lead_emails_lead": ("lead_emails", ["lead_id"]),
    "idx_agendamentos_lead": ("agendamentos", ["lead_id", "data_hora"]),
    "idx_blocklist_tenant": ("blocklist", ["tenant_id", "lead_id"]),
    "idx_disparos_tenant": ("disparos", ["tenant_id", "sent_at"]),
}


def upgrade() -> None:
    for name, (table, columns) in INDEXES.items():
        create_index_concurrently(name, table, columns)


def downgrade() -> None:
    for name in reversed(INDEXES):
        drop_index_concurrently(name)
