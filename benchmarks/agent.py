"""The agent: leads decided on and recorded per second, and its memory.

It is compared, in turn and on the same table with its indexes, with one INSERT a lead, autocommitted, which was the
agent's first design, and with a bare COPY of the agent's own finished rows; and with itself, beside a log of ten
million rows and a blocklist of a million, and resumed half-way there, with statistics from before the run.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path

from benchmarks.measuring import Bench, Chapter, Figure
from support import postgres
from support.postgres import Database, Server, new_database
from support.project import Project

LEADS, LEADS_QUICKLY, LARGE, LARGE_QUICKLY = 200_000, 20_000, 1_000_000, 50_000
LOG, BLOCKLIST = 10_000_000, 1_000_000
QUICKER = 50
"""The log and the blocklist of a quick run are smaller by this factor."""
AGENT, INSERT, COPY = "the agent", "one INSERT a lead, autocommitted", "a bare COPY"
BESIDE, ALONE = "beside the log and the blocklist", "with neither"
RESUMED, WHOLE = "resumed half-way", "the whole run"
TEXT = f"""Leads read, decided on and recorded in one run, beside two other ways to write the same rows into the same
table with its five indexes, in turn, on a server with PostgreSQL's default durability: {LEADS:,} leads a round, of
which INSERT gets a tenth, scaled to 100,000; memory is measured once. Reading and deciding overlap with the recording
of the next chunk, on the other core. A lead costs Python about 20 µs: 8 for the decision, 8 to make objects of the
row, 4 to make text of it."""
MAKE = """
    insert into tenants (slug, company_name) values ('test-001', 'Teste') on conflict do nothing;
    insert into leads (tenant_id, nome, documento, interesse, data_ingestao, telefone_raw, email_raw)
    select tenant_id, 'Empresa Exemplo ' || n, lpad(n::text, 14, '0'), n %% 101, now() - n * interval '1 second',
           '(84)99708-4444|84 3206-1234', 'contato@example.com.br'
    from tenants, generate_series(1, %s) n;
    insert into lead_telefones (lead_id, telefone, telefone_principal)
    select lead_id, '+55119' || lpad((random() * 99999999)::int::text, 8, '0'), true from leads where random() < 0.8;
    insert into lead_emails (lead_id, email)
    select lead_id, 'p' || (random() * 1e9)::int || '@example.com.br' from leads where random() < 0.5;
    analyze
"""
FILL_LOG = """
    create table kept as select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition
    from pg_index where indrelid = 'dry_run_log'::regclass and not indisprimary;
    do $$ declare one record; begin
        for one in select * from kept loop execute 'drop index ' || one.name; end loop;
    end $$;
    insert into dry_run_log (tenant_id, lead_id, lead_nome, lead_telefone, canal_decidido, motivo_decisao,
        disparo_seria_executado, razao_bloqueio, run_id, created_at)
    select tenant_id, gen_random_uuid(), 'Empresa Exemplo ' || n, '+5584997084444', 'whatsapp',
        'WhatsApp para o primeiro telefone, com 2 telefones válidos e 1 e-mail válido.', false,
        'limite por dia atingido: 500 de 500', 'run-' || n / 200000, now() - n * interval '1 second'
    from tenants, generate_series(1, %s) n;
    do $$ declare one record; begin
        for one in select * from kept loop execute one.definition; end loop;
    end $$;
    drop table kept;
    alter table dry_run_log set (autovacuum_enabled = false);
"""
FILL_BLOCKLIST = """
    insert into blocklist (tenant_id, telefone, email)
    select tenant_id, case when n %% 3 > 0 then '(21) 9' || lpad((random() * 99999999)::int::text, 8, '0') end,
        case when n %% 3 = 0 then 'q' || n || '@example.com.br' end
    from tenants, generate_series(1, %s) n;
    analyze;
    checkpoint
"""
RUN = r"""
import json, re, sys, time
from dispatch_agent.run import run
url, run_id, number = sys.argv[1:]
started = time.monotonic()
answer = run({"tenantId": "test-001", "runId": run_id, "batchSize": int(number)}, {"DATABASE_URL": url}, run_id, 3600,
             lambda *_, **__: None)
took = time.monotonic() - started
assert answer["success"], answer
# `ru_maxrss` would be the parent's where that is larger
peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())
print(json.dumps({"seconds": took, "peak_kib": int(peak[1])}))
"""
COLUMNS = """tenant_id, lead_id, lead_nome, lead_telefone, lead_email, lead_documento, canal_decidido, motivo_decisao,
    template_selecionado, disparo_seria_executado, razao_bloqueio, ambiente, feature_flag_enabled, run_id"""


def run(bench: Bench) -> Chapter:
    """Measure throughput, and the time and memory that more leads, a large log and a large blocklist need."""
    leads, large = (LEADS_QUICKLY, LARGE_QUICKLY) if bench.quick else (LEADS, LARGE)
    log, blocklist = ((number // QUICKER if bench.quick else number) for number in (LOG, BLOCKLIST))
    binaries = postgres.binaries()
    with ExitStack() as stack:
        # with the default durability, since INSERT's cost is a commit a lead
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries, settings="")).url)
        folder = bench.folder / "agent"
        folder.mkdir()
        project = Project.copy_whole(folder)
        took_s = _throughput(server, project, leads, bench.rounds)
        with _filled(server, project, leads) as alone, _filled(server, project, leads, log, blocklist) as beside:
            long_s = _beside(alone, beside, leads, bench.rounds)
            singles = _singles(alone, beside, bench.rounds)
        peaks = {f"{number:,} leads": [_memory(server, folder, number)] for number in (large, large // 10)}
    figures = [
        # with few leads the run's own beginning and end dominate
        Figure("the agent: seconds for 100,000 leads", "s", took_s, {} if bench.quick else {INSERT: 0.11, COPY: 2.5}),
        Figure(
            f"the agent: seconds for {leads:,} leads, log {log:,}, blocklist {blocklist:,}",
            "s",
            {BESIDE: long_s[BESIDE], ALONE: long_s[ALONE]},
            {} if bench.quick else {ALONE: 1.3},
        ),
        Figure(
            f"the agent: seconds to resume after half of {leads:,} leads",
            "s",
            {RESUMED: long_s[RESUMED], WHOLE: long_s[BESIDE]},
            {} if bench.quick else {WHOLE: 0.7},
        ),
        *(
            Figure(f"the agent: {name} for one lead", unit, values, {ALONE: limit})
            for name, unit, values, limit in (
                ("seconds", "s", singles["seconds"], 1.5),
                ("peak memory", "MiB", singles["peak_mib"], 1.1),
            )
        ),
        Figure(f"the agent: peak memory for {large:,} leads", "MiB", peaks, {f"{large // 10:,} leads": 1.2}),
    ]
    return Chapter("The agent", TEXT, figures)


def _throughput(server: Server, project: Project, leads: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds for 100,000 leads of the agent and of both others, one value of each a round."""
    with new_database(server, "agent_benchmark") as database:
        _fill(project, database, leads)
        found: dict[str, list[float]] = {AGENT: [], INSERT: [], COPY: []}
        for number in range(rounds):
            database.execute("truncate dry_run_log; checkpoint")
            found[AGENT].append(_run(database, f"round-{number}", leads)["seconds"] / leads * 100_000)
            rows = _export(database)
            others = {INSERT: _insert, COPY: _copy}
            for name in sorted(others, reverse=number % 2 == 1):
                database.execute("truncate dry_run_log; checkpoint")
                found[name].append(_seconds(others[name], database, rows))
    return found


@contextmanager
def _filled(
    server: Server, project: Project, leads: int, log: int | None = None, blocklist: int | None = None
) -> Iterator[Database]:
    """Make a database with leads, and with the log and the blocklist of the same tenant.

    A first run makes the blocklist's keys. Autovacuum is off for the log, so that its statistics are from before a run.
    """
    with new_database(server, "agent_with_log" if log else "agent_alone") as database:
        _fill(project, database, leads)
        if log:
            database.execute(FILL_LOG, (log,))
            database.execute(FILL_BLOCKLIST, (blocklist,))
        first = _run(database, "first", 1)
        print(f"the first run {'beside both' if log else 'alone'}: {first}", file=sys.stderr)
        database.execute("analyze; checkpoint")
        yield database


def _beside(alone: Database, beside: Database, leads: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a whole run in both databases, and of one that is resumed after half of the leads."""
    found: dict[str, list[float]] = {BESIDE: [], ALONE: [], RESUMED: []}
    for number in range(rounds):
        for name, database in {ALONE: alone, BESIDE: beside}.items():
            database.execute("analyze dry_run_log; checkpoint")
            found[name].append(_run(database, f"round-{number}", leads)["seconds"])
        beside.execute("analyze dry_run_log; checkpoint")
        _run(beside, f"half-{number}", leads // 2)
        beside.execute("checkpoint")
        found[RESUMED].append(_run(beside, f"half-{number}", leads)["seconds"])
    return found


def _singles(alone: Database, beside: Database, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return seconds and memory of a run for one lead, in both databases."""
    found: dict[str, dict[str, list[float]]] = {name: {BESIDE: [], ALONE: []} for name in ("seconds", "peak_mib")}
    for number in range(rounds):
        for name, database in {BESIDE: beside, ALONE: alone}.items():
            measured = _run(database, f"single-{number}", 1)
            found["seconds"][name].append(measured["seconds"])
            found["peak_mib"][name].append(measured["peak_kib"] / 1024)
    return found


def _memory(server: Server, folder: Path, number: int) -> float:
    """Return the peak memory of a run over `number` leads, in MiB."""
    with new_database(server, "agent_benchmark") as database:
        _fill(Project(folder), database, number)
        return _run(database, "memory", number)["peak_kib"] / 1024


def _fill(project: Project, database: Database, number: int) -> None:
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    database.execute(MAKE, (number,))


def _run(database: Database, run_id: str, number: int) -> dict[str, float]:
    """Run the agent in a new process."""
    command = [sys.executable, "-c", RUN, database.url, run_id, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _export(database: Database) -> str:
    text = StringIO()
    connection = database.server.connect(database.name)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"copy (select {COLUMNS} from dry_run_log) to stdout", text)
    connection.close()
    return text.getvalue()


def _seconds(work: Callable[[Database, str], int], database: Database, rows: str) -> float:
    """Return the seconds for 100,000 rows."""
    started = time.monotonic()
    number = work(database, rows)
    return (time.monotonic() - started) / number * 100_000


def _insert(database: Database, rows: str) -> int:
    """Insert a tenth of the rows one by one; the values are COPY's, so that only the method differs."""
    values = [[None if cell == "\\N" else cell for cell in line.split("\t")] for line in rows.splitlines()[::10]]
    statement = f"insert into dry_run_log ({COLUMNS}) values ({', '.join(['%s'] * 14)})"
    connection = database.server.connect(database.name)
    with connection.cursor() as cursor:
        for one in values:
            cursor.execute(statement, one)
    connection.close()
    return len(values)


def _copy(database: Database, rows: str) -> int:
    connection = database.server.connect(database.name)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"copy dry_run_log ({COLUMNS}) from stdin", StringIO(rows))
    connection.close()
    return rows.count("\n")
