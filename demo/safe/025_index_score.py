"""Leads are found by their score."""

from runner.operations import create_index_concurrently, drop_index_concurrently

revision = "025_index_score"
down_revision = "024_add_score"


def upgrade() -> None:
    create_index_concurrently("leads_score", "leads", ["score"])


def downgrade() -> None:
    drop_index_concurrently("leads_score")
