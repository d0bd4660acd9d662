"""The agent: leads decided on and recorded per second, and its memory.

It is compared, in turn and on the same table with its indexes, with one INSERT a lead, autocommitted, which was the
agent's first design, and with a bare COPY of the agent's own finished rows.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

from benchmarks.measuring import Bench, Chapter, Figure
from support import postgres
from support.postgres import Database, Server, new_database
from support.project import Project

LEADS, LEADS_QUICKLY, LARGE, LARGE_QUICKLY = 200_000, 20_000, 1_000_000, 50_000
AGENT, INSERT, COPY = "the agent", "one INSERT a lead, autocommitted", "a bare COPY"
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
RUN = r"""
import json, re, sys, time
from dispatch_agent.run import run
url, run_id, number = sys.argv[1:]
started = time.monotonic()
answer = run({"tenantId": "test-001", "runId": run_id, "batchSize": int(number)}, {"DATABASE_URL": url}, run_id, 3600,
             lambda *_, **__: None)
took = time.monotonic() - started
assert answer["leadsProcessados"] == int(number), answer
# `ru_maxrss` would be the parent's where that is larger
peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())
print(json.dumps({"seconds": took, "peak_kib": int(peak[1])}))
"""
COLUMNS = """tenant_id, lead_id, lead_nome, lead_telefone, lead_email, lead_documento, canal_decidido, motivo_decisao,
    template_selecionado, disparo_seria_executado, razao_bloqueio, ambiente, feature_flag_enabled, run_id"""


def run(bench: Bench) -> Chapter:
    """Measure throughput, and the memory that ten times as many leads need."""
    leads, large = (LEADS_QUICKLY, LARGE_QUICKLY) if bench.quick else (LEADS, LARGE)
    binaries = postgres.binaries()
    with ExitStack() as stack:
        # with the default durability, since INSERT's cost is a commit a lead
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries, settings="")).url)
        folder = bench.folder / "agent"
        folder.mkdir()
        took_s = _throughput(server, Project.copy_whole(folder), leads, bench.rounds)
        peaks = {f"{number:,} leads": [_memory(server, folder, number)] for number in (large, large // 10)}
    figures = [
        # with few leads the run's own beginning and end dominate
        Figure("the agent: seconds for 100,000 leads", "s", took_s, {} if bench.quick else {INSERT: 0.11, COPY: 2.86}),
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
