"""The command line: Alembic's words, translated into the same payloads that the Lambda takes.

What only some commands need, they import themselves: a command is as fast as its start.
"""

import getpass
import itertools
import logging
import os
import re
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from runner import __version__, commands, settings
from runner.answer import Draft, Json
from runner.aws import environments
from runner.aws.environments import Environment
from runner.deadline import Deadline
from runner.errors import MigrationError, count
from runner.invocation import DEFAULT_TIMEOUT_S, Invocation, Tell
from runner.output import console
from runner.postgres import translation

MINUS = "\N{MINUS SIGN}"
STEPS_DOWN = re.compile(r"-[0-9]+")
COMMON = "Every command also takes --local, --env NAME, --function NAME, --json, --timeout SECONDS and --debug."
THERE = "It also takes --json, --timeout SECONDS and --debug."
# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
IMAGE = re.compile(r"sha256:[0-9a-f]{64}|[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
HERE = "It also takes --local, --json, --timeout SECONDS and --debug."


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
            # `-1` is a target and not an option
            (mine if option else rest).append(word.replace("-", MINUS) if STEPS_DOWN.fullmatch(word) else word)
            if option and not getattr(option, "is_flag", False) and "=" not in word:
                mine.extend(itertools.islice(words, 1))
        return super().parse_args(ctx, [*mine, *rest])


@dataclass(frozen=True)
class Options:
    """Hold what every verb takes."""

    local: bool
    form: str
    """How an answer is printed: `tables`, `json` or `markdown`."""
    timeout_s: float | None
    """What the caller gave, None where nothing was."""
    env: str | None
    function: str | None

    def deadline(self) -> Deadline:
        """Set the deadline of what is done here."""
        return Deadline.after(self.timeout_s or DEFAULT_TIMEOUT_S)

    def environment(self) -> Environment | None:
        """Return the function that is to do it, None to do it here. Raises `InvalidSettings`."""
        # an empty name is one that was meant to be there
        if self.function is not None:
            return environments.of_function(self.function)
        return None if self.env is None else environments.read(os.environ, self.env)

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DATABASE_URL": "embedded:"} if self.local else dict(os.environ)


app = typer.Typer(
    cls=OptionsAnywhere,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help="Change a PostgreSQL schema with Alembic revisions, safely, while the application is serving.",
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 partly done, 4 the answer is no, 130 interrupted.",
)
Up = Annotated[str, typer.Argument(metavar="TARGET", help="A revision or the beginning of one, head, or +1.")]
Down = Annotated[str, typer.Argument(metavar="TARGET", help="A revision or the beginning of one, base, or -1.")]
Either = Annotated[str, typer.Argument(metavar="TARGET", help="A revision, head or base, +1 or -1: up or down.")]
Named = Annotated[str, typer.Argument(metavar="TARGET", help="A revision or the beginning of one.")]
ActorOption = Annotated[str | None, typer.Option("--actor", help="Who asks, for the ledger; else your login name.")]
ConfirmOption = Annotated[str | None, typer.Option("--confirm", help="The current revision: I know what is there.")]
PlanOption = Annotated[str | None, typer.Option("--plan", help="The id of the plan that was read; it must hold.")]
MarkdownOption = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request's comment.")]
KeyOption = Annotated[str | None, typer.Option("--idempotency-key", help="The same key answers the same again.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"migrate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    local: Annotated[bool, typer.Option("--local", help="Use the embedded PostgreSQL under .postgres/.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the raw answer.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print Alembic's log and a failure's frames.")] = False,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which to give up; else 900.")] = None,
    env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask the function of this name in migrate.toml.")
    ] = None,
    function: Annotated[str | None, typer.Option(metavar="NAME", help="Ask this function, a name or an ARN.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    if local + (env is not None) + (function is not None) > 1:
        ctx.fail("--local, --env and --function exclude each other: each says where the database is.")
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    if debug:
        for name in ("alembic", "runner"):
            logging.getLogger(name).setLevel(logging.DEBUG)
    ctx.obj = Options(local, "json" if as_json else "tables", timeout, env, function)


@app.command(epilog=COMMON)
def plan(ctx: typer.Context, target: Either = "head", markdown: MarkdownOption = False) -> None:
    """Say what going to TARGET would do here: revisions, SQL, findings, sizes, and the plan's id."""
    _ask(ctx, {"action": "plan", "target": target}, markdown)


@app.command(epilog=COMMON)
def rehearse(
    ctx: typer.Context,
    target: Either = "head",
    max_lock_hold_ms: Annotated[
        int, typer.Option("--max-lock-hold-ms", help="End it when writes are blocked for longer.")
    ] = 2000,
    markdown: MarkdownOption = False,
) -> None:
    """Really go to TARGET in one transaction, measure it, and roll it back. It locks: measure on a clone."""
    _ask(ctx, {"action": "rehearse", "target": target, "max_lock_hold_ms": max_lock_hold_ms}, markdown)


@app.command(epilog=COMMON)
def check(ctx: typer.Context, markdown: MarkdownOption = False) -> None:
    """Say what is not as it should be: pending, drift, edited history, invalid indexes, leftovers."""
    _ask(ctx, {"action": "check"}, markdown)


@app.command(epilog=COMMON)
def upgrade(
    ctx: typer.Context,
    target: Up = "head",
    plan: PlanOption = None,
    actor: ActorOption = None,
    key: KeyOption = None,
) -> None:
    """Apply the revisions up to TARGET."""
    asked = {"action": "upgrade", "target": target, "plan": plan}
    _ask(ctx, {**asked, "actor": _actor(actor), "idempotency_key": key})


@app.command(epilog=COMMON)
def downgrade(
    ctx: typer.Context,
    target: Down,
    plan: PlanOption = None,
    confirm: ConfirmOption = None,
    actor: ActorOption = None,
    key: KeyOption = None,
) -> None:
    """Revert the revisions down to TARGET."""
    asked = {"action": "downgrade", "target": target, "plan": plan, "confirm": confirm}
    _ask(ctx, {**asked, "actor": _actor(actor), "idempotency_key": key})


@app.command(epilog=COMMON)
def current(ctx: typer.Context) -> None:
    """Print the revision that the database is at."""
    _ask(ctx, {"action": "current"})


@app.command(epilog=COMMON)
def heads(ctx: typer.Context) -> None:
    """List the revisions that no other follows; needs no database."""
    _ask(ctx, {"action": "heads"})


@app.command(epilog=COMMON)
def history(
    ctx: typer.Context,
    limit: Annotated[int | None, typer.Option(help="Only the newest ones.")] = None,
    markdown: MarkdownOption = False,
) -> None:
    """List the revisions, newest first: applied or not, when, by whom, how long."""
    _ask(ctx, {"action": "history"} | ({} if limit is None else {"limit": limit}), markdown)


@app.command(epilog=COMMON)
def show(ctx: typer.Context, target: Named = "head") -> None:
    """Describe one revision; needs no database."""
    _ask(ctx, {"action": "show", "target": target})


@app.command(epilog=COMMON)
def stamp(ctx: typer.Context, target: Named, confirm: ConfirmOption = None, actor: ActorOption = None) -> None:
    """Say that the database is at TARGET, after comparing it with that revision's snapshot."""
    _ask(ctx, {"action": "stamp", "target": target, "confirm": confirm, "actor": _actor(actor)})


@app.command(epilog=COMMON)
def repair(ctx: typer.Context, target: Named, confirm: ConfirmOption = None, actor: ActorOption = None) -> None:
    """Accept the text that TARGET has now although it ran with another, and clear what a failure left."""
    _ask(ctx, {"action": "repair", "target": target, "confirm": confirm, "actor": _actor(actor)})


@app.command("list-migrations", epilog=COMMON)
def list_migrations(ctx: typer.Context) -> None:
    """List the revisions, oldest first, as the older contract has it."""
    _ask(ctx, {"action": "list-migrations"})


@app.command("run-migration", epilog=COMMON)
def run_migration(ctx: typer.Context, target: Named, actor: ActorOption = None) -> None:
    """Upgrade to TARGET, or to `all`, as the older contract has it."""
    _ask(ctx, {"action": "run-migration", "target": target, "actor": _actor(actor)})


@app.command(epilog=HERE)
def new(ctx: typer.Context, message: Annotated[str, typer.Argument(help="What it does, in a few words.")]) -> None:
    """Write the next-numbered revision after the head."""
    from runner import authoring

    _author(ctx, "new", lambda asked: [authoring.new(asked.settings, message)])


@app.command(epilog=HERE)
def snapshot(ctx: typer.Context) -> None:
    """Write alembic/schema/: what the database looks like after each revision."""
    from runner import authoring

    _author(ctx, "snapshot", authoring.snapshot)


@app.command(epilog=COMMON)
def doctor(ctx: typer.Context) -> None:
    """Check what a run needs, one thing after the other, and say what to do."""
    from runner.doctor import function, local

    given: Options = ctx.obj

    def work(draft: Draft, tell: Tell) -> None:
        environment = given.environment()
        if environment:
            function.examine(environment, given.timeout_s, tell, draft)
        else:
            local.examine(given.environ, given.deadline(), draft)

    _answer(ctx, "doctor", work)


@app.command(epilog=THERE)
def promote(
    ctx: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The environment that is to run the image.")],
    below: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="The environment that runs it, and has proven it.")
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="For an environment with none below it: the image's tag or digest."),
    ] = None,
) -> None:
    """Have an environment run the very image that ran well in the one below; takes effect with the next deployment."""
    given: Options = ctx.obj
    _refuse_places(ctx, "promote", "names its environments itself", local=given.local)
    if (below is None) == (image is None) or below == to:
        ctx.fail("`promote` takes either --from, the name of another environment than --to, or --image.")
    if image is not None and not IMAGE.fullmatch(image):
        ctx.fail("--image is neither a tag nor a digest, `sha256:` and 64 hexadecimal digits.")

    from runner.aws import promote

    def work(draft: Draft, tell: Tell) -> None:
        if below is not None:
            promote.from_below(os.environ, below, to, given.timeout_s, tell, draft)
        elif image is not None:
            promote.from_registry(os.environ, image, to, tell, draft)

    _answer(ctx, "promote", work)


def _refuse_places(ctx: typer.Context, action: str, why: str, *, local: bool = False) -> None:
    given: Options = ctx.obj
    if local or given.env is not None or given.function is not None:
        ctx.fail(f"`{action}` {why}, so it takes neither {'--local, ' if local else ''}--env nor --function.")


def _author(ctx: typer.Context, action: str, write: Callable[[Invocation], list[Path]]) -> None:
    given: Options = ctx.obj
    _refuse_places(ctx, action, "writes files here")

    from runner.results import FilesResult

    def work(draft: Draft, tell: Tell) -> None:
        files = write(Invocation(settings.read(given.environ), draft.request_id, given.deadline(), tell))
        message = f"{count(len(files), 'file')} written." if files else "Nothing to write: all is up to date."
        draft.conclude(message, FilesResult(tuple(os.path.relpath(path) for path in files)))

    _answer(ctx, action, work)


def _answer(ctx: typer.Context, action: str, work: Callable[[Draft, Tell], None]) -> None:
    """Do what only the command line knows, and show it as the answers of verbs are shown."""
    given: Options = ctx.obj
    draft = Draft(action, str(uuid.uuid4()))
    try:
        with console.progress() as tell:
            work(draft, tell)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - told as the facade tells it
        answer = draft.fail(translation.explain(error))
    else:
        answer = draft.succeed()
    raise typer.Exit(console.show(answer.as_json(), given.form))


def _ask(ctx: typer.Context, event: dict[str, object], markdown: bool = False) -> None:
    given: Options = replace(ctx.obj, form="markdown") if markdown else ctx.obj
    asked = {key: value.replace(MINUS, "-") if isinstance(value, str) else value for key, value in event.items()}
    with console.progress() as tell:
        answer = _ask_there_or_here(given, asked, tell)
    raise typer.Exit(console.show(answer, given.form))


def _ask_there_or_here(given: Options, asked: dict[str, object], tell: Tell) -> dict[str, Json]:
    request_id = str(uuid.uuid4())
    try:
        environment = given.environment()
    except MigrationError as error:
        return Draft(str(asked["action"]), request_id).fail(error).as_json()
    if environment:
        from runner.aws import invoke

        return invoke.ask(environment, asked, given.timeout_s, tell)
    return commands.execute(asked, given.environ, request_id, given.deadline(), tell).told


def _actor(given: str | None) -> str:
    if given:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # a container may run as a number that no account has
        return f"uid {os.getuid()}"


if __name__ == "__main__":
    # a little later than `python -m runner` does, but not a success that does nothing
    app(prog_name="migrate")
