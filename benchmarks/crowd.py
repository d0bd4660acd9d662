"""Sixteen runners at once over the same twenty revisions, which insert: a race shows as rows too many."""

from contextlib import ExitStack

import postgres
from benchmarks import tools
from benchmarks.measuring import ITSELF, Bench, Chapter, Figure, Table
from benchmarks.tools import Step, Tool
from postgres import Server, new_database

RUNNERS, REVISIONS = 16, 20
TEXT = f"""{RUNNERS} processes are started at once, as by a deployment of {RUNNERS} containers, over {REVISIONS}
revisions that insert a row each. The tool's own table is there already. A runner has succeeded when it exits with
0; a round has, when the table has {REVISIONS} rows."""


def run(bench: Bench) -> Chapter:
    """Start the crowd of each tool in turn."""
    binaries = postgres.binaries()
    rounds = 1 if bench.quick else 7
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries)).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others()]
        found = {tool.name: [_crowd(bench, server, tool, number) for number in range(rounds)] for tool in all_tools}
    rows = [
        [
            name,
            f"{sum(failed for failed, _ in each)} of {RUNNERS * rounds}",
            f"{sum(rows == REVISIONS for _, rows in each)} of {rounds}",
            ", ".join(str(rows) for _, rows in each),
        ]
        for name, each in found.items()
    ]
    table = Table(["", "runners that failed", "rounds with the right rows", f"rows, of {REVISIONS}"], rows)
    failed = {name: [float(failed) for failed, _ in each] for name, each in found.items()}
    wrong = {name: [float(abs(rows - REVISIONS)) for _, rows in each] for name, each in found.items()}
    figures = [
        Figure(f"runners of {RUNNERS} at once that fail", "runners", failed, {ITSELF: 0}),
        Figure("rows too many or too few after that", "rows", wrong, {ITSELF: 0}),
    ]
    return Chapter(f"{RUNNERS} runners at once", TEXT, figures, [table])


def _crowd(bench: Bench, server: Server, tool: Tool, number: int) -> tuple[int, int]:
    """Return how many runners failed, and how many rows there are in the end."""
    folder = bench.folder / f"crowd-{tool.slug}-{number}"
    inserts = [Step(f"insert_{n:02d}", f"insert into ran values ({n})") for n in range(REVISIONS)]
    steps = [Step("first", "select 1"), *inserts]
    with new_database(server, f"crowd_{tool.slug}") as database:
        database.execute("create table ran (number int)")
        tool.write(folder / "first", steps[:1])
        tool.run(folder / "first", database)
        tool.write(folder / "all", steps)
        runners = [tool.start(folder / "all", database) for _ in range(RUNNERS)]
        for runner in runners:
            runner.communicate()
        failed = sum(runner.returncode != 0 for runner in runners)
        return failed, database.query("select count(*) from ran")[0][0]
