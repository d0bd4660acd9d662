"""The SQL of a revision, rendered without a database, as `alembic upgrade --sql` does it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_mock_engine

from runner.answer import Direction
from runner.postgres import sql
from runner.script import alembic_internals, graph, mistakes
from runner.script.step import Step

DIALECT = "postgresql"
# psycopg2's own style would double every `%` of a literal.
DIALECT_OPTIONS = {"paramstyle": "named"}
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

    @property
    def statements(self) -> tuple[str, ...] | None:
        """Return all statements of the revision, None if they are not known beforehand."""
        return None if self.unrendered else self.rendered


class _Statements(list[str]):
    """Statements, written as text by Alembic."""

    def write(self, text: str) -> None:
        self.extend(f"{statement};" for statement in sql.split(text))

    def flush(self) -> None:
        """Do nothing; Alembic calls it after each statement."""


def render(config: Config, script: ScriptDirectory, steps: Iterable[Step]) -> list[Rendered]:
    """Return the SQL of each of `steps`; a revision that cannot be rendered has the reason in `unrendered`.

    Rendering executes the revision in Alembic's offline mode, twice: a difference between the two means that the SQL is
    not known beforehand.
    """
    with EnvironmentContext(config, script, as_sql=True) as environment:
        return [_compare(_render(environment, step), _render(environment, step)) for step in steps]


def _compare(first: Rendered, second: Rendered) -> Rendered:
    if first.unrendered or first.rendered == second.rendered:
        return first
    return replace(first, unrendered="its SQL differs each time")


def _render(environment: EnvironmentContext, step: Step) -> Rendered:
    revision = step.script
    assert revision is not None  # noqa: S101 - only a revision with a file runs anything
    statements = _Statements()
    environment.configure(
        dialect_name=DIALECT, dialect_opts=DIALECT_OPTIONS, output_buffer=cast("TextIO", statements), **OPTIONS
    )
    context = environment.get_context()
    _refuse_parameters(context)
    blocks = _follow_autocommit_blocks(context, statements)
    unrendered = mistake = None
    try:
        alembic_internals.run(step.alembic_step, context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - without a database a revision may fail in any way
        mistake = mistakes.describe(error, revision.path)
        why = "its code has a mistake" if mistake else "it fails without a database"
        unrendered = f"{why} ({type(error).__name__})"
    return Rendered(
        revision=revision.revision,
        description=revision.doc,
        direction=step.direction,
        source=Path(revision.path).read_text(encoding="utf-8"),
        checksum=graph.checksum(revision),
        rendered=tuple(statements),
        unrendered=unrendered,
        transactional=not blocks,
        mixed=any(blocks),
        mistake=mistake,
    )


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


def _follow_autocommit_blocks(context: MigrationContext, statements: list[str]) -> list[bool]:
    """Return a list to which each autocommit block adds an entry: whether it makes the revision a mixed one."""
    blocks: list[bool] = []

    def autocommit_block() -> Iterator[None]:
        # only before the first block: a later statement may be one of that block, outside a transaction
        blocks.append(any(map(sql.writes, statements)) and not blocks)
        yield

    alembic_internals.replace_autocommit_block(context, autocommit_block)
    return blocks
