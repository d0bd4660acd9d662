"""Apply 20, 200 and 1,000 revisions that make a table each: the whole command, from its start to its end."""

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import network, tools
from benchmarks.measuring import OURS, Bench, Chapter, Figure, Table, in_turn
from benchmarks.tools import DBMATE, DJANGO, PLAIN, YOYO, Tool
from support import postgres
from support.postgres import Server, new_database

NUMBERS, FEWER = (20, 200, 1000), (20, 100)
ACROSS, ROUND_TRIP_MS = 100, 2
TABLES = "select count(*) from pg_tables where tablename ~ '^t[0-9]+$'"
EMPTY = "drop schema public cascade; create schema public"
SLOW = frozenset({YOYO})
"""Tools that take half a minute for the most revisions run these in one round only."""
TEXT = f"""The whole command, from its start to its end, into an empty database of a server with PostgreSQL's default
durability: each tool waits for its commits. All run the same statement a revision; Django's is in `RunSQL`. `psql -f`
sends the bare statements, each in its own transaction, and records nothing. Ours takes the migration lock, sets the
time-outs, runs the watchdog, and writes the ledger.

With 20 revisions the start decides, and a tool that does not import SQLAlchemy and Alembic is ahead; dbmate is a Go
program and needs no start at all. Ours imports pydantic and Typer as well: the last table shows what the start is
spent on.

With more revisions the server decides. Ours sends three messages for each: one commits the revision before, makes the
session as new, sets the time-outs and reads the proofs; one is the revision's own statement; one writes the ledger's
row and the version. Plain Alembic sends four, since BEGIN and COMMIT each go alone. But ours gives the server more to
do, 0.8 ms for each revision where the creation of its table takes 1 to 2 (medians of each message alone): 0.55 ms for
the ledger's row, of which more than half reads the locks that the revision took, the rest for the new session and the
proofs. The client needs 0.5 ms more. This shows where a round trip takes no time and the start no longer compensates
for it. dbmate and Django, which have neither a ledger nor a lock to prove, stay ahead.

Across a network each round trip counts. In the last row the tools reach the server through a proxy, a process of its
own, which holds back both directions so that a round trip takes {ROUND_TRIP_MS} ms longer; the table after it shows
what a `select 1` takes then. Each revision makes one round trip less than plain Alembic's. The start makes about 43
where plain Alembic's makes 17: ours opens two connections, takes the lock, compares the history and begins the ledger.
What {ACROSS} revisions save so is about what the server and the client do in addition, so the two take about as long;
with more revisions or a longer way ours gains."""


def run(bench: Bench) -> Chapter:
    """Measure the tools in turn."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries, settings="")).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others(), tools.psql(binaries)]
        figures = [
            _figure(bench, f"apply {number:,} revisions", server, number, all_tools)
            for number in (FEWER if bench.quick else NUMBERS)
        ]
        far = stack.enter_context(network.far(server, ROUND_TRIP_MS))
        across = FEWER[0] if bench.quick else ACROSS
        name = f"apply {across} revisions across {ROUND_TRIP_MS} ms"
        figures.append(_figure(bench, name, far, across, all_tools))
        trips = _trips(server, far)
        imports = _imports(bench, server, [tool for tool in all_tools if tool.name in (OURS, PLAIN, YOYO)])
    return Chapter("Applying revisions", TEXT, figures, [trips, imports])


def _figure(bench: Bench, name: str, server: Server, number: int, all_tools: list[Tool]) -> Figure:
    works = {tool.name: _work(bench, server, tool, number) for tool in all_tools}
    shown = {tool.name: None for tool in all_tools if tool.name in (DBMATE, DJANGO)}
    found = in_turn(bench.rounds, works, SLOW if number == NUMBERS[-1] else frozenset())
    return Figure(name, "s", found, {PLAIN: 1.0, YOYO: 1.0, **shown})


def _trips(server: Server, far: Server) -> Table:
    """Return the time of a round trip to the server, without and with the proxy."""
    found = [f"{network.round_trip_ms(reached):.2f}" for reached in (server, far)]
    return Table(["ms for `select 1`", "near", "far"], [["median", *found]])


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
    # near and far servers may get the same revisions
    if not folder.exists():
        tool.write(folder, tools.tables(number))

    def work() -> float:
        with new_database(server, "applied") as database:
            took_s = tool.run(folder, database)
            assert database.query(TABLES) == [(number,)], f"{tool.name} has not applied all"
            return took_s

    return work
