"""The tables of the lint's examples, in a project of their own, with many rows or none."""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from runner import operations
from support.postgres import Database, Server, make_database, new_database
from support.project import ROOT, Project

TABLES = Path(__file__).with_name("examples.sql").read_text(encoding="utf-8")
HELPERS = ", ".join(
    sorted(name for name, one in vars(operations).items() if getattr(one, "__module__", "") == operations.__name__
           and not name.startswith("_"))
)  # fmt: skip
ROWS = """
    insert into accounts (email, name, code, balance) select n || '@example.com', 'a' || n, n, n
        from generate_series(1, {rows}) n;
    insert into items (account_id, code, number, name, price, during)
        select n, n, n, 'i' || n, n % 100, tstzrange(timestamptz '2026-01-01' + n * interval '1 hour',
                                                     timestamptz '2026-01-01' + (n + 1) * interval '1 hour')
        from generate_series(1, {rows}) n;
    insert into visits (visit_id, account_id, item_id, at) select n, n, n, now() from generate_series(1, {rows}) n;
    insert into events (id, at, item_id, kind)
        select n, timestamptz '2025-06-01' + n % 2 * interval '1 year', n, 'k' from generate_series(1, {rows}) n;
    insert into events_2024 (id, at, item_id, kind) select n, timestamptz '2024-06-01', n, 'k'
        from generate_series(1, {rows}) n;
    insert into archive.items (id, account_id, price) select n, n, 1 from generate_series(1, {rows}) n;
    insert into logs (region, at, id, item_id) select (array['eu', 'us', 'xx'])[n % 3 + 1], date '2025-06-01', n, n
        from generate_series(1, {rows}) n;
    insert into logs_asia (region, at, id, item_id) select 'asia', date '2025-06-01', n, n
        from generate_series(1, {rows}) n;
    insert into shards_1 (id) select n from generate_series(1, {rows}) n
        where satisfies_hash_partition('shards'::regclass, 2, 1, n::bigint);
    insert into depots_oslo (id, city) select n, 'oslo' from generate_series(1, {rows}) n;
    insert into months_6 (year, month, id) select 2026, 6, n from generate_series(1, {rows}) n;
    insert into suppliers (name) select 's' || n from generate_series(1, {rows}) n;
    insert into parcels (supplier_id, reference) select n, 'r' || n from generate_series(1, {rows}) n;
    insert into "Invoices" ("Number", "Account") select n, n from generate_series(1, {rows}) n;
    insert into letters (owner, body) select current_user, 'b' from generate_series(1, {rows}) n;
    insert into scratch select n, 'b' from generate_series(1, {rows}) n;
    insert into journal select timestamptz '2026-01-01', 'l' from generate_series(1, {rows}) n;
    insert into shelf.books (title) select 't' || n from generate_series(1, {rows}) n;
    insert into crates select n, n, 'b' from generate_series(1, {rows}) n;
    insert into halls (id, floor) select n, 1 from generate_series(1, {rows}) n;
    refresh materialized view account_totals;
    refresh materialized view item_prices;
"""
ANALYZE = "analyze"
AFTERWARDS = frozenset({"foreign-key-type-mismatch", "foreign-key-without-index"})
# as messages name one
CONSTRAINT = re.compile(r"(?:CHECK|EXCLUDE|UNIQUE|foreign key|primary key) `([^`]+)`")


def bare(folder: Path) -> Project:
    """Return a project without a revision."""
    versions = folder / "alembic" / "versions"
    versions.mkdir(parents=True)
    shutil.copy(ROOT / "alembic.ini", folder)
    for name in ("env.py", "script.py.mako"):
        shutil.copy(ROOT / "alembic" / name, folder / "alembic")
    return Project(folder)


def project(folder: Path) -> Project:
    """Return a project whose only revision makes the tables."""
    found = bare(folder)
    found.add("001_examples", f"op.execute({TABLES!r})", after=None)
    return found


def add(found: Project, bodies: str) -> list[str]:
    """Write the revisions of an example, which are divided by lines of `---`, after that of the tables."""
    names = ["001_examples"]
    for number, body in enumerate(bodies.split("\n---\n"), 2):
        names.append(f"{number:03d}_example")
        found.add(names[-1], f"from runner.operations import {HELPERS}\n{body}", after=names[-2])
    return names[1:]


@contextmanager
def database(server: Server, name: str, folder: Path, rows: int) -> Iterator[Database]:
    """Make a database with the tables, and with rows in each of them."""
    with new_database(server, name) as made:
        answer = project(folder).ask(made.url, {"action": "upgrade"})
        assert answer["status"] == "success", answer["message"]
        made.execute(ROWS.format(rows=rows) + ANALYZE)
        yield made


@contextmanager
def copy(original: Database, name: str) -> Iterator[Database]:
    """Make a copy of a database, to which nobody may be connected meanwhile."""
    with closing(original.server.connect()) as admin, admin.cursor() as cursor:
        make_database(cursor, name, original.name)
        try:
            yield Database(original.server, name)
        finally:
            cursor.execute(f"drop database {name} with (force)")


def told_twice(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the constraints of which two errors or warnings tell how a statement adds them, each with the rules.

    One finding a constraint, by its kind; what a foreign key does later, to deletes and joins, is another matter.
    """
    rules: dict[tuple[str, str], set[str]] = {}
    for one in findings:
        if one["level"] != "note" and one["rule"] not in AFTERWARDS:
            for name in CONSTRAINT.findall(one["message"]):
                rules.setdefault((one["statement"] or "", name), set()).add(one["rule"])
    return [(name, ", ".join(sorted(found))) for (_, name), found in rules.items() if len(found) > 1]


def plan(found: Project, at: Database, **more: str) -> dict[str, Any]:
    """Return the plan of a project, to its head or to `target`."""
    answer = found.ask(at.url, {"action": "plan", **more})
    assert answer["status"] == "success", answer["message"]
    assert answer["linter"].startswith("squawk ")
    return answer
