from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.columns import UuidKey, one_of


class DryRunLog(Base):
    """One decision of the dispatch agent in dry-run mode; nothing was sent."""

    __tablename__ = "dry_run_log"
    __table_args__ = (
        one_of("canal_decidido", "whatsapp", "email", "calendar", "none"),
        Index("idx_dry_run_tenant", "tenant_id", text("created_at DESC")),
        Index("idx_dry_run_canal", "canal_decidido"),
        Index("idx_dry_run_ambiente", "ambiente", text("created_at DESC")),
        Index("idx_dry_run_run", "run_id", "lead_id", unique=True, postgresql_where=text("run_id IS NOT NULL")),
        {"comment": "Decisões do Micro Agente de Disparos & Agendamentos em modo dry-run; nada foi enviado"},
    )

    log_id: Mapped[UuidKey]
    tenant_id: Mapped[UUID]
    lead_id: Mapped[UUID | None]
    lead_nome: Mapped[str | None] = mapped_column(String(500))
    lead_telefone: Mapped[str | None] = mapped_column(String(50))
    lead_email: Mapped[str | None] = mapped_column(String(255))
    lead_documento: Mapped[str | None] = mapped_column(String(20))
    canal_decidido: Mapped[str] = mapped_column(
        String(20), comment="Canal escolhido: whatsapp, email, calendar ou none"
    )
    motivo_decisao: Mapped[str] = mapped_column(Text, comment="Por que este canal foi escolhido, em uma frase")
    template_selecionado: Mapped[str | None] = mapped_column(String(100))
    disparo_seria_executado: Mapped[bool | None] = mapped_column(
        Boolean, server_default=text("true"), comment="Se o disparo seria executado fora do dry-run"
    )
    razao_bloqueio: Mapped[str | None] = mapped_column(
        Text, comment="Por que o disparo seria bloqueado, quando não seria executado"
    )
    ambiente: Mapped[str | None] = mapped_column(String(10), server_default="dev")
    feature_flag_enabled: Mapped[bool | None] = mapped_column(
        Boolean,
        server_default=text("false"),
        comment="Valor de MICRO_AGENT_DISPARO_ENABLED no momento da decisão",
    )
    run_id: Mapped[str | None] = mapped_column(
        Text, comment="Execução que tomou a decisão; repetida, não decide de novo"
    )
    created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=False), server_default=func.now())
