"""The revisions that a database is at, and the holder of the migration lock, read without SQLAlchemy and Alembic.

Those two take 0.3 s to import, which `current` does without.
"""

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import AsIs

from runner.errors import DeadlinePassed, InvalidSettings, translating
from runner.invocation import Invocation
from runner.postgres import connect, search_path, trust
from runner.project import VersionTable, quote

if TYPE_CHECKING:
    from sqlalchemy import Connection

# pg_locks shows a bigint key in two halves, with 1 as `objsubid`: that is 2 for a key of two integers.
# https://www.postgresql.org/docs/current/view-pg-locks.html
HELD_SOMEWHERE = """
    from pg_locks l where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
      and ((l.classid::bigint << 32) | l.objid::bigint) = %(key)s
"""
# pg_locks is the whole server's, and each database has its own lock with the same key.
HELD = f"{HELD_SOMEWHERE} and l.database = (select oid from pg_database where datname = current_database())"  # noqa: S608 - of the constant above
HOLDER = f"""
    select coalesce(nullif(a.application_name, ''), 'an unnamed application') as application, a.usename as login,
           a.pid, to_char(a.backend_start at time zone 'UTC', 'HH24:MI:SS') as since
    from pg_stat_activity a where a.pid in (select l.pid {HELD})
"""  # noqa: S608 - put together from the constant above
# Before each query, in its message, which is a transaction: a pooler may give the session to others afterwards.
# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
SETTINGS = f"""
    set local search_path = {search_path.OWN};
    set local lock_timeout = %(lock_ms)s;
    set local statement_timeout = %(remaining_ms)s;
"""
# One message, which saves a round trip. A new session takes about a millisecond to read each catalog for the first
# time, so the holder is queried only where the key is locked at all, in any database of the server.
POSITION = f"select array(select version_num::text from %(version_table)s), exists (select {HELD_SOMEWHERE})"  # noqa: S608 - put together from the constants above
# A schema that does not exist has no version table.
LACKS_USAGE = """
    select (select current_user::text from pg_namespace
            where nspname = %(schema)s and not has_schema_privilege(oid, 'usage'))
"""


# By its names: `to_regclass` fails for a role without USAGE. A type such as `text` has no limit.
COLUMN = """
    select case when a.atttypid in ('pg_catalog.varchar'::pg_catalog.regtype, 'pg_catalog.bpchar'::pg_catalog.regtype)
                then nullif(a.atttypmod, -1) - 4 end
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = %(schema)s and c.relname = %(name)s and a.attname = 'version_num' and not a.attisdropped
"""


@dataclass(frozen=True)
class Column:
    """The column `version_num` of a version table."""

    length: int | None
    """The most characters of an id, None without a limit."""


@dataclass(frozen=True)
class Holder:
    """The session that holds a migration lock, which any session of the database can take."""

    application: str
    login: str
    pid: int
    since: str | None
    """When it connected, in UTC; None for a role without the privileges of pg_read_all_stats."""

    @property
    def is_migration(self) -> bool:
        """Return whether it is a run, by the name that runs give their sessions."""
        return self.application.startswith(connect.APPLICATION)

    @property
    def sentence(self) -> str:
        """Return who holds the lock, as a sentence."""
        who = "A run" if self.is_migration else "A session that is not a migration"
        return f"{who} holds the migration lock: {self}."

    @property
    def ending(self) -> str:
        """Return how to end the session."""
        return f"End it with `migrate end-session {self.pid}`"

    def __str__(self) -> str:
        named = self.application if self.is_migration else f"`{self.application}`, login `{self.login}`"
        return f"{named}, pid {self.pid}" + (f", connected since {self.since} UTC" if self.since else "")


@dataclass(frozen=True)
class Position:
    """The revisions that a database is at, and the holder of its migration lock."""

    heads: tuple[str, ...]
    """Empty at base."""
    holder: Holder | None


def read_position(invocation: Invocation) -> Position:
    """Return the position of the database, without the migration lock.

    Raises `InvalidSettings` for a role without USAGE on the schema, `UntrustedObject`, `DeadlinePassed`, or an error of
    connecting.
    """
    deadline = invocation.deadline
    with closing(connect.connect(invocation.settings, invocation.request_id, deadline)) as connection:
        if deadline.remaining_s <= 0:
            raise DeadlinePassed
        # psycopg2 would otherwise send BEGIN as a message of its own
        connection.autocommit = True
        with connection.cursor() as cursor:
            bounds = {"lock_ms": invocation.settings.lock_timeout_ms, "remaining_ms": deadline.remaining_ms}
            return _read_position(cursor, invocation.settings.version_table, bounds)


def _read_position(cursor: Any, table: VersionTable, bounds: dict[str, int]) -> Position:
    settings = cursor.mogrify(SETTINGS, bounds).decode()
    parameters = {"key": key(table), "version_table": AsIs(table.quoted)}
    # `held` is true until it is known: without a version table a first run may be about to make it
    versions, held = (), True
    try:
        if "version" in trust.read(cursor, table, settings):
            with translating(psycopg2.errors.UndefinedColumn, lambda _: no_version_table(table)):
                cursor.execute(f"{settings}{POSITION}", parameters)
            versions, held = cursor.fetchone()
        else:
            # every other verb refuses such a role
            _require_usage(cursor, table, settings)
    except psycopg2.errors.InsufficientPrivilege:
        # on another cursor: `translation` reads the failed statement from that of the error
        with cursor.connection.cursor() as another:
            _require_usage(another, table, settings)
        raise
    if held:
        cursor.execute(f"{settings}{HOLDER}", parameters)
    return Position(tuple(versions), read_holder(cursor.fetchone()) if held else None)


def read_heads(connection: "Connection") -> tuple[str, ...]:
    """Return the revisions that a database is at, without the migration lock; empty at base.

    Raises `InvalidSettings` for a role without USAGE on the schema.
    """
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.exc import DBAPIError

    table = connect.version_table(connection)
    # Alembic does not find the table in such a schema, and would return base
    role = connection.exec_driver_sql(LACKS_USAGE, {"schema": table.schema}).scalar_one()
    if role:
        raise no_usage(table.schema, role)
    if not trust.exists(connection, "version"):
        return ()
    with translating(DBAPIError, lambda error: unusable(error, table)):
        return MigrationContext.configure(connection, opts=table.options).get_current_heads()


def read_column(connection: "Connection") -> Column | None:
    """Return the column of the version table, None where there is no such table yet."""
    row = connection.exec_driver_sql(COLUMN, vars(connect.version_table(connection))).first()
    return None if row is None else Column(row[0])


def _require_usage(cursor: Any, table: VersionTable, settings: str) -> None:
    cursor.execute(f"{settings}{LACKS_USAGE}", {"schema": table.schema})
    (role,) = cursor.fetchone()
    if role:
        raise no_usage(table.schema, role)


def key(table: VersionTable) -> int:
    """Return the key of a version table's migration lock."""
    return lock_key(f"migrate {_named(table)}")


def work_key(table: VersionTable) -> int:
    """Return the key of the second lock, which a run holds on the session that does the work."""
    return lock_key(f"migrate work {_named(table)}")


def _named(table: VersionTable) -> str:
    # part of the contract between images: with another key an older image, which knows this table only and without its
    # schema, would run beside a newer one
    return table.name if table == VersionTable() else str(table)


def lock_key(name: str) -> int:
    """Return the key of the advisory lock with that name, a signed 64-bit integer as PostgreSQL's `bigint`."""
    # without the database's name: an advisory lock is the database's own
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def read_holder(row: Any) -> Holder | None:
    """Return the lock's holder from a row of `HOLDER`, None where there is none."""
    return None if row is None else Holder(*row)


def no_usage(schema: str, role: str) -> InvalidSettings:
    """Return the error for a role without USAGE on a schema."""
    return InvalidSettings(
        f"The role `{role}` lacks `USAGE` on schema `{schema}`.",
        f"Run `GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)}` as its owner, then repeat.",
    )


def unusable(error: BaseException, table: VersionTable) -> InvalidSettings | None:
    """Return the error for a version table that cannot be made or read, None for an error of another kind."""
    # imports SQLAlchemy
    from runner.postgres import sqlstate

    match sqlstate.sqlstate(error):
        case sqlstate.UNDEFINED_SCHEMA:
            # Alembic makes the table, but not its schema
            return InvalidSettings(
                f"The schema `{table.schema}`, in which the version table is to be, does not exist.",
                "Create it, or correct `version_table_schema` in `migrate.toml`.",
            )
        case sqlstate.UNDEFINED_COLUMN:
            return no_version_table(table)
    return None


def no_version_table(table: VersionTable) -> InvalidSettings:
    """Return the error for a table of another shape."""
    return InvalidSettings(
        f"`{table}` is no version table of Alembic: it has no column `version_num`.",
        "Correct `version_table` in `migrate.toml`.",
    )
