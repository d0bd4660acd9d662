"""The file that `migrate sizes --json` writes: the sizes of a database's tables, for a plan without that database."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.errors import InvalidSettings, translating
from runner.project import shown
from runner.results import TableSize

OLDEST_VERSION = "14.0"
"""The oldest version of PostgreSQL that the runner supports, whose rules are the strictest."""
REMEDY = "Write one where the database is reached: `migrate sizes --json > sizes.json`."
Number = Annotated[int, Field(ge=0)]


class _Table(BaseModel):
    # more fields may come from a newer version
    model_config = ConfigDict(strict=True)
    table: str
    rows: Number | None
    bytes: Number


class _File(BaseModel):
    model_config = ConfigDict(strict=True)
    status: Literal["success"]
    action: Literal["sizes"]
    tables: list[_Table]
    server_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]


@dataclass(frozen=True)
class Sizes:
    """The sizes of a database's tables, by name."""

    tables: dict[str, TableSize]
    server_version: str = OLDEST_VERSION

    def estimate(self, names: Iterable[str]) -> dict[str, TableSize]:
        """Return the sizes of the tables called `names`, those that are known."""
        return {name: self.tables[name] for name in sorted(names) if name in self.tables}


def read(path: Path) -> Sizes:
    """Read the sizes in a file. Raises `InvalidSettings` for any other than an answer of `migrate sizes --json`."""
    with (
        translating((OSError, ValueError, RecursionError), lambda error: _unusable(path, error)),
        translating(ValidationError, lambda error: _unlike(path, error)),
    ):
        # from bytes: PowerShell writes UTF-16, which `json` recognizes
        file = _File.model_validate(json.loads(path.read_bytes()))
    return Sizes({one.table: TableSize(one.table, one.rows, one.bytes) for one in file.tables}, file.server_version)


def _unusable(path: Path, error: BaseException) -> InvalidSettings:
    reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read as JSON"
    return InvalidSettings(f"The file of sizes `{shown(path)}` {reason}.", REMEDY)


def _unlike(path: Path, error: ValidationError) -> InvalidSettings:
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    told = problem["msg"][:1].lower() + problem["msg"][1:]
    at = f"its `{place}` is wrong: {told}" if place else told
    reason = f"The file of sizes `{shown(path)}` is no answer of `migrate sizes --json`; {at}."
    return InvalidSettings(reason, REMEDY)
