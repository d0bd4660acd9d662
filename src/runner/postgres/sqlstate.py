"""What an error of the server means, told by its SQLSTATE."""

import psycopg2
from sqlalchemy.exc import DBAPIError, PendingRollbackError

# https://www.postgresql.org/docs/current/errcodes-appendix.html
READ_ONLY = "25006"
SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
INSUFFICIENT_PRIVILEGE = "42501"
UNDEFINED_COLUMN = "42703"
UNDEFINED_TABLE = "42P01"
LOCK_NOT_AVAILABLE = "55P03"
UNSAFE_NEW_ENUM_VALUE = "55P04"
CANCELLED = "57014"
CONTENTION = (LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION_FAILURE)
LOST = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006")


def is_read_only(error: BaseException) -> bool:
    """Tell whether the server refused to write at all."""
    return sqlstate(error) == READ_ONLY


def is_cancelled(error: BaseException) -> bool:
    """Tell whether a statement was cancelled, by a time-out or by somebody."""
    return sqlstate(error) == CANCELLED


def is_contention(error: BaseException) -> bool:
    """Tell whether the same revision may well succeed a little later: a lock, a deadlock, a serialization."""
    return sqlstate(error) in CONTENTION


def names_constraint(error: BaseException, name: str) -> bool:
    """Tell whether the server blames the constraint of that name."""
    diagnosis = getattr(error.orig, "diag", None) if isinstance(error, DBAPIError) else None
    return getattr(diagnosis, "constraint_name", None) == name


def primary_message(error: BaseException) -> str:
    """Return the server's own sentence, which may hold row data and so is never told."""
    diagnosis = getattr(error.orig, "diag", None) if isinstance(error, DBAPIError) else None
    return getattr(diagnosis, "message_primary", None) or ""


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection is gone: closed by the server, by somebody, or by the network."""
    if isinstance(error, PendingRollbackError):
        # what SQLAlchemy says of every statement after the one that found it out
        return True
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return error.pgcode is None or error.pgcode in LOST
    return isinstance(error, DBAPIError) and (error.connection_invalidated or sqlstate(error) in LOST)


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of the server, None for any other."""
    told = error.orig if isinstance(error, DBAPIError) else error
    return told.pgcode if isinstance(told, psycopg2.Error) else None
