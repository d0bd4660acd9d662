"""A connection on which no transaction can commit, whatever statements a revision sends.

Transactions are read-only by default. The one that SQLAlchemy begins is made read-write, together with a deferred
trigger that makes its COMMIT fail. If a revision sends a ROLLBACK, its earlier work is undone, and its later statements
run in a read-only transaction.
"""

from typing import Any

from sqlalchemy import Connection, event

from runner.postgres import search_path, sqlstate, transaction
from runner.postgres.timeouts import send

TRIGGER = "rehearsal_is_never_committed"
ARM = f"""
    set transaction read write;
    create temporary table {TRIGGER} (armed boolean) on commit drop;
    create function pg_temp.{TRIGGER}() returns trigger language plpgsql as
        $$ begin raise exception 'a rehearsal is never committed' using constraint = '{TRIGGER}'; end $$;
    create constraint trigger {TRIGGER} after insert on {TRIGGER} deferrable initially deferred
        for each row execute function pg_temp.{TRIGGER}();
    alter table {TRIGGER} enable always trigger {TRIGGER};
    insert into {TRIGGER} values (true)
"""  # noqa: S608 - put together from the constant above
READ_ONLY = "set default_transaction_read_only = on"
# What a revision has left in the session's temporary schema: relations, of which an index goes with its table.
TEMPORARY = f"""
    select coalesce(string_agg(format('drop %s if exists pg_temp.%I cascade; ', case c.relkind
                    when 'v' then 'view' when 'S' then 'sequence' else 'table' end, c.relname), ''), '')
    from pg_catalog.pg_class c where c.relnamespace = pg_my_temp_schema() and c.relkind in ('r', 'p', 'v', 'S')
      and c.relname <> '{TRIGGER}'
"""  # noqa: S608 - put together from the constant above
# By name instead of SET CONSTRAINTS ALL, which would fire the trigger above.
DEFERRABLE = """
    select coalesce(string_agg(name, ', '), ''), coalesce(string_agg(name, ', ') filter (where deferred), '')
    from (select format('%I.%I', n.nspname, c.conname) as name, c.condeferred as deferred
          from pg_constraint c join pg_namespace n on n.oid = c.connamespace
          where c.condeferrable and n.nspname !~ '^pg_') can_wait
"""


def enforce(connection: Connection) -> None:
    """Make every commit on `connection` fail from now on; `connection` has no transaction yet."""
    dbapi: Any = connection.connection.dbapi_connection
    # a setting made inside a transaction would be lost with its rollback
    dbapi.autocommit = True
    send(connection, READ_ONLY)
    dbapi.autocommit = False
    # once: SQLAlchemy begins again after a COMMIT of a revision that was not sent
    event.listen(connection, "begin", lambda opened: send(opened, ARM), once=True)


def reset(connection: Connection, settings: str) -> None:
    """Reset the session between two revisions as a run does, but keep what makes every commit fail."""
    # DISCARD TEMP would drop the table of the trigger too
    temporary = send(connection, TEMPORARY)[0]
    kept = transaction.RESET.replace("discard temp; ", temporary)
    # psycopg2 reads placeholders only where there are parameters
    send(connection, f"{kept}; {settings}; {READ_ONLY}")


def is_violated(error: BaseException) -> bool:
    """Return whether an error is that of the trigger."""
    return sqlstate.names_constraint(error, TRIGGER)


def settle_constraints(connection: Connection) -> None:
    """Check deferred constraints as a commit does, then defer them again as a new transaction does.

    Otherwise the trigger events of this revision would be pending in the next one, where ALTER TABLE would fail.
    """
    every, deferred = send(connection, f"{search_path.LEAVE}; {DEFERRABLE}")
    # the triggers of these constraints are the project's, and run under its `search_path`
    send(connection, search_path.ENTER)
    for names, when in ((every, "immediate"), (deferred, "deferred")):
        if names:
            # psycopg2 would read a `%` of a name as a placeholder
            connection.exec_driver_sql(f"set constraints {names} {when}".replace("%", "%%"))
