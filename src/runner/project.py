"""The project's own settings: `migrate.toml`, beside `alembic.ini`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import InvalidSettings, translating

FILE = "migrate.toml"
KEYS = ("protected", "version_table", "version_table_schema")
PROTECTED = ("prod", "production", "prd", "live")
"""Environments whose names are or end in one of these are protected, whatever `migrate.toml` lists."""
LONGEST_NAME = 63
"""In bytes; PostgreSQL cuts a longer one.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
"""


@dataclass(frozen=True)
class VersionTable:
    """The table in which Alembic keeps the revisions that a database is at; each project of a database has its own."""

    name: str = "alembic_version"
    schema: str = "public"

    def __str__(self) -> str:
        """Return the qualified name as the ledger's rows have it: quoted but for lower case and underscores."""
        return ".".join(part if _is_plain(part) else quote(part) for part in (self.schema, self.name))

    @property
    def quoted(self) -> str:
        """Return the qualified name for a statement, also where a name is one of SQL's keywords."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of Alembic's `configure`, by which its statements are qualified."""
        return {"version_table": self.name, "version_table_schema": self.schema}

    @property
    def options_on_path(self) -> dict[str, Any]:
        """Return the options of Alembic's `configure` where `search_path` has `public`: to compare, or to print SQL."""
        # with the name of the default schema, autogenerate would take the table for one to be dropped
        return self.options | ({"version_table_schema": None} if self.schema == "public" else {})


def quote(name: str) -> str:
    """Return an identifier as a statement has it, in quotes."""
    return '"' + name.replace('"', '""') + '"'


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name == name.lower()


@dataclass(frozen=True)
class Project:
    """The project's own settings."""

    version_table: VersionTable = VersionTable()
    protected: tuple[str, ...] = ()
    """The environments that `migrate.toml` lists as protected."""

    def protects(self, environment: str) -> bool:
        """Return whether an environment is protected: by its name, or since the project lists it.

        There an upgrade requires a plan id, other changes require confirmation, and fewer verbs are allowed. Letters'
        case and spaces around a name do not count.
        """
        name = _fold(environment)
        listed = any(name == _fold(one) for one in self.protected)
        return listed or name.endswith(PROTECTED) or not is_name(name)


def _fold(environment: str) -> str:
    return environment.strip().casefold()


def is_name(environment: str) -> bool:
    """Return whether a text can name an environment: it consists of printable ASCII, so that it is what is seen."""
    return environment != "" and environment.isascii() and environment.isprintable()


def read(folder: Path) -> Project:
    """Return the settings that `migrate.toml` in `folder` names, and the defaults of the others.

    Raises `InvalidSettings` for a section with an unknown key or a wrong value, or that cannot be read.
    """
    path = folder / FILE
    section = _section(path)
    unknown = [key for key in section if key not in KEYS]
    wrong = unknown or [key for key in KEYS if not _is_valid(key, section.get(key))]
    # PostgreSQL's own schemas; a temporary table would be another one in each session
    if not wrong and section.get("version_table_schema", "").startswith("pg_"):
        wrong = ["version_table_schema"]
    if wrong:
        raise _unusable(path, f"has a wrong {' and '.join(f'`{key}`' for key in sorted(wrong))} in `[project]`")
    table = VersionTable(
        section.get("version_table", VersionTable.name), section.get("version_table_schema", VersionTable.schema)
    )
    return Project(table, tuple(section.get("protected", ())))


def _section(path: Path) -> dict[str, Any]:
    """Return the table `[project]`, empty where the file, which is optional, has none."""
    if not path.is_file():
        return {}
    # a RecursionError is that of values nested too deeply
    unread = (OSError, ValueError, RecursionError)
    with translating(unread, lambda _: _unusable(path, "cannot be read, or is not valid TOML")):
        content = path.read_text("utf-8-sig")
        # few have the section, and without it nothing is imported to read it; a key in quotes may be written in escapes
        if not any(word in content for word in ("project", "version_table", "protected", "\\")):
            return {}
        import tomllib

        sections = tomllib.loads(content)
    unknown = sorted(sections.keys() - {"env", "project"})
    if unknown:
        raise _unusable(
            path, f"contains {' and '.join(f'`{key}`' for key in unknown)} besides `[project]` and `[env.…]`"
        )
    section = sections.get("project", {})
    if not isinstance(section, dict):
        raise _unusable(path, "has a `project` that is not a table")
    return section


def _is_valid(key: str, value: object) -> bool:
    if value is None:
        return True
    if key == "protected":
        return isinstance(value, list) and all(isinstance(one, str) and is_name(one.strip()) for one in value)
    # a name with a NUL ends there for PostgreSQL
    return isinstance(value, str) and 0 < len(value.encode()) <= LONGEST_NAME and "\0" not in value


def _unusable(path: Path, reason: str) -> InvalidSettings:
    remedy = (
        f"`[project]` takes `version_table` and `version_table_schema`, names of at most {LONGEST_NAME} bytes, and "
        "`protected`, a list of environments."
    )
    return InvalidSettings(f"`{shown(path)}` {reason}.", remedy)


def shown(path: Path) -> str:
    """Return a path for a message: relative to the current folder."""
    return os.path.relpath(path)
