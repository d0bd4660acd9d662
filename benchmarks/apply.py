"""Apply 20, 200 and 1,000 revisions that make a table each: the whole command, from its start to its end."""

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import tools
from benchmarks.measuring import OURS, Bench, Chapter, Figure, Table, in_turn
from benchmarks.tools import DBMATE, DJANGO, PLAIN, YOYO, Tool
from support import postgres
from support.postgres import Server, new_database

NUMBERS, FEWER = (20, 200, 1000), (20, 100)
TABLES = "select count(*) from pg_tables where tablename ~ '^t[0-9]+$'"
EMPTY = "drop schema public cascade; create schema public"
SLOW = frozenset({YOYO})
"""Tools that take half a minute for the most revisions run these in one round only."""
TEXT = """The whole command, from its start to its end, into an empty database of a server with PostgreSQL's default
durability: each tool waits for its commits. All run the same statement a revision; Django's is in `RunSQL`. `psql -f`
sends the bare statements, each in its own transaction, and records nothing. Ours takes the migration lock, sets the
time-outs, runs the watchdog, and writes the ledger.

With 20 revisions the start decides, and a tool that does not import SQLAlchemy and Alembic is ahead; dbmate is a Go
program and needs no start at all. The second table shows what the start is spent on. With more revisions ours needs
as much of the client's processor as plain Alembic does (`time`), but makes two more round trips to the server for
each: one sets the time-outs, one writes the ledger's row with the locks that the revision took, which proves that the
migration lock is still held (0.3 to 0.5 ms there, `EXPLAIN ANALYZE` and the server's log). For a revision that only
creates a table that is an eighth to a sixth of its time, and it shows where the start no longer compensates for it.
dbmate and Django, which have neither a ledger nor a lock to prove, stay ahead."""


def run(bench: Bench) -> Chapter:
    """Measure the tools in turn."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries, settings="")).url)
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
                {PLAIN: 1.1, YOYO: 1.0, **{tool.name: None for tool in all_tools if tool.name in (DBMATE, DJANGO)}},
            )
            for number in (FEWER if bench.quick else NUMBERS)
        ]
        imports = _imports(bench, server, [tool for tool in all_tools if tool.name in (OURS, PLAIN, YOYO)])
    return Chapter("Applying revisions", TEXT, figures, [imports])


def _imports(bench: Bench, server: Server, tools: list[Tool]) -> Table:
    """Return the import times of a start with nothing to do, by package, from 5 ms on."""
    found = {}
    with new_database(server, "imports") as database:
        for tool in tools:
            folder = bench.folder / "apply-20" / tool.slug
            tool.run(folder, database)
            found[tool.name] = tool.imports_ms(folder, database)
            database.execute(EMPTY)
    heavy = sorted(
        {name for each in found.values() for name in each if each[name] >= 5},
        key=lambda name: -max(each.get(name, 0) for each in found.values()),
    )
    rows = [[name, *(f"{each[name]:.0f}" if name in each else "" for each in found.values())] for name in heavy]
    total = [f"{sum(each.values()):.0f}" for each in found.values()]
    return Table(["ms to import", *found], [*rows, ["all together", *total]])


def _work(bench: Bench, server: Server, tool: Tool, number: int) -> Callable[[], float]:
    folder = bench.folder / f"apply-{number}" / tool.slug
    tool.write(folder, tools.tables(number))

    def work() -> float:
        with new_database(server, "applied") as database:
            took_s = tool.run(folder, database)
            assert database.query(TABLES) == [(number,)], f"{tool.name} has not applied all"
            return took_s

    return work
