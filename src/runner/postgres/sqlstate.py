"""The SQLSTATEs of errors, and what they mean for a run."""

import psycopg2
from sqlalchemy.exc import DBAPIError, PendingRollbackError

# https://www.postgresql.org/docs/current/errcodes-appendix.html
FEATURE_NOT_SUPPORTED = "0A000"
CHARACTER_NOT_IN_REPERTOIRE = "22021"
ACTIVE_SQL_TRANSACTION = "25001"
READ_ONLY = "25006"
DEPENDENT_OBJECTS_STILL_EXIST = "2BP01"
SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
INSUFFICIENT_PRIVILEGE = "42501"
UNDEFINED_COLUMN = "42703"
DATATYPE_MISMATCH = "42804"
WRONG_OBJECT_TYPE = "42809"
INVALID_TABLE_DEFINITION = "42P16"
INVALID_OBJECT_DEFINITION = "42P17"
UNDEFINED_TABLE = "42P01"
UNDEFINED_SCHEMA = "3F000"
OBJECT_NOT_IN_PREREQUISITE_STATE = "55000"
LOCK_NOT_AVAILABLE = "55P03"
UNSAFE_NEW_ENUM_VALUE = "55P04"
CANCELLED = "57014"
INTERNAL_ERROR = "XX000"
CONTENTION = (LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION_FAILURE)
# Class 08, connection exceptions, and the shutdowns, crashes and terminations of class 57.
LOST = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006")
CLOSED = ("server closed the connection", "SSL connection has been closed", "EOF detected")
"""Words of libpq for a session that the other side ended in an orderly way, which a network does not."""


def is_read_only(error: BaseException) -> bool:
    """Return whether a statement failed because the transaction is read-only."""
    return sqlstate(error) == READ_ONLY


def is_cancelled(error: BaseException) -> bool:
    """Return whether a statement was cancelled, by `statement_timeout` or by another session."""
    return sqlstate(error) == CANCELLED


def is_contention(error: BaseException) -> bool:
    """Return whether a repetition may succeed: after a lock time-out, a deadlock or a serialization failure.

    https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
    """
    return sqlstate(error) in CONTENTION


def names_constraint(error: BaseException, name: str) -> bool:
    """Return whether an error of the server is a violation of the constraint `name`."""
    diagnosis = getattr(error.orig, "diag", None) if isinstance(error, DBAPIError) else None
    return getattr(diagnosis, "constraint_name", None) == name


def primary_message(error: BaseException) -> str:
    """Return the server's message, empty for any other error; it may contain row data, so it must not be shown."""
    return diagnosis(error, "message_primary")


def diagnosis(error: BaseException, field: str) -> str:
    """Return a field of the server's diagnosis, empty where there is none; its texts may contain row data.

    https://www.postgresql.org/docs/current/protocol-error-fields.html
    """
    return getattr(getattr(driver_error(error), "diag", None), field, None) or ""


def is_lost(error: BaseException) -> bool:
    """Return whether the connection is lost: closed by the server, by an administrator, or by the network."""
    if isinstance(error, PendingRollbackError):
        # SQLAlchemy raises it for every statement after the one that noticed the loss
        return True
    # libpq's own errors, such as a connection that is closed, have no SQLSTATE
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return error.pgcode is None or error.pgcode in LOST
    return isinstance(error, DBAPIError) and (error.connection_invalidated or sqlstate(error) in LOST)


def is_closed_by_server(error: BaseException) -> bool:
    """Return whether the server closed a lost connection; a network that fails resets it, or is silent."""
    # from version 14 on, libpq drops the server's reason in favour of its own error, so that the SQLSTATE is unknown
    code = sqlstate(error)
    return any(words in str(driver_error(error)) for words in CLOSED) if code is None else code.startswith("57P")


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of the server, None for any other error."""
    found = driver_error(error)
    return found.pgcode if isinstance(found, psycopg2.Error) else None


def driver_error(error: BaseException) -> BaseException | None:
    """Return the driver's error, which SQLAlchemy wraps, except where the driver's own cursor is used."""
    return error.orig if isinstance(error, DBAPIError) else error


def statement(error: BaseException) -> str:
    """Return the statement that failed, as it was sent; empty where it is not known."""
    if isinstance(error, DBAPIError):
        return error.statement or ""
    # an error of psycopg2 itself has the cursor, and that the query as it was sent
    cursor = getattr(error, "cursor", None)
    return cursor.query.decode(errors="replace") if cursor is not None and cursor.query else ""
