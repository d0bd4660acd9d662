"""What is used of Alembic beyond its documentation, and its one method that is replaced.

Read for Alembic 1.20.1: each function says where in its package the names stand. A release may change them without
a word, so `tests/unit/test_alembic_internals.py` fails for another version, for a name that is gone and for a
module of ours that uses one by itself. Whoever raises the version in `constraints.txt` reads these places first.

What Alembic documents (https://alembic.sqlalchemy.org/en/latest/api/) is used where it is needed. So are plain
attributes that only lack a sentence there, `MigrationContext.script` and a step's `info` and `doc`.
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
"""What the functions here, and `ScriptDirectory`, raise for a target that is not one."""


def find_steps(script: ScriptDirectory, direction: str, target: Any, heads: tuple[str, ...]) -> list[AlembicStep]:
    """Return the steps from `heads` to `target`; `direction` is `upgrade`, `downgrade` or `stamp`.

    Raises what `UNRESOLVED` lists, and `AttributeError` where a revision lacks the function of that name.
    `script/base.py`: `ScriptDirectory._upgrade_revs`, `_downgrade_revs`, `_stamp_revs`, called as `command.py` does.
    """
    find: Any = {"upgrade": script._upgrade_revs, "downgrade": script._downgrade_revs, "stamp": script._stamp_revs}
    return list(find[direction](target, heads))


def revision_error(error: Exception) -> BaseException | None:
    """Return the `RevisionError` that a `CommandError` was made of, which has fields.

    `script/base.py`: `ScriptDirectory._catch_revision_errors` raises the one from the other.
    """
    return error.__cause__


def is_ambiguous(error: Exception) -> bool:
    """Tell whether a relative target fits several revisions, for which there is no class.

    `script/revision.py`: the texts of `RevisionMap._walk` and `_parse_upgrade_target`.
    """
    return "mbiguous" in str(error)


def run(step: AlembicStep, migration: MigrationContext) -> None:
    """Call a step's `upgrade()` or `downgrade()` alone, with `alembic.op` on `migration`: no transaction, no version.

    `runtime/migration.py`: `migration_fn`, which `MigrationContext.run_migrations` calls. `operations/base.py`:
    `Operations.context`, which would leave `alembic.op` in place after a failure.
    """
    operations = Operations(migration)
    operations._install_proxy()
    try:
        step.migration_fn()
    finally:
        operations._remove_proxy()


def replace_autocommit_block(migration: MigrationContext, block: Callable[[], Iterator[None]]) -> None:
    """Have `op.get_context().autocommit_block()` run the generator function `block` instead of Alembic's method.

    `runtime/migration.py`: `MigrationContext.autocommit_block` commits, goes on in AUTOCOMMIT and begins anew; nothing
    in Alembic calls it, only revisions do.
    """
    migration.autocommit_block = contextmanager(block)  # type: ignore[method-assign] # of this one object


def replace_connection(migration: MigrationContext, connection: Any) -> None:
    """Send what `migration` would send to `connection` instead.

    `runtime/migration.py`: `connection` and `impl.connection`, which `MigrationContext.autocommit_block` replaces so.
    """
    migration.connection = migration.impl.connection = connection


def reinstate(migration: MigrationContext) -> None:
    """Make the environment of `migration` the one `alembic.context` again, after another was entered and left.

    `runtime/environment.py`: `EnvironmentContext.__enter__` only puts itself there, `__exit__` leaves none.
    `runtime/migration.py`: `MigrationContext.environment_context`.
    """
    assert migration.environment_context is not None  # noqa: S101 - `EnvironmentContext.configure` hands itself over
    migration.environment_context.__enter__()


def options(migration: MigrationContext) -> Mapping[str, Any]:
    """Return what `EnvironmentContext` and its `configure` were given, by keyword.

    `runtime/migration.py`: `MigrationContext.opts`. `command.py` gives `fn`, which finds the steps, and
    `destination_rev` where it changes the database.
    """
    return migration.opts


def command_name(config: Config) -> str | None:
    """Return the function of `alembic.command` that Alembic's command line runs; None where it is another door.

    `config.py`: `CommandLine` keeps it in `Config.cmd_opts.cmd`, with its arguments.
    """
    command = getattr(config.cmd_opts, "cmd", None)
    return command[0].__name__ if command else None


def folder(script: ScriptDirectory) -> Path:
    """Return the folder that `script_location` names. `script/base.py`: `ScriptDirectory.dir`."""
    return Path(script.dir)


def looks_elsewhere(script: ScriptDirectory) -> bool:
    """Tell whether revisions may be anything but the `.py` files that lie in one folder.

    `script/base.py`: `ScriptDirectory.sourceless`, `recursive_version_locations`, `version_locations`.
    """
    return script.sourceless or script.recursive_version_locations or len(script.version_locations) > 1


def take_revisions(script: ScriptDirectory, load: Callable[[], Iterable[Script]]) -> None:
    """Have `script` make its graph of what `load` returns, instead of importing every file.

    `script/base.py`: `ScriptDirectory.revision_map`, which all its methods ask and which asks for the revisions once.
    """
    script.revision_map = RevisionMap(load)


def load_script(script: ScriptDirectory, path: str) -> Script | None:
    """Import a revision as Alembic does; None for a file that is none. `script/base.py`: `Script._from_path`."""
    return Script._from_path(script, path)


def init_unread(script: Script, path: str, said: Mapping[str, Any]) -> None:
    """Make `script` a revision of which only the head of its file is known.

    `script/base.py`: `Script.__init__`, which is not called: it sets `module` and `path`, reads the same four names
    from the module, and leaves them to `script/revision.py`: `Revision.__init__`.
    """
    script.path = path
    Revision.__init__(
        script, said.get("revision", ""), said.get("down_revision"), said.get("depends_on"), said.get("branch_labels")
    )


def load_module(path: str) -> ModuleType:
    """Import a revision's file, each time anew. `util/pyfiles.py`: `load_python_file`."""
    return load_python_file(*os.path.split(path))


def as_tuple(value: Any) -> tuple[Any, ...] | None:
    """Return what a revision's file sets (an id, several or None) as Alembic reads it.

    `util/langhelpers.py`: `to_tuple`.
    """
    found: tuple[Any, ...] | None = to_tuple(value)
    return found
