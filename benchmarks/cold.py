"""A cold function's first answer to `current`, its memory, a warm function's answers, and the image."""

import statistics
from contextlib import ExitStack
from functools import partial

from benchmarks import functions, tools
from benchmarks.functions import BARE, FLOOR, Layout
from benchmarks.measuring import OURS, Bench, Chapter, Figure, Table, in_turn
from support import postgres
from support.emulator import Function
from support.postgres import Server, new_database

REVISIONS = (20, 200)
INVOCATIONS = 20
TEXT = f"""Under Lambda's own Runtime Interface Emulator, a new process for each first answer, {REVISIONS[0]}
revisions. The bare handler (`benchmarks/bare/handler.py`) is `alembic.command` with a secret; both read the secret
from a moto server. It has the same versions, layout and bytecode. The floor is the interpreter, Alembic, psycopg2 and
one connection, without a secret. For `current`, ours imports neither Alembic nor SQLAlchemy.

A warm answer is the median of {INVOCATIONS}. Most of it is the connection, which each invocation opens, since a
frozen function must not hold one: the floor does nothing else, and takes about 0.4 of the bare handler's time with
{REVISIONS[0]} revisions. Ours adds a millisecond or two: it checks each revision's file, reads settings and payload,
writes a log line, and queries the holder of the migration lock, for which a new session first reads the definition of
`pg_locks`. So with few revisions the ratio is near the goal of a half, above or below. With more of them the distance
grows.

The image is measured as packages, programs and code on top of the base image, which is the same for both. Ours cannot
be as small as the bare handler's: it is one image for the function, the agent and the command line. The second table
lists the rest: squawk reads the SQL of a plan, holidays and phonenumbers serve the agent, pygments is a dependency of
the command line's tables."""


def run(bench: Bench) -> Chapter:
    """Measure ours, the bare handler and the floor in turn."""
    binaries = postgres.binaries()
    few, _ = REVISIONS
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries)).url)
        layouts = {
            number: functions.lay_out(
                bench.folder / f"function-{number}",
                tools.tables(number),
                stack.enter_context(new_database(server, f"function_{number}")),
                stack,
            )
            for number in REVISIONS
        }
        works = {layout.name: partial(functions.first_answer, layout) for layout in layouts[few]}
        first = in_turn(bench.rounds, works)
        warm = {number: _warm(bench, layouts[number], stack) for number in REVISIONS}
        sizes = {layout.name: [sum(layout.weights_mib.values())] for layout in layouts[few] if layout.name != FLOOR}
    figures = [
        Figure("cold function, first answer", "ms", _side(first, 0), {BARE: 0.9, FLOOR: 1.5}),
        *(Figure(f"warm function, {number} revisions", "ms", warm[number], {BARE: 0.5}) for number in REVISIONS),
        Figure("the function's memory at its first answer", "MiB", _side(first, 1), {BARE: 1.1}),
        Figure("packages, programs and code in the image", "MiB", sizes, {BARE: 1.1}),
    ]
    weights = Table(["MiB in the image", OURS, BARE], _weights(layouts[few][0], layouts[few][1]))
    return Chapter("The function", TEXT, figures, [weights])


def _side(found: dict[str, list[tuple[float, float]]], side: int) -> dict[str, list[float]]:
    return {who: [pair[side] for pair in pairs] for who, pairs in found.items()}


def _weights(ours: Layout, bare: Layout) -> list[list[str]]:
    """Return a row for each package of two MiB or more, the heaviest first."""
    mine, theirs = ours.weights_mib, bare.weights_mib
    heavy = sorted((name for name in mine if mine[name] >= 2), key=lambda name: -mine[name])
    return [[name, f"{mine[name]:.0f}", f"{theirs[name]:.0f}" if name in theirs else ""] for name in heavy]


def _warm(bench: Bench, layouts: list[Layout], stack: ExitStack) -> dict[str, list[float]]:
    """Keep one function of each warm, and ask them in turn."""
    started = {layout.name: stack.enter_context(layout.start()) for layout in layouts}

    def work(function: Function) -> float:
        return statistics.median(functions.answer_ms(function) for _ in range(INVOCATIONS))

    return in_turn(bench.rounds, {name: partial(work, function) for name, function in started.items()})
