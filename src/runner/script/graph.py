"""The graph of the revision files, and the routes through it from a database's heads to a target."""

import difflib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script import revision as alembic_revision
from alembic.util import CommandError

from runner.answer import Direction
from runner.errors import InvalidSettings, MigrationError, MultipleHeads, RevisionFailed, UnknownRevision, translating
from runner.script import alembic_internals, failure, identifiers, syntax
from runner.script.alembic_internals import UNRESOLVED, as_tuple
from runner.script.identifiers import RevisionFile
from runner.script.linear import unknown_heads
from runner.script.step import Route, Step
from runner.script.syntax import Checksums
from runner.settings import Settings

if TYPE_CHECKING:
    from runner.results import DescribedRevision

# For these Alembic would report success and do nothing, or go to several heads at once.
REFUSED_TARGETS = {"upgrade": ("base", "heads"), "downgrade": ("head", "heads"), "stamp": ("heads",)}
REFUSED_SIGN = {"upgrade": "-", "downgrade": "+", "stamp": None}
ACCEPTED_TARGETS = {
    "upgrade": "Name a revision, `head`, or steps such as `+1`.",
    "downgrade": "Name a revision, `base`, or steps such as `-1`.",
    "stamp": "Name a revision, `head` or `base`.",
}


@dataclass(frozen=True)
class Revisions:
    """Alembic's configuration, and the graph of revisions that it names."""

    config: Config
    script: ScriptDirectory

    @property
    def folder(self) -> Path:
        """Return the folder of the revision files."""
        return Path(self.script.versions)

    @property
    def heads(self) -> list[str]:
        """Return the ids of the heads, sorted."""
        return sorted(self.script.get_heads())

    def import_all(self) -> None:
        """Import every revision in Alembic's order. Raises `RevisionFailed` for the first that cannot be imported."""
        _import_all(self.script)

    def pending(self, heads: tuple[str, ...]) -> list[str]:
        """Return the ids of the revisions that a database at `heads` lacks, in the order in which they run."""
        return [step.revision for step in _steps(self.script, "upgrade", "heads", _own_rows(self.script, heads))]


class UnreadScript(Script):
    """A revision of which the identifiers are known; its file is imported when `module` is first read."""

    def __init__(self, file: RevisionFile, import_before: Callable[[], None]) -> None:
        self.checksum = file.checksum
        self.identifiers = file.identifiers or {}
        self.import_before = import_before
        alembic_internals.init_unread(self, file.path, self.identifiers)

    @property
    def module(self) -> ModuleType:  # type: ignore[override] # an attribute of Alembic's class, which imports first
        """Import the file, once.

        Raises `RevisionFailed` if that fails, or if the module differs from the text that was read.
        """
        self.import_before()
        return self._module

    @cached_property
    def _module(self) -> ModuleType:
        # a revision's import may raise anything
        with translating(failure.RAISED, lambda error: failure.of_file(error, self.path)):
            module = alembic_internals.load_module(self.path)
        difference = self._difference(module)
        if difference is not None:
            file = Path(self.path)
            raise RevisionFailed(file.stem, file.name, None, difference)
        return module

    def _difference(self, module: ModuleType) -> str | None:
        """Return how the module differs from the text that was read, None if it does not."""
        # code may assign an identifier without naming it in the text, for example through `globals()`
        for name in identifiers.NAMES:
            if as_tuple(getattr(module, name, None)) != as_tuple(self.identifiers.get(name)):
                return f"its `{name}` differs from what its text says"
        # possible while the run waits for the lock; the ledger must have the checksum of the text that ran
        edited = identifiers.checksum(Path(self.path).read_bytes()) != self.checksum
        return "it was edited after the run began" if edited else None


def load(settings: Settings, *, may_be_empty: bool = False, runs: bool = False) -> Revisions:
    """Read `alembic.ini` and the identifiers of every revision; a revision is imported when something of it is needed.

    `runs` says that revisions may run: then the first import imports all of them in Alembic's order, since one may rely
    on what another imports. Raises `InvalidSettings` without an `alembic.ini` or, unless `may_be_empty`, without a
    revision; `RevisionFailed` for a revision that has to be imported and cannot be; `UnknownRevision` for a missing
    parent, or for two files with the same id.
    """
    path = settings.alembic_config
    if not path.is_file():
        raise InvalidSettings(
            f"There is no `{path}`.",
            "Run from the project's folder, or set `ALEMBIC_CONFIG` to its `alembic.ini`.",
        )
    folder = path.resolve().parent
    with translating(failure.RAISED, lambda error: failure.of_import(error, folder)):
        config = Config(str(path))
        script = ScriptDirectory.from_config(config)
    take(script, folder, runs=runs)
    if not script.get_heads() and not may_be_empty:
        raise InvalidSettings(
            f"There is no revision in `{script.versions}`.",
            "Point `script_location` in `alembic.ini` to the folder that has them, or create one with `migrate new`.",
        )
    return Revisions(config, script)


def take(script: ScriptDirectory, project: Path, *, runs: bool) -> None:
    """Build the graph of `script` as `load` does, also where Alembic made it; `project` is the folder of `alembic.ini`.

    Raises the errors of a revision that `load` raises.
    """
    # a revision's import may raise anything
    with translating(failure.RAISED, lambda error: failure.of_import(error, project)):
        _take(script, runs)
        script.get_heads()


def run_environment(script: ScriptDirectory, *, needs_models: bool = True) -> None:
    """Run the project's `env.py`. Raises `EnvironmentFailed` for an exception of its own, or of what it imports.

    Raises the ImportError itself where the models are not needed, which an image may lack.
    """
    path = script.env_py_location

    def explain(error: BaseException) -> MigrationError | None:
        passes = isinstance(error, ImportError) and not needs_models
        return None if passes else failure.of_environment(error, path)

    with translating(failure.RAISED, explain):
        script.run_env()


def _take(script: ScriptDirectory, runs: bool) -> None:
    """Build the graph of `script` from the identifiers of the files."""
    if alembic_internals.looks_elsewhere(script):
        alembic_internals.take_revisions(script, lambda: _unique(alembic_internals.load_scripts(script)))
        return
    before = _Once(partial(_import_all, script)) if runs else _nothing
    files = identifiers.read(Path(script.versions)).files
    alembic_internals.take_revisions(
        script, lambda: _unique(one for file in files if (one := _script(script, file, before)))
    )


def _unique(found: Iterable[Script]) -> list[Script]:
    """Return the revisions. Raises `UnknownRevision` for two files with the same id: Alembic would take the last."""
    scripts = list(found)
    for script in scripts:
        # Alembic would leave out one that is empty
        if not script.revision or not isinstance(script.revision, str):
            file = Path(script.path)
            raise RevisionFailed(file.stem, file.name, None, "its `revision` is no id")
    identifiers.refuse_twice((script.revision, str(script.path)) for script in scripts)
    return scripts


class _Once:
    """A function that does its work in the first call only, also where that work calls it again."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.begun = False

    def __call__(self) -> None:
        if not self.begun:
            self.begun = True
            self.work()


def _nothing() -> None:
    """Do nothing."""


def _import_all(script: ScriptDirectory) -> None:
    # the order of the files' names, as in Alembic's `ScriptDirectory`, and not that of the graph
    for revision in sorted(script.walk_revisions(), key=lambda one: str(one.path)):
        _ = revision.module


def _script(script: ScriptDirectory, file: RevisionFile, before: Callable[[], None]) -> Script | None:
    with translating(failure.RAISED, lambda error: failure.of_file(error, file.path)):
        if file.identifiers is not None:
            return UnreadScript(file, before)
        # Alembic also takes an id from the file's name
        return alembic_internals.load_script(script, file.path)


def route(script: ScriptDirectory, direction: Direction, target: str, heads: tuple[str, ...]) -> Route:
    """Return the route from the database's `heads` to `target`, which may be relative; the route's target is absolute.

    Raises `UnknownRevision`, also for a target that is not in that direction, or `MultipleHeads`.
    """
    if target in REFUSED_TARGETS[direction] or target[0] == REFUSED_SIGN[direction]:
        raise UnknownRevision(f"`{direction}` does not lead to `{target}`.", ACCEPTED_TARGETS[direction])
    # Alembic would choose one of the branches by itself
    if target[0] == "-" and len(heads) > 1:
        raise UnknownRevision(
            f"`{target}` is ambiguous: the database is at {' and '.join(f'`{head}`' for head in heads)}.",
            "Name the revision to go down to.",
        )
    steps = _steps(script, direction, target, heads)
    return Route(tuple(steps), _absolute(script, target, steps, heads))


def direction(script: ScriptDirectory, target: str, heads: tuple[str, ...]) -> Direction:
    """Return the direction of `target` from `heads`.

    It is `downgrade` for `-1`, for `base` and for an applied revision that is no head, else `upgrade`. Raises
    `UnknownRevision` or `MultipleHeads`.
    """
    if target[0] in "+-" or target in ("base", "head", "heads"):
        return "downgrade" if target[0] == "-" or target == "base" else "upgrade"
    revision = get(script, target).revision
    return "downgrade" if revision in applied(script, heads) and revision not in heads else "upgrade"


def remaining(script: ScriptDirectory, direction: Direction, target: str, heads: tuple[str, ...]) -> Route:
    """Return the route from the database's `heads` to an absolute target."""
    # several heads, after a relative target on branches
    steps = _steps(script, direction, target.split(",") if "," in target else target, heads)
    return Route(tuple(steps), target)


def redo(script: ScriptDirectory, heads: tuple[str, ...], unfinished: str | None = None) -> Route:
    """Return the route that reverts the newest revision and applies it again.

    `unfinished` is the revision of an earlier `redo`: where that has reverted it and not applied it, the route applies
    it only. Raises `UnknownRevision` at base, at several heads, and for an `unfinished` one without a file.
    """
    there = applied(script, heads)
    if unfinished is not None and unfinished not in ids(script):
        raise UnknownRevision(
            f"The last `redo` reverted `{unfinished}`, which no file has now.",
            "Revert another one by name with `migrate downgrade REVISION`, then run `migrate upgrade`.",
        )
    # a stamp may have moved the database away from it
    if unfinished is not None and unfinished not in there and set(parents(get(script, unfinished))) <= there:
        return remaining(script, "upgrade", unfinished, heads)
    if len(heads) != 1:
        at = " and ".join(f"`{head}`" for head in heads)
        reason = f"The database is at {at}, so no revision is the newest one." if heads else "Nothing is applied here."
        way = "Revert by name with `migrate downgrade REVISION`, then run `migrate upgrade`."
        raise UnknownRevision(reason, way if heads else "Apply the revisions with `migrate upgrade`.")
    newest = get(script, heads[0])
    with translating(AttributeError, _without_function):
        steps = [Step(alembic_internals.make_step(script, newest, upgrades=up)) for up in (False, True)]
    return Route(tuple(steps), newest.revision)


def _steps(script: ScriptDirectory, direction: Direction, target: Any, heads: tuple[str, ...]) -> list[Step]:
    with (
        translating(UNRESOLVED, lambda error: _explain(script, error, direction, str(target), heads)),
        translating(AttributeError, _without_function),
    ):
        return [Step(step) for step in alembic_internals.find_steps(script, direction, target, heads)]


def _without_function(error: AttributeError) -> RevisionFailed:
    """Return the error for a revision without `upgrade()` or `downgrade()`."""
    module = getattr(error.obj, "__name__", "")
    file = Path(getattr(error.obj, "__file__", None) or module)
    return RevisionFailed(file.stem, file.name, None, f"it has no function `{error.name}`")


def _absolute(script: ScriptDirectory, target: str, steps: Sequence[Step], heads: tuple[str, ...]) -> str:
    """Return the absolute target: a later attempt begins at other heads, where a relative one would go further."""
    if target[0] not in "+-":
        named = script.get_revision(target)
        return named.revision if named else "base"
    ends = steps[-1].ends if steps else heads
    return ",".join(ends) or "base"


def get(script: ScriptDirectory, target: str) -> Script:
    """Return the one revision that `target` names. Raises `UnknownRevision` or `MultipleHeads`."""
    if target[0] in "+-":
        raise UnknownRevision(f"`{target}` is not a revision.", "Name one, or `head`.")
    with translating(CommandError, lambda error: _explain(script, error, "show", target, ())):
        revision = script.get_revision(target)
    if revision is None:
        raise UnknownRevision(f"`{target}` is not a revision.", "List them with `migrate history`.")
    return revision


def applied(script: ScriptDirectory, heads: tuple[str, ...]) -> set[str]:
    """Return the ids of the revisions that a database at `heads` has applied."""
    return {revision.revision for revision in applied_scripts(script, heads)}


def applied_scripts(script: ScriptDirectory, heads: tuple[str, ...]) -> list[Script]:
    """Return the revisions that a database at `heads` has applied, newest first."""
    heads = _own_rows(script, heads)
    with translating(UNRESOLVED, lambda error: _explain(script, error, "upgrade", "head", heads)):
        return list(script.iterate_revisions(heads, "base")) if heads else []


def ids(script: ScriptDirectory) -> set[str]:
    """Return the ids of all revisions."""
    return {revision.revision for revision in script.walk_revisions()}


def implied_rows(script: ScriptDirectory, rows: tuple[str, ...]) -> set[str]:
    """Return those of the version table's rows that another row implies: Alembic keeps the newest of a line only."""
    return before(script, rows) & set(rows) if len(rows) > 1 else set()


def before(script: ScriptDirectory, names: Iterable[str]) -> set[str]:
    """Return the ids of the revisions that run before one of `names`, as its ancestors or what it depends on."""
    known = {one.revision: alembic_internals.all_parents(one) for one in script.walk_revisions()}
    found: set[str] = set()
    pending = [parent for name in names for parent in known.get(name, ())]
    while pending:
        if (name := pending.pop()) not in found:
            found.add(name)
            pending += known.get(name, ())
    return found


def _own_rows(script: ScriptDirectory, rows: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rows that no other implies: Alembic refuses the others. Raises `UnknownRevision` for an empty one."""
    if "" in rows:
        raise unknown_heads([""], [row for row in rows if row])
    implied = implied_rows(script, rows)
    return tuple(row for row in rows if row not in implied)


def parents(revision: Script) -> tuple[str, ...]:
    """Return the ids of the revisions directly before this one."""
    return as_tuple(revision.down_revision) or ()


def describe(revision: Script) -> "DescribedRevision":
    """Return a revision's id, description and parents; this imports its file."""
    # its classes take 8 ms, which a run that changes a database saves
    from runner.results import DescribedRevision

    before = ",".join(parents(revision)) or None
    return DescribedRevision(revision.revision, revision.doc, before, revision.is_head)


def checksum(revision: Script) -> str:
    """Return the SHA-256 of a revision's text in hex; line endings do not count, comments do."""
    # of the text that was read at the beginning: `UnreadScript` refuses to run any other
    if isinstance(revision, UnreadScript):
        return revision.checksum
    return identifiers.checksum(Path(revision.path).read_bytes())


def checksums(revision: Script) -> Checksums:
    """Return the checksums of a revision's text and of what it runs."""
    found, text = syntax.checksums(Path(revision.path).read_bytes()), checksum(revision)
    # edited since it was read: of the text that was read, nothing more is known
    return found if found.text == text else Checksums(text)


def lineage(script: ScriptDirectory, revision: str) -> str:
    """Return the SHA-256, in hex, of the texts of a revision and of all that run before it.

    Raises `UnknownRevision`.
    """
    # sorted by id: each text names its parents, so the order of the graph is in the texts
    texts = sorted(f"{one.revision} {checksum(one)}\n" for one in applied_scripts(script, (revision,)))
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def source(revision: Script) -> str:
    """Return a revision's text, as Python reads it."""
    return identifiers.decode(Path(revision.path).read_bytes())


def _explain(
    script: ScriptDirectory, error: Exception, direction: str, target: str, heads: tuple[str, ...]
) -> UnknownRevision | MultipleHeads:
    """Return the error for a target that Alembic does not resolve; `direction` is a verb of the caller's."""
    cause = alembic_internals.revision_error(error)
    ids = [revision.revision for revision in script.walk_revisions()]
    unknown = [head for head in heads if head not in ids]
    matches = sorted(revision_id for revision_id in ids if revision_id.startswith(target))
    # first: whatever the target is, there is no way from a head without a file
    if unknown:
        return unknown_heads(unknown, [head for head in heads if head in ids])
    if isinstance(cause, alembic_revision.MultipleHeads):
        return MultipleHeads(tuple(sorted(cause.heads)))
    if len(matches) > 1:
        names = " and ".join(f"`{match}`" for match in matches)
        return UnknownRevision(f"`{target}` is ambiguous: {names} begin with it.", "Name one of them in full.")
    if alembic_internals.is_ambiguous(error):
        return UnknownRevision(f"`{target}` is ambiguous at {_at(heads)}.", "Name the revision to go to.")
    if target[0] in "+-":
        end = "newest" if target[0] == "+" else "oldest"
        return UnknownRevision(
            f"`{target}` goes beyond the {end} revision: the database is at {_at(heads)}.",
            "List them with `migrate history`.",
        )
    if isinstance(cause, alembic_revision.RangeNotAncestorError):
        return UnknownRevision(
            f"`{target}` is not a {direction} from {_at(heads)}.",
            "List the revisions with `migrate history`.",
        )
    advice = f"{_nearest(target, ids)}List them with `migrate history`."
    return UnknownRevision(f"No revision is called `{target}`.", advice)


def _nearest(target: str, ids: Iterable[str]) -> str:
    """Return a question for the revision that was meant, such as `017_dry_run_log` for `17`; empty if none is near."""
    number = target.lstrip("0") if target[0].isdigit() else ""
    by_number = [name for name in ids if number and name.lstrip("0").startswith(number)]
    near = by_number or difflib.get_close_matches(target, ids, n=1)
    return f"Did you mean `{near[0]}`? " if len(near) == 1 else ""


def _at(heads: tuple[str, ...]) -> str:
    return f"`{', '.join(heads)}`" if heads else "`base`"
