"""The names of the resources, by environment."""

PROJECT = "AlquimistaAI"
REPOSITORY = "aurora-migrations"
"""One repository for all environments of an account and region, so that promotion adds a tag and copies nothing."""
PROTECTED = ("prod", "production")
"""The protected environments; `runner.settings` has the same ones."""
LIVE = "live"
"""The alias that callers invoke."""


def is_protected(environment: str) -> bool:
    """Tell whether `environment` is protected."""
    return environment.lower() in PROTECTED


def runner(environment: str) -> str:
    """Name the runner's function."""
    return f"aurora-migrations-runner-{environment}"


def agent(environment: str) -> str:
    """Name the dispatch agent's function."""
    return f"micro-agente-disparo-agendamento-{environment}-dry-run"


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
