"""All use of Alembic's undocumented names, and of the one method that is replaced.

Read for Alembic 1.20.1: each docstring gives the file of the package and the names that were read there. A release may
change them without notice, so `tests/unit/test_alembic_internals.py` fails for another version, for a missing name and
for another module that uses one. Read these places before you raise the version in `constraints.txt`.

Documented names (https://alembic.sqlalchemy.org/en/latest/api/) are used wherever they are needed, and so are three
attributes that the documentation only omits: `MigrationContext.script`, and `info` and `doc` of a step.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import Revision, RevisionError, RevisionMap
from alembic.util import CommandError, load_python_file, to_tuple

READ_FOR = "1.20.1"

AlembicStep = RevisionStep | StampStep
"""A revision in a direction, as Alembic runs it. `runtime/migration.py`: the classes, and `info`, `doc`."""
UNRESOLVED = (CommandError, RevisionError)
"""The exceptions of this module and of `ScriptDirectory` for a target that does not exist."""


def find_steps(script: ScriptDirectory, direction: str, target: Any, heads: tuple[str, ...]) -> list[AlembicStep]:
    """Return the steps from `heads` to `target`; `direction` is `upgrade`, `downgrade` or `stamp`.

    Raises the exceptions of `UNRESOLVED`, and `AttributeError` for a revision without a function of that name.
    `script/base.py`: `ScriptDirectory._upgrade_revs`, `_downgrade_revs`, `_stamp_revs`, called as `command.py` does.
    """
    find: Any = {"upgrade": script._upgrade_revs, "downgrade": script._downgrade_revs, "stamp": script._stamp_revs}
    return list(find[direction](target, heads))


def make_step(script: ScriptDirectory, revision: Script, *, upgrades: bool) -> AlembicStep:
    """Return the step of one revision, whatever the heads are. Raises `AttributeError` without that function.

    `runtime/migration.py`: `RevisionStep.__init__`; `script/base.py`: `ScriptDirectory.revision_map`.
    """
    return RevisionStep(script.revision_map, revision, upgrades)


def revision_error(error: Exception) -> BaseException | None:
    """Return the `RevisionError` behind a `CommandError`: it has fields, the latter has only a sentence.

    `script/base.py`: `ScriptDirectory._catch_revision_errors` raises the latter from the former.
    """
    return error.__cause__


def is_ambiguous(error: Exception) -> bool:
    """Return whether a relative target fits several revisions, an error that has no class of its own.

    `script/revision.py`: the texts of `RevisionMap._walk` and `_parse_upgrade_target`.
    """
    # one of the texts begins with "Ambiguous"
    return "mbiguous" in str(error)


def all_parents(revision: Script) -> tuple[str, ...]:
    """Return the ids of the revisions directly before `revision`, and of those that it depends on.

    `script/revision.py`: `Revision._all_down_revisions`.
    """
    return revision._all_down_revisions


def run(step: AlembicStep, migration: MigrationContext) -> None:
    """Call a step's `upgrade()` or `downgrade()` with `alembic.op` bound to `migration`, and do nothing else.

    `runtime/migration.py`: `migration_fn`, which `MigrationContext.run_migrations` calls. `operations/base.py`:
    `Operations.context`, `_install_proxy`, `_remove_proxy`.
    """
    # `Operations.context` would leave `alembic.op` bound after an exception
    operations = Operations(migration)
    operations._install_proxy()
    try:
        step.migration_fn()
    finally:
        operations._remove_proxy()


def wrap(step: AlembicStep, around: Callable[[Callable[[], None]], None]) -> None:
    """Replace a step's `upgrade()` or `downgrade()` by a call of `around`, which is given the function itself.

    `runtime/migration.py`: `migration_fn`, an attribute of the step that `MigrationContext.run_migrations` calls.
    """
    body = step.migration_fn

    def run_body(**options: Any) -> None:
        around(lambda: body(**options))

    step.migration_fn = run_body


def adopt_transaction(migration: MigrationContext) -> None:
    """Make Alembic commit the transaction that its connection has now.

    After a `commit()` of the revision, which had nothing to commit, Alembic would close the transaction that it began.
    `runtime/migration.py`: `MigrationContext._transaction`, which `autocommit_block` replaces in the same way.
    """
    assert migration.connection is not None  # noqa: S101 - online mode always has one
    if migration._transaction is not migration.connection.get_transaction():
        migration._transaction = migration.connection.get_transaction() or migration.connection.begin()


def replace_autocommit_block(migration: MigrationContext, block: Callable[[], Iterator[None]]) -> None:
    """Replace `op.get_context().autocommit_block()` by the generator function `block`, for this context only.

    `runtime/migration.py`: `MigrationContext.autocommit_block` commits, runs the block in AUTOCOMMIT and begins a
    transaction; Alembic itself never calls it, only revisions do.
    """
    migration.autocommit_block = contextmanager(block)  # type: ignore[method-assign] # on this one object


def purges(migration: MigrationContext) -> bool:
    """Return whether the rows of the version table are to be removed first, as by `alembic stamp --purge`.

    `runtime/migration.py`: `MigrationContext.purge`.
    """
    return bool(migration.purge)


def defer_purge(migration: MigrationContext) -> None:
    """Leave the rows that `purges` is about to whoever yields the steps; those then begin at no revision.

    Alembic removes them before it asks for the steps. `runtime/migration.py`: `MigrationContext._ensure_version_table`,
    which `MigrationContext.run_migrations` calls.
    """
    ensure = migration._ensure_version_table
    migration._ensure_version_table = lambda purge=False: ensure()  # type: ignore[method-assign] # on this one object


def ensure_version_table(migration: MigrationContext) -> None:
    """Make the version table unless it exists. `runtime/migration.py`: `MigrationContext._ensure_version_table`."""
    migration._ensure_version_table()


def ensures_version_table(find_steps: Callable[..., Any] | None) -> bool:
    """Return whether a command's function, which would find its steps, makes the version table and finds none.

    `command.py`: `ensure_version` passes `do_ensure_version`, and no destination.
    """
    return getattr(find_steps, "__name__", "") == "do_ensure_version"


def replace_connection(migration: MigrationContext, connection: Any) -> None:
    """Replace the connection to which `migration` sends its statements.

    `runtime/migration.py`: `connection` and `impl.connection`; `MigrationContext.autocommit_block` replaces both too.
    """
    migration.connection = migration.impl.connection = connection


def reinstate(migration: MigrationContext) -> None:
    """Bind `alembic.context` to the environment of `migration` again, after another environment was entered and left.

    `runtime/environment.py`: `EnvironmentContext.__enter__` only binds it, `__exit__` only unbinds it.
    `runtime/migration.py`: `MigrationContext.environment_context`.
    """
    assert migration.environment_context is not None  # noqa: S101 - `EnvironmentContext.configure` sets it
    # whoever entered it first leaves it; this call needs no `__exit__` of its own
    migration.environment_context.__enter__()


def options(migration: MigrationContext) -> Mapping[str, Any]:
    """Return the keyword arguments of `EnvironmentContext` and of its `configure`.

    `runtime/migration.py`: `MigrationContext.opts`. `command.py` passes `fn`, which finds the steps, and
    `destination_rev` for a command that changes the database.
    """
    return migration.opts


def version_length(migration: MigrationContext) -> int | None:
    """Return how many characters of a revision's id Alembic's version table would hold; None without a limit.

    `runtime/migration.py`: `MigrationContext._version`, the table that Alembic makes; `ddl/impl.py`:
    `DefaultImpl.version_table_impl`, which an `env.py` may override.
    """
    length: int | None = getattr(migration._version.c.version_num.type, "length", None)
    return length


def command_name(config: Config) -> str | None:
    """Return the function of `alembic.command` that Alembic's command line runs; None if Alembic was called otherwise.

    `config.py`: `CommandLine` stores it in `Config.cmd_opts.cmd`, together with its arguments.
    """
    command = getattr(config.cmd_opts, "cmd", None)
    return command[0].__name__ if command else None


def typed(config: Config) -> tuple[list[str], str | None]:
    """Return the options before the command, as they were typed, and its one target; None of none, or of several.

    `config.py`: `CommandLine` stores them in `Config.cmd_opts`. Its own `-x plan=…` and `-x confirm=…` are not among
    them, since what follows may name others.
    """
    given = config.cmd_opts
    options = [word for file in getattr(given, "config", None) or () for word in ("-c", str(file))]
    name = getattr(given, "name", None)
    options += ["-n", name] if name not in {None, "alembic"} else []
    others = [one for one in getattr(given, "x", None) or () if one.partition("=")[0] not in {"plan", "confirm"}]
    options += [word for one in others for word in ("-x", one)]
    targets = getattr(given, "revisions", None) or [getattr(given, "revision", None)]
    return options, targets[0] if len(targets) == 1 else None


def is_command_line(config: Config) -> bool:
    """Return whether Alembic's command line is running. `config.py`: `CommandLine` sets `Config.cmd_opts`."""
    return config.cmd_opts is not None


def folder(script: ScriptDirectory) -> Path:
    """Return the folder that `script_location` names. `script/base.py`: `ScriptDirectory.dir`."""
    return Path(script.dir)


def looks_elsewhere(script: ScriptDirectory) -> bool:
    """Return whether revisions may be other files than the `.py` files of one folder.

    `script/base.py`: `ScriptDirectory.sourceless`, `recursive_version_locations`, `version_locations`.
    """
    return script.sourceless or script.recursive_version_locations or len(script.version_locations) > 1


def take_revisions(script: ScriptDirectory, load: Callable[[], Iterable[Script]]) -> None:
    """Build the graph of `script` from the revisions that `load` returns, instead of importing every file.

    `script/base.py`: `ScriptDirectory.revision_map`, which all its methods use, and which calls `load` once.
    """
    script.revision_map = RevisionMap(load)


def load_script(script: ScriptDirectory, path: str) -> Script | None:
    """Import a file as Alembic does; None if it is no revision. `script/base.py`: `Script._from_path`."""
    return Script._from_path(script, path)


def load_scripts(script: ScriptDirectory) -> Iterator[Script]:
    """Import the files of every folder of revisions as Alembic does, but for those that macOS makes (`._*`).

    `script/base.py`: `ScriptDirectory._load_revisions`, with its `_version_locations`, and `Script._list_py_dir`.
    """
    folders = [folder for folder in script._version_locations if folder.exists()]
    paths = [path.resolve() for folder in folders for path in Script._list_py_dir(script, folder)]
    # Alembic warns of a folder that is given twice, and reads it once
    for path in dict.fromkeys(paths):
        loaded = None if path.name.startswith("._") else load_script(script, str(path))
        if loaded is not None:
            yield loaded


def init_unread(script: Script, path: str, identifiers: Mapping[str, Any]) -> None:
    """Initialize `script` from the identifiers at the head of its file, without importing it.

    `script/base.py`: `Script.__init__`, which is not called: it sets `module` and `path`, reads the same four names
    from the module, and passes them to `script/revision.py`: `Revision.__init__`.
    """
    script.path = path
    Revision.__init__(
        script,
        identifiers.get("revision", ""),
        identifiers.get("down_revision"),
        identifiers.get("depends_on"),
        identifiers.get("branch_labels"),
    )


def load_module(path: str) -> ModuleType:
    """Import a revision's file, without a cache. `util/pyfiles.py`: `load_python_file`."""
    return load_python_file(*os.path.split(path))


def as_tuple(value: Any) -> tuple[Any, ...] | None:
    """Return the value of an identifier (one id, several or None) as Alembic reads it.

    `util/langhelpers.py`: `to_tuple`.
    """
    # annotated, since `to_tuple` returns Any
    ids: tuple[Any, ...] | None = to_tuple(value)
    return ids
