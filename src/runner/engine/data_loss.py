"""What a downgrade drops that holds rows: found in the snapshots and in its SQL, and counted."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text

from runner.engine import baseline
from runner.postgres import sql
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered
from runner.script.step import Step

COUNTED_ROWS = 1_000_000
"""Counting stops here: that a table holds more is all that one needs to know."""

Dropped = tuple[str, str | None]
"""A table as the catalog names it, and a column of it; None for the whole table."""


def find(schema: Path, step: Step, rendered: Rendered | None, here: Catalog, connection: Connection) -> Iterator[str]:
    """Yield what the downgrade of a revision drops, with how many rows it holds on this database.

    `rendered` is None, or has no statements, where nobody knows its SQL; without a snapshot either, that is told.
    """
    by_snapshot = _by_snapshot(schema, step)
    statements = rendered.statements if rendered else None
    if by_snapshot is None and statements is None:
        yield f"objects that are not known beforehand (`{step.revision}` reads the database and has no snapshot)"
    dropped = {*(by_snapshot or ()), *_by_sql(statements or (), here)}
    tables = {table for table, column in dropped if column is None}
    for table, column in sorted(dropped, key=str):
        if column is None and table in here["tables"]:
            yield from _rows(connection, table, "true", f"`{table}`")
        elif column is not None and table not in tables and column in _columns(here, table):
            yield from _rows(connection, table, f"{column} is not null", f"`{table}.{column}`")


def _by_snapshot(schema: Path, step: Step) -> set[Dropped] | None:
    """Return what the snapshots before and after a revision say that it makes; None without one."""
    after = baseline.snapshot(schema, step.revision)
    if after is None:
        return None
    parents = [baseline.snapshot(schema, parent) or {"tables": {}} for parent in step.parents]
    before = {name: table for parent in parents for name, table in parent["tables"].items()}
    made: set[Dropped] = {(name, None) for name in after["tables"].keys() - before.keys()}
    for name in after["tables"].keys() & before.keys():
        columns = set(after["tables"][name].get("columns", ())) - set(before[name].get("columns", ()))
        made |= {(name, column) for column in columns}
    return made


def _by_sql(statements: tuple[str, ...], here: Catalog) -> Iterator[Dropped]:
    for statement in map(sql.read, statements):
        tables = [table for table in here["tables"] if sql.read_name(table) in statement.names]
        if statement.verb in ("drop table", "truncate", "truncate table", "delete"):
            yield from ((table, None) for table in tables)
        elif statement.verb == "alter table":
            yield from ((table, column) for table in tables for column in _dropped_columns(statement, here, table))


def _dropped_columns(statement: sql.Statement, here: Catalog, table: str) -> Iterator[str]:
    dropped = set(statement.names_after("drop"))
    return (column for column in _columns(here, table) if sql.read_name(column)[1] in dropped)


def _columns(here: Catalog, table: str) -> set[str]:
    return set(here["tables"].get(table, {}).get("columns", ()))


def _rows(connection: Connection, table: str, condition: str, shown: str) -> Iterator[str]:
    counted = connection.execute(
        text(f"select count(*) from (select from {table} where {condition} limit {COUNTED_ROWS + 1}) counted")  # noqa: S608 - names quoted by PostgreSQL itself
    ).scalar_one()
    if counted:
        many = f"more than {COUNTED_ROWS:,}" if counted > COUNTED_ROWS else f"{counted:,}"
        yield f"{shown} and its {many} {'row' if counted == 1 else 'rows'}"
