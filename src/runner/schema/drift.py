"""Drift: what a database has that its revisions did not make, or lacks though they made it.

What is known and shall stay is accepted in `alembic/accepted_drift.toml`, beside the snapshots:

    [[accepted]]
    at = ["tables", "public.leads", "indexes", "leads_origem"]
    found = "CREATE INDEX leads_origem ON public.leads USING btree (origem)"
    reason = "Made by hand for the report of March; revision 021 will take it over."

`at` is the path of the difference in the catalog, `found` what the database has there, to the letter: a
difference that changes again is new drift. `found` is left out where the database has nothing. A whole object
(`at` of two names) is found as its noun and a part of its SHA-256, `a table, sha256 5f0c…`.
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
"""An object's path, and that of a part of it."""


@dataclass(frozen=True)
class Accepted:
    """One known difference, and why it may stay."""

    at: tuple[str, ...]
    found: str | None
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Tell whether this is that very difference, with the very text that was accepted."""
        return self.at == difference.path and self.found == catalog.describe(difference.path, difference.actual)


@dataclass(frozen=True)
class Found:
    """What a comparison found: the drift, what of it is accepted, and the acceptances that nothing needs."""

    differences: tuple[Difference, ...]
    accepted: tuple[tuple[Difference, Accepted], ...]
    unused: tuple[Accepted, ...]


def find(expected: Catalog, actual: Catalog, accepted: tuple[Accepted, ...]) -> Found:
    """Compare what the revisions make with what a database has."""
    differences = tuple(catalog.compare(expected, actual))
    covered = tuple((one, by) for one in differences for by in accepted if by.covers(one))
    known = {one.path for one, _ in covered}
    return Found(
        tuple(one for one in differences if one.path not in known),
        covered,
        tuple(by for by in accepted if not any(by.covers(one) for one in differences)),
    )


def load(schema: Path) -> tuple[Accepted, ...]:
    """Read the accepted drift beside the folder of the snapshots; without the file there is none.

    Raises `InvalidSettings` for a file that does not say what it means.
    """
    path = schema.parent / FILE
    if not path.exists():
        return ()
    with translating(ValueError, lambda error: _broken(f"is not valid TOML: {error}")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = content.get("accepted", [])
    if content.keys() - {"accepted"} or not isinstance(entries, list):
        raise _broken("may contain only `[[accepted]]` entries")
    return tuple(_entry(number, entry) for number, entry in enumerate(entries, 1))


def render(difference: Difference) -> str:
    """Return the entry that accepts a difference, but for the reason, which a person has to write."""
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
    """Return a path, or an empty one for what is none."""
    return tuple(at) if isinstance(at, list) and all(isinstance(name, str) for name in at) else ()


def _broken(problem: str) -> InvalidSettings:
    return InvalidSettings(f"`alembic/{FILE}` {problem}.", "Correct the file, then run the same command again.")


def _string(text: str) -> str:
    """Return a TOML string; its escapes are JSON's, but for one character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
