"""The right to delete old decisions, which the dispatch agent itself does not have.

Whoever logs in for the purge is made a member of the role: `GRANT dispatch_agent_purge TO purge_login`. It reads when
and for whom a decision was made, and no person.
"""

from alembic import op

revision = "023_agent_purge"
down_revision = "022_blocklist_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dispatch_agent_purge') THEN
                CREATE ROLE dispatch_agent_purge NOLOGIN;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- another database's migration has made it in this moment
            NULL;
        END $$
    """)
    op.execute("GRANT USAGE ON SCHEMA public TO dispatch_agent_purge")
    op.execute("GRANT SELECT (tenant_id, slug) ON tenants TO dispatch_agent_purge")
    op.execute("GRANT SELECT (ctid, tenant_id, created_at), DELETE ON dry_run_log TO dispatch_agent_purge")


def downgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'dispatch_agent_purge') THEN
                REVOKE SELECT (ctid, tenant_id, created_at), DELETE ON dry_run_log FROM dispatch_agent_purge;
                REVOKE SELECT (tenant_id, slug) ON tenants FROM dispatch_agent_purge;
                REVOKE USAGE ON SCHEMA public FROM dispatch_agent_purge;
            END IF;
        END $$
    """)
