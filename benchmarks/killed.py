"""`kill -9` in the middle of a revision and of a concurrent index build, then the same command again."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from benchmarks import tools
from benchmarks.measuring import ITSELF, Bench, Chapter, Figure, Table
from benchmarks.tools import Step, Tool
from support import postgres
from support.postgres import Database, Server, new_database

BEGIN_S, WATCH_S, MOST_STEPS = 60, 5, 3
TABLES = """
    create table orders (id int, total int); create table gate ();
    insert into orders select n, n from generate_series(1, 1000) n
"""
# An open transaction that has read `gate` blocks both: this revision by its lock, the index build by its snapshot.
SLEEP = """do $$ begin
    alter table orders add column note text;
    while exists (select from pg_locks where relation = 'gate'::regclass and pid <> pg_backend_pid()) loop
        perform pg_sleep(0.1);
    end loop;
end $$"""
INDEX = "create index concurrently orders_total on orders (total)"
MIDDLES = {
    "a revision": Step("add_note", SLEEP),
    "a concurrent index build": Step("index_total", INDEX, transactional=False),
}
WAITING = """
    select pid from pg_stat_activity where datname = current_database() and query ilike '%orders%' and state = 'active'
    and pid <> pg_backend_pid() and wait_event in ('PgSleep', 'virtualxid')
"""
LOCKED = "select from pg_locks where relation = 'orders'::regclass and mode = 'AccessExclusiveLock' and granted"
INVALID = "select from pg_index where not indisvalid"
LEFTOVERS = {"`orders` locked": LOCKED, "invalid index": INVALID}
LAST = "select from pg_attribute where attrelid = 'orders'::regclass and attname = 'last'"
HEADER = ["", "its statement went on for", "left after that", "the same command again", "by hand"]
TEXT = f"""The second of three revisions is running when the whole process group is killed: it has added a column and
continues in the same transaction, or it builds an index concurrently and waits for an old transaction. Its statement
is watched for {WATCH_S} s; then the blocking transaction ends, and the same command runs again, and again after each
step by hand that its error requires, until all three revisions are applied and no index is invalid. By default a
server does not detect a lost client while a statement runs; ours enables this check with
`client_connection_check_interval`. The others' statements continue to their end: the table stays locked until then,
or the index is finished and no revision has a record of it.

Beside this, `tests/faults/test_kill.py::test_killed_at_random_moments` kills ours at 50 random moments of an upgrade
of 20 revisions, five of them concurrent index builds: each upgrade that was then driven to its end finished without a
manual step, with the schema of an undisturbed run and no invalid index."""


@dataclass(frozen=True)
class Aftermath:
    """The state after a killed run, and the steps that the next runs required."""

    went_on: str
    left: list[str]
    errors: list[str]
    by_hand: list[str]


def run(bench: Bench) -> Chapter:
    """Kill all tools in both cases in parallel, each in its own database; they wait most of the time."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries)).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others()]
        pool = stack.enter_context(ThreadPoolExecutor(len(MIDDLES) * len(all_tools)))
        started = {
            middle: {tool.name: pool.submit(_kill, bench, server, tool, step) for tool in all_tools}
            for middle, step in MIDDLES.items()
        }
        found = {middle: {who: one.result() for who, one in each.items()} for middle, each in started.items()}
    figures = [
        Figure(
            f"killed in {middle}: steps by hand",
            "",
            {who: [float(len(aftermath.by_hand))] for who, aftermath in each.items()},
            {ITSELF: 0},
        )
        for middle, each in found.items()
    ]
    tables = [
        Table([f"killed in {middle}", *HEADER[1:]], [_row(who, aftermath) for who, aftermath in each.items()])
        for middle, each in found.items()
    ]
    return Chapter("Killed half-way", TEXT, figures, tables)


def _row(who: str, aftermath: Aftermath) -> list[str]:
    again, by_hand = _words(aftermath.errors, "succeeds"), _words(aftermath.by_hand)
    return [who, aftermath.went_on, _words(aftermath.left), again, by_hand]


def _kill(bench: Bench, server: Server, tool: Tool, middle: Step) -> Aftermath:
    name = f"killed_{tool.slug}_{middle.name}"
    folder = bench.folder / name
    first, last = (Step(f"add_{word}", f"alter table orders add column {word} text") for word in ("first", "last"))
    tool.write(folder, [first, middle, last])
    with new_database(server, name) as database, closing(server.connect(name)) as holder:
        database.execute(TABLES)
        # the index build waits for this snapshot
        holder.set_session(isolation_level="REPEATABLE READ", autocommit=False)
        holder.cursor().execute("select from gate")
        process = tool.start(folder, database)
        try:
            pid = _wait(database, process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        went_on = _watch(database, pid)
        left = [words for words, query in LEFTOVERS.items() if database.query(query)]
        holder.rollback()
        errors, by_hand = _recover(tool, folder, database)
        assert database.query(LAST), f"{name}: not all revisions are applied"
        assert not database.query(INVALID), f"{name}: the index is still invalid"
    return Aftermath(went_on, left, errors, by_hand)


def _wait(database: Database, process: "Popen[str]") -> int:
    """Wait until the second revision's statement waits, and return its backend's pid."""
    until = time.monotonic() + BEGIN_S
    while not (found := database.query(WAITING)):
        assert process.poll() is None, f"{database.name} has ended before it could be killed"
        assert time.monotonic() < until, f"{database.name} does not come to its second revision"
        time.sleep(0.02)
    return int(found[0][0])


def _watch(database: Database, pid: int) -> str:
    started = time.monotonic()
    while database.query(f"select from pg_stat_activity where pid = {pid} and state = 'active'"):
        if time.monotonic() - started > WATCH_S:
            return f"more than {WATCH_S} s"
        time.sleep(0.02)
    return f"{time.monotonic() - started:.1f} s"


def _recover(tool: Tool, folder: Path, database: Database) -> tuple[list[str], list[str]]:
    """Run the command until it succeeds, and return its errors and the steps by hand between."""
    errors: list[str] = []
    by_hand: list[str] = []
    for _ in range(MOST_STEPS + 1):
        code, output = tools.finish(tool.start(folder, database))
        if code == 0:
            return errors, by_hand
        errors.append(tools.kind(output))
        if errors[-1] == tools.LOCKED:
            tool.run(folder, database, *tool.unlock)
            by_hand.append(f"`{' '.join(tool.unlock[:2])}`")
        else:
            database.execute("drop index concurrently orders_total")
            by_hand.append("`drop index`")
    raise AssertionError(f"{database.name} does not recover: {errors}")


def _words(found: list[str], nothing: str = "nothing") -> str:
    return ", then ".join(found) or nothing
