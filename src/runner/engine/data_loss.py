"""The rows that a downgrade drops: the tables and columns are found in snapshots and in its SQL, then counted."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from runner.engine.snapshots import Snapshots
from runner.postgres import sql
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered
from runner.script.step import Step

COUNTED_ROWS = 1_000_000
"""Counting stops here, since it reads every row; whoever confirms needs no exact number beyond it."""

Dropped = tuple[str, str | None]
"""A table as the catalog names it, and a column of it; None for the whole table."""


def find(
    snapshots: Snapshots, step: Step, rendered: Rendered | None, actual: Catalog, connection: Connection
) -> Iterator[str]:
    """Yield in words what the downgrade of a revision drops, with the number of rows in this database.

    `rendered` is None, or has no statements, if the SQL of the revision is not known beforehand. If the revision has no
    snapshot of its present text either, one sentence says that what it drops is unknown. `actual` is the catalog of the
    database.
    """
    by_snapshot = _by_snapshot(snapshots, step)
    statements = rendered.statements if rendered else None
    if statements is None and (by_snapshot is None or snapshots.is_current(step.revision) is False):
        has = "no snapshot" if by_snapshot is None else "an outdated snapshot"
        yield f"objects that are not known beforehand (`{step.revision}` reads the database and has {has})"
    # each source misses something: a revision may drop more than it created, and its SQL may be unknown
    dropped = {*(by_snapshot or ()), *_by_sql(statements or (), actual)}
    tables = {table for table, column in dropped if column is None}
    # as text, since None and a name do not compare
    for table, column in sorted(dropped, key=str):
        if column is None and table in actual["tables"]:
            yield from _count(connection, table, "true", f"`{table}`")
        elif column is not None and table not in tables and column in _columns(actual, table):
            yield from _count(connection, table, f"{column} is not null", f"`{table}.{column}`")


def _by_snapshot(snapshots: Snapshots, step: Step) -> set[Dropped] | None:
    """Return what the snapshots before and after a revision say that it creates; None if it has no snapshot."""
    after = snapshots.catalog(step.revision)
    if after is None:
        return None
    parents = [snapshots.catalog(parent) or {"tables": {}} for parent in step.parents]
    before = {name: table for parent in parents for name, table in parent["tables"].items()}
    created: set[Dropped] = {(name, None) for name in after["tables"].keys() - before.keys()}
    for name in after["tables"].keys() & before.keys():
        columns = set(after["tables"][name].get("columns", ())) - set(before[name].get("columns", ()))
        created |= {(name, column) for column in columns}
    return created


def _by_sql(statements: tuple[str, ...], actual: Catalog) -> Iterator[Dropped]:
    known = {sql.read_name(table): table for table in actual["tables"]}
    for statement in map(sql.read, statements):
        tables = [known[name] for name in statement.names if name in known]
        if statement.verb in ("drop table", "truncate", "truncate table", "delete"):
            yield from ((table, None) for table in tables)
        elif statement.verb == "alter table":
            yield from ((table, column) for table in tables for column in _dropped_columns(statement, actual, table))


def _dropped_columns(statement: sql.Statement, actual: Catalog, table: str) -> Iterator[str]:
    dropped = set(statement.names_after("drop"))
    return (column for column in _columns(actual, table) if sql.read_name(column)[1] in dropped)


def _columns(actual: Catalog, table: str) -> set[str]:
    return set(actual["tables"].get(table, {}).get("columns", ()))


def _count(connection: Connection, table: str, condition: str, shown: str) -> Iterator[str]:
    counted = connection.execute(
        text(f"select count(*) from (select from {table} where {condition} limit {COUNTED_ROWS + 1}) counted")  # noqa: S608 - names quoted by PostgreSQL itself
    ).scalar_one()
    if counted:
        many = f"more than {COUNTED_ROWS:,}" if counted > COUNTED_ROWS else f"{counted:,}"
        yield f"{shown} and its {many} {'row' if counted == 1 else 'rows'}"
