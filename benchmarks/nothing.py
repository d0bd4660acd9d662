"""Nothing to do, and where a database is, with 100, 1,000 and 5,000 revisions behind it."""

from collections.abc import Callable
from contextlib import ExitStack

import postgres
from benchmarks import tools
from benchmarks.measuring import OURS, Bench, Chapter, Figure, in_turn
from benchmarks.tools import PLAIN, Tool
from postgres import Server, new_database

NUMBERS, FEWER = (100, 1000, 5000), (100, 500)
Works = dict[str, dict[str, Callable[[], float]]]
COMMANDS = {
    "upgrade": {OURS: ("migrate", "upgrade"), PLAIN: ("alembic", "upgrade", "head")},
    "current": {OURS: ("migrate", "current"), PLAIN: ("alembic", "current")},
}
WANTED = {"upgrade": 0.7, "current": 0.3}
TEXT = """`upgrade` with nothing left to do, and `current`: the whole command, on a server that does not wait for
its disk. A revision is a file of 430 bytes. Ours reads the heads of the files as text, holds every applied one
against its checksum in the ledger, and imports none; plain Alembic imports them all, and its `current` is
quadratic."""


def run(bench: Bench) -> Chapter:
    """Measure both in turn, on databases that have had all of the revisions."""
    numbers = FEWER if bench.quick else NUMBERS
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries)).url)
        works = {
            number: {tool.name: _works(bench, server, tool, number, stack) for tool in (tools.ours(), tools.plain())}
            for number in numbers
        }
        figures = []
        for verb in COMMANDS:
            found = [_figure(bench, verb, number, works[number]) for number in numbers]
            figures += found if bench.quick else [*found, _growth(verb, *found[-2:])]
    return Chapter("Nothing to do", TEXT, figures)


def _works(bench: Bench, server: Server, tool: Tool, number: int, stack: ExitStack) -> dict[str, Callable[[], float]]:
    """Apply the revisions once, and return what runs each of the commands after that."""
    folder = bench.folder / f"nothing-{number}" / tool.slug
    tool.write(folder, tools.tables(number))
    database = stack.enter_context(new_database(server, f"nothing_{number}_{tool.slug}"))
    tool.run(folder, database)

    def work(verb: str) -> Callable[[], float]:
        return lambda: tool.run(folder, database, *COMMANDS[verb][tool.name])

    return {verb: work(verb) for verb in COMMANDS}


def _figure(bench: Bench, verb: str, number: int, works: Works) -> Figure:
    found = in_turn(bench.rounds, {who: by_verb[verb] for who, by_verb in works.items()})
    wanted = {PLAIN: WANTED[verb]} if number == NUMBERS[-1] else {}
    return Figure(f"`{verb}` with {number:,} revisions behind it", "s", found, wanted)


def _growth(verb: str, some: Figure, many: Figure) -> Figure:
    """Hold five times as many revisions against the fewer: what grows no faster takes at most five times as long."""
    names = [f"with {number:,} revisions" for number in reversed(NUMBERS[1:])]
    times = NUMBERS[2] / NUMBERS[1]
    return Figure(
        f"growth of `{verb}`",
        "s",
        dict(zip(names, (many.values[OURS], some.values[OURS]), strict=True)),
        {names[1]: times},
    )
