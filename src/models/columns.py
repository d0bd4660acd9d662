"""Column types that several tables share."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Uuid, func, text
from sqlalchemy.orm import mapped_column

UuidKey = Annotated[UUID, mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now())]
UpdatedAt = Annotated[
    datetime,
    mapped_column(DateTime(timezone=True), nullable=False, server_default=func.now(), onupdate=func.now()),
]


def one_of(column: str, *values: str) -> CheckConstraint:
    """Allow only `values` in `column`; the constraint is named `<table>_<column>_check`."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)
