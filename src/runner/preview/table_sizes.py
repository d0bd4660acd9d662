"""The sizes of tables, with the planner's own estimate of the rows, so that none is counted."""

import re
from collections.abc import Iterable, Set

from sqlalchemy import Connection, text

from runner.answer import Draft
from runner.errors import count
from runner.invocation import Invocation
from runner.postgres import session
from runner.results import SizesResult, TableSize
from runner.schema import catalog
from runner.schema.catalog import Catalog

PART = r'(?:"(?:[^"]|"")+"|[\w$]+)'
QUALIFIED = re.compile(rf"{PART}\.{PART}")
"""A name with its schema in a text of PostgreSQL's."""
# `reltuples` is of the last ANALYZE or VACUUM, -1 before the first; the planner scales it to the present size.
# https://www.postgresql.org/docs/current/row-estimation-examples.html
# A partitioned table has no file of its own, so its partitions are added up; a name that is no table has no row.
SIZES = text("""
    with part as (
        select t.name, c.oid, c.reltuples, c.relpages, pg_relation_size(c.oid) as bytes
        from unnest(cast(:tables as text[])) t(name)
        cross join lateral (select relid from pg_partition_tree(to_regclass(t.name)) where isleaf
                            union select to_regclass(t.name)) r(relid)
        join pg_class c on c.oid = r.relid and c.relkind in ('r', 'm')
    )
    select name, round(sum(
               case when bytes = 0 then 0
                    when reltuples >= 0 and relpages > 0
                        then reltuples / relpages * (bytes / current_setting('block_size')::int)
                    else nullif(pg_stat_get_live_tuples(oid), 0) end))::bigint as rows,
           sum(pg_total_relation_size(oid))::bigint as bytes
    from part group by name order by name
""")


def report(invocation: Invocation, draft: Draft) -> None:
    """Conclude `draft` with the size of each table and materialized view of the project's database, the largest first.

    It reads neither a row nor the name of a column.
    """
    with session.reading(invocation) as connection:
        sizes = estimate(connection, catalog.sized_names(connection)).values()
        version, name = session.server_version(connection), session.database_name(connection)
    # the largest first: what an answer's limit cuts off is at the end
    tables = tuple(sorted(sizes, key=lambda one: (-one.bytes, one.table)))
    draft.conclude(
        f"`{name}` has {count(len(tables), 'table')}, materialized views included.", SizesResult(tables, version)
    )


def beside(actual: Catalog, relations: Set[str]) -> set[str]:
    """Return what a statement that names only `relations` may read or empty.

    That is what is below a view, the partitions of a table and what inherits from it, and what references it.
    """
    tables = _below_views(actual, relations)
    referring = tuple(f" REFERENCES {name}(" for name in tables)
    referencing = {
        name
        for name, sections in actual.get("tables", {}).items()
        if any(one in text for text in sections.get("constraints", {}).values() for one in referring)
    }
    return tables | referencing | _heirs(actual, tables)


def _below_views(actual: Catalog, relations: Set[str]) -> set[str]:
    """Return relations with those that the views among them read, and so on."""
    views, tables = actual.get("views", {}), actual.get("tables", {})
    found, new = set(relations), set(relations)
    while new:
        queries = [views[name].get("definition", {}).get("", "") for name in new if name in views]
        named = {name for query in queries for name in QUALIFIED.findall(query)}
        new = {name for name in named if name in tables or name in views} - found
        found |= new
    return found


def _heirs(actual: Catalog, tables: Set[str]) -> set[str]:
    """Return the partitions of tables and what inherits from them, with theirs in turn."""
    children: dict[str, list[str]] = {}
    for name, sections in actual.get("tables", {}).items():
        for parent in sections.get("shape", {}).get("inherits", "").split(", "):
            children.setdefault(parent, []).append(name)
    found: set[str] = set()
    new = set(tables)
    while new:
        new = {child for parent in new for child in children.get(parent, ())} - found
        found |= new
    return found


def estimate(connection: Connection, tables: Iterable[str]) -> dict[str, TableSize]:
    """Return the sizes of `tables`, by name, as the catalog names them."""
    rows = connection.execute(SIZES, {"tables": sorted(tables)})
    return {row.name: TableSize(row.name, row.rows, row.bytes) for row in rows}
