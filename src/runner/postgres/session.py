"""A session of SQLAlchemy's that only reads, and sessions that cannot write."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from runner.errors import ReadOnlyDatabase
from runner.invocation import Invocation
from runner.postgres import connect, timeouts


@contextmanager
def reading(invocation: Invocation) -> Iterator[Connection]:
    """Open a connection that only reads: one picture of the database, no migration lock, and the time-outs."""
    opened = connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
    with opened.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        timeouts.bind(connection, invocation.deadline, invocation.settings.lock_timeout_ms)
        yield connection


def refuse_read_only(connection: Connection) -> None:
    """Raise `ReadOnlyDatabase` for a replica, and where transactions are read-only."""
    replica, read_only, name = connection.exec_driver_sql(
        "select pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, current_database()"
    ).one()
    if replica:
        raise ReadOnlyDatabase(name, "the server is a replica")
    if read_only:
        raise ReadOnlyDatabase(name, "`default_transaction_read_only` is on")


def database_name(connection: Connection) -> str:
    """Return the name of the database that a session is in."""
    return str(connection.exec_driver_sql("select current_database()").scalar_one())
