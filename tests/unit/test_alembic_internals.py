"""What is used of Alembic beyond its documentation is there, does what it was read to do, and is used in one module."""

import ast
import inspect
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import alembic
import pytest
from alembic import op
from alembic import script as scripts
from alembic.config import CommandLine, Config
from alembic.operations import Operations
from alembic.runtime import environment, migration
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script import revision as revisions
from alembic.util import CommandError, langhelpers, pyfiles

from runner import settings
from runner.script import alembic_internals, graph, identifiers
from runner.script.alembic_internals import READ_FOR
from support.project import ROOT

SRC = ROOT / "src"
# The two names of a context that what revisions import needs, which stands below `script`.
OPERATIONS = {"as_sql", "impl"}
UNDOCUMENTED = OPERATIONS | {
    "cmd_opts",
    "context_opts",
    "environment_context",
    "migration_fn",
    "recursive_version_locations",
    "revision_map",
    "sourceless",
    "version_locations",
}
# Dunder names of Alembic's that are no part of Python's own protocols where we would use them.
CALLED = {"__enter__", "__exit__", "__init__"}
DOCUMENTED = {
    "alembic": {"autogenerate", "command", "op"},
    "alembic.config": {"Config"},
    "alembic.operations": {"BatchOperations", "Operations"},
    "alembic.runtime.environment": {"EnvironmentContext"},
    "alembic.runtime.migration": {"MigrationContext", "MigrationInfo"},
    "alembic.script": {"Script", "ScriptDirectory", "revision"},
    "alembic.script.revision": {"RevisionError"},
    "alembic.util": {"CommandError"},
}
ELSEWHERE = {
    "runner/operations.py": OPERATIONS,
    # the message below a tree of the parser, whose own walk takes three times as long
    "runner/lint/parsing/parse_tree.py": {"_pb"},
    # of the embedded server's wheel
    "runner/postgres/embedded.py": {"_cleanup", "_instances", "_lock"},
    # `os._exit` is documented
    "runner/signals.py": {"_exit"},
}


@pytest.fixture
def script() -> ScriptDirectory:
    return graph.load(settings.read({"ALEMBIC_CONFIG": str(ROOT / "alembic.ini")})).script


@pytest.fixture
def offline(script: ScriptDirectory) -> Iterator[MigrationContext]:
    with EnvironmentContext(Config(str(ROOT / "alembic.ini")), script, as_sql=True, tag="given") as entered:
        entered.configure(dialect_name="postgresql")
        yield entered.get_context()


def nothing() -> None:
    pass


def test_the_installed_version_is_the_one_that_was_read() -> None:
    pinned = re.search(r"^alembic==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    told = f"read {Path(alembic_internals.__file__).name} against the new code, then set READ_FOR"
    assert {pinned[1], alembic.__version__, READ_FOR} == {READ_FOR}, told
    assert f"Read for Alembic {READ_FOR}:" in str(alembic_internals.__doc__)


@pytest.mark.parametrize(
    ("module", "name", "parameters"),
    [
        (scripts, "ScriptDirectory._upgrade_revs", "self destination current_rev"),
        (scripts, "ScriptDirectory._downgrade_revs", "self destination current_rev"),
        (scripts, "ScriptDirectory._stamp_revs", "self revision heads"),
        (scripts, "ScriptDirectory._load_revisions", "self"),
        (scripts, "ScriptDirectory._catch_revision_errors", "self ancestor multiple_heads start end resolution"),
        (scripts, "Script.__init__", "self module rev_id path"),
        (scripts, "Script._from_path", "scriptdir path"),
        (scripts, "Script._list_py_dir", "scriptdir path"),
        (revisions, "Revision.__init__", "self revision down_revision dependencies branch_labels"),
        (revisions, "RevisionMap.__init__", "self generator"),
        (environment, "EnvironmentContext.__enter__", "self"),
        (migration, "MigrationContext.autocommit_block", "self"),
        (migration, "RevisionStep.__init__", "self revision_map revision is_upgrade"),
        (alembic.operations, "Operations._install_proxy", "self"),
        (alembic.operations, "Operations._remove_proxy", "self"),
        (pyfiles, "load_python_file", "dir_ filename"),
        (langhelpers, "to_tuple", "x default"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_private_name_takes_what_it_took(module: object, name: str, parameters: str) -> None:
    assert list(inspect.signature(attrgetter(name)(module)).parameters) == parameters.split()


@pytest.mark.parametrize("direction", ["upgrade", "downgrade", "stamp"])
def test_steps_say_where_they_lead_and_what_they_run(script: ScriptDirectory, direction: str) -> None:
    head = script.get_heads()[0]
    target, at = ("base", (head,)) if direction == "downgrade" else (head, ())
    step = alembic_internals.find_steps(script, direction, target, at)[0]
    assert step.migration_fn.__name__ == ("stamp_revision" if direction == "stamp" else direction)
    assert (step.info.is_upgrade, step.info.is_stamp) == (direction != "downgrade", direction == "stamp")
    assert (step.doc is None) == (direction == "stamp")


def test_an_unread_revision_lacks_nothing_but_its_module(script: ScriptDirectory) -> None:
    """`Script.__init__`, which is not called, sets nothing that `init_unread` leaves out."""
    for header in identifiers.read(Path(script.versions)).files:
        unread, read = graph.UnreadScript(header, nothing), alembic_internals.load_script(script, header.path)
        assert isinstance(read, Script)
        assert vars(unread) == {**{name: value for name, value in vars(read).items() if name != "module"},
                                "checksum": header.checksum, "identifiers": header.identifiers,
                                "import_before": nothing}  # fmt: skip


def test_the_graph_is_made_once_of_what_it_is_given(script: ScriptDirectory) -> None:
    first = identifiers.read(Path(script.versions)).files[0]
    made: list[Script] = []

    def load() -> list[Script]:
        made.append(graph.UnreadScript(first, nothing))
        return made

    alembic_internals.take_revisions(script, load)
    assert script.get_heads() == [Path(first.path).stem]
    assert list(script.walk_revisions()) == made
    assert len(made) == 1


def test_a_refused_target_keeps_the_error_with_its_fields(script: ScriptDirectory) -> None:
    with pytest.raises(CommandError) as caught:
        script.get_revision("nothing")
    found = alembic_internals.revision_error(caught.value)
    assert isinstance(found, revisions.ResolutionError)
    assert found.argument == "nothing"


def test_a_context_tells_its_options_and_the_command_line_its_command(offline: MigrationContext) -> None:
    assert alembic_internals.options(offline)["tag"] == "given"
    asked = CommandLine().parser.parse_args(["upgrade", "head"])
    assert alembic_internals.command_name(Config(cmd_opts=asked)) == "upgrade"
    assert alembic_internals.command_name(Config()) is None


def test_the_folders_are_those_of_alembic_ini(script: ScriptDirectory) -> None:
    assert alembic_internals.folder(script) == ROOT / "alembic"
    assert not alembic_internals.looks_elsewhere(script)
    script.recursive_version_locations = True
    assert alembic_internals.looks_elsewhere(script)


def test_all_files_of_a_folder_are_loaded_in_alembics_order(script: ScriptDirectory) -> None:
    wanted = [revision.path for revision in script._load_revisions()]
    assert wanted == sorted(map(str, (ROOT / "alembic" / "versions").glob("*.py")))
    assert [revision.path for revision in alembic_internals.load_scripts(script)] == wanted


def test_the_version_table_tells_how_long_an_id_may_be(offline: MigrationContext) -> None:
    assert alembic_internals.version_length(offline) == 32


def test_an_autocommit_block_is_replaced_for_whoever_enters_it(offline: MigrationContext) -> None:
    seen: list[str] = []

    def block() -> Iterator[None]:
        seen.append("entered")
        yield
        seen.append("left")

    alembic_internals.replace_autocommit_block(offline, block)
    with Operations.context(offline):
        for _ in range(2):
            with op.get_context().autocommit_block():
                seen.append("inside")
    assert seen == ["entered", "inside", "left"] * 2


def test_what_a_revision_sends_goes_to_the_connection_that_replaces(offline: MigrationContext) -> None:
    ours = object()
    alembic_internals.replace_connection(offline, ours)
    with Operations.context(offline):
        assert op.get_bind() is ours
    assert offline.impl.bind is ours


def test_op_belongs_to_a_step_for_as_long_as_it_runs(script: ScriptDirectory, offline: MigrationContext) -> None:
    step = alembic_internals.find_steps(script, "upgrade", script.get_heads()[0], ())[0]
    seen: list[MigrationContext] = []

    def upgrade() -> None:
        seen.append(op.get_context())
        raise LookupError

    step.migration_fn = upgrade
    with pytest.raises(LookupError):
        alembic_internals.run(step, offline)
    assert seen == [offline]
    with pytest.raises(AttributeError):
        op.get_context()


def test_the_environment_is_in_place_again_after_another(script: ScriptDirectory, offline: MigrationContext) -> None:
    with EnvironmentContext(Config(), script):
        assert not alembic.context.is_offline_mode()
    with pytest.raises(AttributeError):
        alembic.context.is_offline_mode()
    alembic_internals.reinstate(offline)
    assert alembic.context.is_offline_mode()


def internals(source: str) -> Iterator[str]:
    """Yield the names of Alembic, or private ones of anybody else, that a module ought not to use."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "alembic":
                yield from (one.name for one in names if one.name not in DOCUMENTED.get(module, ()))
            case ast.Import(names=names):
                yield from (one.name for one in names if one.name.startswith("alembic."))
            case ast.Call(func=ast.Name("getattr" | "setattr"), args=[_, ast.Constant(str(name)), *_]):
                yield from [name] if is_internal(name) else []
            case ast.Attribute(attr="autocommit_block" as name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name("self" | "cls") | ast.Call(func=ast.Name("super"))):
                continue
            case ast.Attribute(attr=name) if is_internal(name):
                yield name


def is_internal(name: str) -> bool:
    private = name.startswith("_") and not name.endswith("__")
    return private or name in CALLED or name in UNDOCUMENTED


def test_no_other_module_uses_them() -> None:
    found = {
        (path.relative_to(SRC).as_posix(), name)
        for path in SRC.rglob("*.py")
        if not path.samefile(alembic_internals.__file__)
        for name in internals(path.read_text("utf-8"))
    }
    assert found == {(path, name) for path, names in ELSEWHERE.items() for name in names}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("script._upgrade_revs(target, heads)", ["_upgrade_revs"]),
        ("context.autocommit_block = block", ["autocommit_block"]),
        ("ours.__enter__()", ["__enter__"]),
        ("Revision.__init__(script, '')", ["__init__"]),
        ("getattr(step, 'migration_fn')()", ["migration_fn"]),
        ("from alembic.util import load_python_file", ["load_python_file"]),
        ("from alembic.ddl import impl", ["impl"]),
        ("import alembic.util", ["alembic.util"]),
        ("context.impl.connection = mock", ["impl"]),
        ("with op.get_context().autocommit_block(): pass", []),
        ("super().__init__(self._mine, type(error).__name__)", []),
        ("from alembic import op", []),
    ],
)
def test_each_such_use_is_found(source: str, names: list[str]) -> None:
    assert list(internals(source)) == names
