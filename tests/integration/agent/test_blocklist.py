"""Whoever is on the tenant's blocklist is not sent to, and what names nobody is told."""

import json
from pathlib import Path

from support import agency
from support.agency import ask
from support.notations import ADDRESSED, WITHOUT_MORE, WRITTEN, addressed, written
from support.postgres import Database

TENANT = "(select tenant_id from tenants where slug = 'test-001')"
LEAD = f"insert into leads (tenant_id, nome, telefone_raw, email_raw) values ({TENANT}, %s, %s, %s)"
BLOCK = f"insert into blocklist (tenant_id, telefone, email) values ({TENANT}, %s, %s)"
ROOM = {
    f"LIMIT_{name}": "9999" for name in ("PER_MINUTE", "PER_HOUR", "PER_DAY", "WHATSAPP_PER_HOUR", "EMAIL_PER_HOUR")
}


def fill(database: Database) -> int:
    """Insert for each notation a lead that has it and one whose blocklist row has it, and return their number."""
    number = 0
    for notation in WRITTEN + WITHOUT_MORE:
        for notations in ((notation, WRITTEN[0]), (WRITTEN[0], notation)):
            held, listed = (written(one, "84", f"997{number:06}") for one in notations)
            # the lead has another contact too, which nobody blocks
            database.execute(LEAD, ("blocked", f"{held}|11 96543-{number:04}", None))
            database.execute(BLOCK, (listed, None))
            number += 1
    for notation in ADDRESSED:
        for notations in ((notation, ADDRESSED[0]), (ADDRESSED[0], notation)):
            held, listed = (addressed(one, f"ana{number}", "exemplo.com.br") for one in notations)
            database.execute(LEAD, ("blocked", f"11 96543-{number:04}", held))
            database.execute(BLOCK, (None, listed))
            number += 1
    return number


def test_a_blocked_contact_in_any_notation_is_never_sent_to(database: Database, tmp_path: Path) -> None:
    agency.prepare(tmp_path, database, 5)
    number = fill(database)
    answer = ask(database, {"tenantId": "test-001", "batchSize": 1_000, "runId": "a"}, **ROOM)
    assert (answer["success"], answer["leadsProcessados"]) == (True, number + 5), answer
    decisions = database.query(
        "select lead_nome, disparo_seria_executado, count(*) from dry_run_log group by 1, 2 order by 1"
    )
    assert decisions == [*((f"Lead {n}", True, 1) for n in range(1, 6)), ("blocked", False, number)]
    assert answer["ilegiveis"]["bloqueios"] == {"total": 0, "ids": []}


def test_what_names_nobody_is_counted_and_not_repeated(database: Database, tmp_path: Path) -> None:
    """Its ids are in the answer; its text is neither there nor in a log line."""
    agency.prepare(tmp_path, database, 2)
    for phone, email in (("perguntar à Zulmira", None), ("-", "zulmira@"), ("84 99708-4444 (Zulmira)", "zulmira@")):
        database.execute(BLOCK, (phone, email))
    database.execute(LEAD, ("Ana", "com a Zulmira|84 9708-4444", "ana@exemplo.com.br"))
    database.execute(LEAD, ("Bia", "Zulmira", "zulmira arroba"))
    answer = ask(database, {"tenantId": "test-001", "batchSize": 10, "runId": "a"}, **ROOM)
    rows = database.query("select id::text from blocklist where telefone in ('-', 'perguntar à Zulmira')")
    leads = database.query("select lead_id::text from leads where nome in ('Ana', 'Bia')")
    told = answer["ilegiveis"]
    assert (told["bloqueios"]["total"], told["contatos"]["total"]) == (2, 3)
    assert sorted(told["bloqueios"]["ids"]) == sorted(one for (one,) in rows)
    assert sorted(told["contatos"]["leads"]) == sorted(one for (one,) in leads)
    assert "ulmira" not in json.dumps(answer, ensure_ascii=False)
    reasons = dict(
        database.query("select lead_nome, motivo_decisao from dry_run_log where lead_nome in ('Ana', 'Bia')")
    )
    assert reasons == {
        "Ana": "E-mail para o primeiro endereço, com 0 telefones válidos e 1 e-mail válido; 1 contato ilegível.",
        "Bia": "Nenhum canal, com 0 telefones válidos e 0 e-mails válidos; 2 contatos ilegíveis.",
    }
