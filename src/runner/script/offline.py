"""The SQL of a revision, rendered without a database, as `alembic upgrade --sql` does it."""

import ast
import inspect
import io
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_mock_engine

from runner.answer import Direction
from runner.postgres import sql
from runner.script import alembic_internals, emptiness, failure, graph
from runner.script.step import Step

DIALECT = "postgresql"
# psycopg2's own style would double every `%` of a literal.
DIALECT_OPTIONS = {"paramstyle": "named"}
PREPARING = "runner.preparing"
"""Key in Alembic's `config.attributes` while `env.py` is run for a plan or a rehearsal, which connect by themselves.

Its value says whether `env.py` has called `environment.run`.
"""
OPTIONS: dict[str, Any] = {"literal_binds": True, "transaction_per_migration": True}


@dataclass(frozen=True)
class Rendered:
    """One revision with its SQL."""

    revision: str
    description: str
    direction: Direction
    source: str
    """The text of its file."""
    checksum: str
    rendered: tuple[str, ...]
    """The statements, up to the point where rendering failed if it did."""
    unrendered: str | None
    """Why these are not all statements that the revision sends; None if they are."""
    transactional: bool
    mixed: bool
    """Whether it enters an autocommit block after other statements, which the engine refuses."""
    mistake: str | None = None
    """The error of its own code that rendering met, which no database would change."""
    empty: bool = False
    """Whether nothing is written in it yet, which the engine refuses unless a comment allows it."""
    path: str | None = None
    """The path of its file, relative to the project's folder."""
    lines: tuple[int | None, ...] = ()
    """For each of `rendered` the line of its file that sent it; None for one that another file sent."""
    line: int | None = None
    """The line of `def upgrade` or `def downgrade`; None where another file has that function."""
    failed_at: int | None = None
    """The line of its file at which rendering failed."""

    @property
    def statements(self) -> tuple[str, ...] | None:
        """Return all statements of the revision, None if they are not known beforehand."""
        return None if self.unrendered else self.rendered

    def line_of(self, statement: str) -> int | None:
        """Return the line that sent `statement`, or that of the function where no line of its file did."""
        sent = zip(self.rendered, self.lines, strict=False)
        return next((line for text, line in sent if text == statement and line is not None), self.line)

    @cached_property
    def words(self) -> frozenset[str]:
        """Return the words of the revision that may be names."""
        if self.statements is None:
            # every word, also in lower case: a quote in Python's text begins a string and does not keep a name's case
            words = re.findall(r"[^\W\d][\w$]*", self.source)
            return frozenset((*words, *map(str.lower, words)))
        return frozenset(word for statement in self.statements for word in sql.names_in(statement))

    @cached_property
    def added_constraints(self) -> frozenset[tuple[sql.Name | None, str]]:
        """Return the tables to which the revision adds a constraint by its name, with that name."""
        altering = (sql.read(text) for text in self.rendered if "constraint" in text.lower())
        return frozenset((one.table, name) for one in altering for name in sql.added_constraints(one))


INDEX = ("CREATE INDEX ", "CREATE UNIQUE INDEX ")
"""How SQLAlchemy begins the statements for the indexes of a table."""


Sent = tuple[str, int | None]
"""A statement, and the line of the revision's file that sent it."""


@dataclass(frozen=True)
class _Statements:
    """Statements, written as text by Alembic while a revision runs."""

    module: Mapping[str, Any]
    """The names of the revision's module, by which a frame of its own code is known."""
    sent: list[Sent] = field(default_factory=list)

    def write(self, text: str) -> None:
        """Keep the statements in `text`, with the line that sends them."""
        line = _line_in(self.module)
        self.sent.extend((f"{statement};", line) for statement in sql.split(text))

    def flush(self) -> None:
        """Do nothing; Alembic calls it after each statement."""


def run_env(config: Config, script: ScriptDirectory) -> None:
    """Run `env.py` in a pass that connects to nothing, for what it does before it hands its context over.

    It may register an operation that a revision uses, or say where Python finds a module. Raises `EnvironmentFailed`,
    also for an `env.py` with which a run would do nothing.
    """
    unreached = failure.of_unreached(script.env_py_location)

    def refuse(*_: Any) -> NoReturn:
        raise unreached

    config.attributes[PREPARING] = False
    try:
        # an `env.py` that runs Alembic by itself, on a connection of its own, gets no step and no version table
        with EnvironmentContext(config, script, fn=refuse, dont_mutate=True):
            graph.run_environment(script)
    finally:
        reached = config.attributes.pop(PREPARING)
    if not reached:
        raise unreached


def run_env_offline(config: Config, script: ScriptDirectory) -> None:
    """Run `env.py` as `alembic upgrade --sql` would, without a step, for what it does beside that.

    An `env.py` of any kind connects to nothing then. Raises `EnvironmentFailed`.
    """
    config.attributes[PREPARING] = False
    # what an `env.py` that is not ours would print there is the SQL of a version table
    config.output_buffer, before = io.StringIO(), config.output_buffer
    try:
        with EnvironmentContext(config, script, fn=lambda *_: (), as_sql=True):
            graph.run_environment(script)
    finally:
        config.output_buffer = before
        config.attributes.pop(PREPARING)


def render(config: Config, script: ScriptDirectory, steps: Iterable[Step]) -> list[Rendered]:
    """Return the SQL of each of `steps`; a revision that cannot be rendered has the reason in `unrendered`.

    Rendering executes the revision in Alembic's offline mode, twice: a difference between the two means that the SQL is
    not known beforehand.
    """
    with EnvironmentContext(config, script, as_sql=True) as environment:
        return [_compare(_render(environment, step), _render(environment, step)) for step in steps]


def _line_in(module: Mapping[str, Any]) -> int | None:
    """Return the line at which the innermost code of a module stands, None where none of it is running."""
    stack = traceback.walk_stack(inspect.currentframe())
    return next((line for frame, line in stack if frame.f_globals is module), None)


def _line_of_function(source: str, name: str) -> int | None:
    """Return the line of a function's `def` in a revision's text, None where it has none."""
    found = (one.lineno for one in ast.parse(source).body if isinstance(one, ast.FunctionDef) and one.name == name)
    return next(found, None)


def _path_in_project(config: Config, path: str) -> str:
    """Return the path of a file relative to the folder of `alembic.ini`, with slashes."""
    # both real: a temporary folder is often a symbolic link
    project = os.path.dirname(os.path.realpath(config.config_file_name or "."))
    return Path(os.path.relpath(os.path.realpath(path), project)).as_posix()


def _compare(first: Rendered, second: Rendered) -> Rendered:
    # sorted: SQLAlchemy keeps the indexes of a table in a set, whose order differs each time
    if first.unrendered or sorted(first.rendered) == sorted(second.rendered):
        return first
    return replace(first, unrendered="its SQL differs each time")


def _render(environment: EnvironmentContext, step: Step) -> Rendered:
    revision = step.script
    assert revision is not None  # noqa: S101 - only a revision with a file runs anything
    statements = _Statements(vars(revision.module))
    environment.configure(
        dialect_name=DIALECT, dialect_opts=DIALECT_OPTIONS, output_buffer=cast("TextIO", statements), **OPTIONS
    )
    context = environment.get_context()
    _refuse_parameters(context)
    blocks = _follow_autocommit_blocks(context, statements.sent)
    unrendered = mistake = failed_at = None
    try:
        alembic_internals.run(step.alembic_step, context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - without a database a revision may fail in any way
        mistake, failed_at = failure.mistake(error, revision.path), failure.line_of(error, revision.path)
        why = "its code has a mistake" if mistake else "it fails without a database"
        unrendered = f"{why} ({type(error).__name__})"
    sent, source = tuple(_in_one_order(statements.sent)), graph.source(revision)
    return Rendered(
        revision=revision.revision,
        description=revision.doc,
        direction=step.direction,
        source=source,
        checksum=graph.checksum(revision),
        rendered=tuple(text for text, _ in sent),
        unrendered=unrendered,
        transactional=not blocks,
        mixed=any(blocks),
        mistake=mistake,
        empty=step.direction == "upgrade" and emptiness.is_unwritten(revision),
        path=_path_in_project(environment.config, revision.path),
        lines=tuple(line for _, line in sent),
        line=_line_of_function(source, step.direction),
        failed_at=failed_at,
    )


def _in_one_order(statements: Iterable[Sent]) -> Iterator[Sent]:
    """Yield the statements, with consecutive indexes sorted: the same plan shows the same text, whatever a set's order.

    The indexes of one CREATE TABLE do not depend on each other.
    """
    for is_index, group in groupby(statements, lambda one: one[0].startswith(INDEX)):
        together = list(group)
        yield from sorted(together, key=itemgetter(0)) if is_index else together


def _refuse_parameters(context: MigrationContext) -> None:
    """Make a statement with separate parameters fail: in offline mode, Alembic would write NULL for each of them."""

    def execute(statement: Any, *parameters: Any) -> None:
        if any(parameters):
            raise ValueError("parameters given apart from the statement")
        Operations(context).execute(statement)

    connection: Any = create_mock_engine(f"{DIALECT}+psycopg2://", execute)
    # Alembic's own mock has neither, so that what ends the transaction would only be known to be unknown
    connection.commit = partial(Operations(context).execute, "COMMIT")
    connection.rollback = partial(Operations(context).execute, "ROLLBACK")
    alembic_internals.replace_connection(context, connection)


def _follow_autocommit_blocks(context: MigrationContext, sent: list[Sent]) -> list[bool]:
    """Return a list to which each autocommit block adds an entry: whether it makes the revision a mixed one."""
    blocks: list[bool] = []

    def autocommit_block() -> Iterator[None]:
        # only before the first block: a later statement may be one of that block, outside a transaction
        blocks.append(not blocks and any(sql.writes(text) for text, _ in sent))
        yield

    alembic_internals.replace_autocommit_block(context, autocommit_block)
    return blocks
