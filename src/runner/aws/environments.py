"""Which function stands behind a name: `migrate.toml`, or the function itself."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import settings
from runner.errors import InvalidSettings, translating

FILE = "migrate.toml"
KEYS = ("function", "region", "profile")


@dataclass(frozen=True)
class Environment:
    """Name a function and how to get at it; what is None comes from the AWS environment."""

    option: str
    """The option that leads to it, for a command to repeat."""
    function: str
    region: str | None = None
    aws_profile: str | None = None

    @property
    def name(self) -> str:
        """Return the function's bare name, without what an ARN or a qualifier adds."""
        parts = self.function.split(":")
        return parts[parts.index("function") + 1] if "function" in parts[:-1] else parts[0]


def of_function(function: str) -> Environment:
    """Describe a function that is named directly; an ARN says its region."""
    parts = function.split(":")
    return Environment(f"--function {function}", function, parts[3] if parts[0] == "arn" and len(parts) > 3 else None)


def read(environ: Mapping[str, str], env: str) -> Environment:
    """Read the profile `env` from `migrate.toml`, which lies beside `alembic.ini`.

    Raises `InvalidSettings` where the file, the profile or one of its keys is not what it should be.
    """
    path = settings.project_file(environ).parent / FILE
    known = _environments(path)
    names = ", ".join(f"`{name}`" for name in sorted(known)) or "none"
    table = known.get(env)
    if not isinstance(table, dict):
        raise InvalidSettings(
            f"`{_shown(path)}` has no table `[env.{env}]`; it knows {names}.",
            "Use one of them, or add the table to the file.",
        )
    odd = sorted(key for key, value in table.items() if key not in KEYS or not isinstance(value, str) or not value)
    if odd or "function" not in table:
        wrong = f"has {' and '.join(f'`{key}`' for key in odd)}" if odd else "lacks `function`"
        raise InvalidSettings(
            f"`[env.{env}]` in `{_shown(path)}` {wrong}; the file knows {names}.",
            "A profile has `function`, and may have `region` and `profile`, each a text.",
        )
    direct = of_function(table["function"])
    return Environment(f"--env {env}", direct.function, table.get("region", direct.region), table.get("profile"))


def _environments(path: Path) -> dict[str, Any]:
    with translating((OSError, ValueError), lambda error: _unusable(path, _unread(error))):
        content = tomllib.loads(path.read_text("utf-8"))
    known = content.get("env", {})
    odd = sorted(content.keys() - {"env"})
    if odd or not isinstance(known, dict):
        names = " and ".join(f"`{name}`" for name in odd) or "`env` that is no table"
        raise _unusable(path, f"has {names} beside the tables `[env.…]`")
    return known


def _unread(error: Exception) -> str:
    """Say why a file is not read; the text of a TOML error may quote it."""
    reason = "cannot be read" if isinstance(error, OSError) else "is not TOML"
    return f"{reason}, so no environment is known"


def _unusable(path: Path, reason: str) -> InvalidSettings:
    remedy = 'Write the file beside `alembic.ini`: `[env.dev]`, and in it `function = "…"`.'
    return InvalidSettings(f"`{_shown(path)}` {reason}.", remedy)


def _shown(path: Path) -> str:
    return os.path.relpath(path)
