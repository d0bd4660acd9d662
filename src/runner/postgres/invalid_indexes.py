"""What a failed concurrent index build leaves behind: an index that is maintained and never used.

https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

import time
from typing import Any

from sqlalchemy import Connection, event, text

from runner.deadline import Deadline
from runner.postgres import sql

# Who builds an index holds this lock on its table, which every role can see; VACUUM does too, and is waited for.
BUSY = """
    exists (select from pg_locks k where k.relation = i.indrelid and k.pid <> pg_backend_pid() and k.granted
            and k.mode = 'ShareUpdateExclusiveLock'
            and k.database = (select oid from pg_database where datname = current_database()))
"""
# An index on a partitioned table itself is invalid until each partition has one, and is no leftover.
INVALID = text(f"""
    select c.oid, format('%I.%I', n.nspname, c.relname)
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relkind = 'i' and n.nspname !~ '^pg_' and not {BUSY}
    order by 2
""")  # noqa: S608 - put together from the constant above
STATE = f"""
    select format('%%I.%%I', n.nspname, c.relname), {BUSY}
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where i.indexrelid = to_regclass(%s) and not i.indisvalid
"""  # noqa: S608 - put together from the constant above
LOOK_EVERY_S = 0.2


def invalid(connection: Connection) -> dict[int, str]:
    """Return the invalid indexes that nobody is building: their names, with their schema, by oid."""
    return {oid: name for oid, name in connection.execute(INVALID)}  # noqa: C416 - a result is no mapping


def drop_invalid(connection: Connection, deadline: Deadline) -> list[str]:
    """Drop every invalid index that nobody is building, concurrently, and return their names."""
    names = list(invalid(connection).values())
    for name in names:
        bound = deadline.remaining_ms
        connection.exec_driver_sql(f"set lock_timeout = {bound}; set statement_timeout = {bound}")
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    return names


def rebuild_leftovers(connection: Connection, deadline: Deadline) -> None:
    """Never take an invalid index for a built one on `connection`: drop it, and build it again.

    `IF NOT EXISTS` would accept it and report success. It is looked for before a build, and after it: while
    the build waited, somebody else's may have died.
    """

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if (name := sql.built_concurrently(statement)) is not None:
            _drop_leftover(opened, name, deadline)

    def after(opened: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        while (name := sql.built_concurrently(statement)) is not None and _drop_leftover(opened, name, deadline):
            # without parameters the driver would send a `%%` as it stands
            cursor.execute(statement, parameters)

    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)


def _drop_leftover(connection: Connection, name: str, deadline: Deadline) -> bool:
    """Drop the invalid index of that name, once nobody is building it; tell whether there was one."""
    dbapi: Any = connection.connection.dbapi_connection
    with dbapi.cursor() as cursor:
        while deadline.remaining_s > 0:
            cursor.execute(STATE, (name,))
            row = cursor.fetchone()
            if row is None:
                return False
            leftover, busy = row
            if not busy:
                cursor.execute(f"DROP INDEX CONCURRENTLY {leftover}")
                return True
            time.sleep(LOOK_EVERY_S)
    return False
