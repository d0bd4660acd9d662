"""Which verbs an environment allows. It guards against mistakes; who may ask at all is IAM's affair."""

from runner.errors import ActionNotAllowed, InvalidSettings
from runner.payloads import KINDS
from runner.settings import Settings

READING = frozenset({"check", "current", "heads", "history", "list-migrations", "plan", "rehearse", "show"})
"""Those that leave the database as it is; a rehearsal takes locks all the same."""
CHANGING = KINDS.keys() - READING
PROTECTED = READING - {"rehearse"} | {"upgrade", "run-migration"}


def allow(settings: Settings, action: str) -> None:
    """Raise `ActionNotAllowed` unless `ALLOWED_ACTIONS`, or the environment's default, has the verb."""
    allowed = settings.allowed_actions
    if strangers := sorted((allowed or frozenset()) - KINDS.keys()):
        raise InvalidSettings(
            f"`ALLOWED_ACTIONS` names `{strangers[0]}`, which is no action.", f"Name some of {', '.join(KINDS)}."
        )
    if allowed is None and settings.is_protected:
        allowed = PROTECTED
    if allowed is not None and action not in allowed:
        names = ", ".join(f"`{name}`" for name in sorted(allowed))
        raise ActionNotAllowed(action, settings.environment, names)
