"""The revisions as one line, oldest first, read without Alembic where they are one, which nearly all are."""

from configparser import ConfigParser, Error
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from runner.errors import UnknownRevision
from runner.script import identifiers
from runner.script.identifiers import RevisionFiles, Signature
from runner.settings import Settings

UNUSUAL = frozenset({"version_locations", "recursive_version_locations", "sourceless"})
"""Settings that let Alembic look elsewhere."""


@dataclass(frozen=True)
class LinearHistory:
    """Hold the ids of revisions that each follow the one before."""

    revisions: tuple[str, ...]

    @property
    def heads(self) -> list[str]:
        """Return the one revision that no other follows, in a list."""
        return [self.revisions[-1]]

    def pending(self, at: tuple[str, ...]) -> list[str]:
        """Return the ids of the revisions after `at`. Raises `UnknownRevision` for what is not among them."""
        if strangers := set(at) - set(self.revisions):
            raise stranger(sorted(strangers))
        return list(self.revisions[max((self.revisions.index(one) + 1 for one in at), default=0) :])


def read(settings: Settings) -> LinearHistory | None:
    """Return the line that the revisions are; None where they branch, or where Alembic has to be asked."""
    config = settings.alembic_config
    try:
        folder = _folder(config.absolute(), identifiers.signature(config.stat()))
        return _order(identifiers.read(folder)) if folder is not None else None
    except OSError:
        # Alembic tells of it in its own way
        return None


def stranger(names: list[str]) -> UnknownRevision:
    """Return how to say that the database is at revisions that are not here."""
    return UnknownRevision(
        f"The database is at `{', '.join(names)}`, which is not among the revisions here.",
        "Use the image, or the branch, that has it.",
    )


@lru_cache(maxsize=1)
def _folder(config: Path, _unchanged: Signature) -> Path | None:
    """Return where the revisions are, if `alembic.ini` says so in the usual way."""
    parser = ConfigParser({"here": str(config.parent).replace("%", "%%")})
    try:
        parser.read(config)
        found = dict(parser["alembic"]) if "alembic" in parser else {}
    except (Error, UnicodeError):
        return None
    usual = "script_location" in found and not UNUSUAL & found.keys()
    return Path(found["script_location"]) / "versions" if usual else None


@lru_cache(maxsize=1)
def _order(found: RevisionFiles) -> LinearHistory | None:
    following: dict[str | None, str] = {}
    for header in found.files:
        said = header.said
        if said is None or isinstance(said["down_revision"], tuple) or said.get("depends_on"):
            return None
        following[said["down_revision"]] = said["revision"]
    line: list[str] = []
    while (after := following.pop(line[-1] if line else None, None)) is not None:
        line.append(after)
    return LinearHistory(tuple(line)) if line and len(line) == len(found.files) else None
