"""Dry-run log: what the dispatch agent would have done.

On at least one database the table was made by the old runner, without version tracking; `if_not_exists`
keeps it with its rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "017_dry_run_log"
down_revision = "016_platform_baseline"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dry_run_log",
        sa.Column("log_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid()),
        sa.Column("lead_nome", sa.String(500)),
        sa.Column("lead_telefone", sa.String(50)),
        sa.Column("lead_email", sa.String(255)),
        sa.Column("lead_documento", sa.String(20)),
        sa.Column(
            "canal_decidido",
            sa.String(20),
            nullable=False,
            comment="Canal escolhido: whatsapp, email, calendar ou none",
        ),
        sa.Column(
            "motivo_decisao",
            sa.Text(),
            nullable=False,
            comment="Por que este canal foi escolhido, em uma frase",
        ),
        sa.Column("template_selecionado", sa.String(100)),
        sa.Column(
            "disparo_seria_executado",
            sa.Boolean(),
            server_default=sa.text("true"),
            comment="Se o disparo seria executado fora do dry-run",
        ),
        sa.Column(
            "razao_bloqueio",
            sa.Text(),
            comment="Por que o disparo seria bloqueado, quando não seria executado",
        ),
        sa.Column("ambiente", sa.String(10), server_default="dev"),
        sa.Column(
            "feature_flag_enabled",
            sa.Boolean(),
            server_default=sa.text("false"),
            comment="Valor de MICRO_AGENT_DISPARO_ENABLED no momento da decisão",
        ),
        sa.Column("created_at", sa.DateTime(), server_default=sa.text("now()")),
        sa.CheckConstraint(
            "canal_decidido IN ('whatsapp', 'email', 'calendar', 'none')",
            name=op.f("dry_run_log_canal_decidido_check"),
        ),
        sa.PrimaryKeyConstraint("log_id", name=op.f("dry_run_log_pkey")),
        comment="Decisões do Micro Agente de Disparos & Agendamentos em modo dry-run; nada foi enviado",
        if_not_exists=True,
    )
    op.create_index("idx_dry_run_tenant", "dry_run_log", ["tenant_id", sa.text("created_at DESC")], if_not_exists=True)
    op.create_index("idx_dry_run_canal", "dry_run_log", ["canal_decidido"], if_not_exists=True)
    op.create_index("idx_dry_run_ambiente", "dry_run_log", ["ambiente", sa.text("created_at DESC")], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("dry_run_log")
