"""What each thing is called, by environment."""

PROJECT = "AlquimistaAI"
REPOSITORY = "aurora-migrations"
"""One for all environments of an account and region, so that promotion is a tag and never a copy."""
PROTECTED = ("prod", "production")
"""Environments where mistakes are dear; `runner.settings` knows the same ones."""
LIVE = "live"
"""The alias that callers invoke."""


def is_protected(environment: str) -> bool:
    """Tell whether mistakes are dear in `environment`."""
    return environment.lower() in PROTECTED


def runner(environment: str) -> str:
    """Name the function that migrates."""
    return f"aurora-migrations-runner-{environment}"


def agent(environment: str) -> str:
    """Name the dispatch agent's function."""
    return f"micro-agente-disparo-agendamento-{environment}-dry-run"


def migrations(environment: str) -> str:
    """Name the state machine, and the topic and the dashboard beside it."""
    return f"aurora-migrations-{environment}"


def digest_parameter(environment: str) -> str:
    """Name the SSM parameter that says which image was promoted to `environment`, as `sha256:…`."""
    return f"/aurora-migrations/{environment}/image-digest"


def approved_parameter(environment: str) -> str:
    """Name the SSM parameter that says with which image `environment` was last upgraded, as `sha256:…`.

    The state machine writes it once an upgrade has ended well, after the approval where one is asked for.
    """
    return f"/aurora-migrations/{environment}/approved-image-digest"
