"""The function of an environment: from `migrate.toml`, or named directly."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import project, settings
from runner.errors import InvalidSettings, translating

FUNCTIONS = ("function", "agent", "purge")
"""The keys that name functions: the runner, and the two of the dispatch agent."""
KEYS = (*FUNCTIONS, "region", "profile")


@dataclass(frozen=True)
class Environment:
    """A function, and the region and profile to reach it with; where they are None, boto3's defaults apply."""

    option: str
    """The option of the command line that selects it, such as `--env dev`."""
    function: str
    """A name, a partial or a full ARN, with or without a qualifier."""
    region: str | None = None
    aws_profile: str | None = None
    protected: str | None = None
    """The name of the environment where it is protected, and so has its runner called by the state machine."""

    @property
    def name(self) -> str:
        """Return the function's name, without the rest of an ARN and without a qualifier."""
        # `name:qualifier`, or `…:function:name:qualifier`; a function may itself have the name `function`
        parts = self.function.split(":")
        return parts[parts.index("function") + 1] if "function" in parts[:-1] else parts[0]


def of_function(function: str) -> Environment:
    """Return the environment of a function that is named directly; its region is that of the ARN, if it is one."""
    parts = function.split(":")
    return Environment(f"--function {function}", function, parts[3] if parts[0] == "arn" and len(parts) > 3 else None)


def read(environ: Mapping[str, str], env: str, key: str = "function") -> Environment:
    """Return the environment `env` of `migrate.toml`, which lies beside `alembic.ini`, with the function under `key`.

    Raises `InvalidSettings` where the file, the table `[env.NAME]` or one of its keys is missing or invalid.
    """
    path = settings.project_file(environ).parent / project.FILE
    tables = _environments(path)
    names = ", ".join(f"`{name}`" for name in sorted(tables)) or "none"
    table = tables.get(env)
    if not isinstance(table, dict):
        raise InvalidSettings(
            f"`{project.shown(path)}` has no table `[env.{env}]`; its environments are {names}.",
            "Use one of them, or add the table to the file.",
        )
    # an unknown key is an error, since a misspelt `region` would invoke a function of another region
    odd = sorted(name for name, value in table.items() if name not in KEYS or not isinstance(value, str) or not value)
    if odd or key not in table:
        wrong = f"has a wrong {' and '.join(f'`{name}`' for name in odd)}" if odd else f"lacks `{key}`"
        raise InvalidSettings(
            f"`[env.{env}]` in `{project.shown(path)}` {wrong}; the environments of the file are {names}.",
            "An environment has `function`, and optionally `agent`, `purge`, `region` and `profile`, each a string.",
        )
    # an ARN in the file has a region as well
    direct = of_function(table[key])
    protected = env if key == "function" and settings.project_of(environ).protects(env) else None
    region = table.get("region", direct.region)
    return Environment(f"--env {env}", direct.function, region, table.get("profile"), protected)


def _environments(path: Path) -> dict[str, Any]:
    with translating((OSError, ValueError, RecursionError), lambda error: _unusable(path, _unread(error))):
        content = tomllib.loads(path.read_text("utf-8"))
    tables = content.get("env", {})
    odd = sorted(content.keys() - {"env", "project"})
    if odd or not isinstance(tables, dict):
        names = " and ".join(f"`{name}`" for name in odd) or "an `env` that is not a table"
        raise _unusable(path, f"contains {names} besides the tables `[env.…]`")
    return tables


def _unread(error: Exception) -> str:
    """Return why a file could not be read, without the error's text, which may quote the file."""
    reason = "cannot be read" if isinstance(error, OSError) else "is not valid TOML"
    return f"{reason}, so no environment is known"


def _unusable(path: Path, reason: str) -> InvalidSettings:
    remedy = 'Write the file beside `alembic.ini`, with a table `[env.dev]` that sets `function = "…"`.'
    return InvalidSettings(f"`{project.shown(path)}` {reason}.", remedy)
