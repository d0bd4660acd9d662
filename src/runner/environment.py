"""What `alembic/env.py` asks for, whichever door Alembic was entered by.

A run that came through `commands` left itself in `config.attributes`; without one it is plain Alembic that
asks: the same lock, ledger and checks hold, and errors come in the form that Alembic's command line prints.
"""

import contextlib
import getpass
import logging
import os
import uuid
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError, SAWarning

from runner import policy, settings
from runner.answer import Draft
from runner.deadline import Deadline
from runner.engine import migrate
from runner.engine.state import INVOCATION, RUN, Run, Terms
from runner.errors import MigrationError, translating
from runner.invocation import DEFAULT_TIMEOUT_S, Invocation
from runner.postgres import session, translation
from runner.script import alembic_internals, offline
from runner.script.step import Route, Step

logger = logging.getLogger(__name__)


def run(context: Any, load_metadata: Callable[[], MetaData]) -> None:
    """Serve `alembic/env.py`; `context` is `alembic.context`.

    The models are only loaded to be compared: a run that changes the database does without them.
    """
    if context.is_offline_mode():
        _write_sql(context)
        return
    context.configure(dialect_name="postgresql")
    asked = alembic_internals.options(context.get_context())
    if asked.get("destination_rev") is None:
        _inspect(context, load_metadata())
    elif (ours := context.config.attributes.get(RUN)) is not None:
        migrate.migrate(context, ours, asked["fn"])
    else:
        _migrate_plainly(context, asked["fn"])


def _write_sql(context: Any) -> None:
    """Serve `alembic upgrade --sql`: print the statements and connect to nothing."""
    context.configure(dialect_name=offline.DIALECT, dialect_opts=offline.DIALECT_OPTIONS, **offline.OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def _inspect(context: Any, metadata: MetaData) -> None:
    """Serve what only looks: `alembic current`, `check`, `revision --autogenerate`, and `migrate check`."""
    ours = context.config.attributes.get(INVOCATION)
    if ours is not None:
        _compare(context, metadata, ours)
        return
    with translating((MigrationError, DBAPIError), lambda error: _in_alembics_words(translation.explain(error))):
        _compare(context, metadata, _plain_invocation())


def _compare(context: Any, metadata: MetaData, invocation: Invocation) -> None:
    with session.reading(invocation) as connection, warnings.catch_warnings():
        # Alembic's plugin hands on what SQLAlchemy reflects of a NOT VALID constraint as options of a dialect
        warnings.filterwarnings("ignore", "Can't validate argument", SAWarning)
        context.configure(
            connection=connection,
            target_metadata=metadata,
            compare_server_default=True,
            autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        )
        with context.begin_transaction():
            context.run_migrations()


def _migrate_plainly(context: Any, alembics: Callable[..., Iterable[Any]]) -> None:
    """Serve plain `alembic upgrade`, `downgrade` and `stamp` under the same lock and ledger."""
    invocation = _plain_invocation()
    command = alembic_internals.command_name(context.config)
    action = command or "alembic"
    draft = Draft(action, invocation.request_id)

    def find(heads: tuple[str, ...], migration: MigrationContext) -> Route:
        found = tuple(Step(one) for one in alembics(heads, migration))
        ends = found[-1].ends if found else heads
        return Route(found, ",".join(ends) or "base")

    said = context.get_x_argument(as_dictionary=True)
    terms = Terms(_login(), said.get("confirm"), plan=said.get("plan"))
    with translating(
        (MigrationError, DBAPIError, KeyboardInterrupt),
        lambda error: _in_alembics_words(translation.explain(error), draft),
    ):
        if command:
            policy.allow(invocation.settings, action)
        migrate.migrate(context, Run(invocation, draft, terms), find)


def _plain_invocation() -> Invocation:
    def tell(sentence: str, **_: object) -> None:
        logger.info(sentence)

    with translating(MigrationError, _in_alembics_words):
        known = settings.read(os.environ)
    return Invocation(known, str(uuid.uuid4()), Deadline.after(DEFAULT_TIMEOUT_S), tell)


def _login() -> str | None:
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return None


def _in_alembics_words(error: MigrationError, draft: Draft | None = None) -> CommandError:
    """Make the error that Alembic's own command line prints without a traceback."""
    return CommandError((draft or Draft("alembic", "")).fail(error).message)
