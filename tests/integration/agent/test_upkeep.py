"""The verbs `purge` and `stats` of the function, and who may delete."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import make_url

from dispatch_agent import upkeep
from support import agency
from support.agent_log import THEIRS, fill, log, rows
from support.postgres import Database


@pytest.fixture
def whole(database: Database, tmp_path: Path) -> Database:
    agency.prepare(tmp_path, database, 1)
    return database


def ours(database: Database) -> UUID:
    ((tenant,),) = database.query("select tenant_id::text from tenants")
    return UUID(tenant)


def ask(database: Database, event: Any, *, seconds: float = 60, **environ: str) -> dict[str, Any]:
    return upkeep.execute(event, {"DATABASE_URL": database.url, **environ}, "request-1", seconds)


@contextmanager
def login(database: Database, role: str) -> Iterator[str]:
    """Yield the address of a login that is a member of `role` and nothing else."""
    name = f"login_{database.name}"
    database.execute(f"create role {name} login password 'p' in role {role}")
    try:
        yield make_url(database.url).set(username=name, password="p").render_as_string(hide_password=False)
    finally:
        database.execute(f"drop owned by {name}; drop role {name}")


def test_a_purge_deletes_what_is_old(whole: Database) -> None:
    """Of all tenants or of one, and it says how many and from before when."""
    tenant = ours(whole)
    fill(whole, tenant, 30, days=91)
    fill(whole, tenant, 20, days=89)
    fill(whole, THEIRS, 5, days=400)
    one = ask(whole, {"action": "purge", "olderThan": "90d", "tenantId": "test-001"})
    assert (one["success"], one["deleted"], one["finished"]) == (True, 30, True), one
    assert ask(whole, {"action": "purge", "olderThan": "90d"})["deleted"] == 5
    assert rows(whole) == {tenant: 20}


def test_a_purge_that_runs_out_of_time_leaves_whole_batches(whole: Database) -> None:
    fill(whole, ours(whole), 12_000, days=100)
    first = ask(whole, {"action": "purge", "olderThan": "90d"}, seconds=upkeep.MARGIN_S)
    assert (first["success"], first["deleted"], first["finished"]) == (True, 5_000, False), first
    again = ask(whole, {"action": "purge", "olderThan": "90d"})
    assert (again["deleted"], again["finished"]) == (7_000, True)


def test_the_role_that_deletes_can_do_nothing_else(whole: Database) -> None:
    """It deletes, looks a tenant up, and reads neither a person nor a reason."""
    fill(whole, ours(whole), 3, days=100)
    with login(whole, "dispatch_agent_purge") as url:
        answer = ask(whole, {"action": "purge", "olderThan": "90d", "tenantId": "test-001"}, DATABASE_URL=url)
        assert (answer["success"], answer["deleted"]) == (True, 3), answer
        for statement in (
            "select lead_nome from dry_run_log",
            "select motivo_decisao from dry_run_log",
            "select company_name from tenants",
            "select from leads",
            "select from blocklist",
            "delete from leads",
            "truncate dry_run_log",
            "update dry_run_log set tenant_id = tenant_id",
            "insert into dry_run_log (tenant_id) values (gen_random_uuid())",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege), psycopg2.connect(url) as session:
                session.cursor().execute(statement)


def test_the_agents_own_role_cannot_delete(whole: Database) -> None:
    fill(whole, ours(whole), 3, days=100)
    with login(whole, "dispatch_agent") as url:
        answer = ask(whole, {"action": "purge", "olderThan": "90d"}, DATABASE_URL=url)
        counted = ask(whole, {"action": "stats"}, DATABASE_URL=url)
    assert (answer["success"], answer["code"], answer["deleted"]) == (False, "settings", 0)
    assert counted["success"], counted
    assert rows(whole) == {ours(whole): 3}


def test_stats_are_counted_by_day_channel_and_reason(whole: Database) -> None:
    log(whole, ours(whole), "whatsapp", 5)
    log(whole, ours(whole), "email", 2, "limite por minuto atingido: 10 de 10", days=1)
    log(whole, THEIRS, "email", 9)
    answer = ask(whole, {"action": "stats", "tenantId": "test-001", "days": 2})
    assert [(one["channel"], one["reason"], one["decisions"]) for one in answer["tallies"]] == [
        ("email", "limite por minuto atingido", 2),
        ("whatsapp", None, 5),
    ]
    assert (answer["days"], answer["tallies"][1]["day"]) == (2, answer["today"])
    assert sum(one["decisions"] for one in ask(whole, {"action": "stats"})["tallies"]) == 16


def test_stats_tell_the_rows_of_the_blocklist_that_name_nobody(whole: Database) -> None:
    whole.execute(
        "insert into blocklist (id, tenant_id, lead_id, telefone) "
        f"values ('{UUID(int=7)}', '{ours(whole)}', null, 'sem telefone'), "
        f"(default, '{ours(whole)}', null, '(11) 98765-4321'), "
        f"(default, '{ours(whole)}', (select lead_id from leads), 'o mesmo')"
    )
    assert nameless(whole) == [7]
    # by the keys that a run has stored, and by the marks of what changed since
    assert agency.ask(whole, {"tenantId": "test-001"})["ilegiveis"]["bloqueios"]["total"] == 1
    assert nameless(whole) == [7]
    whole.execute(
        f"update blocklist set telefone = '(11) 98765-4322' where id = '{UUID(int=7)}';"
        "insert into blocklist (id, tenant_id, telefone) "
        f"values ('{UUID(int=8)}', '{ours(whole)}', 'nenhum'), ('{UUID(int=9)}', '{THEIRS}', 'nenhum')"
    )
    stored = whole.query("select * from blocklist_chaves order by 1")
    with login(whole, "dispatch_agent") as url:
        whole.execute(f"alter role login_{whole.name} set default_transaction_read_only = on")
        assert (nameless(whole, url), nameless(whole, url, tenantId="test-001")) == ([8, 9], [8])
        whole.execute("revoke select on blocklist_chaves from dispatch_agent")
        assert (nameless(whole, url), nameless(whole, url, tenantId="test-001")) == ([8, 9], [8])
    assert whole.query("select * from blocklist_chaves order by 1") == stored


def test_stats_tell_the_contacts_that_nothing_can_be_sent_to(whole: Database) -> None:
    """As a run counts them, of one tenant or of all, with the login of the agent."""
    whole.execute(f"""
        insert into tenants (tenant_id, slug, company_name) values ('{THEIRS}', 'theirs', 'Theirs');
        insert into leads (lead_id, tenant_id, telefone_raw, email_raw) values
            ('{UUID(int=7)}', '{ours(whole)}', 'CPF 11987654321', 'ana'), ('{UUID(int=8)}', '{THEIRS}', '190', null),
            ('{UUID(int=9)}', '{ours(whole)}', null, ' ');
        insert into lead_telefones (lead_id, telefone) values ('{UUID(int=9)}', '1'), ('{UUID(int=9)}', '84 3206-1234')
    """)
    with login(whole, "dispatch_agent") as url:
        every, one = (
            ask(whole, {"action": "stats", **event}, DATABASE_URL=url)["ilegiveis"]["contatos"]
            for event in ({}, {"tenantId": "test-001"})
        )
    assert (every["total"], sorted(every["leads"])) == (4, [str(UUID(int=number)) for number in (7, 8, 9)])
    assert (one["total"], sorted(one["leads"])) == (3, [str(UUID(int=number)) for number in (7, 9)])
    run = agency.ask(whole, {"tenantId": "test-001", "batchSize": 10})["ilegiveis"]["contatos"]
    assert (run["total"], sorted(run["leads"])) == (one["total"], sorted(one["leads"]))


def nameless(database: Database, url: str | None = None, **more: str) -> list[int]:
    """Return the ids, as numbers, that `stats` tells."""
    answer = ask(database, {"action": "stats", **more}, DATABASE_URL=url or database.url)
    told = answer["ilegiveis"]["bloqueios"]
    assert told["total"] == len(told["ids"]), answer
    return sorted(UUID(one).int for one in told["ids"])


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"action": "purge"}, "olderThan"),
        ({"action": "purge", "olderThan": "90"}, "olderThan"),
        ({"action": "purge", "olderThan": 90}, "olderThan"),
        ({"action": "purge", "olderThan": "3h"}, "olderThan"),
        ({"action": "purge", "olderThan": "90d", "days": 3}, "days"),
        ({"action": "purge", "olderThan": "90d", "tenantId": "a b"}, "tenantId"),
        ({"action": "stats", "days": 0}, "days"),
        ({"action": "stats", "days": 367}, "days"),
        ({"action": "stats", "tenant": "x"}, "tenant"),
        ({"action": "drop"}, "action"),
        ({"action": None}, "action"),
    ],
)
def test_an_event_that_is_not_understood(event: dict[str, Any], named: str) -> None:
    """The field is named, nothing is deleted, and no database is needed."""
    answer = upkeep.execute(event, {}, "request-1", 10)
    assert (answer["success"], answer["code"]) == (False, "invalid-payload")
    assert re.match(rf"The field `(purge\.|stats\.)?{named}` is ", answer["error"]), answer
    assert "Nothing was deleted." in answer["error"]
    assert '{"action":"purge","olderThan":"90d"}' in answer["error"]


@pytest.mark.parametrize(
    ("event", "listed", "refused"),
    [
        ({"action": "purge", "olderThan": "90d"}, "dry-run,stats", True),
        ({"tenantId": "test-001"}, "purge", True),
        ({"action": "stats"}, "dry-run, stats", False),
        ({"tenantId": "test-001"}, "", False),
    ],
)
def test_a_function_does_what_it_is_for(event: dict[str, Any], listed: str, refused: bool) -> None:
    answer = upkeep.refusal(event, {"ALLOWED_ACTIONS": listed})
    assert (answer is not None) == refused
    if answer is not None:
        assert (answer["success"], answer["code"]) == (False, "action-not-allowed")
