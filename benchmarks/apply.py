"""Apply 20, 200 and 1,000 revisions that make a table each: the whole command, from its start to its end."""

from collections.abc import Callable
from contextlib import ExitStack

import postgres
from benchmarks import tools
from benchmarks.measuring import Bench, Chapter, Figure, in_turn
from benchmarks.tools import PLAIN, YOYO, Tool
from postgres import Server, new_database

NUMBERS, FEWER = (20, 200, 1000), (20, 100)
SLOW = frozenset({YOYO})
"""Who needs half a minute for the most revisions takes part in one round of them."""
TEXT = """The whole command, from its start to its end, into an empty database of a server as durable as it comes:
each waits for its commits. All run the same statement a revision; Django's stands in `RunSQL`. `psql -f` sends the
bare statements, each its own transaction, and remembers nothing. Ours takes the migration lock, sets the time-outs,
watches, and writes the ledger.

With 20 revisions the start decides, and who need not import SQLAlchemy and Alembic is ahead: of the 0.4 s that ours
and plain Alembic take with nothing to do, Python's own start is 0.02 s, SQLAlchemy 0.13, Alembic 0.08, typer and
pydantic 0.09, psycopg2 0.02, and its end 0.02 (`python -X importtime`). yoyo imports none of them. With more of them,
the client needs as much of the processor as plain Alembic does (`time`: 1.1 s for 1,000), but goes twice more to the
server for each: to set the time-outs, and to write the ledger's row with the locks that the revision took, which
proves that the migration lock is still held (0.3 ms there, `EXPLAIN ANALYZE`). That is 0.3 to 0.6 ms of the 3 to 5
that a table with a primary key takes."""


def run(bench: Bench) -> Chapter:
    """Measure the tools in turn."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries, settings="")).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others(), tools.psql(binaries)]
        figures = [
            Figure(
                f"apply {number:,} revisions",
                "s",
                in_turn(
                    bench.rounds,
                    {tool.name: _work(bench, server, tool, number) for tool in all_tools},
                    SLOW if number == NUMBERS[-1] else frozenset(),
                ),
                {PLAIN: 1.1, YOYO: 1.0},
            )
            for number in (FEWER if bench.quick else NUMBERS)
        ]
    return Chapter("Applying revisions", TEXT, figures)


def _work(bench: Bench, server: Server, tool: Tool, number: int) -> Callable[[], float]:
    folder = bench.folder / f"apply-{number}" / tool.slug
    tool.write(folder, tools.tables(number))

    def work() -> float:
        with new_database(server, "applied") as database:
            return tool.run(folder, database)

    return work
