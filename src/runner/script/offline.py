"""What a revision would send, found without a database: its SQL, as `alembic upgrade --sql` writes it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
from runner.script import alembic_internals, graph
from runner.script.step import Step

DIALECT = "postgresql"
# The other styles write every `%` twice.
DIALECT_OPTIONS = {"paramstyle": "named"}
OPTIONS: dict[str, Any] = {"literal_binds": True, "transaction_per_migration": True}


@dataclass(frozen=True)
class Rendered:
    """Hold what one revision would do."""

    revision: str
    description: str
    direction: Direction
    source: str
    """The file's text."""
    checksum: str
    written: tuple[str, ...]
    """The statements, as far as they are known."""
    unrendered: str | None
    """Why they are not all that the revision would send; None where they are."""
    transactional: bool
    mixed: bool
    """Whether it enters an autocommit block after other statements, which the engine refuses."""

    @property
    def statements(self) -> tuple[str, ...] | None:
        """Return the whole SQL of the revision, None where nobody knows it beforehand."""
        return None if self.unrendered else self.written


class _Statements(list[str]):
    """Take what Alembic writes, and part it into statements."""

    def write(self, text: str) -> None:
        self.extend(f"{statement};" for statement in sql.split(text))

    def flush(self) -> None:
        """Serve Alembic, which flushes after each statement."""


def render(config: Config, script: ScriptDirectory, steps: Iterable[Step]) -> list[Rendered]:
    """Return what each of `steps` would send; one that cannot be known so is there with its reason.

    The revisions' Python really runs, with an Alembic context that is offline. Each is rendered twice: what
    comes out different each time is not known beforehand.
    """
    with EnvironmentContext(config, script, as_sql=True) as environment:
        return [_settle(_render(environment, step), _render(environment, step)) for step in steps]


def _settle(one: Rendered, again: Rendered) -> Rendered:
    if one.unrendered or one.written == again.written:
        return one
    return replace(one, unrendered="its SQL differs each time")


def _render(environment: EnvironmentContext, step: Step) -> Rendered:
    revision = step.script
    assert revision is not None  # noqa: S101 - only a revision with a file runs anything
    written = _Statements()
    environment.configure(
        dialect_name=DIALECT, dialect_opts=DIALECT_OPTIONS, output_buffer=cast("TextIO", written), **OPTIONS
    )
    context = environment.get_context()
    _refuse_parameters(context)
    blocks = _follow_autocommit_blocks(context, written)
    unrendered = None
    try:
        alembic_internals.run(step.alembics, context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - without a database a revision may fail in any way
        unrendered = f"it fails without a database ({type(error).__name__})"
    return Rendered(
        revision=revision.revision,
        description=revision.doc,
        direction=step.direction,
        source=Path(revision.path).read_text(encoding="utf-8"),
        checksum=graph.checksum(revision),
        written=tuple(written),
        unrendered=unrendered,
        transactional=not blocks,
        mixed=any(blocks),
    )


def _refuse_parameters(context: MigrationContext) -> None:
    """Make a statement whose parameters are given apart fail; Alembic would write them as NULL."""

    def execute(statement: Any, *parameters: Any) -> None:
        if any(parameters):
            raise ValueError("parameters given apart from the statement")
        Operations(context).execute(statement)

    alembic_internals.replace_connection(context, create_mock_engine(f"{DIALECT}+psycopg2://", execute))


def _follow_autocommit_blocks(context: MigrationContext, written: list[str]) -> list[bool]:
    """Return a list that gets, for each block that is entered, whether statements came before the first one."""
    blocks: list[bool] = []

    def autocommit_block() -> Iterator[None]:
        blocks.append(bool(written) and not blocks)
        yield

    alembic_internals.replace_autocommit_block(context, autocommit_block)
    return blocks
