from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.columns import CreatedAt, UpdatedAt, UuidKey, one_of


class Lead(Base):
    """A person or company that a tenant may contact."""

    __tablename__ = "leads"
    __table_args__ = (
        UniqueConstraint("tenant_id", "lead_id_externo"),
        one_of(
            "status",
            "novo",
            "em_disparo",
            "agendado",
            "contato_efetuado",
            "sem_sucesso",
            "descartado",
            "concluido",
        ),
        CheckConstraint("interesse BETWEEN 0 AND 100", name="interesse"),
        Index("idx_leads_prioridade", "tenant_id", text("interesse DESC NULLS LAST"), "data_ingestao", "lead_id"),
    )

    lead_id: Mapped[UuidKey]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.tenant_id"))
    lead_id_externo: Mapped[str | None] = mapped_column(String(255), comment="Origem no formato arquivo:linha")
    nome: Mapped[str | None] = mapped_column(String(500))
    contato_nome: Mapped[str | None] = mapped_column(String(500))
    documento: Mapped[str | None] = mapped_column(String(20))
    email_raw: Mapped[str | None] = mapped_column(Text, comment="E-mails como recebidos, separados por |")
    telefone_raw: Mapped[str | None] = mapped_column(Text, comment="Telefones como recebidos, separados por |")
    status: Mapped[str] = mapped_column(String(20), server_default="novo")
    interesse: Mapped[int | None] = mapped_column(SmallInteger, comment="Interesse de 0 a 100")
    tags: Mapped[Any | None] = mapped_column(JSONB)
    data_ingestao: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class LeadTelefone(Base):
    """A structured phone of a lead; takes precedence over `leads.telefone_raw`."""

    __tablename__ = "lead_telefones"
    __table_args__ = (
        one_of("tipo_origem", "movel", "fixo", "internacional", "desconhecido", "nao_classificado"),
        Index("idx_lead_telefones_lead", "lead_id"),
    )

    telefone_id: Mapped[UuidKey]
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.lead_id", ondelete="CASCADE"))
    telefone: Mapped[str] = mapped_column(String(50))
    telefone_principal: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    tipo_origem: Mapped[str | None] = mapped_column(String(20))
    valido_para_disparo: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[CreatedAt]


class LeadEmail(Base):
    """A structured e-mail address of a lead; takes precedence over `leads.email_raw`."""

    __tablename__ = "lead_emails"
    __table_args__ = (Index("idx_lead_emails_lead", "lead_id"),)

    email_id: Mapped[UuidKey]
    lead_id: Mapped[UUID] = mapped_column(ForeignKey("leads.lead_id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(255))
    email_principal: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    valido_para_disparo: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[CreatedAt]


class Blocklist(Base):
    """A person who asked not to be contacted (LGPD)."""

    __tablename__ = "blocklist"
    __table_args__ = (
        CheckConstraint("telefone IS NOT NULL OR email IS NOT NULL", name="contato"),
        Index("idx_blocklist_tenant", "tenant_id", "lead_id"),
        {"comment": "LGPD: pessoas que pediram para não ser contatadas"},
    )

    id: Mapped[UuidKey]
    tenant_id: Mapped[UUID]
    lead_id: Mapped[UUID | None] = mapped_column(ForeignKey("leads.lead_id", ondelete="SET NULL"))
    telefone: Mapped[str | None] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(255))
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]


class BlocklistChave(Base):
    """A key of a blocklist row, or a mark: see `dispatch_agent.blocklist`."""

    __tablename__ = "blocklist_chaves"
    __table_args__ = (
        Index("idx_blocklist_chaves_chave", "tenant_id", "chave", "versao"),
        Index("idx_blocklist_chaves_linha", "blocklist_id", "versao"),
        Index(
            "idx_blocklist_chaves_marcas", "tenant_id", "versao", "blocklist_id", postgresql_where=text("chave IS NULL")
        ),
        {"comment": "Chaves pelas quais a lista de bloqueio é consultada; o agente as refaz a partir dela"},
    )

    chave_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[UUID]
    blocklist_id: Mapped[UUID | None] = mapped_column(
        comment="Nula: a lista inteira do tenant foi lida com esta versão"
    )
    versao: Mapped[int] = mapped_column(
        SmallInteger, comment="Versão do leitor de contatos; 0 marca uma linha a ler de novo"
    )
    chave: Mapped[str | None] = mapped_column(
        Text(collation="C"),
        comment="Telefone ou e-mail como é procurado; nula: a linha foi lida e não indica ninguém",
    )
