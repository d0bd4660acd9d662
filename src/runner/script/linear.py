"""A history without branches, read without Alembic, which takes most of a start; nearly every history is one."""

from configparser import ConfigParser, Error
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from runner.errors import UnknownRevision
from runner.script import identifiers
from runner.script.identifiers import RevisionFiles, Signature
from runner.settings import Settings

UNUSUAL = frozenset({"version_locations", "recursive_version_locations", "sourceless"})
"""Settings by which Alembic finds revisions in other places than one folder."""


@dataclass(frozen=True)
class LinearHistory:
    """The ids of revisions of which each follows the one before, oldest first."""

    revisions: tuple[str, ...]

    @property
    def heads(self) -> list[str]:
        """Return the ids of the heads, of which a linear history has one."""
        return [self.revisions[-1]]

    def pending(self, heads: tuple[str, ...]) -> list[str]:
        """Return the ids of the revisions after the database's `heads`, oldest first.

        Raises `UnknownRevision` for a head without a file.
        """
        if unknown := set(heads) - set(self.revisions):
            raise unknown_heads(sorted(unknown), sorted(set(heads) - unknown))
        return list(self.revisions[max((self.revisions.index(head) + 1 for head in heads), default=0) :])


def read(settings: Settings) -> LinearHistory | None:
    """Return the linear history; None if it branches, or if only Alembic can read it.

    Raises `UnknownRevision` for two files with the same id.
    """
    config = settings.alembic_config
    try:
        folder = _folder(config.absolute(), identifiers.signature(config.stat()))
        revisions = identifiers.read(folder) if folder is not None else None
    except OSError:
        # `graph.load`, which the caller turns to, has the error for a missing file
        return None
    if revisions is None:
        return None
    identifiers.refuse_twice(revisions.identified)
    return _order(revisions)


def unknown_heads(names: list[str], known: list[str]) -> UnknownRevision:
    """Return the error for a database whose heads `names` have no file here, beside the `known` ones."""
    advice = "Use the image, or the branch, that has it."
    # most often the image is only older, for which a stamp would be the wrong advice
    if known or "" in names:
        stamp = f"alembic stamp --purge {' '.join(known) or 'REVISION'}"
        advice = f"Use the image, or the branch, that has it; if none has, `{stamp}` replaces the rows."
    return UnknownRevision(f"The database is at `{', '.join(names)}`, which is not among the revisions here.", advice)


@lru_cache(maxsize=1)
def _folder(config: Path, _unchanged: Signature) -> Path | None:
    """Return the folder of the revisions, None if `alembic.ini` has one of the settings `UNUSUAL`.

    `_unchanged` is the signature of `config`: with it in the key of the cache, an edited file is read again.
    """
    # a `%` in a value begins an interpolation, `here` included
    parser = ConfigParser({"here": str(config.parent).replace("%", "%%")})
    try:
        parser.read(config)
        options = dict(parser["alembic"]) if "alembic" in parser else {}
    except (Error, UnicodeError):
        return None
    usual = "script_location" in options and not UNUSUAL & options.keys()
    return Path(options["script_location"]) / "versions" if usual else None


@lru_cache(maxsize=1)
def _order(revisions: RevisionFiles) -> LinearHistory | None:
    following: dict[str | None, str] = {}
    for file in revisions.files:
        values = file.identifiers
        if values is None or isinstance(values["down_revision"], tuple) or values.get("depends_on"):
            return None
        following[values["down_revision"]] = values["revision"]
    line: list[str] = []
    while (after := following.pop(line[-1] if line else None, None)) is not None:
        line.append(after)
    # a file that is left over is on a branch: its parent has another child, or no file
    return LinearHistory(tuple(line)) if line and len(line) == len(revisions.files) else None
