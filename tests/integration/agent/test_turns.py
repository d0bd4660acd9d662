"""Who waits for whom: one invocation of a tenant's run at a time, and nobody else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection

from dispatch_agent import turn
from runner.postgres.connect import open_from
from runner.postgres.version_table import lock_key
from support import agency
from support.agency import ask
from support.postgres import Database

OTHER = """
    insert into tenants (slug, company_name) values ('test-002', 'Outro');
    insert into leads (tenant_id, nome, interesse, data_ingestao, telefone_raw)
    select tenant_id, 'Lead ' || n, n, timestamptz '2026-01-01' + n * interval '1 second', '(11) 9' || 81000000 + n
    from tenants, generate_series(1, 25) n where slug = 'test-002'
"""
SENDS = """
    select slug, run_id, count(*), count(distinct lead_id), count(*) filter (where disparo_seria_executado)
    from dry_run_log join tenants using (tenant_id) group by 1, 2 order by 1, 2
"""


@pytest.fixture
def two(database: Database, tmp_path: Path) -> Database:
    """A database with two tenants of 25 leads each."""
    agency.prepare(tmp_path, database, 25)
    database.execute(OTHER)
    return database


@contextmanager
def session(database: Database) -> Iterator[Connection]:
    engine = open_from({"DATABASE_URL": database.url}, "other", 10)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@contextmanager
def held(database: Database, run_id: str) -> Iterator[str]:
    """Hold the turn of a run of `test-001`, and yield the tenant's id."""
    ((tenant,),) = database.query("select tenant_id::text from tenants where slug = 'test-001'")
    with session(database) as other, turn.take(other, UUID(tenant), run_id, 9):
        yield tenant


def test_two_invocations_of_one_run_take_turns(two: Database) -> None:
    """While another invocation holds the run nothing is begun, also by the tenant's id, and in the end that is said."""
    with held(two, "same") as tenant:
        answers = [ask(two, {"tenantId": named, "runId": "same"}, seconds=4) for named in ("test-001", tenant)]
    assert [(one["success"], one["code"]) for one in answers] == [(False, "run-busy")] * 2
    assert ask(two, {"tenantId": "test-001", "runId": "same"})["leadsProcessados"] == 1


@pytest.mark.parametrize(("tenant", "run_id"), [("test-002", "same"), ("test-001", "another")])
def test_nobody_else_waits(two: Database, tenant: str, run_id: str) -> None:
    """Another tenant goes on under the same run id, and another run of the same tenant too."""
    with held(two, "same"):
        answer = ask(two, {"tenantId": tenant, "runId": run_id, "batchSize": 25}, seconds=20)
    assert (answer["success"], answer["leadsProcessados"]) == (True, 25), answer


def test_the_limits_hold_whoever_runs_at_once(two: Database) -> None:
    """Ten a minute of each run, however many invocations of it there are at once: no lead twice, no send too many.

    What another dry run would send uses up nothing.
    """
    events = [
        {"tenantId": tenant, "runId": run_id, "batchSize": 25}
        for tenant in ("test-001", "test-002")
        for run_id in ("morning", "noon")
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda event: ask(two, event), events * 2))
    assert [one["success"] for one in answers] == [True] * 8, answers
    assert two.query(SENDS) == [
        (tenant, run_id, 25, 25, 10) for tenant in ("test-001", "test-002") for run_id in ("morning", "noon")
    ]


def test_a_run_of_an_earlier_version_excludes_ours_and_ours_excludes_it(two: Database) -> None:
    """That one locks the run id alone, while an image is replaced."""
    theirs, attempt = lock_key("dispatch same"), "select pg_try_advisory_lock(%s)"
    with two.server.connect(two.name) as old, old.cursor() as cursor:
        cursor.execute(attempt, (theirs,))
        answer = ask(two, {"tenantId": "test-001", "runId": "same"}, seconds=4)
        cursor.execute("select pg_advisory_unlock(%s)", (theirs,))
        with held(two, "same"):
            cursor.execute(attempt, (theirs,))
            assert cursor.fetchall() == [(False,)]
    assert (answer["success"], answer["code"]) == (False, "run-busy")


def test_a_locked_table_of_tenants_does_not_outlast_the_time(two: Database) -> None:
    """The tenant is looked up before the turn is taken."""
    with two.server.connect(two.name) as other:
        other.autocommit = False
        other.cursor().execute("lock table tenants in access exclusive mode")
        answer = ask(two, {"tenantId": "test-001"}, seconds=4)
        other.rollback()
    assert (answer["success"], answer["code"] in ("deadline", "lock-timeout")) == (False, True), answer
