"""The function that `alembic/env.py` calls, for a run of ours and for Alembic's own command line.

`commands` puts its run into Alembic's `config.attributes`. Where there is none, Alembic's command line is running: the
same lock, ledger and checks apply, and a failure becomes the error that Alembic prints.
"""

import contextlib
import getpass
import logging
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError, SAWarning

from runner import next_step, policy, settings, signals
from runner.answer import Draft
from runner.deadline import Deadline
from runner.engine import migrate
from runner.engine.state import INVOCATION, RUN, Run, Terms
from runner.errors import Interrupted, MigrationError, translating
from runner.invocation import DEFAULT_TIMEOUT_S, Invocation, sparing
from runner.next_step import NextStep
from runner.postgres import connect, search_path, session, translation, trust
from runner.script import alembic_internals, graph, offline
from runner.script.step import Route, Step

logger = logging.getLogger(__name__)


def run(context: Any, load_metadata: Callable[[], MetaData]) -> None:
    """Execute the command of Alembic that runs `alembic/env.py`; `context` is `alembic.context`.

    `load_metadata` is called only where the models are compared with the database: a run that changes the database
    must not depend on them. Raises `CommandError` where Alembic's command line is running, else `MigrationError`.
    """
    attributes = context.config.attributes
    if offline.PREPARING in attributes:
        attributes[offline.PREPARING] = True
        return
    if RUN not in attributes and INVOCATION not in attributes:
        _take_revisions(context.config, context.script)
    if context.is_offline_mode():
        _write_sql(context)
        return
    # a context without a connection, from which the options of Alembic's command can be read
    context.configure(dialect_name="postgresql")
    options = alembic_internals.options(context.get_context())
    if alembic_internals.ensures_version_table(options.get("fn")):
        _ensure_version_table(context)
    # only a command that runs revisions has a destination
    elif options.get("destination_rev") is None:
        _inspect(context, load_metadata())
    elif (ours := attributes.get(RUN)) is not None:
        migrate.migrate(context, ours, options["fn"])
    else:
        _migrate_plainly(context, options["fn"])


def _take_revisions(config: Config, script: ScriptDirectory) -> None:
    """Give Alembic, which reads no revision before `env.py` runs, the same graph as a run of ours has."""
    with translating(MigrationError, lambda error: _in_alembics_words(error, config)):
        graph.take(script, Path(script.env_py_location).parents[1], runs=True)


def _write_sql(context: Any) -> None:
    """Print the statements of `alembic upgrade --sql`, without a connection."""
    with translating(MigrationError, lambda error: _in_alembics_words(error, context.config)):
        options = settings.read(os.environ).version_table.options_on_path
    context.configure(dialect_name=offline.DIALECT, dialect_opts=offline.DIALECT_OPTIONS, **offline.OPTIONS, **options)
    # the context writes its SQL to the stdout that it was configured with; what a revision prints is no SQL
    with context.begin_transaction(), contextlib.redirect_stdout(sys.stderr):
        context.run_migrations()


def _ensure_version_table(context: Any) -> None:
    """Make the version table as `alembic ensure_version` does, under the migration lock."""
    invocation = _plain_invocation(context.config)
    run = Run(invocation, Draft("ensure_version", invocation.request_id), Terms(_login()))
    with (
        translating(
            (MigrationError, DBAPIError),
            lambda error: _in_alembics_words(translation.explain(error, invocation), context.config),
        ),
        migrate.hold_lock(
            run, connect.open_engine(invocation.settings, invocation.request_id, invocation.deadline)
        ) as lock,
        lock.turn() as connection,
    ):
        session.refuse_read_only(connection)
        context.configure(connection=connection, **invocation.settings.version_table.options)
        alembic_internals.ensure_version_table(context.get_context())
        trust.look(connection)


def _inspect(context: Any, metadata: MetaData) -> None:
    """Run a command that only reads: `alembic current`, `check`, `revision --autogenerate`, or `migrate check`."""
    ours = context.config.attributes.get(INVOCATION)
    if ours is not None:
        _compare(context, metadata, ours)
        return
    plain = _plain_invocation(context.config)
    with translating(
        (MigrationError, DBAPIError),
        lambda error: _in_alembics_words(translation.explain(error, plain), context.config),
    ):
        _compare(context, metadata, plain)


def _compare(context: Any, metadata: MetaData, invocation: Invocation) -> None:
    with session.reading(invocation) as connection, warnings.catch_warnings():
        # under the project's path, SQLAlchemy's own queries would run what stands there in the place of PostgreSQL's
        trust.refuse_shadows(connection, search_path.PROJECT)
        # SQLAlchemy leaves out the schema of what `search_path` finds, as the models do; the transaction is read-only
        connection.exec_driver_sql(f"set search_path = {search_path.PROJECT}")
        connection.commit()
        # the plugin passes on a constraint's `not_valid`, which SQLAlchemy takes for an option of a dialect `not`
        warnings.filterwarnings("ignore", "Can't validate argument", SAWarning)
        context.configure(
            connection=connection,
            target_metadata=metadata,
            compare_server_default=True,
            # without a version table Alembic would make one, in a transaction that is read-only
            dont_mutate=True,
            **invocation.settings.version_table.options_on_path,
            autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        )
        with context.begin_transaction():
            context.run_migrations()


def _migrate_plainly(context: Any, find_steps: Callable[..., Iterable[Any]]) -> None:
    """Run `alembic upgrade`, `downgrade` or `stamp` under our lock and with our ledger.

    `find_steps` is the function that Alembic's command has for finding its steps.
    """
    invocation = _plain_invocation(context.config)
    command = alembic_internals.command_name(context.config)
    action = command or "alembic"
    draft = Draft(action, invocation.request_id)

    def find(heads: tuple[str, ...], migration: MigrationContext) -> Route:
        steps = tuple(Step(step) for step in find_steps(heads, migration))
        ends = steps[-1].ends if steps else heads
        return Route(steps, ",".join(ends) or "base")

    # `-x confirm=… -x plan=…`: Alembic's command line has no options of ours
    arguments = context.get_x_argument(as_dictionary=True)
    terms = Terms(_login(), arguments.get("confirm"), plan=arguments.get("plan"))
    by_command = alembic_internals.is_command_line(context.config)
    with (
        signals.raising() if by_command else contextlib.nullcontext(),
        translating(
            (MigrationError, DBAPIError, KeyboardInterrupt),
            lambda error: _ended(translation.explain(error, invocation), draft, context.config, terms),
        ),
    ):
        # a program that calls Alembic's functions names no command to compare with `ALLOWED_ACTIONS`
        if command:
            policy.allow(invocation.settings, action)
        migrate.migrate(context, Run(invocation, draft, terms), find)
        if by_command and draft.change is not None and not draft.change.applied:
            # Alembic prints nothing then, which looks like a command that did not reach the database
            context.config.print_stdout(draft.message)


def _plain_invocation(config: Config) -> Invocation:
    options, _ = alembic_internals.typed(config)

    def tell(sentence: str, **_: object) -> None:
        logger.info(next_step.spell(sentence, None, next_step.alembic(options)))

    with translating(MigrationError, lambda error: _in_alembics_words(error, config)):
        configured = settings.read(os.environ)
    return Invocation(configured, str(uuid.uuid4()), Deadline.after(DEFAULT_TIMEOUT_S), sparing(tell))


def _login() -> str | None:
    """Return the login name, None in a container whose user id has no account."""
    # KeyError up to Python 3.12, OSError from 3.13 on: https://docs.python.org/3/library/getpass.html#getpass.getuser
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return None


def _ended(error: MigrationError, draft: Draft, config: Config, terms: Terms) -> BaseException:
    """Return what a failed command ends with: Alembic's own error, or for a signal the exit code of a shell."""
    if not alembic_internals.is_command_line(config) or not isinstance(error, Interrupted):
        return _in_alembics_words(error, config, draft, terms)
    sys.stderr.write(f"{_spell(draft.fail(error).message, config, draft, terms)}\n")
    return SystemExit(signals.exit_code())


def _in_alembics_words(
    error: MigrationError, config: Config, draft: Draft | None = None, terms: Terms | None = None
) -> CommandError:
    """Return the error that Alembic's command line prints without a traceback."""
    return CommandError(_spell((draft or Draft("alembic", "")).fail(error).message, config, draft, terms))


def _spell(text: str, config: Config, draft: Draft | None, terms: Terms | None) -> str:
    """Return a message with commands of Alembic, where it has them, with the options of the call."""
    options, target = alembic_internals.typed(config)
    # a relative target is another one after the first step
    if draft is not None and draft.change is not None and draft.change.target is not None:
        target = draft.change.target
    same = None
    if draft is not None and target is not None:
        given = {"confirm": terms.confirm, "plan": terms.plan} if terms else {}
        same = NextStep(str(draft.action), {"target": target} | {name: one for name, one in given.items() if one})
    return next_step.spell(text, same, next_step.alembic(options))
