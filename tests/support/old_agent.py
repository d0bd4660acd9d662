"""The agent as it was before revision 018: one INSERT a lead, without run ids."""

import psycopg2

LEADS = "select lead_id, nome, tenant_id from leads order by lead_id limit %s"
INSERT = """
    insert into dry_run_log (tenant_id, lead_id, lead_nome, canal_decidido, motivo_decisao, template_selecionado,
                             disparo_seria_executado, razao_bloqueio, ambiente, feature_flag_enabled)
    values (%s, %s, %s, 'whatsapp', 'Telefone válido encontrado', 'cobranca_padrao_whatsapp_v1', true, null, 'dev',
            false)
"""


def run(url: str, number: int) -> None:
    """Record decisions on leads, each in its own transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(LEADS, (number,))
        for lead_id, nome, tenant_id in cursor.fetchall():
            cursor.execute(INSERT, (tenant_id, lead_id, nome))
    connection.close()
