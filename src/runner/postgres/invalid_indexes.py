"""Invalid indexes: what a failed concurrent build leaves behind, updated by every write and used by no query.

https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

import time
from typing import Any

from sqlalchemy import Connection, event, text

from runner.deadline import Deadline
from runner.postgres import sql
from runner.postgres.timeouts import send

# The session that builds an index holds this lock on its table, and every role can see it. VACUUM holds it too, so that
# an index can count as busy for as long as its table is vacuumed. pg_stat_progress_create_index would be exact, but
# shows an ordinary role only its own builds.
BUSY = """
    exists (select from pg_locks k where k.relation = i.indrelid and k.pid <> pg_backend_pid() and k.granted
            and k.mode = 'ShareUpdateExclusiveLock'
            and k.database = (select oid from pg_database where datname = current_database()))
"""
# Not `relkind = 'I'`: the index of a partitioned table is invalid until each partition has one, and is no leftover.
INVALID = text(f"""
    select c.oid, format('%I.%I', n.nspname, c.relname)
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where not i.indisvalid and c.relkind = 'i' and n.nspname !~ '^pg_' and not {BUSY}
    order by 2
""")  # noqa: S608 - put together from the constant above
# The driver's own placeholder, so that each `%` of `format` is doubled: it is sent on psycopg2's cursor.
STATE = f"""
    select format('%%I.%%I', n.nspname, c.relname), {BUSY}
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where i.indexrelid = to_regclass(%s) and not i.indisvalid
"""  # noqa: S608 - put together from the constant above
LOOK_EVERY_S = 0.2


def invalid(connection: Connection) -> dict[int, str]:
    """Return the names, with their schema, of the invalid indexes that no session is building, by oid."""
    return {oid: name for oid, name in connection.execute(INVALID)}  # noqa: C416 - `dict` does not type-check on rows


def drop_invalid(connection: Connection, deadline: Deadline) -> list[str]:
    """Drop every invalid index that no session is building, concurrently, and return their names.

    `connection` must be in AUTOCOMMIT. Raises SQLAlchemy's `DBAPIError` where a lock or the time runs out.
    """
    names = list(invalid(connection).values())
    for name in names:
        # the whole rest of the time: it waits for old snapshots, and blocks neither reads nor writes meanwhile
        bound = deadline.remaining_ms
        connection.exec_driver_sql(f"set lock_timeout = {bound}; set statement_timeout = {bound}")
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    return names


def rebuild_leftovers(connection: Connection, deadline: Deadline) -> None:
    """Make every CREATE INDEX CONCURRENTLY on `connection` drop an invalid index of its name and build it anew.

    IF NOT EXISTS would accept the invalid index and report success.
    """

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if (name := sql.built_concurrently(statement)) is not None:
            _drop_leftover(opened, name, deadline)

    def after(opened: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        # again: another session's build of that name may have failed while this statement waited for it
        while (name := sql.built_concurrently(statement)) is not None and _drop_leftover(opened, name, deadline):
            # with the parameters, even if there are none: without them psycopg2 would send a `%%` unchanged
            cursor.execute(statement, parameters)

    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)


def _drop_leftover(connection: Connection, name: str, deadline: Deadline) -> bool:
    """Drop the invalid index `name` as soon as no session is building it; return whether there was one."""
    while deadline.remaining_s > 0:
        row = send(connection, STATE, (name,))
        if row is None:
            return False
        leftover, busy = row
        if not busy:
            send(connection, f"DROP INDEX CONCURRENTLY {leftover}")
            return True
        time.sleep(LOOK_EVERY_S)
    return False
