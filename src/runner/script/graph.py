"""The revisions on disk: what there is, and which of them lie between a database and a target."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script import revision as graph
from alembic.util import CommandError, load_python_file, to_tuple

from runner.answer import Direction
from runner.errors import InvalidSettings, MigrationError, MultipleHeads, RevisionFailed, UnknownRevision
from runner.script import failure, identifiers
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
        return Path(self.script.dir) / "schema"

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
        self.path = header.path
        self.checksum = header.checksum
        self.said = header.said or {}
        said = self.said.get
        graph.Revision.__init__(
            self, said("revision", ""), said("down_revision"), said("depends_on"), said("branch_labels")
        )

    @cached_property
    def module(self) -> ModuleType:  # type: ignore[override]
        """Import the file. Raises `RevisionFailed` when that fails, or when it is not what its text said."""
        try:
            found = load_python_file(*os.path.split(self.path))
        except Exception as error:  # noqa: BLE001 - a revision's import may raise anything
            problem = failure.of_file(error, self.path)
        else:
            odd = self._odd(found)
            if odd is None:
                return found
            file = Path(self.path)
            problem = RevisionFailed(file.stem, file.name, None, odd)
        raise problem

    def _odd(self, found: ModuleType) -> str | None:
        for name in identifiers.NAMES:
            if to_tuple(getattr(found, name, None)) != to_tuple(self.said.get(name)):
                return f"its `{name}` is not what its text says"
        # while the run waited for the lock; the ledger is to have the checksum of what ran
        edited = identifiers.checksum(Path(self.path).read_bytes()) != self.checksum
        return "it was edited since the run began" if edited else None


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
    try:
        config = Config(str(path))
        script = ScriptDirectory.from_config(config)
        if not (script.sourceless or script.recursive_version_locations or len(script.version_locations) > 1):
            script.revision_map = _graph(script, identifiers.read(Path(script.versions)))
        heads = script.get_heads()
    except MigrationError:
        raise
    except Exception as error:  # noqa: BLE001 - a revision's import may raise anything
        problem = failure.of_import(error, path.resolve().parent)
    else:
        if heads or may_be_empty:
            return Revisions(config, script)
        problem = InvalidSettings(
            f"There is no revision in `{script.versions}`.",
            "Point `script_location` in `alembic.ini` to the folder that has them, or begin with `migrate new`.",
        )
    raise problem


def _graph(script: ScriptDirectory, found: RevisionFiles) -> graph.RevisionMap:
    return graph.RevisionMap(lambda: [one for header in found.files if (one := _script(script, header))])


def _script(script: ScriptDirectory, header: RevisionFile) -> Script | None:
    if header.said is not None:
        return UnreadScript(header)
    # as Alembic would, which has more ways to find an id
    return Script._from_path(script, header.path)


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
    find: Any = {"upgrade": script._upgrade_revs, "downgrade": script._downgrade_revs, "stamp": script._stamp_revs}
    try:
        return [Step(one) for one in find[direction](target, heads)]
    except (CommandError, graph.RevisionError) as error:
        problem: MigrationError = _explain(script, error, direction, str(target), heads)
    except AttributeError as error:
        # the revision's module has no `upgrade` or no `downgrade`
        module = getattr(error.obj, "__name__", "")
        file = Path(getattr(error.obj, "__file__", None) or module)
        problem = RevisionFailed(file.stem, file.name, None, f"it has no function `{error.name}`")
    raise problem


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
    try:
        found = script.get_revision(target)
    except CommandError as error:
        problem = _explain(script, error, "show", target, ())
    else:
        if found is not None:
            return found
        problem = UnknownRevision(f"`{target}` is not a revision.", "List them with `migrate history`.")
    raise problem


def applied(script: ScriptDirectory, heads: tuple[str, ...]) -> set[str]:
    """Return the ids of the revisions that a database at `heads` has had."""
    return {one.revision for one in applied_scripts(script, heads)}


def applied_scripts(script: ScriptDirectory, heads: tuple[str, ...]) -> list[Script]:
    """Return the revisions that a database at `heads` has had, newest first."""
    try:
        return list(script.iterate_revisions(heads, "base")) if heads else []
    except (CommandError, graph.RevisionError) as error:
        problem = _explain(script, error, "upgrade", "head", heads)
    raise problem


def describe(revision: Script) -> "DescribedRevision":
    """Return what a person wants to know of a revision without reading it."""
    # its module takes 8 ms, which a run that changes a database does without
    from runner.results import DescribedRevision

    parents = ",".join(revision._versioned_down_revisions) or None
    return DescribedRevision(revision.revision, revision.doc, parents, revision.is_head)


def checksum(revision: Script) -> str:
    """Return the SHA-256 of a revision's text in hex; line endings do not count, a comment does."""
    if isinstance(revision, UnreadScript):
        return revision.checksum
    return identifiers.checksum(Path(revision.path).read_bytes())


def _explain(
    script: ScriptDirectory, error: Exception, direction: str, target: str, heads: tuple[str, ...]
) -> UnknownRevision | MultipleHeads:
    cause = error.__cause__
    known = [revision.revision for revision in script.walk_revisions()]
    strangers = [head for head in heads if head not in known]
    like = sorted(one for one in known if one.startswith(target))
    if strangers:
        return stranger(strangers)
    if isinstance(cause, graph.MultipleHeads):
        return MultipleHeads(tuple(sorted(cause.heads)))
    if len(like) > 1:
        names = " and ".join(f"`{one}`" for one in like)
        return UnknownRevision(f"`{target}` is ambiguous: {names} begin with it.", "Name one of them in full.")
    if "mbiguous" in str(error):
        return UnknownRevision(f"`{target}` is ambiguous at {_at(heads)}.", "Name the revision to go to.")
    if target[0] in "+-":
        end = "newest" if target[0] == "+" else "oldest"
        return UnknownRevision(
            f"`{target}` goes beyond the {end} revision: the database is at {_at(heads)}.",
            "List them with `migrate history`.",
        )
    if isinstance(cause, graph.RangeNotAncestorError):
        return UnknownRevision(
            f"`{target}` is not a {direction} from {_at(heads)}.",
            "List the revisions with `migrate history`.",
        )
    return UnknownRevision(f"No revision is called `{target}`.", "List them with `migrate history`.")


def _at(heads: tuple[str, ...]) -> str:
    return f"`{', '.join(heads)}`" if heads else "`base`"
