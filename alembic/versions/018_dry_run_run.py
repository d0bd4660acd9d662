"""Dry-run log: which run wrote a row.

A run that is repeated, after a crash or by a client's retry, finds what it has decided already. The column is
nullable and has no default: an agent that knows nothing of it goes on writing its rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "018_dry_run_run"
down_revision = "017_dry_run_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dry_run_log",
        sa.Column("run_id", sa.Text(), comment="Execução que tomou a decisão; repetida, não decide de novo"),
    )


def downgrade() -> None:
    op.drop_column("dry_run_log", "run_id")
