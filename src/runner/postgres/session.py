"""Read-only sessions: opening one, and refusing one where a run has to write."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from runner.errors import ReadOnlyDatabase
from runner.invocation import Invocation
from runner.postgres import connect, timeouts, trust


@contextmanager
def reading(invocation: Invocation) -> Iterator[Connection]:
    """Open a read-only connection with the time-outs of a run, without the migration lock.

    Raises `UntrustedObject`, `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`.
    """
    opened = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    # REPEATABLE READ: all queries of an answer see one snapshot, also while a run commits
    # https://www.postgresql.org/docs/current/transaction-iso.html#XACT-REPEATABLE-READ
    with opened.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        timeouts.bind(connection, invocation.deadline, invocation.settings.lock_timeout_ms)
        # before any verb reads them
        trust.exists(connection, "version")
        yield connection


@contextmanager
def looking(invocation: Invocation) -> Iterator[Connection]:
    """Open a connection in AUTOCOMMIT that looks at other sessions, whatever the state of tables and ledger.

    Raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`.
    """
    opened = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    # not in a transaction: what the statistics say of sessions stays the same until its end
    with opened.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        timeouts.bind(connection, invocation.deadline, invocation.settings.lock_timeout_ms)
        yield connection


# Ours is off, so `reset_val` has the server's. What a role or a database sets is overridden like its other settings.
READ_ONLY = """
    select pg_is_in_recovery(),
           (select reset_val from pg_settings where name = 'default_transaction_read_only')::boolean
           and not exists (select from pg_db_role_setting s, unnest(s.setconfig) as one(setting)
                           where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
                             and s.setrole in (0, (select oid from pg_roles where rolname = session_user))
                             and setting like 'default\\_transaction\\_read\\_only=%%'),
           current_database()
"""


def refuse_read_only(connection: Connection) -> None:
    """Raise `ReadOnlyDatabase` on a replica, and where the server's configuration makes transactions read-only."""
    # at the start: a run would otherwise learn it from its first write, as SQLSTATE 25006 in the midst of a revision
    replica, read_only, name = connection.exec_driver_sql(READ_ONLY).one()
    if replica:
        raise ReadOnlyDatabase(name, "the server is a replica")
    if read_only:
        raise ReadOnlyDatabase(name, "`default_transaction_read_only` is on in the server's configuration")


def backend_pid(connection: Connection) -> int:
    """Return the pid of a session's backend, which the driver keeps."""
    return int(connection.connection.driver_connection.info.backend_pid)  # type: ignore[union-attr] # never None while open


def server_version(connection: Connection) -> str:
    """Return the server's version as squawk takes it, such as `15.3`."""
    # 150003; `server_version` may have a distribution's suffix
    number = int(connection.exec_driver_sql("show server_version_num").scalar_one())
    return f"{number // 10000}.{number % 10000}"


def database_name(connection: Connection) -> str:
    """Return the name of the session's database."""
    return str(connection.exec_driver_sql("select current_database()").scalar_one())
