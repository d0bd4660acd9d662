"""The settings: environment variables, and those of `migrate.toml`, read and checked in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner import project
from runner.errors import InvalidSettings
from runner.project import Project, VersionTable

# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Settings:
    """The settings of a process."""

    alembic_config: Path
    version_table: VersionTable
    environment: str
    is_protected: bool
    """Whether the environment is protected, see `Project.protects`."""
    database_url: str | None = field(repr=False)
    db_secret_arn: str | None
    db_iam_auth: bool
    db_host: str | None
    db_port: int
    db_name: str | None
    db_user: str | None
    db_role: str | None
    db_sslmode: str | None
    pg_host: str | None
    """`PGHOST`, which libpq uses where the address has no host."""
    lock_timeout_ms: int
    allowed_actions: frozenset[str] | None
    """The verbs in `ALLOWED_ACTIONS`; None where it is not set."""
    function_version: str | None
    image_digest: str | None


def read(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`, usually `os.environ`, and from the file `migrate.toml` of the project.

    Raises `InvalidSettings` for a value of the wrong type or range.
    """
    # an empty value counts as not set: compose files and CI steps pass on a variable that is not set as an empty one
    get = {name: value for name, value in environ.items() if value}.get
    own = project_of(environ)
    environment = _environment(get("ENVIRONMENT", "dev"))
    return Settings(
        alembic_config=project_file(environ),
        version_table=own.version_table,
        environment=environment,
        is_protected=own.protects(environment),
        database_url=get("DATABASE_URL"),
        db_secret_arn=get("DB_SECRET_ARN"),
        db_iam_auth=_flag("DB_IAM_AUTH", get("DB_IAM_AUTH", "false")),
        db_host=get("DB_HOST"),
        db_port=port("`DB_PORT`", get("DB_PORT", "5432")),
        db_name=get("DB_NAME"),
        db_user=get("DB_USER"),
        db_role=get("DB_ROLE"),
        db_sslmode=ssl_mode("`DB_SSLMODE`", get("DB_SSLMODE")),
        pg_host=get("PGHOST"),
        lock_timeout_ms=_milliseconds("LOCK_TIMEOUT_MS", get("LOCK_TIMEOUT_MS", "2000")),
        allowed_actions=_names(get("ALLOWED_ACTIONS")),
        function_version=get("AWS_LAMBDA_FUNCTION_VERSION"),
        image_digest=get("IMAGE_DIGEST"),
    )


def project_of(environ: Mapping[str, str]) -> Project:
    """Return the settings in the file `migrate.toml` of the project. Raises `InvalidSettings`."""
    return project.read(project_file(environ).parent)


def project_file(environ: Mapping[str, str]) -> Path:
    """Return the path of `alembic.ini`: `ALEMBIC_CONFIG`, else in a Lambda's task root, else in the current folder."""
    # the image sets LAMBDA_TASK_ROOT, so that its programs find the project from any folder
    return Path(environ.get("ALEMBIC_CONFIG") or Path(environ.get("LAMBDA_TASK_ROOT") or ".") / "alembic.ini")


def _environment(value: str) -> str:
    # a file with Windows line ends adds a carriage return; inside of a name, a character that is not seen could hide
    # that the environment is protected
    name = value.strip() or "dev"
    if project.is_name(name):
        return name
    raise InvalidSettings(
        "`ENVIRONMENT` has a character that is not printable ASCII.", "Set it to a name such as `staging`."
    )


def port(name: str, value: object) -> int:
    """Return `value` as a TCP port. Raises `InvalidSettings`, which calls the value by `name`."""
    text = str(value)
    # `isdigit` alone is true of superscripts and of other scripts' digits
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise InvalidSettings(f"{name} is not a port number.", "Set it to a number from 1 to 65535.")


def _milliseconds(name: str, value: str) -> int:
    # PostgreSQL's time-outs are 32-bit integers, and 0 would turn the time-out off
    if value.isascii() and value.isdigit() and 0 < int(value) < 2**31:
        return int(value)
    raise InvalidSettings(f"`{name}` is not a number of milliseconds.", f"Set `{name}` to 1 or more.")


def _names(value: str | None) -> frozenset[str] | None:
    return None if value is None else frozenset(name.strip() for name in value.split(","))


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise InvalidSettings(f"`{name}` is neither `true` nor `false`.", f"Set `{name}` to one of the two.")
    return value.lower() == "true"


def ssl_mode(name: str, value: object) -> str | None:
    """Return `value` as a mode of libpq, or None. Raises `InvalidSettings`, which calls the value by `name`."""
    if value is None or value in SSL_MODES:
        return None if value is None else str(value)
    raise InvalidSettings(f"{name} is not a mode of libpq.", f"Set it to one of {', '.join(SSL_MODES)}.")
