from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.columns import CreatedAt, UpdatedAt, UuidKey, one_of


class Agendamento(Base):
    """An appointment with a lead."""

    __tablename__ = "agendamentos"
    __table_args__ = (
        one_of("status", "proposto", "confirmado", "cancelado", "concluido", "no_show"),
        Index("idx_agendamentos_lead", "lead_id", "data_hora"),
    )

    id: Mapped[UuidKey]
    tenant_id: Mapped[UUID]
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.lead_id"))
    data_hora: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    duracao: Mapped[int] = mapped_column(Integer, server_default=text("60"), comment="Duração em minutos")
    status: Mapped[str] = mapped_column(String(20), server_default="proposto")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class Disparo(Base):
    """A message that was sent, or will be; a dry run never writes here."""

    __tablename__ = "disparos"
    __table_args__ = (
        one_of("status", "pending", "sent", "failed", "rate_limited"),
        Index("idx_disparos_tenant", "tenant_id", "sent_at"),
        {"comment": "O que foi realmente enviado; um dry-run nunca escreve aqui"},
    )

    id: Mapped[UuidKey]
    tenant_id: Mapped[UUID]
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.lead_id"))
    canal: Mapped[str] = mapped_column(String(20))
    template: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20), server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_error: Mapped[str | None] = mapped_column(Text)
    scheduled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
