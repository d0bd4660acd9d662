"""Leads have a score, which is not known of those that are there."""

import sqlalchemy as sa
from alembic import op

revision = "024_add_score"
down_revision = "023_agent_purge"


def upgrade() -> None:
    op.add_column("leads", sa.Column("score", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("leads", "score")
