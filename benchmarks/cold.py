"""A cold function's first answer to `current`, what it needs of memory, a warm one's answers, and the image."""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import postgres
from benchmarks import functions, tools
from benchmarks.functions import BARE, FLOOR, Layout
from benchmarks.measuring import Bench, Chapter, Figure, in_turn
from emulator import Function
from postgres import Server, new_database

REVISIONS = (20, 200)
INVOCATIONS = 20
TEXT = f"""Under Lambda's own Runtime Interface Emulator, a process of its own for each first answer, {REVISIONS[0]}
revisions. The bare handler (`benchmarks/bare/handler.py`) is `alembic.command` with a secret, which both read from a
moto server; it has the same versions, layout and bytecode. The floor is the interpreter, Alembic, psycopg2 and one
connection, without a secret. For `current`, ours imports neither Alembic nor SQLAlchemy.

A warm answer is the median of {INVOCATIONS}. Most of it is the connection, which is opened for each, since a function
that is frozen must not hold one: the floor has nothing else, and is at 0.4 of the bare handler with {REVISIONS[0]}
revisions. What ours adds, a millisecond and a half, is a look at each revision's file (0.2 ms), settings and payload
(0.3), a log line (0.2), and who holds the migration lock (0.5: a session that has just begun reads the definition of
`pg_locks` first). With more revisions the distance grows.

The image is measured as packages, programs and code on top of the base image, which is the same for both. Ours cannot
come down to the bare handler's: it is one image for the function, the agent and the command line. The rest of it is
squawk, which reads the SQL of a plan (24 MiB), the holidays of the world and phone numbers for the agent (20),
pygments, which the command line's tables bring along (9), pydantic (10) and Powertools (7)."""


def run(bench: Bench) -> Chapter:
    """Measure ours, the bare handler and the floor in turn."""
    binaries = postgres.binaries()
    few, _ = REVISIONS
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries)).url)
        layouts = {
            number: functions.lay_out(
                bench.folder / f"function-{number}",
                tools.tables(number),
                stack.enter_context(new_database(server, f"function_{number}")),
                stack,
            )
            for number in REVISIONS
        }
        peaks: dict[str, list[float]] = {layout.name: [] for layout in layouts[few]}
        first = in_turn(bench.rounds, {layout.name: _first(layout, peaks) for layout in layouts[few]})
        warm = {number: _warm(bench, layouts[number], stack) for number in REVISIONS}
        sizes = {layout.name: [layout.size_mib] for layout in layouts[few] if layout.name != FLOOR}
    figures = [
        Figure("cold function, first answer", "ms", first, {BARE: 0.9, FLOOR: 1.5}),
        *(Figure(f"warm function, {number} revisions", "ms", warm[number], {BARE: 0.5}) for number in REVISIONS),
        Figure("the function's memory at its first answer", "MiB", peaks, {BARE: 1.1}),
        Figure("packages, programs and code in the image", "MiB", sizes, {BARE: 1.1}),
    ]
    return Chapter("The function", TEXT, figures)


def _first(layout: Layout, peaks: dict[str, list[float]]) -> Callable[[], float]:
    def work() -> float:
        took_ms, peak_mib = functions.first_answer(layout)
        peaks[layout.name].append(peak_mib)
        return took_ms

    return work


def _warm(bench: Bench, layouts: list[Layout], stack: ExitStack) -> dict[str, list[float]]:
    """Keep one function of each warm, and ask them in turn."""
    started = {layout.name: stack.enter_context(layout.start()) for layout in layouts}

    def work(function: Function) -> float:
        return statistics.median(functions.answer_ms(function) for _ in range(INVOCATIONS))

    return in_turn(bench.rounds, {name: partial(work, function) for name, function in started.items()})
