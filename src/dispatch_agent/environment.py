"""The name of the environment, in the variable `ENVIRONMENT`."""

from collections.abc import Mapping

PRODUCTION = ("prod", "production", "prd", "live")
"""The names of production. The runner also protects names that end so, such as `pre-prod`; its limits are lower."""


def deployed(environ: Mapping[str, str]) -> str:
    """Return the name that the deployment gave, without spaces or a line end around it; default `dev`."""
    return environ.get("ENVIRONMENT", "").strip() or "dev"


def recorded(environ: Mapping[str, str]) -> str:
    """Return the name that decisions are made and recorded with: `prod` however production is written."""
    named = deployed(environ)
    return "prod" if named.casefold() in PRODUCTION else named
