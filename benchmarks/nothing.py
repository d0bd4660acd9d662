"""Nothing to do, and where a database is, with 100, 1,000 and 5,000 revisions behind it."""

from collections.abc import Callable
from contextlib import ExitStack

import postgres
from benchmarks import tools
from benchmarks.measuring import OURS, Bench, Chapter, Figure, in_turn
from benchmarks.tools import PLAIN, Tool
from postgres import Server, new_database

NUMBERS = (100, 1000, 5000)
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
    numbers = NUMBERS[: 2 if bench.quick else 3]
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries)).url)
        works = {
            number: {tool.name: _works(bench, server, tool, number, stack) for tool in (tools.ours(), tools.plain())}
            for number in numbers
        }
        figures = [
            Figure(
                f"`{verb}` with {number:,} revisions behind it",
                "s",
                in_turn(bench.rounds, {who: by_verb[verb] for who, by_verb in works[number].items()}),
                {PLAIN: WANTED[verb]} if number == NUMBERS[-1] else {},
            )
            for verb in COMMANDS
            for number in numbers
        ]
    if not bench.quick:
        figures.append(_growth([figure.values[OURS] for figure in figures[: len(numbers)]]))
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


def _growth(took_s: list[list[float]]) -> Figure:
    """Hold what each of the last 4,000 revisions costs against each of the first: quadratic growth would show."""
    few, some, many = NUMBERS
    first = [(b - a) / (some - few) * 1000 for a, b in zip(took_s[0], took_s[1], strict=True)]
    last = [(c - b) / (many - some) * 1000 for b, c in zip(took_s[1], took_s[2], strict=True)]
    name = f"`upgrade`, each further revision: {some:,} to {many:,} against {few:,} to {some:,}"
    return Figure(name, "ms", {OURS: last, "the first ones": first}, {"the first ones": 1.5})
