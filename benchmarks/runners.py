"""16 runners at once with the same 20 revisions: how many succeed, and how often each row was inserted."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks import tools
from benchmarks.measuring import ITSELF, Bench, Chapter, Figure, Table
from benchmarks.tools import Step, Tool
from support import postgres
from support.postgres import Server, new_database

RUNNERS, ROWS = 16, 20
MAKE = Step("make_ran", "create table ran (name text)")
INSERTS = [Step(f"insert_{number:02d}", f"insert into ran values ('{number:02d}')") for number in range(1, ROWS + 1)]
HEADER = ["", "runners that succeed", f"rounds with {ROWS} rows", "rows, fewest to most", "errors"]
TEXT = f"""{RUNNERS} runners start within a moment of each other, as a deployment of {RUNNERS} containers does,
against a database that is at the first revision; {ROWS} more are pending, and each inserts a row. The goal is {ROWS}
rows and no error: a revision that ran twice shows as a row too many. The tools take turns, each with a new database a
round. *Expected to match one row* is Alembic's message when another process has moved the version since Alembic read
it, and *duplicate key* dbmate's: the revision is rolled back, and the caller has a failed deployment to examine."""

Ends = tuple[list[tuple[int, str]], int]


def run(bench: Bench) -> Chapter:
    """Count over all rounds."""
    binaries = postgres.binaries()
    number = 1 if bench.quick else bench.rounds
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries)).url)
        works = {tool.name: _work(bench, server, tool) for tool in [tools.ours(), tools.plain(), *tools.others()]}
        rounds = [{who: work() for who, work in works.items()} for _ in range(number)]
    by_tool = {who: [one[who] for one in rounds] for who in works}
    failed = {who: [float(sum(code != 0 for code, _ in ends)) for ends, _ in found] for who, found in by_tool.items()}
    wrong = {who: [float(abs(rows - ROWS)) for _, rows in found] for who, found in by_tool.items()}
    figures = [
        Figure(f"{RUNNERS} runners at once: failures", "", failed, {ITSELF: 0}),
        Figure(f"{RUNNERS} runners at once: rows too many or too few", "", wrong, {ITSELF: 0}),
    ]
    table = Table(HEADER, [_row(who, found) for who, found in by_tool.items()])
    return Chapter(f"{RUNNERS} runners at once", TEXT, figures, [table])


def _work(bench: Bench, server: Server, tool: Tool) -> Callable[[], Ends]:
    folder = bench.folder / "runners" / tool.slug
    tool.write(folder / "first", [MAKE])
    tool.write(folder / "all", [MAKE, *INSERTS])

    def work() -> Ends:
        """Return each runner's exit code and output, and the number of rows."""
        with new_database(server, "raced") as database, ThreadPoolExecutor(RUNNERS) as pool:
            tool.run(folder / "first", database)
            ends = list(pool.map(tools.finish, [tool.start(folder / "all", database) for _ in range(RUNNERS)]))
            return ends, database.query("select count(*) from ran")[0][0]

    return work


def _row(who: str, rounds: list[Ends]) -> list[str]:
    codes = [code for ends, _ in rounds for code, _ in ends]
    rows = [number for _, number in rounds]
    errors = Counter(tools.kind(output) for ends, _ in rounds for code, output in ends if code)
    return [
        who,
        f"{codes.count(0)} of {len(codes)}",
        f"{rows.count(ROWS)} of {len(rows)}",
        f"{min(rows)} to {max(rows)}",
        ", ".join(f"{kind}: {number}" for kind, number in errors.most_common()) or "none",
    ]
