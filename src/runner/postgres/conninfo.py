"""The address of the database, from a URL, a secret or a token, and the TLS that it needs."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import parse_dsn

from runner.errors import InvalidSettings, translating
from runner.postgres import embedded
from runner.settings import Settings, port, ssl_mode

ConnInfo = dict[str, str]
"""Connection parameters by libpq's keywords: `host`, `port`, `dbname`, `user`, `password`, `sslmode` and the like.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

SCHEME = re.compile(r"postgres(?:ql)?(?:\+psycopg2)?://")
SHOWN = {"dbname": "database name", "host": "host", "hostaddr": "host address", "user": "user"}
"""The keywords whose values messages repeat, and what they are called there."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """The setting that names the database, and a function that reads the address from it."""

    setting: str
    """The setting's name, for a sentence."""
    read: Callable[[bool], ConnInfo]
    """Reads the address; the argument is true to read a cached secret again. Raises `InvalidSettings`."""


def source(settings: Settings) -> Source:
    """Return the first of the settings that names a database: the URL, the secret, IAM.

    Raises `InvalidSettings` where none does. The embedded server is no default: a forgotten variable would then
    migrate a scratch database and report success.
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
        "for a local scratch database run `migrate --local`, or set `DATABASE_URL=embedded:`.",
    )


def hosts(address: ConnInfo, fallback: str | None) -> list[str]:
    """Return every host and host address that libpq may connect to; `fallback` is `PGHOST`."""
    parts = (address.get("host") or fallback or "", address.get("hostaddr", ""))
    return [host for part in parts for host in part.split(",") if host]


def secure(address: ConnInfo, settings: Settings) -> ConnInfo:
    """Return the address with an `sslmode`: `verify-full`, unless the host is local or a setting has a weaker one."""
    named = hosts(address, settings.pg_host)
    # a host that begins with a slash is the folder of a socket
    remote = [host for host in named if host not in LOCAL_HOSTS and not host.startswith("/")]
    if not remote:
        return address
    # libpq's own default, `prefer`, verifies nothing and falls back to no TLS at all
    # https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
    mode = settings.db_sslmode or address.get("sslmode", "verify-full")
    if mode != "verify-full":
        logger.warning("sslmode=%s does not verify the certificate of %s", mode, ", ".join(remote))
    # the endpoint of an RDS Proxy is `<name>.proxy-<id>.<region>.rds.amazonaws.com`
    if any(".proxy-" in host for host in remote):
        logger.warning("An RDS Proxy pins the session to one connection and keeps Aurora from pausing.")
    return {**address, "sslmode": mode}


def as_url(address: ConnInfo) -> str:
    """Return the address as a `DATABASE_URL`, with its password."""
    # as options, in which also a socket's folder, several hosts and an IPv6 address can be written
    return f"postgresql:///?{urlencode(address, quote_via=quote)}"


def _from_url(settings: Settings) -> ConnInfo:
    text = settings.database_url or ""
    if text == "embedded:":
        text = embedded.start(settings.alembic_config.resolve().parent)
    address = _parse(text)
    # a service file can name another host and `sslmode`, which nothing here would see
    if "service" in address:
        raise InvalidSettings("`DATABASE_URL` names a libpq service.", "Name the host instead.")
    ssl_mode("`sslmode` in `DATABASE_URL`", address.get("sslmode"))
    return address


def _parse(text: str) -> ConnInfo:
    """Return the parameters of a URL, as libpq reads it. Raises `InvalidSettings`."""
    scheme = SCHEME.match(text)
    if scheme is None:
        raise _not_a_url()
    with translating((psycopg2.Error, ValueError), _explain):
        address: ConnInfo = parse_dsn(f"postgresql://{text[scheme.end() :]}")
    ports = [number for number in address.get("port", "").split(",") if number]
    # an `@` or a `/` that is not encoded ends the password early; its rest is then part of the host or the database,
    # which errors show
    misread = "@" in address.get("host", "") + address.get("dbname", "")
    if misread or not all(number.isdigit() for number in ports):
        raise _not_a_url()
    for number in ports:
        port("The port in `DATABASE_URL`", number)
    _refuse_addresses("`DATABASE_URL`", address)
    return address


def _explain(error: Exception) -> InvalidSettings:
    # libpq's own text quotes the URL
    if "query parameter" in str(error):
        return InvalidSettings("`DATABASE_URL` contains an option that libpq rejects.", "Correct its options.")
    return _not_a_url()


def _not_a_url() -> InvalidSettings:
    return InvalidSettings(
        "`DATABASE_URL` is not a PostgreSQL URL.",
        "Set it to `postgresql://user:password@host:5432/database`, with `%`, `@`, `/` and `:` "
        "in the password percent-encoded, or to `embedded:`.",
    )


def _refuse_addresses(setting: str, address: ConnInfo) -> None:
    """Raise `InvalidSettings` where a name is a whole address, which may have a password; it is not repeated.

    Messages show these names, and libpq takes a database name with a scheme or with `=` for an address:
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-DBNAME
    """
    for keyword, noun in SHOWN.items():
        text = address.get(keyword, "")
        # a socket's folder may have any name
        if keyword == "host" and text.startswith("/"):
            continue
        # a user may have an `@`, as in `name@REALM`
        if any(sign in text for sign in ("://", "=") + ("@",) * (keyword != "user")) or not text.isprintable():
            raise InvalidSettings(
                f"{setting} has a {noun} that is an address, or is not printable.", f"Give the {noun} alone."
            )


def _from_secret(settings: Settings, fresh: bool) -> ConnInfo:
    """Return the address in the secret; what it lacks comes from `DB_HOST`, `DB_PORT` and `DB_NAME`."""
    arn = settings.db_secret_arn or ""
    content = _secret(arn, _fetch(arn, fresh))
    # a secret that RDS manages has a user and a password only; one that a user makes may call the name `database`
    # https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-secrets-manager.html
    address = ("host", "dbname", "database")
    odd = [key for key in address if not isinstance(content.get(key), str | None)]
    lacking = [key for key in ("username", "password") if not isinstance(content.get(key), str)] + odd
    if lacking:
        raise InvalidSettings(
            f"The secret `{arn}` must hold {' and '.join(f'`{key}`' for key in lacking)} as text.",
            "Store `username` and `password` in it; `host`, `port` and `dbname` may come from the environment.",
        )
    return _compose(
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
    # boto3 takes 0.2 s to import
    from aws_lambda_powertools.utilities import parameters
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
    from botocore.exceptions import BotoCoreError

    def explain(error: Exception) -> InvalidSettings:
        reason = _code(error) if isinstance(error, GetParameterError) else type(error).__name__
        return InvalidSettings(
            f"Secrets Manager did not return the secret `{arn}` ({reason}).",
            "Check `DB_SECRET_ARN`, the function's permission `secretsmanager:GetSecretValue` and the VPC endpoint.",
        )

    with translating((BotoCoreError, GetParameterError), explain):
        return str(parameters.get_secret(arn, max_age=300, force_fetch=fresh))


def _code(error: Exception) -> str:
    """Return AWS's code of the error that Powertools wrapped."""
    # Powertools raises its error inside an `except`, so that AWS's error is its context
    response = getattr(error.__cause__ or error.__context__, "response", {})
    return str(response.get("Error", {}).get("Code", "no answer"))


def _secret(arn: str, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InvalidSettings(
            f"The secret `{arn}` is not a JSON object.",
            'Store it as `{"username": …, "password": …, "host": …, "port": 5432, "dbname": …}`.',
        )
    return content


def _from_iam(settings: Settings) -> ConnInfo:
    """Return the address with an RDS token as the password, made anew for each connection: it is valid for 15 minutes.

    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html
    """
    address = _compose(settings, None, "`DB_IAM_AUTH`")
    login = (address["host"], int(address["port"]), address["user"])
    import boto3
    from botocore.exceptions import BotoCoreError

    def explain(error: Exception) -> InvalidSettings:
        reason = type(error).__name__
        return InvalidSettings(f"Could not create an RDS token ({reason}).", "Provide AWS credentials and a region.")

    with translating(BotoCoreError, explain):
        token = boto3.client("rds").generate_db_auth_token(*login)
    return {**address, "password": token}


def _compose(settings: Settings, password: str | None, asker: str) -> ConnInfo:
    names = {"DB_HOST": settings.db_host, "DB_NAME": settings.db_name, "DB_USER": settings.db_user}
    lacking = " and ".join(f"`{name}`" for name, value in names.items() if not value)
    if lacking:
        raise InvalidSettings(f"{asker} requires {lacking}.", f"Set {lacking} in the environment.")
    address = {
        "host": settings.db_host,
        "port": str(settings.db_port),
        "dbname": settings.db_name,
        "user": settings.db_user,
        "password": password,
    }
    found = {name: value for name, value in address.items() if value is not None}
    _refuse_addresses(asker, found)
    return found
