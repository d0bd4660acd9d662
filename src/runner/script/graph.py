"""The revisions on disk: what there is, and which of them lie between a database and a target."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script import revision as alembics
from alembic.util import CommandError

from runner.answer import Direction
from runner.errors import InvalidSettings, MultipleHeads, RevisionFailed, UnknownRevision, translating
from runner.script import alembic_internals, failure, identifiers
from runner.script.alembic_internals import UNRESOLVED, as_tuple
from runner.script.identifiers import RevisionFile, RevisionFiles
from runner.script.linear import stranger
from runner.script.step import Route, Step
from runner.settings import Settings

if TYPE_CHECKING:
    from runner.results import DescribedRevision

OPPOSITE = {"upgrade": ("base", "heads"), "downgrade": ("head", "heads"), "stamp": ("heads",)}
OPPOSITE_SIGN = {"upgrade": "-", "downgrade": "+", "stamp": None}
TAKES = {
    "upgrade": "Name a revision, `head`, or steps such as `+1`.",
    "downgrade": "Name a revision, `base`, or steps such as `-1`.",
    "stamp": "Name a revision, `head` or `base`.",
}


@dataclass(frozen=True)
class Revisions:
    """Hold Alembic's configuration and the graph of revisions that it points to."""

    config: Config
    script: ScriptDirectory

    @property
    def folder(self) -> Path:
        return Path(self.script.versions)

    @property
    def snapshots(self) -> Path:
        """Return the folder of the snapshots."""
        return alembic_internals.folder(self.script) / "schema"

    @property
    def heads(self) -> list[str]:
        """Return the ids of the revisions that no other follows."""
        return sorted(self.script.get_heads())

    def import_all(self) -> None:
        """Import every revision, for who is not in a hurry. Raises `RevisionFailed` for the first that does not."""
        for revision in reversed(list(self.script.walk_revisions())):
            _ = revision.module

    def pending(self, at: tuple[str, ...]) -> list[str]:
        """Return the ids of the revisions that `at` lacks, in the order in which they would run."""
        return [step.revision for step in _steps(self.script, "upgrade", "heads", at)]


class UnreadScript(Script):
    """Know a revision by the head of its file, which is imported when somebody asks for what is in it."""

    def __init__(self, header: RevisionFile) -> None:
        self.checksum = header.checksum
        self.said = header.said or {}
        alembic_internals.init_unread(self, header.path, self.said)

    @cached_property
    def module(self) -> ModuleType:  # type: ignore[override]
        """Import the file. Raises `RevisionFailed` when that fails, or when it is not what its text said."""
        # a revision's import may raise anything
        with translating(Exception, lambda error: failure.of_file(error, self.path)):
            found = alembic_internals.load_module(self.path)
        odd = self._odd(found)
        if odd is not None:
            file = Path(self.path)
            raise RevisionFailed(file.stem, file.name, None, odd)
        return found

    def _odd(self, found: ModuleType) -> str | None:
        for name in identifiers.NAMES:
            if as_tuple(getattr(found, name, None)) != as_tuple(self.said.get(name)):
                return f"its `{name}` differs from what its text says"
        # while the run waited for the lock; the ledger is to have the checksum of what ran
        edited = identifiers.checksum(Path(self.path).read_bytes()) != self.checksum
        return "it was edited after the run began" if edited else None


def load(settings: Settings, *, may_be_empty: bool = False) -> Revisions:
    """Read `alembic.ini` and the head of every revision; a revision is imported when it is about to run.

    Raises `InvalidSettings` where there is no `alembic.ini`, `RevisionFailed` for a revision that has to be
    imported and does not, `UnknownRevision` where one names a parent that is not there.
    """
    path = settings.alembic_config
    if not path.is_file():
        raise InvalidSettings(
            f"There is no `{path}`.",
            "Run from the project's folder, or set `ALEMBIC_CONFIG` to its `alembic.ini`.",
        )
    # a revision's import may raise anything
    with translating(Exception, lambda error: failure.of_import(error, path.resolve().parent)):
        config = Config(str(path))
        script = ScriptDirectory.from_config(config)
        if not alembic_internals.looks_elsewhere(script):
            _take(script, identifiers.read(Path(script.versions)))
        heads = script.get_heads()
    if not heads and not may_be_empty:
        raise InvalidSettings(
            f"There is no revision in `{script.versions}`.",
            "Point `script_location` in `alembic.ini` to the folder that has them, or create one with `migrate new`.",
        )
    return Revisions(config, script)


def _take(script: ScriptDirectory, found: RevisionFiles) -> None:
    """Have `script` know the revisions by the heads of their files."""
    alembic_internals.take_revisions(
        script, lambda: [one for header in found.files if (one := _script(script, header))]
    )


def _script(script: ScriptDirectory, header: RevisionFile) -> Script | None:
    if header.said is not None:
        return UnreadScript(header)
    # as Alembic would, which has more ways to find an id
    return alembic_internals.load_script(script, header.path)


def route(script: ScriptDirectory, direction: Direction, target: str, heads: tuple[str, ...]) -> Route:
    """Return what leads from `heads` to `target`, which becomes absolute by it.

    Raises `UnknownRevision`, also for a target that does not lie in that direction, or `MultipleHeads`.
    """
    if target in OPPOSITE[direction] or target[0] == OPPOSITE_SIGN[direction]:
        raise UnknownRevision(f"`{direction}` does not lead to `{target}`.", TAKES[direction])
    if target[0] == "-" and len(heads) > 1:
        raise UnknownRevision(
            f"`{target}` is ambiguous: the database is at {' and '.join(f'`{head}`' for head in heads)}.",
            "Name the revision to go down to.",
        )
    found = _steps(script, direction, target, heads)
    return Route(tuple(found), _absolute(script, target, found, heads))


def direction(script: ScriptDirectory, target: str, heads: tuple[str, ...]) -> Direction:
    """Return which way `target` lies: `downgrade` for `-1`, `base` and what is behind the database, else `upgrade`."""
    if target[0] in "+-" or target in ("base", "head", "heads"):
        return "downgrade" if target[0] == "-" or target == "base" else "upgrade"
    named = get(script, target).revision
    return "downgrade" if named in applied(script, heads) and named not in heads else "upgrade"


def remaining(script: ScriptDirectory, direction: Direction, target: str, heads: tuple[str, ...]) -> Route:
    """Return what is left to an absolute target."""
    found = _steps(script, direction, target.split(",") if "," in target else target, heads)
    return Route(tuple(found), target)


def _steps(script: ScriptDirectory, direction: Direction, target: Any, heads: tuple[str, ...]) -> list[Step]:
    with (
        translating(UNRESOLVED, lambda error: _explain(script, error, direction, str(target), heads)),
        translating(AttributeError, _without_function),
    ):
        return [Step(one) for one in alembic_internals.find_steps(script, direction, target, heads)]


def _without_function(error: AttributeError) -> RevisionFailed:
    """Say that a revision's module has no `upgrade` or no `downgrade`."""
    module = getattr(error.obj, "__name__", "")
    file = Path(getattr(error.obj, "__file__", None) or module)
    return RevisionFailed(file.stem, file.name, None, f"it has no function `{error.name}`")


def _absolute(script: ScriptDirectory, target: str, found: Sequence[Step], heads: tuple[str, ...]) -> str:
    if target[0] not in "+-":
        named = script.get_revision(target)
        return named.revision if named else "base"
    ends = found[-1].ends if found else heads
    return ",".join(ends) or "base"


def get(script: ScriptDirectory, target: str) -> Script:
    """Return the one revision that `target` names. Raises `UnknownRevision` or `MultipleHeads`."""
    if target[0] in "+-":
        raise UnknownRevision(f"`{target}` is not a revision.", "Name one, or `head`.")
    with translating(CommandError, lambda error: _explain(script, error, "show", target, ())):
        found = script.get_revision(target)
    if found is None:
        raise UnknownRevision(f"`{target}` is not a revision.", "List them with `migrate history`.")
    return found


def applied(script: ScriptDirectory, heads: tuple[str, ...]) -> set[str]:
    """Return the ids of the revisions that a database at `heads` has had."""
    return {one.revision for one in applied_scripts(script, heads)}


def applied_scripts(script: ScriptDirectory, heads: tuple[str, ...]) -> list[Script]:
    """Return the revisions that a database at `heads` has had, newest first."""
    with translating(UNRESOLVED, lambda error: _explain(script, error, "upgrade", "head", heads)):
        return list(script.iterate_revisions(heads, "base")) if heads else []


def parents(revision: Script) -> tuple[str, ...]:
    """Return the ids of the revisions that this one follows."""
    return as_tuple(revision.down_revision) or ()


def describe(revision: Script) -> "DescribedRevision":
    """Return what a person wants to know of a revision without reading it."""
    # its module takes 8 ms, which a run that changes a database does without
    from runner.results import DescribedRevision

    before = ",".join(parents(revision)) or None
    return DescribedRevision(revision.revision, revision.doc, before, revision.is_head)


def checksum(revision: Script) -> str:
    """Return the SHA-256 of a revision's text in hex; line endings do not count, a comment does."""
    if isinstance(revision, UnreadScript):
        return revision.checksum
    return identifiers.checksum(Path(revision.path).read_bytes())


def _explain(
    script: ScriptDirectory, error: Exception, direction: str, target: str, heads: tuple[str, ...]
) -> UnknownRevision | MultipleHeads:
    cause = alembic_internals.revision_error(error)
    known = [revision.revision for revision in script.walk_revisions()]
    strangers = [head for head in heads if head not in known]
    like = sorted(one for one in known if one.startswith(target))
    if strangers:
        return stranger(strangers)
    if isinstance(cause, alembics.MultipleHeads):
        return MultipleHeads(tuple(sorted(cause.heads)))
    if len(like) > 1:
        names = " and ".join(f"`{one}`" for one in like)
        return UnknownRevision(f"`{target}` is ambiguous: {names} begin with it.", "Name one of them in full.")
    if alembic_internals.is_ambiguous(error):
        return UnknownRevision(f"`{target}` is ambiguous at {_at(heads)}.", "Name the revision to go to.")
    if target[0] in "+-":
        end = "newest" if target[0] == "+" else "oldest"
        return UnknownRevision(
            f"`{target}` goes beyond the {end} revision: the database is at {_at(heads)}.",
            "List them with `migrate history`.",
        )
    if isinstance(cause, alembics.RangeNotAncestorError):
        return UnknownRevision(
            f"`{target}` is not a {direction} from {_at(heads)}.",
            "List the revisions with `migrate history`.",
        )
    return UnknownRevision(f"No revision is called `{target}`.", "List them with `migrate history`.")


def _at(heads: tuple[str, ...]) -> str:
    return f"`{', '.join(heads)}`" if heads else "`base`"
