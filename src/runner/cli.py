"""The command line: Alembic's words, translated into the same payloads that the Lambda takes."""

import getpass
import itertools
import logging
import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psycopg2.extensions
import psycopg2.extras
import typer
from typer.core import TyperGroup

from runner import __version__, authoring, commands, console, settings
from runner.deadline import Deadline
from runner.engine import DEFAULT_TIMEOUT_S, Invocation
from runner.errors import MigrationError, count
from runner.payloads import Answer

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells report it."""


class OptionsAnywhere(TyperGroup):
    """Take the options that every verb knows on either side of the verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {
            name: parameter
            for parameter in self.params
            if parameter.param_type_name == "option" and parameter.name != "help"
            for name in parameter.opts
        }
        mine: list[str] = []
        rest: list[str] = []
        words = iter(args)
        for word in words:
            option = known.get(word.partition("=")[0])
            (mine if option else rest).append(word)
            if option and not getattr(option, "is_flag", False) and "=" not in word:
                mine.extend(itertools.islice(words, 1))
        return super().parse_args(ctx, [*mine, *rest])


@dataclass(frozen=True)
class Options:
    """Hold what every verb takes."""

    local: bool
    json: bool
    timeout_s: float

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DATABASE_URL": "embedded:"} if self.local else dict(os.environ)


app = typer.Typer(
    cls=OptionsAnywhere,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Change a PostgreSQL schema with Alembic revisions, safely, while the application is serving.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 partly done, 4 the answer is no.",
)
RELATIVE = {"ignore_unknown_options": True}  # so that `-1` is a target and not an option
Target = Annotated[str, typer.Argument(help="A revision or the beginning of one, head, base, +1, -1.")]
ActorOption = Annotated[str | None, typer.Option("--actor", help="Who asks, for the ledger; else your login name.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"migrate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    local: Annotated[bool, typer.Option("--local", help="Use the embedded PostgreSQL under .postgres/.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the raw answer.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print what Alembic logs, and tracebacks.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which to give up.")] = DEFAULT_TIMEOUT_S,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    if debug:
        for name in ("alembic", "runner"):
            logging.getLogger(name).setLevel(logging.DEBUG)
    ctx.obj = Options(local, as_json, timeout)


@app.command(context_settings=RELATIVE)
def upgrade(ctx: typer.Context, target: Target = "head", actor: ActorOption = None) -> None:
    """Apply the revisions up to TARGET."""
    _ask(ctx, {"action": "upgrade", "target": target, "actor": _actor(actor)})


@app.command(context_settings=RELATIVE)
def downgrade(ctx: typer.Context, target: Target, actor: ActorOption = None) -> None:
    """Revert the revisions down to TARGET."""
    _ask(ctx, {"action": "downgrade", "target": target, "actor": _actor(actor)})


@app.command()
def current(ctx: typer.Context) -> None:
    """Print the revision that the database is at."""
    _ask(ctx, {"action": "current"})


@app.command()
def heads(ctx: typer.Context) -> None:
    """List the revisions that no other follows; needs no database."""
    _ask(ctx, {"action": "heads"})


@app.command()
def history(
    ctx: typer.Context, limit: Annotated[int | None, typer.Option(help="Only the newest ones.")] = None
) -> None:
    """List the revisions, newest first: applied or not, when, by whom, how long."""
    _ask(ctx, {"action": "history"} | ({} if limit is None else {"limit": limit}))


@app.command()
def show(ctx: typer.Context, target: Target = "head") -> None:
    """Describe one revision; needs no database."""
    _ask(ctx, {"action": "show", "target": target})


@app.command()
def stamp(ctx: typer.Context, target: Target, actor: ActorOption = None) -> None:
    """Say that the database is at TARGET, after comparing it with that revision's snapshot."""
    _ask(ctx, {"action": "stamp", "target": target, "actor": _actor(actor)})


@app.command("list-migrations")
def list_migrations(ctx: typer.Context) -> None:
    """List the revisions, oldest first, as the older contract has it."""
    _ask(ctx, {"action": "list-migrations"})


@app.command("run-migration")
def run_migration(ctx: typer.Context, target: Target, actor: ActorOption = None) -> None:
    """Upgrade to TARGET, or to `all`, as the older contract has it."""
    _ask(ctx, {"action": "run-migration", "target": target, "actor": _actor(actor)})


@app.command()
def new(ctx: typer.Context, message: Annotated[str, typer.Argument(help="What it does, in a few words.")]) -> None:
    """Write the next-numbered revision after the head."""
    _author(ctx, "new", lambda asked: [authoring.new(asked.settings, message)])


@app.command()
def snapshot(ctx: typer.Context) -> None:
    """Write alembic/schema/: what the database looks like after each revision."""
    _author(ctx, "snapshot", authoring.snapshot)


def _author(ctx: typer.Context, action: str, work: Callable[[Invocation], list[Path]]) -> None:
    given: Options = ctx.obj
    answer = Answer(action, str(uuid.uuid4()))
    try:
        with console.progress() as tell:
            known = settings.read(given.environ)
            files = work(Invocation(known, answer.request_id, Deadline.after(given.timeout_s), tell))
        answer.extra["files"] = [os.path.relpath(path) for path in files]
        answer.message = f"{count(len(files), 'file')} written." if files else "Nothing to write: all is up to date."
    except MigrationError as error:
        answer.fail(error)
    raise typer.Exit(console.show(answer.as_json(), given.json))


def _ask(ctx: typer.Context, event: dict[str, object]) -> None:
    given: Options = ctx.obj
    # libpq waits in C, where Ctrl-C is not heard; this cancels the statement instead
    psycopg2.extensions.set_wait_callback(psycopg2.extras.wait_select)
    with console.progress() as tell:
        deadline = Deadline.after(given.timeout_s)
        answer = commands.execute(event, given.environ, str(uuid.uuid4()), deadline, tell)
    raise typer.Exit(console.show(answer, given.json))


def _actor(given: str | None) -> str:
    return given or getpass.getuser()


def main() -> None:
    """Run the command line; Ctrl-C outside a statement ends it with one line and no traceback."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("Interrupted. What was committed stays; `migrate current` says where the database is.", err=True)
        sys.exit(INTERRUPTED)
