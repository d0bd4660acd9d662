"""The names of the resources, by environment."""

import hashlib
import re
import tomllib
import unicodedata
from functools import cache
from pathlib import Path

PROJECT = "AlquimistaAI"
REPOSITORY = "aurora-migrations"
"""One repository for all environments of an account and region, so that promotion adds a tag and copies nothing."""
PROTECTED = ("prod", "production", "prd", "live")
"""The names, and ends of names, of protected environments; `runner.project` has the same ones."""
MIGRATE_TOML = Path(__file__).parents[1] / "migrate.toml"
"""The file that lists further ones, in `[project]`; the runner reads it in the image."""
LIVE = "live"
"""The alias that callers invoke."""
TENANT = re.compile(r"[A-Za-z0-9_.-]{1,57}")
"""A slug that names resources as it is."""


def is_protected(environment: str, file: Path = MIGRATE_TOML) -> bool:
    """Tell whether `environment`, a name of the context, is protected, as the runner decides it."""
    name = _fold(environment)
    is_name = name != "" and name.isascii() and name.isprintable()
    return name.endswith(PROTECTED) or name in _listed(file) or not is_name


@cache
def _listed(file: Path) -> frozenset[str]:
    section = tomllib.loads(file.read_text("utf-8")).get("project", {}) if file.is_file() else {}
    return frozenset(map(_fold, section.get("protected", ())))


def _fold(environment: str) -> str:
    return environment.strip().casefold()


def runner(environment: str) -> str:
    """Name the runner's function."""
    return f"aurora-migrations-runner-{environment}"


def agent(environment: str) -> str:
    """Name the dispatch agent's function."""
    return f"micro-agente-disparo-agendamento-{environment}-dry-run"


def purge(environment: str) -> str:
    """Name the function that deletes the agent's old decisions."""
    return f"micro-agente-disparo-agendamento-{environment}-purge"


def migrations(environment: str) -> str:
    """Name the state machine, and the topic and the dashboard beside it."""
    return f"aurora-migrations-{environment}"


def digest_parameter(environment: str) -> str:
    """Name the SSM parameter with the digest of the image promoted to `environment`, as `sha256:…`."""
    return f"/aurora-migrations/{environment}/image-digest"


def approved_parameter(environment: str) -> str:
    """Name the SSM parameter with the digest of the image that last upgraded `environment`, as `sha256:…`.

    The state machine writes it after a successful upgrade, which follows the approval where one is required.
    """
    return f"/aurora-migrations/{environment}/approved-image-digest"


def tenant(slug: str) -> str:
    """Name a tenant in alarms, in its schedule and in its metrics, all of which accept only ASCII, as the agent does.

    The name of a schedule has at most 64 characters, of which `hourly-` takes 7. A hash keeps two names apart.
    """
    if TENANT.fullmatch(slug):
        return slug
    known = unicodedata.normalize("NFC", slug)
    plain = unicodedata.normalize("NFKD", known).encode("ascii", "ignore").decode()
    return f"{plain[:48]}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
