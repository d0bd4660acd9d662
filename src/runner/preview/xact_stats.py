"""What a transaction has done so far: rows written, tables rewritten, by the tables' oids, which no rename changes."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
WRITTEN = text("""
    select relid as oid, n_tup_ins + n_tup_upd + n_tup_del as rows from pg_stat_xact_user_tables
    where schemaname !~ '^pg_' and schemaname <> 'runner' and n_tup_ins + n_tup_upd + n_tup_del > 0
""")
TABLES = text("""
    select c.oid, c.oid::regclass::text as name, pg_relation_filenode(c.oid) as file
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
""")


@dataclass(frozen=True)
class Effects:
    """Hold what a transaction has done to each table, by oid."""

    names: dict[int, str]
    rows: dict[int, int]
    files: dict[int, int]
    """The file that each table is in; a rewrite gives it another."""


def look(connection: Connection) -> Effects:
    """Return what the transaction of `connection` has done so far."""
    tables = connection.execute(TABLES).all()
    rows = {row.oid: row.rows for row in connection.execute(WRITTEN)}
    return Effects({row.oid: row.name for row in tables}, rows, {row.oid: row.file for row in tables})


def rows_between(before: Effects, after: Effects) -> dict[str, int]:
    """Return how many rows of each table were written between two looks."""
    names = after.names | before.names
    counts = {oid: rows - before.rows.get(oid, 0) for oid, rows in after.rows.items()}
    return {names.get(oid, str(oid)): rows for oid, rows in sorted(counts.items()) if rows}


def rewritten_between(before: Effects, after: Effects) -> list[str]:
    """Return the tables that were there before and have been written anew since."""
    both = before.files.keys() & after.files.keys()
    return sorted(before.names[oid] for oid in both if before.files[oid] != after.files[oid])
