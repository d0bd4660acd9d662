"""Connections: how they are opened, retried and set up, and what libpq's errors mean."""

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
from runner.postgres import conninfo, search_path
from runner.postgres.conninfo import ConnInfo, Source
from runner.project import VersionTable, quote
from runner.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from runner.postgres.transaction import GuardedConnection

CONNECT_TIMEOUT_S = 5
SHORTEST_TIMEOUT_S = 2
"""The shortest `connect_timeout` of libpq, which reads 1 as 2."""
CONNECT_BUDGET_S = 60
"""A paused Aurora resumes in about 15 s, or 30 s after a long pause; after 60 s another cause is likely.
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2-auto-pause.html
"""

# With the client's settings libpq notices a dead server, with the server's settings the server notices a vanished
# client: within 1 s where the process was killed, after 11 s (5 + 3 * 2) where the network is cut. Without the
# server's, a killed Lambda would leave its lock and its statement behind for minutes.
# https://www.postgresql.org/docs/current/runtime-config-connection.html#RUNTIME-CONFIG-TCP
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 11_000}
# Sent after the connection is made: start-up options are refused by poolers.
APPLICATION_SETTINGS = {
    "search_path": search_path.PROJECT,
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "'11s'",
    "client_connection_check_interval": "'1s'",
}
# What a role or a database may have set otherwise. A revision has to mean the same in every database, whereas an
# application has its own zone, and its writes may be stopped on purpose.
SESSION_SETTINGS = APPLICATION_SETTINGS | {
    "search_path": search_path.OWN,
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "'read committed'",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "row_security": "on",
    # the texts of the catalog depend on these
    "timezone": "'UTC'",
    "datestyle": "'ISO, MDY'",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "'UTF8'",
}
VERSION_TABLE = "version_table"
"""The execution option of a connection that has the version table of its project."""
TRANSACTION_TIMEOUT = (170_000, "transaction_timeout")
"""A setting that servers have from this version on, as psycopg2 numbers versions."""

logger = logging.getLogger(__name__)


def open_engine(
    settings: Settings, request_id: str, deadline: Deadline, session: Mapping[str, str] = SESSION_SETTINGS
) -> "Engine":
    """Return a SQLAlchemy engine for the database that the settings name, without a pool.

    `session` are the settings of each session, as SET takes them.
    Connecting raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`; this function itself connects
    to nothing, but raises `InvalidSettings` where no setting names a database.
    """
    # takes 0.2 s to import, which `current` does without
    from sqlalchemy import NullPool, create_engine, event

    from runner.postgres.transaction import GuardedConnection

    source = conninfo.source(settings)

    def create() -> GuardedConnection:
        connection: GuardedConnection = _connect(settings, source, request_id, deadline, GuardedConnection)
        _set_up_session(connection, session, settings.db_role, application_name(request_id))
        return connection

    engine = create_engine(
        "postgresql+psycopg2://",
        creator=create,
        # a Lambda that is frozen between two invocations must not keep a session open
        poolclass=NullPool,
        execution_options={VERSION_TABLE: settings.version_table},
        # an error's text would otherwise contain the parameters, which may be row data
        hide_parameters=True,
    )

    def take(driver: GuardedConnection, _: object) -> None:
        # only now: what SQLAlchemy asks of a first connection would otherwise have a beginning and an end of its own
        driver.autocommit = False
        # SQLAlchemy has read that of our own statements, and a revision that inspects the database means its own
        engine.dialect.default_schema_name = search_path.PROJECT

    event.listen(engine, "connect", take)
    return engine


def version_table(connection: "Connection") -> VersionTable:
    """Return the version table of the project for which a connection of `open_engine` was opened."""
    table: VersionTable = connection.get_execution_options()[VERSION_TABLE]
    return table


def connect(settings: Settings, request_id: str, deadline: Deadline) -> Any:
    """Return a psycopg2 connection for one or two short queries.

    It lacks what a longer session needs: a fixed `search_path`, and settings by which the server notices a vanished
    client. Raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`.
    """
    return _connect(settings, conninfo.source(settings), request_id, deadline, None)


def open_from(environ: Mapping[str, str], name: str, seconds: float) -> "Engine":
    """Return an engine for another program of this project.

    `environ` names the database, `name` becomes the sessions' `application_name`, and connecting ends after `seconds`.
    Raises `InvalidSettings`.
    """
    return open_engine(settings.read(environ), name, Deadline.after(seconds), APPLICATION_SETTINGS)


def protected_environment(environ: Mapping[str, str]) -> str | None:
    """Return the environment of another program of this project where it is protected, else None.

    Raises `InvalidSettings`.
    """
    known = settings.read(environ)
    return known.environment if known.is_protected else None


def application_name(request_id: str) -> str:
    """Return the name of this process's sessions in `pg_stat_activity`.

    Without the privileges of `pg_read_all_stats`, another role sees little more of a session than this name, its pid
    and its user: https://www.postgresql.org/docs/current/monitoring-stats.html
    """
    # PostgreSQL keeps 63 bytes
    return f"{APPLICATION}{request_id} {socket.gethostname()}:{os.getpid()}"[:63]


def _connect(settings: Settings, source: Source, request_id: str, deadline: Deadline, kind: Any) -> Any:
    """Connect with the driver's class `kind`, None for its own.

    While the server may be starting, it tries again until `deadline`, but for at most a minute.
    """
    application, deadline = application_name(request_id), deadline.earlier(CONNECT_BUDGET_S)
    address = conninfo.secure(source.read(False), settings)
    pauses = deadline.pauses(first_s=0.2, longest_s=5)
    logged = ""
    while True:
        try:
            return _try(address, source, application, settings.db_role, deadline, kind)
        except MigrationError as error:
            problem = error
        if isinstance(problem, AuthenticationFailed) and settings.db_secret_arn and not settings.database_url:
            # the password may have been rotated since the secret was cached: read it again, once
            fresh = conninfo.secure(source.read(True), settings)
            if fresh != address:
                address = fresh
                continue
        final = not isinstance(problem, DatabaseUnreachable) or problem.reason in FINAL_REASONS
        # a try takes at least libpq's shortest time-out, which must not pass the deadline
        if final or next(pauses, None) is None or deadline.remaining_s < SHORTEST_TIMEOUT_S:
            raise problem
        if problem.sentence != logged:
            logged = problem.sentence
            logger.warning("%s Retrying for up to %.0f s.", logged, deadline.remaining_s)


def _try(address: ConnInfo, source: Source, application: str, role: str | None, deadline: Deadline, kind: Any) -> Any:
    """Return a connection. Raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`."""
    # libpq takes whole seconds and reads 1 as 2; 0 would be no time-out
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT
    timeout = max(1, min(CONNECT_TIMEOUT_S, int(deadline.remaining_s)))
    arguments: dict[str, Any] = {"connect_timeout": timeout, **KEEPALIVES, **address}
    # the address may replace the time-outs, but not the name by which the lock's holder is found, nor the encoding: the
    # driver decodes names and texts by it
    arguments |= {"application_name": application, "client_encoding": "UTF8"}
    # beside its own errors psycopg2 raises ValueError for a NUL character, and TypeError for a value of a wrong type
    with translating((psycopg2.Error, ValueError, TypeError), lambda error: _explain(error, address, source)):
        connection = psycopg2.connect(connection_factory=kind, **arguments)
    if role:
        _set_role(connection, role, address)
    return connection


def _set_up_session(
    connection: "GuardedConnection", session: Mapping[str, str], role: str | None, application: str
) -> None:
    """Set what role and database may have set otherwise, and how the server notices a vanished client.

    `connection` is in AUTOCOMMIT then.
    """
    version, timeout = TRANSACTION_TIMEOUT
    settings = dict(session)
    if session is SESSION_SETTINGS and connection.server_version >= version:
        settings[timeout] = "0"
    # in a transaction the settings would be undone by its rollback
    connection.autocommit = True
    with connection.cursor() as cursor:
        try:
            cursor.execute(_statements(settings))
        except psycopg2.errors.InvalidParameterValue:
            # it is rejected where the platform lacks the kernel's event for it, and with it the whole message
            logger.warning(
                "The server does not support `client_connection_check_interval`; a killed run may keep its lock longer."
            )
            del settings["client_connection_check_interval"]
            cursor.execute(_statements(settings))
        if role:
            connection.role = cursor.mogrify("select pg_catalog.set_config('role', %s, false)", (role,)).decode()
        # a pooler may have set the name itself, so that RESET ALL brings back its own
        name = cursor.mogrify("set application_name = %s", (application,)).decode()
    connection.settings = f"{_statements(settings)}; {name}; {connection.role}"


def _statements(settings: Mapping[str, str]) -> str:
    return "; ".join(f"set {name} = {value}" for name, value in settings.items())


def _set_role(connection: Any, role: str, address: ConnInfo) -> None:
    def explain(error: psycopg2.Error) -> InvalidSettings:
        connection.close()
        user = address.get("user", "")
        return InvalidSettings(
            f"`{user}` cannot set the role `{role}` (SQLSTATE {error.pgcode}).",
            f"Grant the role (`GRANT {quote(role)} TO {quote(user)}`), or correct `DB_ROLE`.",
        )

    # psycopg2's connection commits when its block ends: a rollback would restore the role
    with translating(psycopg2.Error, explain), connection, connection.cursor() as cursor:
        cursor.execute("select set_config('role', %s, false)", (role,))


APPLICATION = "migrate "
"""How the names of our sessions begin."""
MISSING, CLOSED, UNTRUSTED = (
    "the database does not exist",
    "the database accepts no connections",
    "the server's certificate could not be verified",
)
FINAL_REASONS = (MISSING, CLOSED, UNTRUSTED)
"""The reasons for which a further try cannot help."""
END_IDLE = (
    "End idle sessions (`pg_stat_activity` lists them), or raise {limit}, then repeat. A run has two connections."
)
# psycopg2 has no SQLSTATE for a failed connection, so libpq's text is matched: the reason, and the next step, which is
# that of a network's fault where it is None.
REASONS: dict[str, tuple[str, str | None]] = {
    r"too many connections for role": (
        "the role `{user}` has no free connection",
        END_IDLE.format(limit="its limit (`ALTER ROLE {role} CONNECTION LIMIT -1`)"),
    ),
    r"too many connections for database": (
        "the database has no free connection",
        END_IDLE.format(limit="its limit (`ALTER DATABASE {database} CONNECTION LIMIT -1`)"),
    ),
    # PostgreSQL's own words, pgbouncer's and those of RDS Proxy
    r"too many clients|connection slots|no more connections allowed|waiting to acquire database connection": (
        "the server has no free connection",
        END_IDLE.format(limit="`max_connections`"),
    ),
    r"out of memory|could not fork": (
        "the server has no memory for another session",
        "End sessions, or give the server more memory, then repeat.",
    ),
    r'database ".*" does not exist': (MISSING, "Create it, or correct the name in {source}."),
    r"not currently accepting connections|cannot connect to invalid database": (
        CLOSED,
        "Run `ALTER DATABASE {database} ALLOW_CONNECTIONS true` as a superuser, or correct the name in {source}.",
    ),
    r"certificate verify failed|root certificate file|does not match host name|server certificate": (
        UNTRUSTED,
        "Point `PGSSLROOTCERT` to the authority's certificate; do not weaken `DB_SSLMODE`.",
    ),
    r"does not support SSL": ("the server does not support TLS, which `sslmode` requires", None),
    r"could not translate host name|Name or service not known": ("the host name does not resolve", None),
    r"Connection refused|No such file or directory": ("no server listens there", None),
    r"timeout expired|timed out": ("the server did not answer in time", None),
    r"unreachable|No route to host": ("no route leads there", None),
    r"starting up|shutting down|in recovery mode|not accepting connections|not yet accepting": (
        "the server is starting or stopping",
        "Run the same command again when the server is back; its log says why it restarts.",
    ),
    r"terminating connection due to administrator command": (
        "an administrator ended the session while it began, or the server is stopping",
        "Run the same command again, or ask who ends sessions of this database (`pg_terminate_backend`).",
    ),
}
NO_CONNECT = r"permission denied for database"
NO_LOGIN = r"is not permitted to log in"
AUTHENTICATION = r"authentication failed|no password supplied|role .* does not exist|pg_hba\.conf"


def _explain(error: Exception, address: ConnInfo, source: Source) -> MigrationError:
    """Translate an error of libpq; its text, which may contain the password, is not repeated."""
    if not isinstance(error, psycopg2.OperationalError):
        # an option that libpq does not have, or a character that it rejects
        return InvalidSettings(f"{source.setting} contains an option that libpq rejects.", "Correct its options.")
    text = str(error)
    named = ",".join(conninfo.hosts(address, None)) or "the local socket"
    place = f"{named}:{address.get('port', 5432)}/{address.get('dbname')}"
    user, database = address.get("user", ""), str(address.get("dbname"))
    # before the reasons: libpq tries several addresses of a host, and its text lists the failures of all
    if re.search(AUTHENTICATION, text):
        return AuthenticationFailed(place, user, source.setting)
    if re.search(NO_CONNECT, text):
        return InvalidSettings(
            f"The role `{user}` lacks `CONNECT` on database `{database}`.",
            f"Run `GRANT CONNECT ON DATABASE {quote(database)} TO {quote(user)}` as its owner, then repeat.",
        )
    if re.search(NO_LOGIN, text):
        return InvalidSettings(
            f"The role `{user}` may not log in.",
            f"Run `ALTER ROLE {quote(user)} LOGIN` as an administrator, or correct {source.setting}.",
        )
    names = {"source": source.setting, "user": user, "role": quote(user), "database": quote(database)}
    for pattern, (reason, remedy) in REASONS.items():
        if re.search(pattern, text):
            remedies = () if remedy is None else (remedy.format(**names),)
            return DatabaseUnreachable(place, reason.format(**names), *remedies)
    return DatabaseUnreachable(place, "the server closed the connection, or gave a reason that this tool does not know")
