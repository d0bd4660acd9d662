"""The figures of a rehearsal beside those of the run itself, on a million rows.

Each rehearsal and each run has its own copy of one database; they take turns.
"""

from contextlib import ExitStack

from benchmarks.measuring import Bench, Chapter, Figure
from support import postgres
from support.postgres import Database, Server, new_database
from support.project import Project

ROWS, ROWS_QUICKLY = 1_000_000, 100_000
REHEARSED, REAL = "rehearsed", "the run itself"
TEXT = """On a table of a million rows, rehearsed and really run in turn, each on its own copy. Durations of about a
millisecond differ by a few: the run's own figure includes the version table's update. The index comes after an update
in the same chain: in one transaction the rows' old versions are not dead yet, so that the build reads and indexes
them too; in the run that update is committed by then. A check after a rewrite reads pages that are still in memory."""
TABLE = """
    create table big as select n as id, md5(n::text) as word, 1 as small from generate_series(1, %s) n;
    alter table big add primary key (id);
    analyze big;
"""
REVISIONS = {
    "018_rewrite": 'op.execute("alter table big alter small type bigint")',
    "019_default": 'op.execute("alter table tenants add score bigint not null default 5")',
    "020_update": 'op.execute("update big set small = 2 where id % 5 = 0")',
    "021_index": 'op.execute("create index on big (word)")',
    "022_check": 'op.execute("alter table big add check (small > 0)")',
}


def run(bench: Bench) -> Chapter:
    """Rehearse and run each revision, on copies."""
    binaries = postgres.binaries()
    with ExitStack() as stack:
        server = Server(binaries, stack.enter_context(postgres.cluster(binaries)).url)
        folder = bench.folder / "rehearsal"
        folder.mkdir()
        project = Project.copy(folder)
        template = stack.enter_context(new_database(server, "rehearsal_template"))
        project.ask(template.url, {"action": "upgrade"})
        template.execute(TABLE, (ROWS_QUICKLY if bench.quick else ROWS,))
        for after, (name, body) in zip(["017_dry_run_log", *REVISIONS], REVISIONS.items(), strict=False):
            project.add(name, body, after=after)
        pairs = [_pair(server, project, number) for number in range(bench.rounds)]
    figures = [
        Figure(
            f"`{name}`", "ms", {who: [pair[name][side] for pair in pairs] for side, who in enumerate((REHEARSED, REAL))}
        )
        for name in REVISIONS
    ]
    return Chapter("A rehearsal and the run itself", TEXT, figures)


def _pair(server: Server, project: Project, number: int) -> dict[str, tuple[float, float]]:
    """Return the rehearsed and the real duration of each revision, in ms; every other pair begins with the run."""
    measure = [_rehearse, _upgrade] if number % 2 == 0 else [_upgrade, _rehearse]
    found = {one.__name__: one(server, project) for one in measure}
    return {name: (found["_rehearse"][name], found["_upgrade"][name]) for name in REVISIONS}


def _rehearse(server: Server, project: Project) -> dict[str, float]:
    answer = _ask(server, project, {"action": "rehearse", "max_lock_hold_ms": 600_000})
    return {one["revision"]: one["duration_ms"] for one in answer["revisions"]}


def _upgrade(server: Server, project: Project) -> dict[str, float]:
    return {one["revision"]: one["duration_ms"] for one in _ask(server, project, {"action": "upgrade"})["applied"]}


def _ask(server: Server, project: Project, event: dict) -> dict:
    admin = server.connect()
    with admin.cursor() as cursor:
        cursor.execute("create database rehearsal_copy template rehearsal_template")
        answer = project.ask(Database(server, "rehearsal_copy").url, event, timeout_s=600)
        cursor.execute("drop database rehearsal_copy with (force)")
    admin.close()
    assert answer["status"] == "success", answer["message"]
    return answer
