"""A connection on which no transaction can commit, whatever statements a revision sends.

Transactions are read-only by default. The one that SQLAlchemy begins is made read-write, together with a deferred
trigger that makes its COMMIT fail. If a revision sends a ROLLBACK, its earlier work is undone, and its later statements
run in a read-only transaction.
"""

from typing import Any

from sqlalchemy import Connection, event, text

from runner.postgres import sql, sqlstate

TRIGGER = "rehearsal_is_never_committed"
ARM = f"""
    set transaction read write;
    create temporary table {TRIGGER} (armed boolean) on commit drop;
    create function pg_temp.{TRIGGER}() returns trigger language plpgsql as
        $$ begin raise exception 'a rehearsal is never committed' using constraint = '{TRIGGER}'; end $$;
    create constraint trigger {TRIGGER} after insert on {TRIGGER} deferrable initially deferred
        for each row execute function pg_temp.{TRIGGER}();
    insert into {TRIGGER} values (true)
"""  # noqa: S608 - put together from the constant above
# By name instead of SET CONSTRAINTS ALL, which would fire the trigger above.
DEFERRABLE = text("""
    select coalesce(string_agg(name, ', '), '') as all,
           coalesce(string_agg(name, ', ') filter (where deferred), '') as deferred
    from (select format('%I.%I', n.nspname, c.conname) as name, c.condeferred as deferred
          from pg_constraint c join pg_namespace n on n.oid = c.connamespace
          where c.condeferrable and n.nspname !~ '^pg_') can_wait
""")


class EndsTransaction(Exception):
    """A revision commits or rolls back by itself."""


def enforce(connection: Connection) -> None:
    """Make every commit on `connection` fail from now on; `connection` has no transaction yet.

    A statement that would end a transaction raises `EndsTransaction` before it is sent.
    """
    dbapi: Any = connection.connection.dbapi_connection
    # a setting made inside a transaction would be lost with its rollback
    dbapi.autocommit = True
    _send(connection, "set default_transaction_read_only = on")
    dbapi.autocommit = False

    def refuse(_opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        # not sent at all, so that the error is clear; the trigger stops a commit that bypasses SQLAlchemy's events
        if sql.ends_transaction(statement):
            raise EndsTransaction

    event.listen(connection, "begin", lambda opened: _send(opened, ARM))
    event.listen(connection, "before_cursor_execute", refuse)


def is_violated(error: BaseException) -> bool:
    """Return whether an error means that the transaction was about to end: `EndsTransaction` or the trigger's own."""
    return isinstance(error, EndsTransaction) or sqlstate.names_constraint(error, TRIGGER)


def settle_constraints(connection: Connection) -> None:
    """Check deferred constraints as a commit does, then defer them again as a new transaction does.

    Otherwise the trigger events of this revision would be pending in the next one, where ALTER TABLE would fail.
    """
    deferrable = connection.execute(DEFERRABLE).one()
    for names, when in ((deferrable.all, "immediate"), (deferrable.deferred, "deferred")):
        if names:
            # psycopg2 would read a `%` of a name as a placeholder
            connection.exec_driver_sql(f"set constraints {names} {when}".replace("%", "%%"))


def _send(connection: Connection, statements: str) -> None:
    # below SQLAlchemy, whose events would call `refuse` and begin a transaction
    dbapi: Any = connection.connection.dbapi_connection
    with dbapi.cursor() as cursor:
        cursor.execute(statements)
