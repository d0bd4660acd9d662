"""Killed half-way with `kill -9`, then run again by the same command."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import postgres
from benchmarks import tools
from benchmarks.measuring import Bench, Chapter, Table
from benchmarks.tools import Step, Tool
from postgres import Database, Server, new_database

SLEEP_S = 15
"""How long the revision goes on in which the run is killed."""
LET_GO_S = 3
SLOWLY = f"do $$ begin insert into ran values ('killed'); perform pg_sleep({SLEEP_S}) from slow; end $$"
IN_A_REVISION = Step("insert_slowly", SLOWLY)
IN_A_BUILD = Step("index_big", "create index concurrently big_n on big (n)", transactional=False)
AT_WORK = """
    select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
    and state = 'active' and query ~ 'pg_sleep|concurrently'
"""
TEXT = f"""The whole process group is ended with `kill -9`: once inside a revision that has inserted a row and goes
on for {SLEEP_S} s, once while an index is built concurrently, which waits for another session that lets go
{LET_GO_S} s later. When the killed run's statement has ended on the server, the same command is run again; where it
fails, what it wants by hand is done, one thing after the other, until it comes to the end with the right rows and a
valid index. Where it went on after the kill, PostgreSQL had not noticed that nobody listens any more; ours asks it
to look (`client_connection_check_interval`).

Beside this, `tests/faults/test_kill.py::test_killed_at_random_moments` kills ours at 50 random moments of an
upgrade of 20 revisions, five of them concurrent index builds: every upgrade that was then driven to its end
finished without a manual step."""


@dataclass(frozen=True)
class Aftermath:
    """Tell how long the killed run's statement outlived it, why the next run failed, and what that took by hand."""

    lingered_s: float
    told: str
    by_hand: list[str]

    def __str__(self) -> str:
        lingered = f"Its statement went on for {self.lingered_s:.0f} s. " if self.lingered_s >= 1 else ""
        if not self.by_hand:
            return f"{lingered}Recovers alone."
        return f"{lingered}Fails: {self.told} By hand: {', then '.join(self.by_hand)}."


def run(bench: Bench) -> Chapter:
    """Kill each tool in both ways, in a database of its own, all at the same time: most of it is waiting."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(str(binaries), stack.enter_context(postgres.cluster(binaries)).url)
        all_tools = [tools.ours(), tools.plain(), *tools.others()]
        with ThreadPoolExecutor(len(all_tools)) as pool:
            rows = list(pool.map(lambda tool: _row(bench, server, tool), all_tools))
    return Chapter("Killed half-way", TEXT, [], [Table(["", "in a revision", "in a concurrent index build"], rows)])


def _row(bench: Bench, server: Server, tool: Tool) -> list[str]:
    return [tool.name, *(str(_kill(bench, server, tool, step)) for step in (IN_A_REVISION, IN_A_BUILD))]


def _kill(bench: Bench, server: Server, tool: Tool, step: Step) -> Aftermath:
    name = f"killed_{tool.slug}"
    folder = bench.folder / f"{name}-{step.name}"
    steps = [Step("make_ran", "create table ran (name text)"), step, Step("last", "insert into ran values ('last')")]
    tool.write(folder, steps)
    with new_database(server, name) as database:
        database.execute("create table slow as select true; create table big as select generate_series(1, 1000) n")
        with closing(server.connect(name)) as another:
            # one that has read keeps its snapshot, which the build waits for
            another.set_session(isolation_level="REPEATABLE READ", autocommit=False)
            another.cursor().execute("select 1 from big limit 1")
            process = tool.start(folder, database)
            _wait_until(database, at_work=True)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed = time.monotonic()
            while _at_work(database) and time.monotonic() < killed + LET_GO_S:
                time.sleep(0.1)
            another.rollback()
        _wait_until(database, at_work=False)
        lingered_s = time.monotonic() - killed
        database.execute("delete from slow")
        told, by_hand = _recover(tool, folder, database)
        assert sorted(database.query("select name from ran")) in ([("killed",), ("last",)], [("last",)])
        assert database.query("select count(*) from pg_index where not indisvalid") == [(0,)]
    return Aftermath(lingered_s, told, by_hand)


def _at_work(database: Database) -> bool:
    return database.query(AT_WORK) != [(0,)]


def _wait_until(database: Database, *, at_work: bool) -> None:
    ends = time.monotonic() + 60
    while _at_work(database) != at_work:
        assert time.monotonic() < ends, f"a statement should be {'at work' if at_work else 'over'}"
        time.sleep(0.1)


def _recover(tool: Tool, folder: Path, database: Database) -> tuple[str, list[str]]:
    """Run the same command until it succeeds; return what it first failed of, and what was done by hand."""
    remedies = [("drop the index", lambda: database.execute("drop index if exists big_n"))]
    if tool.unlock:
        remedies.insert(0, (f"`{' '.join(tool.unlock[:2])}`", lambda: tool.run(folder, database, *tool.unlock)))
    told, done = "", []
    while True:
        process = tool.start(folder, database)
        output, _ = process.communicate()
        if process.returncode == 0:
            return told, done
        told = told or _reason(output)
        name, remedy = remedies.pop(0)
        remedy()
        done.append(name)


def _reason(output: str) -> str:
    """Return the last line that says what is wrong; the tools end with advice, or where to read more."""
    lines = [line.strip() for line in output.splitlines() if re.search(r"already exists|locked|rror:", line)]
    return f"`{lines[-1] if lines else output.strip()[-200:]}`."
