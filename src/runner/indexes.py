"""What a failed concurrent index build leaves behind: an index that is maintained and never used.

https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

import re
from typing import Any

from sqlalchemy import Connection, event, text

# One that a live backend is still building is not a leftover.
INVALID = text("""
    select format('%I.%I', n.nspname, c.relname)
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and n.nspname !~ '^pg_'
      and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
    order by 1
""")
LEFTOVER = """
    select format('%%I.%%I', n.nspname, c.relname)
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and i.indexrelid = to_regclass(%s)
      and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
"""
NAME = r'(?:"(?:[^"]|"")+"|[^\s."(]+)'
BUILD = re.compile(
    rf"^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<index>{NAME})\s+"
    rf"ON\s+(?:ONLY\s+)?(?:(?P<schema>{NAME})\.)?{NAME}",
    re.IGNORECASE,
)


def invalid(connection: Connection) -> list[str]:
    """Return the invalid indexes that nobody is building, with their schema."""
    return list(connection.execute(INVALID).scalars())


def drop_invalid(connection: Connection) -> list[str]:
    """Drop every invalid index that nobody is building, concurrently, and return their names."""
    names = invalid(connection)
    for name in names:
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    return names


def rebuild_leftovers(connection: Connection) -> None:
    """Drop what a failed build left, before the same index is built again on `connection`.

    `IF NOT EXISTS` would take the invalid index for the wanted one and report success.
    """

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        found = BUILD.match(statement)
        if found is None:
            return
        name = ".".join(part for part in (found["schema"], found["index"]) if part)
        dbapi: Any = opened.connection.dbapi_connection
        with dbapi.cursor() as cursor:
            cursor.execute(LEFTOVER, (name,))
            for (leftover,) in cursor.fetchall():
                cursor.execute(f"DROP INDEX CONCURRENTLY {leftover}")

    event.listen(connection, "before_cursor_execute", before)
