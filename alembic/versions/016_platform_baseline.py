"""Platform baseline: what the dispatch agent reads.

Squashes the loose SQL files 001 to 016. `if_not_exists` lets a database that has some of these tables
already keep them with their rows; what they lack is completed before the revision commits.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "016_platform_baseline"
down_revision = None
branch_labels = None
depends_on = None


def uuid_key(name: str) -> sa.Column:
    return sa.Column(name, sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False)


def moment(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "tenants",
        uuid_key("tenant_id"),
        sa.Column("slug", sa.String(63)),
        sa.Column("company_name", sa.String(255), nullable=False),
        sa.Column("cnpj", sa.String(18)),
        sa.Column("status", sa.String(20), server_default="active", nullable=False),
        sa.Column("timezone", sa.String(64), server_default="America/Sao_Paulo", nullable=False),
        moment("created_at"),
        moment("updated_at"),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("tenants_pkey")),
        sa.UniqueConstraint("slug", name=op.f("tenants_slug_key")),
        if_not_exists=True,
    )
    op.create_table(
        "leads",
        uuid_key("lead_id"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id_externo", sa.String(255), comment="Origem no formato arquivo:linha"),
        sa.Column("nome", sa.String(500)),
        sa.Column("contato_nome", sa.String(500)),
        sa.Column("documento", sa.String(20)),
        sa.Column("email_raw", sa.Text(), comment="E-mails como recebidos, separados por |"),
        sa.Column("telefone_raw", sa.Text(), comment="Telefones como recebidos, separados por |"),
        sa.Column("status", sa.String(20), server_default="novo", nullable=False),
        sa.Column("interesse", sa.SmallInteger(), comment="Interesse de 0 a 100"),
        sa.Column("tags", JSONB()),
        moment("data_ingestao"),
        moment("created_at"),
        moment("updated_at"),
        sa.CheckConstraint(
            "status IN ('novo', 'em_disparo', 'agendado', 'contato_efetuado', 'sem_sucesso', "
            "'descartado', 'concluido')",
            name=op.f("leads_status_check"),
        ),
        sa.CheckConstraint("interesse BETWEEN 0 AND 100", name=op.f("leads_interesse_check")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("leads_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("lead_id", name=op.f("leads_pkey")),
        sa.UniqueConstraint("tenant_id", "lead_id_externo", name=op.f("leads_tenant_id_lead_id_externo_key")),
        if_not_exists=True,
    )
    op.create_table(
        "lead_telefones",
        uuid_key("telefone_id"),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("telefone", sa.String(50), nullable=False),
        sa.Column("telefone_principal", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("tipo_origem", sa.String(20)),
        sa.Column("valido_para_disparo", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        moment("created_at"),
        sa.CheckConstraint(
            "tipo_origem IN ('movel', 'fixo', 'internacional', 'desconhecido', 'nao_classificado')",
            name=op.f("lead_telefones_tipo_origem_check"),
        ),
        sa.ForeignKeyConstraint(
            ["lead_id"], ["leads.lead_id"], name=op.f("lead_telefones_lead_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("telefone_id", name=op.f("lead_telefones_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "lead_emails",
        uuid_key("email_id"),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("email_principal", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("valido_para_disparo", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        moment("created_at"),
        sa.ForeignKeyConstraint(
            ["lead_id"], ["leads.lead_id"], name=op.f("lead_emails_lead_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("email_id", name=op.f("lead_emails_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "blocklist",
        uuid_key("id"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid()),
        sa.Column("telefone", sa.String(50)),
        sa.Column("email", sa.String(255)),
        sa.Column("reason", sa.Text()),
        moment("created_at"),
        sa.CheckConstraint("telefone IS NOT NULL OR email IS NOT NULL", name=op.f("blocklist_contato_check")),
        sa.ForeignKeyConstraint(
            ["lead_id"], ["leads.lead_id"], name=op.f("blocklist_lead_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("blocklist_pkey")),
        comment="LGPD: pessoas que pediram para não ser contatadas",
        if_not_exists=True,
    )
    op.create_table(
        "agendamentos",
        uuid_key("id"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("data_hora", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "duracao",
            sa.Integer(),
            server_default=sa.text("60"),
            nullable=False,
            comment="Duração em minutos",
        ),
        sa.Column("status", sa.String(20), server_default="proposto", nullable=False),
        moment("created_at"),
        moment("updated_at"),
        sa.CheckConstraint(
            "status IN ('proposto', 'confirmado', 'cancelado', 'concluido', 'no_show')",
            name=op.f("agendamentos_status_check"),
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("agendamentos_lead_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("agendamentos_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "disparos",
        uuid_key("id"),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("canal", sa.String(20), nullable=False),
        sa.Column("template", sa.String(100)),
        sa.Column("status", sa.String(20), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("scheduled_at", sa.DateTime(timezone=True)),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        moment("created_at"),
        moment("updated_at"),
        sa.CheckConstraint(
            "status IN ('pending', 'sent', 'failed', 'rate_limited')", name=op.f("disparos_status_check")
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("disparos_lead_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("disparos_pkey")),
        comment="O que foi realmente enviado; um dry-run nunca escreve aqui",
        if_not_exists=True,
    )


def downgrade() -> None:
    for table in (
        "disparos",
        "agendamentos",
        "blocklist",
        "lead_emails",
        "lead_telefones",
        "leads",
        "tenants",
    ):
        op.drop_table(table)
