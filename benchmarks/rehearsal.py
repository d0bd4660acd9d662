"""Measure how close the figures of a rehearsal are to those of the run itself, on a million rows.

Each pair works on a copy of its own of one database; rehearsal and run take turns. Prints a table for RESULTS.md.
Run with `.venv/bin/python benchmarks/rehearsal.py`; takes about a minute.
"""

import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import postgres
from postgres import Database, Server, new_database
from project import Project

PAIRS = 7
MILLION = """
    create table big as select n as id, md5(n::text) as word, 1 as small from generate_series(1, 1000000) n;
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


def main() -> None:
    kind = postgres.choose()
    with ExitStack() as stack:
        server = Server(kind.name, kind.start(stack))
        project = Project.copy(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        template = stack.enter_context(new_database(server, "rehearsal_template"))
        project.ask(template.url, {"action": "upgrade"})
        template.execute(MILLION)
        for after, (name, body) in zip(["017_dry_run_log", *REVISIONS], REVISIONS.items(), strict=False):
            project.add(name, body, after=after)
        pairs = [_pair(server, project, number) for number in range(PAIRS)]
    _print(kind.name, pairs)


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


def _print(kind: str, pairs: list[dict[str, tuple[float, float]]]) -> None:
    ratios = defaultdict(list)
    for pair in pairs:
        for name, (rehearsed, real) in pair.items():
            ratios[name].append(rehearsed / real)
    print(f"{kind}; {PAIRS} pairs\n")
    print("| revision | rehearsed (ms, median) | real (ms, median) | ratio, median | ratio, spread |")
    print("|---|---|---|---|---|")
    for name, found in ratios.items():
        rehearsed, real = (statistics.median(pair[name][side] for pair in pairs) for side in (0, 1))
        spread = f"{min(found):.2f} to {max(found):.2f}"
        print(f"| `{name}` | {rehearsed:,.0f} | {real:,.0f} | {statistics.median(found):.2f} | {spread} |")


if __name__ == "__main__":
    main()
