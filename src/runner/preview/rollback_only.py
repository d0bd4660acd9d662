"""A connection on which nothing is ever committed, whatever a revision says.

Each transaction is read-only until it is armed, and an armed one fails at its commit: what follows a rollback
that a revision slips in cannot write, what comes before it is gone.
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
# What a commit would do with deferred constraints; the next transaction begins with them deferred again.
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
    """Seal `connection`, which has no transaction yet. A statement that would end one raises `EndsTransaction`."""
    dbapi: Any = connection.connection.dbapi_connection
    dbapi.autocommit = True
    _send(connection, "set default_transaction_read_only = on")
    dbapi.autocommit = False

    def refuse(_opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if sql.ends_transaction(statement):
            raise EndsTransaction

    event.listen(connection, "begin", lambda opened: _send(opened, ARM))
    event.listen(connection, "before_cursor_execute", refuse)


def is_violated(error: BaseException) -> bool:
    """Tell whether an error is the seal's own."""
    return isinstance(error, EndsTransaction) or sqlstate.names_constraint(error, TRIGGER)


def settle_constraints(connection: Connection) -> None:
    """Do what a commit does with deferred constraints, and defer them again for the next revision.

    So its "pending trigger events" are gone, as they are after a real commit.
    """
    found = connection.execute(DEFERRABLE).one()
    for names, when in ((found.all, "immediate"), (found.deferred, "deferred")):
        if names:
            # psycopg2 would read a `%` of a name as a placeholder
            connection.exec_driver_sql(f"set constraints {names} {when}".replace("%", "%%"))


def _send(connection: Connection, statements: str) -> None:
    dbapi: Any = connection.connection.dbapi_connection
    with dbapi.cursor() as cursor:
        cursor.execute(statements)
