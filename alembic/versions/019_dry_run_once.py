"""Dry-run log: a run decides on each lead once.

Rows without a run, those of agents from before 018, may repeat a lead as they always could.
"""

from runner.operations import create_index_concurrently, drop_index_concurrently

revision = "019_dry_run_once"
down_revision = "018_dry_run_run"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "idx_dry_run_run", "dry_run_log", ["run_id", "lead_id"], unique=True, where="run_id IS NOT NULL"
    )


def downgrade() -> None:
    drop_index_concurrently("idx_dry_run_run")
