"""Blocklist keys: a run looks up its leads by index, instead of reading the blocklist whole.

The table begins empty. The agent reads each blocklist row once and keeps its keys here; the triggers delete the keys
of a changed row, and mark it so that the next run reads it again.
"""

import sqlalchemy as sa
from alembic import op

revision = "022_blocklist_keys"
down_revision = "021_agent_grants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blocklist_chaves",
        sa.Column("chave_id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("blocklist_id", sa.Uuid(), comment="Nula: a lista inteira do tenant foi lida com esta versão"),
        sa.Column(
            "versao",
            sa.SmallInteger(),
            nullable=False,
            comment="Versão do leitor de contatos; 0 marca uma linha a ler de novo",
        ),
        sa.Column(
            "chave",
            sa.Text(collation="C"),
            comment="Telefone ou e-mail como é procurado; nula: a linha foi lida e não indica ninguém",
        ),
        comment="Chaves pelas quais a lista de bloqueio é consultada; o agente as refaz a partir dela",
    )
    op.create_index("idx_blocklist_chaves_chave", "blocklist_chaves", ["tenant_id", "chave", "versao"])
    op.create_index("idx_blocklist_chaves_linha", "blocklist_chaves", ["blocklist_id", "versao"])
    op.create_index(
        "idx_blocklist_chaves_marcas",
        "blocklist_chaves",
        ["tenant_id", "versao", "blocklist_id"],
        postgresql_where=sa.text("chave IS NULL"),
    )
    # Whoever changes the blocklist has no rights on its keys, so the function has its owner's. Keys that the agent is
    # writing are not waited for, else the two could wait for each other: the mark says that they are out of date.
    op.execute("""
        CREATE FUNCTION blocklist_marcar() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            linhas uuid[];
            tenants uuid[];
        BEGIN
            IF TG_RELID <> 'public.blocklist'::regclass THEN
                RAISE EXCEPTION 'blocklist_marcar() is for the table blocklist only';
            END IF;
            IF TG_OP = 'TRUNCATE' THEN
                BEGIN
                    LOCK TABLE public.blocklist_chaves IN ACCESS EXCLUSIVE MODE NOWAIT;
                    TRUNCATE public.blocklist_chaves;
                EXCEPTION WHEN lock_not_available THEN
                    -- whoever reads the keys may wait for the blocklist, so they are not waited for
                    DELETE FROM public.blocklist_chaves;
                END;
                RETURN NULL;
            ELSIF TG_OP = 'INSERT' THEN
                INSERT INTO public.blocklist_chaves (tenant_id, blocklist_id, versao)
                SELECT tenant_id, id, 0 FROM novas;
                RETURN NULL;
            ELSIF TG_OP = 'DELETE' THEN
                SELECT array_agg(id), array_agg(tenant_id) INTO linhas, tenants FROM antigas;
            ELSE
                -- what moves to another tenant is read again for both
                SELECT array_agg(linha), array_agg(tenant) INTO linhas, tenants
                FROM antigas a FULL JOIN novas n USING (id),
                    LATERAL (VALUES (id, a.tenant_id), (id, n.tenant_id)) mudada (linha, tenant)
                WHERE (a.tenant_id, a.telefone, a.email) IS DISTINCT FROM (n.tenant_id, n.telefone, n.email)
                    AND tenant IS NOT NULL;
            END IF;
            IF linhas IS NULL THEN
                RETURN NULL;
            END IF;
            DELETE FROM public.blocklist_chaves WHERE chave_id IN (
                SELECT chave_id FROM public.blocklist_chaves WHERE blocklist_id = ANY (linhas) FOR UPDATE SKIP LOCKED
            );
            INSERT INTO public.blocklist_chaves (tenant_id, blocklist_id, versao)
            SELECT DISTINCT tenant, linha, 0 FROM unnest(tenants, linhas) mudada (tenant, linha);
            RETURN NULL;
        END $$
    """)
    for event, tables in {
        "INSERT": "REFERENCING NEW TABLE AS novas",
        "UPDATE": "REFERENCING OLD TABLE AS antigas NEW TABLE AS novas",
        "DELETE": "REFERENCING OLD TABLE AS antigas",
        "TRUNCATE": "",
    }.items():
        op.execute(
            f"CREATE TRIGGER blocklist_marcar_{event.lower()} AFTER {event} ON blocklist {tables} "
            "FOR EACH STATEMENT EXECUTE FUNCTION blocklist_marcar()"
        )
    # else everybody could attach it to a temporary table, and delete keys with its owner's rights
    op.execute("REVOKE ALL ON FUNCTION blocklist_marcar() FROM PUBLIC")
    op.execute("GRANT SELECT, INSERT, DELETE ON blocklist_chaves TO dispatch_agent")


def downgrade() -> None:
    for event in ("insert", "update", "delete", "truncate"):
        op.execute(f"DROP TRIGGER blocklist_marcar_{event} ON blocklist")
    op.execute("DROP FUNCTION blocklist_marcar()")
    op.drop_table("blocklist_chaves")
