"""How to open the database, wherever it is."""

import logging
import os
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg2

from runner import settings
from runner.deadline import Deadline
from runner.errors import AuthenticationFailed, DatabaseUnreachable, InvalidSettings, MigrationError, translating
from runner.postgres import conninfo
from runner.postgres.conninfo import ConnInfo, Source
from runner.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

CONNECT_TIMEOUT_S = 5
SHORTEST_TIMEOUT_S = 2
CONNECT_BUDGET_S = 60
"""A paused Aurora wakes within half a minute; past this, the host is wrong rather than asleep."""

# Ours notice a dead server, the server's a vanished client: it ends a statement whose client was killed
# within a second, and after 11 s one whose network was cut. Either of the two alone does not, in a minute.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 11_000}
SESSION_SETTINGS = {
    # a schema that is named like the role would take in what is meant for `public`
    "search_path": "public",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11s",
    "client_connection_check_interval": "1s",
}

logger = logging.getLogger(__name__)


def open_engine(settings: Settings, request_id: str, deadline: Deadline) -> "Engine":
    """Return a SQLAlchemy engine whose connections are made as the settings say, without a pool.

    Errors of its statements hide their parameters. Opening it connects nothing yet; a connection
    raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`.
    """
    # 0.2 s, which who only wants to know where the database is need not wait
    from sqlalchemy import NullPool, create_engine

    found = conninfo.source(settings)
    return create_engine(
        "postgresql+psycopg2://",
        creator=lambda: _set_up_session(_connect(settings, found, request_id, deadline)),
        poolclass=NullPool,
        hide_parameters=True,
    )


def connect(settings: Settings, request_id: str, deadline: Deadline) -> Any:
    """Return a connection of psycopg2's own for a question or two; see `open_engine`.

    It has not what a longer session needs: a pinned schema, and a server that notices a vanished client.
    """
    return _connect(settings, conninfo.source(settings), request_id, deadline)


def open_from(environ: Mapping[str, str], name: str, seconds: float) -> "Engine":
    """Return an engine for another program of this house.

    It is opened as `environ` says and named `name`; a connection is tried for at most `seconds`.
    """
    return open_engine(settings.read(environ), name, Deadline.after(seconds))


def application_name(request_id: str) -> str:
    """Name this process for `pg_stat_activity`, in at most the 63 bytes that PostgreSQL keeps.

    An ordinary user sees of another role's session only this, its pid and its user.
    """
    return f"migrate {request_id} {socket.gethostname()}:{os.getpid()}"[:63]


def _connect(settings: Settings, found: Source, request_id: str, deadline: Deadline) -> Any:
    """Connect, trying again while the server may still be waking, until `deadline` and for at most a minute."""
    application, deadline = application_name(request_id), deadline.earlier(CONNECT_BUDGET_S)
    there = conninfo.secure(found.read(False), settings)
    pauses = deadline.pauses(first_s=0.2, longest_s=5)
    told = ""
    while True:
        try:
            return _try(there, found, application, settings.db_role, deadline)
        except MigrationError as error:
            problem = error
        if isinstance(problem, AuthenticationFailed) and settings.db_secret_arn and not settings.database_url:
            # rotated since it was cached: read the secret again, once
            fresh = conninfo.secure(found.read(True), settings)
            if fresh != there:
                there = fresh
                continue
        final = not isinstance(problem, DatabaseUnreachable) or problem.reason in FINAL_REASONS
        # the shortest time-out that libpq takes must not outlast the deadline
        if final or next(pauses, None) is None or deadline.remaining_s < SHORTEST_TIMEOUT_S:
            raise problem
        if problem.sentence != told:
            told = problem.sentence
            logger.warning("%s Trying again for up to %.0f s.", told, deadline.remaining_s)


def _try(there: ConnInfo, found: Source, application: str, role: str | None, deadline: Deadline) -> Any:
    """Return a connection. Raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`."""
    # libpq takes whole seconds and reads 1 as 2; 0 would mean for ever
    timeout = max(1, min(CONNECT_TIMEOUT_S, int(deadline.remaining_s)))
    arguments: dict[str, Any] = {"connect_timeout": timeout, **KEEPALIVES, **there, "application_name": application}
    with translating((psycopg2.Error, ValueError, TypeError), lambda error: _explain(error, there, found)):
        connection = psycopg2.connect(**arguments)
    if role:
        _assume(connection, role, there)
    return connection


def _set_up_session(connection: Any) -> Any:
    """Pin the schema, and have the server end our session soon after we are gone, so that no lock outlives us."""
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            calls = ", ".join("set_config(%s, %s, false)" for _ in SESSION_SETTINGS)
            cursor.execute(f"select {calls}", [word for pair in SESSION_SETTINGS.items() for word in pair])
    except psycopg2.errors.InvalidParameterValue:
        logger.warning("The server's platform cannot notice a vanished client; a killed run may keep its lock longer.")
    connection.autocommit = False
    return connection


def _assume(connection: Any, role: str, there: ConnInfo) -> None:
    def explain(error: psycopg2.Error) -> InvalidSettings:
        connection.close()
        user = there.get("user", "")
        return InvalidSettings(
            f"`{user}` cannot become the role `{role}` (SQLSTATE {error.pgcode}).",
            f'Grant the role (`GRANT "{role}" TO "{user}"`), or correct `DB_ROLE`.',
        )

    with translating(psycopg2.Error, explain), connection, connection.cursor() as cursor:
        cursor.execute("select set_config('role', %s, false)", (role,))


FINAL_REASONS = ("the database does not exist", "the server's certificate was not accepted")
REASONS = {
    # psycopg2 gives no SQLSTATE for a failed connection, so libpq's text has to tell
    r'database ".*" does not exist': "the database does not exist",
    r"certificate verify failed|root certificate file|does not match host name|server certificate": (
        "the server's certificate was not accepted"
    ),
    r"does not support SSL": "the server offers no TLS, which `sslmode` asks for",
    r"could not translate host name|Name or service not known": "the host name does not resolve",
    r"Connection refused|No such file or directory": "nothing listens there",
    r"timeout expired|timed out": "no answer in time",
    r"unreachable|No route to host": "no route leads there",
    r"starting up|shutting down|in recovery mode": "the server is starting or stopping",
    r"too many clients|connection slots|too many connections": "the server has no free connection",
}
AUTHENTICATION = r"authentication failed|no password supplied|role .* does not exist|pg_hba\.conf"


def _explain(error: Exception, there: ConnInfo, found: Source) -> MigrationError:
    """Turn libpq's text into a sentence of ours; the text itself, which may hold anything, goes no further."""
    if not isinstance(error, psycopg2.OperationalError):
        # an option that libpq does not know, or a character that it cannot take
        return InvalidSettings(f"{found.setting} has something that libpq does not take.", "Correct its options.")
    text = str(error)
    named = ",".join(conninfo.hosts(there, None)) or "the local socket"
    place = f"{named}:{there.get('port', 5432)}/{there.get('dbname')}"
    if re.search(AUTHENTICATION, text):
        return AuthenticationFailed(place, there.get("user", ""), found.setting)
    for pattern, reason in REASONS.items():
        if re.search(pattern, text):
            return DatabaseUnreachable(place, reason, *_remedy(reason, found))
    return DatabaseUnreachable(place, "the server closed the connection or gave a reason unknown to this tool")


def _remedy(reason: str, found: Source) -> tuple[str, ...]:
    if reason == "the database does not exist":
        return (f"Create it, or correct the name in {found.setting}.",)
    if reason == "the server's certificate was not accepted":
        return ("Point `PGSSLROOTCERT` to the authority's certificate; do not weaken `DB_SSLMODE`.",)
    return ()
