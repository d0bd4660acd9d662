"""The rows that a transaction has written and the tables that it has rewritten, by oid: a rename keeps the oid."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

# These views count the present transaction only, before its counts reach the cumulative statistics.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
WRITTEN = text("""
    select relid as oid, n_tup_ins + n_tup_upd + n_tup_del as rows from pg_stat_xact_user_tables
    where schemaname !~ '^pg_' and schemaname <> 'runner' and n_tup_ins + n_tup_upd + n_tup_del > 0
""")
TABLES = text("""
    select c.oid, regexp_replace(c.oid::regclass::text, '^public[.]', '') as name, pg_relation_filenode(c.oid) as file,
           regexp_replace(coalesce(pg_partition_root(c.oid), c.oid)::regclass::text, '^public[.]', '') as root
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
""")


@dataclass(frozen=True)
class XactStats:
    """The tables at one moment of a transaction, by oid."""

    names: dict[int, str]
    rows: dict[int, int]
    """The rows inserted, updated and deleted by the transaction so far."""
    files: dict[int, int]
    """The number of each table's file; a rewrite makes a new file."""
    roots: dict[int, str]
    """The names of the tables, of a partition that of its partitioned table."""


def read(connection: Connection) -> XactStats:
    """Return the present statistics of the transaction of `connection`."""
    tables = connection.execute(TABLES).all()
    rows = {row.oid: row.rows for row in connection.execute(WRITTEN)}
    names, files, roots = ({row.oid: getattr(row, name) for row in tables} for name in ("name", "file", "root"))
    return XactStats(names, rows, files, roots)


def rows_between(before: XactStats, after: XactStats) -> dict[str, int]:
    """Return the number of rows that were written to each table between the two moments."""
    # a table of the earlier moment keeps the name that it had then; one that was dropped since has no other
    names = after.names | before.names
    counts = {oid: rows - before.rows.get(oid, 0) for oid, rows in after.rows.items()}
    return {names.get(oid, str(oid)): rows for oid, rows in sorted(counts.items()) if rows}


def rewritten_between(before: XactStats, after: XactStats) -> list[str]:
    """Return the tables that existed at the earlier moment and were rewritten since."""
    both = before.files.keys() & after.files.keys()
    return sorted(before.names[oid] for oid in both if before.files[oid] != after.files[oid])
