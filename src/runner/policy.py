"""The verbs that an environment allows, as a protection against mistakes; IAM decides who may invoke."""

from runner.errors import ActionNotAllowed, InvalidSettings
from runner.payloads import KINDS
from runner.settings import Settings

READING = frozenset({
    "activity", "check", "current", "heads", "history", "list-migrations", "plan", "rehearse", "show", "sizes",
})  # fmt: skip
"""The verbs that change nothing in a database; a rehearsal rolls back what it changed."""
CHANGING = KINDS.keys() - READING
# Not `rehearse`: it runs all revisions in one transaction, whose locks last longer than those of a run.
PROTECTED = READING - {"rehearse"} | {"upgrade", "run-migration"}
"""The verbs that a protected environment allows by default."""


def is_allowed(settings: Settings, action: str) -> bool:
    """Return whether `ALLOWED_ACTIONS`, or the environment's default, contains the verb."""
    listed = _listed(settings)
    return listed is None or action in listed


def offer(settings: Settings, action: str, arguments: str = "") -> str:
    """Return a verb as the command that messages name, in backticks, with where it is allowed unless it is so here."""
    command = f"`migrate {action}{f' {arguments}' if arguments else ''}`"
    return command if is_allowed(settings, action) else f"{command} where `ALLOWED_ACTIONS` names `{action}`"


def _listed(settings: Settings) -> frozenset[str] | None:
    """Return the verbs that an environment allows, None where it allows all."""
    if settings.allowed_actions is not None:
        return settings.allowed_actions
    return PROTECTED if settings.is_protected else None


def allow(settings: Settings, action: str) -> None:
    """Raise `ActionNotAllowed` unless `ALLOWED_ACTIONS`, or the environment's default, contains the verb.

    Raises `InvalidSettings` where `ALLOWED_ACTIONS` names something that is not a verb.
    """
    # refused rather than ignored: a misspelt verb would be missing from the list without a trace
    if strangers := sorted((settings.allowed_actions or frozenset()) - KINDS.keys()):
        raise InvalidSettings(
            f"`ALLOWED_ACTIONS` names `{strangers[0]}`, which is not an action.",
            f"Name only these: {', '.join(KINDS)}.",
        )
    if not is_allowed(settings, action):
        names = ", ".join(f"`{name}`" for name in sorted(_listed(settings) or ()))
        raise ActionNotAllowed(action, settings.environment, names)
