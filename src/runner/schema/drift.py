"""Drift: the differences between a database and the snapshot of its revision.

A difference that is to stay is accepted in `alembic/accepted_drift.toml`:

    [[accepted]]
    at = ["tables", "public.leads", "indexes", "leads_origem"]
    found = "CREATE INDEX leads_origem ON public.leads USING btree (origem)"
    reason = "Made by hand for the report of March; revision 021 will take it over."

`at` is the path of the difference in the catalog, `found` the exact text that the database has there: if that text
changes, it is drift again. `found` is left out if the database has nothing there. For a whole object (two names in
`at`) it is a noun and the beginning of the object's SHA-256, such as `a table, sha256 5f0c…`.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import InvalidSettings, translating
from runner.schema import catalog
from runner.schema.catalog import Catalog, Difference

FILE = "accepted_drift.toml"
FIELDS = {"at", "found", "reason"}
PATH_LENGTHS = (2, 4)
"""The lengths of an object's path, and of the path of a part of it."""


@dataclass(frozen=True)
class Accepted:
    """One entry of the file: a difference, and the reason why it may stay."""

    at: tuple[str, ...]
    found: str | None
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Return whether the entry accepts this difference: the same path, with the same text in the database."""
        return self.at == difference.path and self.found == catalog.describe(difference.path, difference.actual)


@dataclass(frozen=True)
class Comparison:
    """A database compared with a snapshot."""

    differences: tuple[Difference, ...]
    """The drift: differences that no entry accepts."""
    accepted: tuple[tuple[Difference, Accepted], ...]
    unused: tuple[Accepted, ...]
    """Entries that accept nothing."""


def find(expected: Catalog, actual: Catalog, accepted: tuple[Accepted, ...]) -> Comparison:
    """Compare the catalog of a snapshot with the catalog of a database."""
    differences = tuple(catalog.compare(expected, actual))
    covered = tuple((difference, entry) for difference in differences for entry in accepted if entry.covers(difference))
    paths = {difference.path for difference, _ in covered}
    return Comparison(
        tuple(difference for difference in differences if difference.path not in paths),
        covered,
        tuple(entry for entry in accepted if not any(entry.covers(difference) for difference in differences)),
    )


def load(schema: Path) -> tuple[Accepted, ...]:
    """Return the entries of the file in the parent of `schema`, the folder of the snapshots; none without the file.

    Raises `InvalidSettings` for a file with an error.
    """
    path = schema.parent / FILE
    if not path.exists():
        return ()
    with translating((ValueError, RecursionError), lambda error: _broken(f"is not valid TOML: {error}")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = content.get("accepted", [])
    if content.keys() - {"accepted"} or not isinstance(entries, list):
        raise _broken("may contain only `[[accepted]]` entries")
    return tuple(_entry(number, entry) for number, entry in enumerate(entries, 1))


def render(difference: Difference) -> str:
    """Return the text of the entry that accepts a difference; its reason is empty, for a person to write."""
    found = catalog.describe(difference.path, difference.actual)
    lines = ["[[accepted]]", f"at = [{', '.join(map(_string, difference.path))}]"]
    if found is not None:
        lines.append(f"found = {_string(found)}")
    return "\n".join([*lines, 'reason = ""']) + "\n"


def _entry(number: int, entry: Any) -> Accepted:
    """Return one entry of the file, or raise `InvalidSettings`."""
    if not isinstance(entry, dict):
        raise _broken(f"has an entry {number} that is not a table")
    if unknown := sorted(entry.keys() - FIELDS):
        raise _broken(f"has an unknown field `{unknown[0]}` in entry {number}")
    at, found, reason = _path(entry.get("at")), entry.get("found"), entry.get("reason")
    if len(at) not in PATH_LENGTHS:
        raise _broken(f"requires a list of two or four names in `at` of entry {number}")
    if not (found is None or isinstance(found, str)):
        raise _broken(f"requires a string in `found` of entry {number}")
    if not (isinstance(reason, str) and reason.strip()):
        raise _broken(f"has no `reason` in entry {number}")
    return Accepted(at, found, reason)


def _path(at: Any) -> tuple[str, ...]:
    """Return a path, empty if `at` is no list of names."""
    return tuple(at) if isinstance(at, list) and all(isinstance(name, str) for name in at) else ()


def _broken(problem: str) -> InvalidSettings:
    return InvalidSettings(f"`alembic/{FILE}` {problem}.", "Correct the file, then run the same command again.")


def _string(text: str) -> str:
    """Return a TOML string."""
    # the escapes are JSON's, except that TOML also escapes DEL: https://toml.io/en/v1.0.0#string
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
