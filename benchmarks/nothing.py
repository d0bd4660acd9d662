"""`upgrade` with nothing to do, and `current`, with 100, 1,000 and 5,000 applied revisions."""

import resource
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks import tools
from benchmarks.measuring import OURS, Bench, Chapter, Figure, in_turn
from benchmarks.tools import PLAIN, Tool
from support import postgres
from support.postgres import Server, new_database

NUMBERS, FEWER = (100, 1000, 5000), (100, 500)
Works = dict[str, dict[str, Callable[[], float]]]
COMMANDS = {
    "upgrade": {OURS: ("migrate", "upgrade"), PLAIN: ("alembic", "upgrade", "head")},
    "current": {OURS: ("migrate", "current"), PLAIN: ("alembic", "current")},
}
WANTED = {"upgrade": 0.7, "current": 0.3}
TEXT = """`upgrade` with nothing left to do, and `current`: the whole command, on a server that does not wait for its
disk. A revision is a file of 430 bytes. Ours reads the heads of the files as text, compares every applied one with
its checksum in the ledger, and imports none; plain Alembic imports them all, and its `current` is quadratic. The
processor time that each revision adds shows whether ours stays linear: were it quadratic, one after the first 1,000
would cost five times as much as one before."""


def run(bench: Bench) -> Chapter:
    """Measure both in turn, on databases with all revisions applied."""
    numbers = FEWER if bench.quick else NUMBERS
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries)).url)
        works = {
            number: {tool.name: _works(bench, server, tool, number, stack) for tool in (tools.ours(), tools.plain())}
            for number in numbers
        }
        figures = [_figure(bench, verb, number, works[number]) for verb in COMMANDS for number in numbers]
        if not bench.quick:
            figures += [
                _growth(bench, verb, {number: works[number][OURS][verb] for number in numbers}) for verb in COMMANDS
            ]
    return Chapter("Nothing to do", TEXT, figures)


def _works(bench: Bench, server: Server, tool: Tool, number: int, stack: ExitStack) -> dict[str, Callable[[], float]]:
    """Apply the revisions once, and return a function for each of the commands after that."""
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


def _growth(bench: Bench, verb: str, works: dict[int, Callable[[], float]]) -> Figure:
    """Compare the processor time of each of the last 4,000 revisions with that of each of the first 900."""
    found = in_turn(bench.rounds, {str(number): partial(_processor_s, work) for number, work in works.items()})
    few, some, many = (found[str(number)] for number in works)
    last = [(b - a) / (NUMBERS[2] - NUMBERS[1]) * 1e6 for a, b in zip(some, many, strict=True)]
    first = [(b - a) / (NUMBERS[1] - NUMBERS[0]) * 1e6 for a, b in zip(few, some, strict=True)]
    return Figure(
        f"`{verb}`: processor time of a further revision, after 1,000",
        "µs",
        {"after 1,000": last, "up to 1,000": first},
        {"up to 1,000": 2.0},
    )


def _processor_s(work: Callable[[], float]) -> float:
    """Return the processor time of the processes that `work` starts and waits for, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
