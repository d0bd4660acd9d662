"""The application while a revision waits for a lock that another session holds."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import postgres
from benchmarks import tools
from benchmarks.measuring import ITSELF, Bench, Chapter, Figure
from benchmarks.tools import Step, Tool
from postgres import Database, Server, new_database

HELD_S, HELD_QUICKLY_S = 10.0, 5.0
CLIENTS = 2
LOCK_TIMEOUT_S = 2.0
TEXT = """A session has read `leads` and holds its lock for 10 s, as a forgotten report does; a revision wants to
add a column; clients go on asking for a row of `leads` all the while. What is told is the slowest of their
questions. PostgreSQL lets nobody pass who comes after one that waits. Ours waits at most `lock_timeout`, 2 s by
default, gives way, and tries again."""


def run(bench: Bench) -> Chapter:
    """Let each tool wait in a database of its own, all at the same time: while they wait they do nothing."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries)).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others()]
        values: dict[str, list[float]] = {tool.name: [] for tool in all_tools}
        for number in range(1 if bench.quick else 7):
            with ThreadPoolExecutor(len(all_tools)) as pool:
                found = pool.map(lambda tool, number=number: _wait(bench, server, tool, number), all_tools)
                for tool, slowest_s in zip(all_tools, found, strict=True):
                    values[tool.name].append(slowest_s)
    figure = Figure("slowest query of the application", "s", values, {ITSELF: LOCK_TIMEOUT_S + 0.5})
    return Chapter("The application while a revision waits", TEXT, [figure])


def _wait(bench: Bench, server: Server, tool: Tool, number: int) -> float:
    folder = bench.folder / f"waiting-{tool.slug}-{number}"
    tool.write(folder, [Step("add_note", "alter table leads add column note text")])
    with new_database(server, f"waiting_{tool.slug}") as database:
        database.execute("create table leads as select n as id, md5(n::text) as name from generate_series(1, 1000) n")
        with _asking(database) as slowest, closing(server.connect(database.name)) as report:
            report.autocommit = False
            report.cursor().execute("select count(*) from leads")
            process = tool.start(folder, database)
            time.sleep(HELD_QUICKLY_S if bench.quick else HELD_S)
            report.rollback()
            output, _ = process.communicate()
            assert process.returncode == 0, output
        assert database.query("select note from leads limit 1") == [(None,)]
        return max(slowest)


@contextmanager
def _asking(database: Database) -> Iterator[list[float]]:
    """Ask for a row again and again, and yield a list that gets the seconds of each client's slowest question."""
    stop, slowest = threading.Event(), [0.0] * CLIENTS

    def ask(client: int) -> None:
        with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                started = time.monotonic()
                cursor.execute("select name from leads where id = 7")
                slowest[client] = max(slowest[client], time.monotonic() - started)
                time.sleep(0.02)

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield slowest
    finally:
        stop.set()
        for client in clients:
            client.join()
