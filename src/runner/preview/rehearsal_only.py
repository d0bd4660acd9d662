"""The failures of a revision that have their reason in the rehearsal, which runs all revisions in one transaction."""

import re

from sqlalchemy import Connection, text

from runner.postgres import sql, sqlstate
from runner.postgres.advisory_lock import MigrationLock
from runner.postgres.timeouts import has_failed, send
from runner.preview import rollback_only

SAVE, RELEASE = "savepoint rehearsed_step", "release savepoint rehearsed_step"
LABELS = text("select oid, enumlabel from pg_enum")


def undo(connection: Connection) -> None:
    """Undo the present revision without those before it."""
    send(connection, "rollback to savepoint rehearsed_step")


def find(error: Exception, connection: Connection, lock: MigrationLock) -> str | None:
    """Roll back a revision that fails only in a rehearsal, and return why; None if it would fail in the run too."""
    # SET CONSTRAINTS ALL IMMEDIATE fires the trigger of `rollback_only`
    if rollback_only.is_violated(error) and sql.sets_constraints(str(getattr(error, "statement", ""))):
        undo(connection)
        return "it sets all constraints, one of which prevents the rehearsal from committing"
    if sqlstate.sqlstate(error) == sqlstate.ACTIVE_SQL_TRANSACTION and sql.sets_transaction(
        str(getattr(error, "statement", ""))
    ):
        undo(connection)
        return "it sets its transaction's isolation, and a rehearsal has one transaction for all revisions"
    if sqlstate.is_read_only(error) and not has_failed(connection):
        undo(connection)
        return "it writes on a connection of its own, which a rehearsal cannot roll back"
    # https://www.postgresql.org/docs/current/sql-altertype.html: a new value cannot be used before the commit
    if sqlstate.sqlstate(error) != sqlstate.UNSAFE_NEW_ENUM_VALUE:
        return None
    undo(connection)
    # values of earlier steps are those that only this transaction sees; in a run they would be committed by now
    with lock.turn() as lock_connection:
        committed = {row.oid for row in lock_connection.execute(LABELS)}
    earlier = {row.enumlabel for row in connection.execute(LABELS) if row.oid not in committed}
    # no field of the error has the value's name, so it is taken from the quoted words of the message
    named = set(re.findall(r'"((?:[^"]|"")*)"', sqlstate.primary_message(error)))
    if earlier & named:
        return "it uses an enum value that an earlier revision adds, which requires a commit in between"
    return None
