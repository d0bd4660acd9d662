"""Measure the agent: leads decided on and recorded per second, and its memory.

Beside it, in turn and into the same table with its indexes: (a) one INSERT a lead, autocommitted, as the agent was
once designed, and (b) a bare COPY of the agent's own finished rows. Run with `.venv/bin/python benchmarks/agent.py`;
takes about four minutes, on Linux.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import postgres
from postgres import Database, Server, new_database
from project import Project

LEADS, INSERTED, LARGE, ROUNDS = 200_000, 50_000, 1_000_000, 5
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
# `ru_maxrss` would be that of the process which started this one, if that was larger
peak = re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())
print(json.dumps({"seconds": took, "peak_kib": int(peak[1])}))
"""
COLUMNS = """tenant_id, lead_id, lead_nome, lead_telefone, lead_email, lead_documento, canal_decidido, motivo_decisao,
    template_selecionado, disparo_seria_executado, razao_bloqueio, ambiente, feature_flag_enabled, run_id"""


def main() -> None:
    binaries = postgres.binaries()
    with ExitStack() as stack:
        # as durable as it comes, for a commit a lead is what (a) costs
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries, settings="")).url)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        throughput = _throughput(server, Project.copy_whole(folder))
        memory = {number: _memory(server, folder, number) for number in (LARGE // 10, LARGE)}
    _print(server.kind, throughput, memory)


def _throughput(server: Server, project: Project) -> dict[str, list[float]]:
    """Return rows per second of the agent and of both others, a figure for each round."""
    with new_database(server, "agent_benchmark") as database:
        _fill(project, database, LEADS)
        found: dict[str, list[float]] = {"agent": [], "insert": [], "copy": []}
        for number in range(ROUNDS):
            database.execute("truncate dry_run_log; checkpoint")
            found["agent"].append(LEADS / _run(database, f"round-{number}", LEADS)["seconds"])
            rows = _export(database)
            others = {"insert": _insert, "copy": _copy}
            for name in sorted(others, reverse=number % 2 == 1):
                database.execute("truncate dry_run_log; checkpoint")
                found[name].append(_rate(others[name], database, rows))
    return found


def _memory(server: Server, folder: Path, number: int) -> float:
    """Return the peak memory of a run over so many leads, in MiB."""
    with new_database(server, "agent_benchmark") as database:
        _fill(Project(folder), database, number)
        return _run(database, "memory", number)["peak_kib"] / 1024


def _fill(project: Project, database: Database, number: int) -> None:
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    database.execute(MAKE, (number,))


def _run(database: Database, run_id: str, number: int) -> dict[str, float]:
    """Run the agent in a process of its own."""
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


def _rate(work: Callable[[Database, str], int], database: Database, rows: str) -> float:
    started = time.monotonic()
    number = work(database, rows)
    return number / (time.monotonic() - started)


def _insert(database: Database, rows: str) -> int:
    """Insert each row by itself; values are as COPY writes them, so that only the way differs."""
    values = [[None if cell == "\\N" else cell for cell in line.split("\t")] for line in rows.splitlines()[:INSERTED]]
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


def _print(kind: str, throughput: dict[str, list[float]], memory: dict[int, float]) -> None:
    agent = throughput["agent"]
    print(f"{kind}; {ROUNDS} rounds of {LEADS:,} leads\n")
    print("| | rows/s, median | the agent is that many times as fast |")
    print("|---|---|---|")
    print(f"| the agent: read, decided, recorded | {statistics.median(agent):,.0f} | |")
    for name, title in (("insert", "one INSERT a lead, autocommitted"), ("copy", "a bare COPY of the finished rows")):
        ratio = statistics.median(ours / theirs for ours, theirs in zip(agent, throughput[name], strict=True))
        print(f"| {title} | {statistics.median(throughput[name]):,.0f} | {ratio:.2f} |")
    small, large = memory.values()
    print(
        f"\nPeak memory: {small:.0f} MiB at {LARGE // 10:,} leads, {large:.0f} MiB at {LARGE:,}: {large / small:.2f}."
    )


if __name__ == "__main__":
    main()
