"""What a run reads is in proportion to its leads, whatever the statistics say and whatever else is in the tables."""

from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from sqlalchemy.dialects import postgresql

from dispatch_agent import reading, upkeep
from dispatch_agent.run import MARGIN_S
from support import agency, postgres, waiting
from support.agency import GENEROUS, OPEN, ask
from support.postgres import Database

TENANT = "(select tenant_id from tenants where slug = 'test-001')"
READ = """
    select relname::text, (coalesce(seq_tup_read, 0) + coalesce(sum(idx_tup_read), 0))::int
    from pg_stat_user_tables left join pg_stat_user_indexes using (relid, relname)
    where relname in ({tables}) group by relid, relname, seq_tup_read
"""
FOREIGN_LOG = f"""
    insert into dry_run_log (tenant_id, lead_id, canal_decidido, motivo_decisao, run_id, created_at)
    select {TENANT}, gen_random_uuid(), 'none', 'x', 'run-' || n % 7, localtimestamp - n * interval '1 second'
    from generate_series(1, 20000) n
"""
STALE = {
    "of an empty log": ("analyze", FOREIGN_LOG),
    "none": (f"delete from pg_statistic; {FOREIGN_LOG}",),
    "from before the run": (FOREIGN_LOG, "analyze"),
    "of another tenant": (FOREIGN_LOG.replace(TENANT, "gen_random_uuid()"), "analyze", FOREIGN_LOG),
}


def read(database: Database, *tables: str) -> dict[str, int]:
    """Return how many rows and index entries of each table all sessions have read, after those of the agent."""
    waiting.until(database, waiting.OURS, 0)
    return dict(database.query(READ.format(tables=", ".join(f"'{table}'" for table in tables))))


def read_by(database: Database, event: dict[str, object], *tables: str) -> dict[str, int]:
    before = read(database, *tables)
    answer = ask(database, event, **GENEROUS)
    assert answer["success"], answer
    after = read(database, *tables)
    return {table: after[table] - before[table] for table in tables}


def assert_no_join(database: Database) -> None:
    """The leads come in the order of their index, unsorted, and each is looked up in the log's unique index."""
    ((tenant,),) = database.query(f"select {TENANT}::text")
    query = reading.undecided(UUID(tenant), "r", OPEN).limit(3_000)
    compiled = query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with postgres.connect(database) as connection:
        connection.exec_driver_sql(reading.BY_INDEX)
        ((plan,),) = connection.exec_driver_sql(f"explain (format json) {compiled}".replace("%", "%%"))
    limited = plan[0]["Plan"]["Plans"][0]
    assert (limited["Node Type"], limited["Index Name"]) == ("Index Scan", "idx_leads_prioridade"), plan
    (look,) = [one for one in nodes(limited) if one.get("Relation Name") == "dry_run_log"]
    assert (look["Index Name"], look["Index Cond"]) == (
        "idx_dry_run_run", "((run_id = 'r'::text) AND (lead_id = leads.lead_id))"
    ), plan  # fmt: skip


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plan's node and all below it."""
    return [plan, *(node for below in plan.get("Plans", ()) for node in nodes(below))]


@pytest.mark.parametrize("statistics", STALE)
def test_a_resumed_run_with_stale_statistics(database: Database, tmp_path: Path, statistics: str) -> None:
    """After half of the leads it looks each one up once; a join would compare each with that half."""
    agency.prepare(tmp_path, database, 3_000)
    database.execute("alter table dry_run_log set (autovacuum_enabled = false)")
    for statement in STALE[statistics]:
        database.execute(statement)
    event: dict[str, object] = {"tenantId": "test-001", "batchSize": 1_500, "runId": "r"}
    assert ask(database, event, **GENEROUS)["leadsProcessados"] == 1_500
    assert_no_join(database)
    found = read_by(database, {**event, "batchSize": 3_000}, "dry_run_log", "leads")
    # the run's own rows are counted, and again for the limits
    assert found["dry_run_log"] <= 3 * 3_000
    assert found["leads"] <= 2 * 3_000
    assert database.query("select count(*), count(distinct lead_id) from dry_run_log where run_id = 'r'") == [
        (3_000,) * 2
    ]


def test_a_large_blocklist_is_no_matter_for_one_lead(database: Database, tmp_path: Path) -> None:
    """And for `stats` neither, which tells the rows that name nobody."""
    agency.prepare(tmp_path, database, 50)
    database.execute(f"""
        insert into blocklist (tenant_id, telefone)
        select {TENANT}, '(21) 9' || lpad(n::text, 8, '0') from generate_series(1, 5000) n
    """)
    tables = ("blocklist", "blocklist_chaves")
    event: dict[str, object] = {"tenantId": "test-001", "runId": "first"}
    first = read_by(database, event, *tables)
    assert first["blocklist"] >= 5_000
    # the marks of rows that were inserted are found by the row, not by the tenant, of which statistics know nothing
    assert first["blocklist_chaves"] <= 20 * 5_000
    # the first scan after the deletion of the marks finds them dead
    assert ask(database, {**event, "runId": "second"})["success"]
    for statement in ("delete from pg_statistic", "analyze"):
        database.execute(statement)
        found = read_by(database, {**event, "runId": statement.replace(" ", "-")}, *tables)
        assert max(found.values()) <= 20, (statement, found)
        before = read(database, *tables)
        assert upkeep.execute({"action": "stats"}, {"DATABASE_URL": database.url}, "request-1", 60)["success"]
        after = read(database, *tables)
        assert max(after[table] - before[table] for table in tables) <= 20, (statement, before, after)


def test_little_time_is_progress(database: Database, tmp_path: Path) -> None:
    """The first chunks are small, and the time is looked at after each."""
    agency.prepare(tmp_path, database, 600)
    event: dict[str, object] = {"tenantId": "test-001", "batchSize": 600, "runId": "r"}
    for decided, more in ((250, True), (250, True), (100, True)):
        answer = ask(database, event, seconds=MARGIN_S, **GENEROUS)
        assert (answer["success"], answer["leadsProcessados"], "cursor" in answer) == (True, decided, more)
        event = {**event, "cursor": answer["cursor"]}
    assert ask(database, event)["leadsProcessados"] == 0


def test_without_any_progress_no_answer_tells_to_repeat(database: Database, tmp_path: Path) -> None:
    """Neither without a cursor nor with one that the call was given."""
    agency.prepare(tmp_path, database, 600)
    event: dict[str, object] = {"tenantId": "test-001", "batchSize": 600, "runId": "r"}
    first = ask(database, event, seconds=MARGIN_S)
    other = database.server.connect(database.name)
    other.autocommit = False
    other.cursor().execute("lock table lead_telefones in access exclusive mode")
    for given in (event, {**event, "cursor": first["cursor"]}):
        answer = ask(database, given, seconds=2.5)
        assert (answer["success"], answer["leadsProcessados"], answer["code"]) == (False, 0, "deadline"), answer
        assert answer["error"] == (
            "The time ran out before the first decision was recorded. Nothing was recorded. A repetition would end the "
            "same way: look for what holds the database up, or give it more time; on a command line, with `--timeout`."
        )
    other.close()


def test_the_rows_of_a_run_are_beside_each_other_in_the_primary_key(database: Database, tmp_path: Path) -> None:
    """Random ids would each be on another page of it, which a large log has to read, and writes whole."""
    agency.prepare(tmp_path, database, 600)
    answer = ask(database, {"tenantId": "test-001", "batchSize": 600})
    assert answer["success"], answer
    ids = [UUID(one) for (one,) in database.query("select log_id::text from dry_run_log order by ctid")]
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    assert len(set(ids)) == 600
    # two chunks, of which the second is later
    assert ids == sorted(ids)
