"""The slowest query of an application while a revision waits for a lock that another session holds."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from benchmarks import tools
from benchmarks.measuring import ITSELF, Bench, Chapter, Figure
from benchmarks.tools import Step, Tool
from support import postgres
from support.postgres import Database, Server, new_database

HELD_S, HELD_QUICKLY_S, PAUSE_S = 10, 5, 0.02
LOCK_TIMEOUT_S, MARGIN_S = 2.0, 0.5
TABLE = "create table orders (id int primary key, total int not null); insert into orders values (1, 0)"
STEPS = [Step("add_note", "alter table orders add column note text")]
SLOWEST = "the application's slowest query"
TEXT = f"""A session has read a table and leaves its transaction open for {HELD_S} s, as a forgotten report does; a
revision adds a column to that table; all the while an application updates a row of it by its key, again and again. In
PostgreSQL a later request queues behind one that waits, so every query waits for the revision. Ours gives up after
`lock_timeout`, {LOCK_TIMEOUT_S:.0f} s by default, lets the application continue, and tries again: a query may wait
several times, but never longer than that, and the revision may be applied a little later. The tools are measured at
the same time, each against its own database and application on one server: while they wait they do not use the
processor. They run with their defaults; with a `lock_timeout` (`PGOPTIONS`) the others' revisions would fail instead,
for none of them tries again."""


def run(bench: Bench) -> Chapter:
    """Measure all tools at once, round by round."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries)).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others()]
        works = {tool.name: _work(bench, server, tool) for tool in all_tools}
        pool = stack.enter_context(ThreadPoolExecutor(len(works)))
        number = 1 if bench.quick else bench.rounds
        rounds = [list(pool.map(lambda work: work(), works.values())) for _ in range(number)]
    slowest, took = ({who: [one[place][side] for one in rounds] for place, who in enumerate(works)} for side in (0, 1))
    figures = [
        Figure(SLOWEST, "s", slowest, {ITSELF: LOCK_TIMEOUT_S + MARGIN_S}),
        Figure("until the revision was applied", "s", took),
    ]
    return Chapter("The application while a revision waits", TEXT, figures)


def _work(bench: Bench, server: Server, tool: Tool) -> Callable[[], tuple[float, float]]:
    folder = bench.folder / "waiting" / tool.slug
    tool.write(folder, STEPS)

    def work() -> tuple[float, float]:
        """Return the application's slowest query and how long the revision took, in seconds."""
        with (
            new_database(server, f"waiting_{tool.slug}") as database,
            ThreadPoolExecutor(1) as pool,
            closing(server.connect(database.name)) as holder,
        ):
            database.execute(TABLE)
            holder.autocommit = False
            holder.cursor().execute("select from orders")
            done = threading.Event()
            slowest = pool.submit(_query, database, done)
            try:
                started = time.monotonic()
                process = tool.start(folder, database)
                time.sleep(HELD_QUICKLY_S if bench.quick else HELD_S)
                holder.rollback()
                code, output = tools.finish(process)
                took_s = time.monotonic() - started
            finally:
                done.set()
            assert code == 0, f"{tool.name}: {output}"
            return slowest.result(), took_s

    return work


def _query(database: Database, done: threading.Event) -> float:
    """Act as the application until `done`, and return its slowest query in seconds."""
    slowest_s = 0.0
    with closing(database.server.connect(database.name)) as connection, connection.cursor() as cursor:
        while not done.wait(PAUSE_S):
            started = time.monotonic()
            cursor.execute("update orders set total = total + 1 where id = 1")
            slowest_s = max(slowest_s, time.monotonic() - started)
    return slowest_s
