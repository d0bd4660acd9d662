"""Sixteen runners at once, through all three doors: every revision is applied exactly once."""

import json
import threading
from pathlib import Path

from support import emulator
from support.postgres import Database
from support.project import Project

LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"


def test_sixteen_runners(project: Project, tmp_path_factory, database: Database) -> None:
    """They insert, where a race shows as data: 20 rows are 20 runs. Reading verbs answer all the while."""
    names = project.add_many(
        20,
        """
        op.execute('create table if not exists ran (name text)')
        op.execute("insert into ran values ('{name}')")
        op.execute('select pg_sleep(0.05)')
        """,
    )
    project.ask(database.url, {"action": "upgrade", "target": "017"})
    answers: list[dict] = []

    def invoke(folder: Path) -> None:
        task = emulator.lay_out(folder, project.folder)
        # sixteen programs that start at once may need long, and nobody here gives up
        with emulator.start(task, {"DATABASE_URL": database.url}, timeout_s=150) as function:
            answers.append(function.invoke({"action": "upgrade"}))

    lambdas = [
        threading.Thread(target=invoke, args=(tmp_path_factory.mktemp("lambda"),), daemon=True) for _ in range(4)
    ]
    doors = [("migrate", "--json", "upgrade"), ("alembic", "upgrade", "head")] * 6
    processes = [project.start(*door, url=database.url) for door in doors]
    for thread in lambdas:
        thread.start()
    readings = []
    while any(process.poll() is None for process in processes):
        readings.append(project.ask(database.url, {"action": "current"}))
        readings.append(project.ask(database.url, {"action": "history"}))
    for thread in lambdas:
        thread.join()
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 12, [err for _, err in outputs]
    answers += [json.loads(out) for (out, _), door in zip(outputs, doors, strict=True) if door[0] == "migrate"]
    assert {answer["status"] for answer in answers} == {"success"}
    assert {answer["to"] for answer in answers} == {names[-1]}
    assert {reading["status"] for reading in readings} == {"success"}
    assert len(readings) >= 4
    assert [row[0] for row in database.query("select name from ran order by name")] == [
        f"t{name[:3]}" for name in names
    ]
    logged = database.query("select revision, count(*) from runner.migration_log where revision > '018' group by 1")
    assert sorted(logged) == [(name, 1) for name in names]
    assert database.query(LOCKS) == [(0,)]
