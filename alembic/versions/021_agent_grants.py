"""The dispatch agent's rights: it reads leads, and appends to its log.

A role belongs to the whole server, so it is made only where it is not there, and stays after a downgrade.
Whoever logs in for the agent is made a member of it: `GRANT dispatch_agent TO agent_login`.
"""

from alembic import op

revision = "021_agent_grants"
down_revision = "020_agent_reads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dispatch_agent') THEN
                CREATE ROLE dispatch_agent NOLOGIN;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            -- another database's migration has made it in this moment
            NULL;
        END $$
    """)
    op.execute("GRANT USAGE ON SCHEMA public TO dispatch_agent")
    op.execute(
        "GRANT SELECT ON tenants, leads, lead_telefones, lead_emails, blocklist, agendamentos, disparos "
        "TO dispatch_agent"
    )
    op.execute("GRANT SELECT, INSERT ON dry_run_log TO dispatch_agent")


def downgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'dispatch_agent') THEN
                REVOKE SELECT, INSERT ON dry_run_log FROM dispatch_agent;
                REVOKE SELECT ON tenants, leads, lead_telefones, lead_emails, blocklist, agendamentos, disparos
                    FROM dispatch_agent;
                REVOKE USAGE ON SCHEMA public FROM dispatch_agent;
            END IF;
        END $$
    """)
