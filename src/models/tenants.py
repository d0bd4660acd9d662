from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.columns import CreatedAt, UpdatedAt, UuidKey


class Tenant(Base):
    """A customer of the platform."""

    __tablename__ = "tenants"

    tenant_id: Mapped[UuidKey]
    slug: Mapped[str | None] = mapped_column(String(63), unique=True)
    company_name: Mapped[str] = mapped_column(String(255))
    cnpj: Mapped[str | None] = mapped_column(String(18))
    status: Mapped[str] = mapped_column(String(20), server_default="active")
    timezone: Mapped[str] = mapped_column(String(64), server_default="America/Sao_Paulo")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
