"""Leads have a score."""

import sqlalchemy as sa
from alembic import op

revision = "024_add_score"
down_revision = "023_agent_purge"


def upgrade() -> None:
    op.add_column("leads", sa.Column("score", sa.BigInteger(), nullable=False))
    op.create_index("leads_score", "leads", ["score"])


def downgrade() -> None:
    op.drop_column("leads", "score")
