"""Where a database is, and who changes it now, asked of PostgreSQL itself.

Nothing here needs SQLAlchemy or Alembic, which take 0.3 s to import: who only asks need not wait for them.
"""

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2

from runner.errors import DeadlinePassed, InvalidSettings
from runner.invocation import Invocation
from runner.postgres import connect

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION_TABLE = "alembic_version"

# A bigint key stands in pg_locks as two halves: https://www.postgresql.org/docs/current/view-pg-locks.html
HELD_SOMEWHERE = """
    from pg_locks l where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
      and ((l.classid::bigint << 32) | l.objid::bigint) = %(key)s
"""
HELD = f"{HELD_SOMEWHERE} and l.database = (select oid from pg_database where datname = current_database())"  # noqa: S608 - of the constant above
HOLDER = f"""
    select coalesce(nullif(a.application_name, ''), 'an unnamed application') as application, a.pid,
           to_char(a.backend_start at time zone 'UTC', 'HH24:MI:SS') as since
    from pg_stat_activity a where a.pid in (select l.pid {HELD})
"""  # noqa: S608 - put together from the constant above
# Sent as one: what waits for no other answer need not make a way of its own. A session that has just begun needs a
# millisecond for each part of the catalog that it reads first, so who holds the lock is asked only where somebody does,
# in whichever database of the server.
LOOK = f"""
    set local lock_timeout = %(lock_ms)s;
    set local statement_timeout = %(remaining_ms)s;
    select array(select version_num::text from public.{VERSION_TABLE}), exists (select {HELD_SOMEWHERE})
"""  # noqa: S608 - put together from the constants above
MAY_LOOK = "select has_schema_privilege('public', 'usage')"


@dataclass(frozen=True)
class Position:
    """Hold the revisions that a database is at, none at base, and who holds the migration lock."""

    heads: tuple[str, ...]
    holder: str | None


def look(invocation: Invocation) -> Position:
    """Return where the database is, without any lock. Raises `InvalidSettings` for a role that may not look."""
    deadline = invocation.deadline
    with closing(connect.connect(invocation.settings, invocation.request_id, deadline)) as connection:
        if deadline.remaining_s <= 0:
            raise DeadlinePassed
        connection.autocommit = True
        with connection.cursor() as cursor:
            bounds = {"lock_ms": invocation.settings.lock_timeout_ms, "remaining_ms": deadline.remaining_ms}
            return _look(cursor, {"key": key(VERSION_TABLE), **bounds})


def _look(cursor: Any, asked: dict[str, int]) -> Position:
    versions, held = (), True
    try:
        cursor.execute(LOOK, asked)
        versions, held = cursor.fetchone()
    except psycopg2.errors.UndefinedTable:
        _refuse_blindness(cursor)
    except psycopg2.errors.InsufficientPrivilege:
        # the error tells of its cursor's last statement
        with cursor.connection.cursor() as another:
            _refuse_blindness(another)
        raise
    if held:
        cursor.execute(HOLDER, asked)
    return Position(tuple(versions), describe(cursor.fetchone()) if held else None)


def read_heads(connection: "Connection") -> tuple[str, ...]:
    """Return the revisions that a database is at, without any lock; empty at base.

    Raises `InvalidSettings` for a role that may not look.
    """
    from alembic.runtime.migration import MigrationContext

    if not connection.exec_driver_sql(MAY_LOOK).scalar_one():
        raise forbidden()
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()


def _refuse_blindness(cursor: Any) -> None:
    cursor.execute(MAY_LOOK)
    if not cursor.fetchone()[0]:
        raise forbidden()


def key(version_table: str) -> int:
    """Return the migration lock's key for a version table."""
    return lock_key(f"migrate {version_table}")


def lock_key(name: str) -> int:
    """Return the key of the advisory lock of that name; PostgreSQL itself keeps databases apart."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def describe(row: Any) -> str | None:
    """Say in words who holds the lock, given a row of `HOLDER` or None."""
    if row is None:
        return None
    application, pid, since = row
    # an ordinary user does not see since when another role is connected
    return f"{application}, pid {pid}" + (f", connected since {since} UTC" if since else "")


def forbidden() -> InvalidSettings:
    """Return how to say that the role may not look into the schema."""
    return InvalidSettings("The role may not look into schema `public`.", "Grant it `USAGE` on the schema.")
