"""The sizes of a database's tables: enough for a lint elsewhere, and nothing else of the database."""

import json
import re

from runner.answer import as_json
from runner.length import LONGEST_ANSWER, fit
from runner.results import SizesResult, TableSize
from support.postgres import Database
from support.project import Project


def test_each_table_with_its_size(project: Project, database: Database) -> None:
    """Tables, partitioned ones with the sum of their parts, and materialized views; no view, no table of ours."""
    assert project.ask(database.url, {"action": "upgrade"})["status"] == "success"
    database.execute("""
        create table visits (n bigint, at date) partition by range (at);
        create table visits_1 partition of visits for values from ('2026-01-01') to ('2027-01-01');
        create table "Odd Name" (secret_column text);
        create materialized view daily as select n from generate_series(1, 500) n;
        create view people as select nome from leads;
        insert into visits select n, '2026-02-03' from generate_series(1, 3000) n;
        insert into "Odd Name" select 'secret value' from generate_series(1, 20);
        analyze visits_1; analyze daily; analyze "Odd Name"
    """)
    answer = project.ask(database.url, {"action": "sizes"})
    rows = {one["table"]: one["rows"] for one in answer["tables"]}
    there = database.query("select format('public.%I', tablename) from pg_tables where schemaname = 'public'")
    assert rows.keys() == {name for (name,) in there} - {"public.alembic_version"} | {"public.daily"}
    assert (rows["public.visits"], rows["public.visits_1"]) == (3000, 3000)
    assert (rows["public.daily"], rows['public."Odd Name"'], rows["public.leads"]) == (500, 20, 0)
    sizes = [one["bytes"] for one in answer["tables"]]
    assert sizes == sorted(sizes, reverse=True)
    assert {key for one in answer["tables"] for key in one} == {"table", "rows", "bytes"}
    written = json.dumps(answer)
    assert "secret" not in written
    assert "nome" not in written
    assert re.fullmatch(r"\d+\.\d+", answer["server_version"])


def test_a_broken_revision_does_not_matter(project: Project, database: Database) -> None:
    """Nothing but the database is read."""
    project.add("018_broken", "pass").write_text("not Python")
    database.execute("create table t (n int)")
    done = project.run("migrate", "sizes", url=database.url)
    assert (done.returncode, done.stdout) == (0, "table\trows (estimate)\tsize\npublic.t\t0\t0 B\n"), done.stderr
    assert done.stderr == f"`{database.name}` has 1 table, materialized views included.\n"


def test_what_an_answer_cannot_hold_are_the_smallest_tables() -> None:
    tables = tuple(TableSize(f"public.table_{place:05}", place, 10_000 - place) for place in range(5000))
    fitted = fit({"status": "success", "action": "sizes", **as_json(SizesResult(tables, "15.3"))})
    kept = fitted["tables"]
    assert len(json.dumps(fitted)) <= LONGEST_ANSWER
    assert 2000 < len(kept) < 5000
    assert kept == as_json(tables[: len(kept)])
    assert fitted["left_out"].startswith(f"the last {5000 - len(kept)} of `tables` are left out")
