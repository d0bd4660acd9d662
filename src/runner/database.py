"""Where the database is, and how to open it."""

import json
import logging
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from runner import embedded
from runner.deadline import Deadline
from runner.errors import AuthenticationFailed, DatabaseUnreachable, InvalidSettings, MigrationError
from runner.settings import Settings, port, ssl_mode

CONNECT_TIMEOUT_S = 5
CONNECT_BUDGET_S = 60
"""A paused Aurora wakes within half a minute; past this, the host is wrong rather than asleep."""

# Ours notice a dead server, the server's a vanished client: it ends a statement whose client was killed
# within a second, and after 11 s one whose network was cut. Either of the two alone does not, in a minute.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
SESSION_SETTINGS = {
    # a schema that is named like the role would take in what is meant for `public`
    "search_path": "public",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11s",
    "client_connection_check_interval": "1s",
}

DRIVER = "postgresql+psycopg2"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Say which setting names the database, and how to read the address from it now."""

    setting: str
    read: Callable[[bool], URL]
    """Takes whether a cached secret must be read again."""


def source(settings: Settings) -> Source:
    """Choose the first setting that says where the database is.

    Raises `InvalidSettings` when none does: a forgotten variable must never migrate a throw-away
    and report success.
    """
    if settings.database_url:
        return Source("`DATABASE_URL`", lambda fresh: _from_url(settings))
    if settings.db_secret_arn:
        return Source("the secret `DB_SECRET_ARN`", lambda fresh: _from_secret(settings, fresh))
    if settings.db_iam_auth:
        return Source("`DB_IAM_AUTH`", lambda fresh: _from_iam(settings))
    raise InvalidSettings(
        "No setting says where the database is.",
        "Set `DATABASE_URL`, `DB_SECRET_ARN`, or `DB_IAM_AUTH=true` with `DB_HOST`, `DB_NAME` and `DB_USER`; "
        "for a local throw-away run `migrate --local`.",
    )


def open_engine(settings: Settings, request_id: str, deadline: Deadline) -> Engine:
    """Return a SQLAlchemy engine whose connections are made as the settings say, without a pool.

    Errors of its statements hide their parameters. Opening it connects nothing yet; a connection
    raises `DatabaseUnreachable`, `AuthenticationFailed` or `InvalidSettings`.
    """
    found = source(settings)
    name = application_name(request_id)
    return create_engine(
        f"{DRIVER}://",
        creator=lambda: _connect(settings, found, name, deadline.earlier(CONNECT_BUDGET_S)),
        poolclass=NullPool,
        hide_parameters=True,
    )


def application_name(request_id: str) -> str:
    """Name this process for `pg_stat_activity`, in at most the 63 bytes that PostgreSQL keeps.

    An ordinary user sees of another role's session only this, its pid and its user.
    """
    return f"migrate {request_id} {socket.gethostname()}:{os.getpid()}"[:63]


def _connect(settings: Settings, found: Source, application: str, deadline: Deadline) -> Any:
    """Connect, trying again while the server may still be waking, until `deadline`."""
    url = _secured(found.read(False), settings)
    pauses = deadline.pauses(first_s=0.2, longest_s=5)
    told = ""
    while True:
        problem = _try(url, found, application, settings.db_role, deadline)
        if not isinstance(problem, MigrationError):
            return problem
        if isinstance(problem, AuthenticationFailed) and settings.db_secret_arn and not settings.database_url:
            # rotated since it was cached: read the secret again, once
            fresh = _secured(found.read(True), settings)
            if fresh != url:
                url = fresh
                continue
        final = not isinstance(problem, DatabaseUnreachable) or problem.reason in FINAL_REASONS
        if final or next(pauses, None) is None:
            raise problem
        if problem.sentence != told:
            told = problem.sentence
            logger.warning("%s Trying again for up to %.0f s.", told, deadline.remaining_s)


def _try(url: URL, found: Source, application: str, role: str | None, deadline: Deadline) -> Any:
    """Return a connection, or the error that says why there is none.

    The error is returned, not raised, so that libpq's own text never becomes its context.
    """
    arguments = {**url.translate_connect_args(database="dbname", username="user"), **url.query}
    # libpq takes whole seconds and reads 1 as 2; 0 would mean for ever
    timeout = max(1, min(CONNECT_TIMEOUT_S, int(deadline.remaining_s)))
    try:
        connection = psycopg2.connect(**{"connect_timeout": timeout, **arguments, "application_name": application})
    except psycopg2.OperationalError as error:
        return _explain(str(error), url, found)
    except (psycopg2.Error, ValueError, TypeError):
        # an option that libpq does not know, or a character that it cannot take
        return InvalidSettings(f"{found.setting} has something that libpq does not take.", "Correct its options.")
    _set_up_session(connection)
    if role:
        return _assume(connection, role, url)
    return connection


def _set_up_session(connection: Any) -> None:
    """Pin the schema, and have the server end our session soon after we are gone, so that no lock outlives us."""
    try:
        with connection, connection.cursor() as cursor:
            calls = ", ".join("set_config(%s, %s, false)" for _ in SESSION_SETTINGS)
            cursor.execute(f"select {calls}", [word for pair in SESSION_SETTINGS.items() for word in pair])
    except psycopg2.errors.InvalidParameterValue:
        logger.warning("The server's platform cannot notice a vanished client; a killed run may keep its lock longer.")


def _assume(connection: Any, role: str, url: URL) -> Any:
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select set_config('role', %s, false)", (role,))
    except psycopg2.Error as error:
        connection.close()
        return InvalidSettings(
            f"`{url.username}` cannot become the role `{role}` (SQLSTATE {error.pgcode}).",
            f'Grant the role (`GRANT "{role}" TO "{url.username}"`), or correct `DB_ROLE`.',
        )
    return connection


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


def _explain(text: str, url: URL, found: Source) -> MigrationError:
    """Turn libpq's text into a sentence of ours; the text itself, which may hold anything, goes no further."""
    named = ",".join(hosts(url, None)) or "the local socket"
    place = f"{named}:{url.port or 5432}/{url.database}"
    if re.search(AUTHENTICATION, text):
        return AuthenticationFailed(place, url.username or "", found.setting)
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


def hosts(url: URL, fallback: str | None) -> list[str]:
    """Return every host that libpq may connect to: the query wins over the authority, then `PGHOST`.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    named = url.query.get("host") or url.host or fallback or ""
    addresses = url.query.get("hostaddr", "")
    parts = [named] if isinstance(named, str) else list(named)
    parts += [addresses] if isinstance(addresses, str) else list(addresses)
    return [one for part in parts for one in part.split(",") if one]


def _secured(url: URL, settings: Settings) -> URL:
    """Ask for a verified certificate unless the server is on this machine or a setting says less."""
    remote = [one for one in hosts(url, settings.pg_host) if one not in LOCAL_HOSTS and not one.startswith("/")]
    if not remote:
        return url
    mode = settings.db_sslmode or str(url.query.get("sslmode", "verify-full"))
    if mode != "verify-full":
        logger.warning("sslmode=%s does not verify the certificate of %s", mode, ", ".join(remote))
    if any(".proxy-" in one for one in remote):
        logger.warning("An RDS Proxy pins the session to one connection, and keeps a paused Aurora awake.")
    return url.update_query_dict({"sslmode": mode})


def _from_url(settings: Settings) -> URL:
    text = settings.database_url or ""
    if text == "embedded:":
        text = embedded.start(settings.alembic_config.resolve().parent)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    # an `@` that is not encoded ends the password early, and the rest of it stands in the host
    if url is None or url.drivername not in ("postgres", "postgresql", DRIVER) or "@" in (url.host or ""):
        raise InvalidSettings(
            "`DATABASE_URL` is not a PostgreSQL URL.",
            "Set it to `postgresql://user:password@host:5432/database`, with `%`, `@`, `/` and `:` "
            "in the password percent-encoded, or to `embedded:`.",
        )
    if url.port is not None:
        port("The port in `DATABASE_URL`", url.port)
    if "service" in url.query:
        raise InvalidSettings("`DATABASE_URL` names a libpq service.", "Name the host itself.")
    ssl_mode("`sslmode` in `DATABASE_URL`", url.query.get("sslmode"))
    return url.set(drivername=DRIVER)


def _from_secret(settings: Settings, fresh: bool) -> URL:
    arn = settings.db_secret_arn or ""
    content = _secret(arn, _fetch(arn, fresh))
    address = ("host", "dbname", "database")
    odd = [key for key in address if not isinstance(content.get(key), str | None)]
    lacking = [key for key in ("username", "password") if not isinstance(content.get(key), str)] + odd
    if lacking:
        raise InvalidSettings(
            f"The secret `{arn}` lacks {' and '.join(f'`{key}`' for key in lacking)}, as text.",
            "Store `username` and `password` in it; `host`, `port` and `dbname` may come from the environment.",
        )
    return _address(
        replace(
            settings,
            db_host=content.get("host") or settings.db_host,
            db_port=port(f"`port` in the secret `{arn}`", content.get("port") or settings.db_port),
            db_name=content.get("dbname") or content.get("database") or settings.db_name,
            db_user=content["username"],
        ),
        content["password"],
        f"The secret `{arn}`",
    )


def _fetch(arn: str, fresh: bool) -> str:
    # boto3 costs 0.2 s at start-up, so only who needs a secret pays for it
    from aws_lambda_powertools.utilities import parameters
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
    from botocore.exceptions import BotoCoreError

    try:
        return str(parameters.get_secret(arn, max_age=300, force_fetch=fresh))
    except BotoCoreError as error:
        reason = type(error).__name__
    except GetParameterError as error:
        reason = getattr(error.__cause__ or error.__context__, "response", {}).get("Error", {}).get("Code", "no answer")
    raise InvalidSettings(
        f"Secrets Manager did not give the secret `{arn}` ({reason}).",
        "Check `DB_SECRET_ARN`, the function's permission `secretsmanager:GetSecretValue` and the VPC endpoint.",
    )


def _secret(arn: str, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidSettings(
            f"The secret `{arn}` is not a JSON object.",
            'Store it as `{"username": …, "password": …, "host": …, "port": 5432, "dbname": …}`.',
        )
    return content


def _from_iam(settings: Settings) -> URL:
    """Address the database with an RDS token, valid for 15 minutes, made afresh for each connection.

    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html
    """
    address = _address(settings, None, "`DB_IAM_AUTH`")
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        token = boto3.client("rds").generate_db_auth_token(address.host, address.port, address.username)
    except BotoCoreError as error:
        reason = type(error).__name__
    else:
        return address.set(password=token)
    raise InvalidSettings(f"No RDS token could be made ({reason}).", "Give AWS credentials and a region.")


def _address(settings: Settings, password: str | None, asker: str) -> URL:
    names = {"DB_HOST": settings.db_host, "DB_NAME": settings.db_name, "DB_USER": settings.db_user}
    lacking = " and ".join(f"`{name}`" for name, value in names.items() if not value)
    if lacking:
        raise InvalidSettings(f"{asker} needs {lacking} beside it.", f"Set {lacking} in the environment.")
    return URL.create(DRIVER, settings.db_user, password, settings.db_host, settings.db_port, settings.db_name)
