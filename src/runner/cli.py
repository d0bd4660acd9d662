"""The command line: Alembic's commands, translated into the payloads that the Lambda takes.

A module that only some commands need is imported by those, since imports are most of a command's time.
"""

import contextlib
import logging
import os
import re
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from runner import commands, next_step, settings, signals
from runner.answer import Draft, Json
from runner.aws import environments
from runner.aws.environments import Environment
from runner.errors import Interrupted, InvalidSettings, MigrationError, count
from runner.invocation import Invocation, Tell
from runner.length import fit
from runner.next_step import Door, NextStep
from runner.output import command_line, console, options
from runner.output.command_line import LocalOption
from runner.output.options import COMMON, WITHOUT_FUNCTION, WITHOUT_PLACE, Options
from runner.postgres import translation

# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
IMAGE = re.compile(r"sha256:[0-9a-f]{64}|[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

app = command_line.create(
    command_line.StepsAllowed,
    "Change a PostgreSQL schema with Alembic revisions, safely, while the application is serving.",
    "0 done, 1 error, 2 usage, 3 partly done, 4 the answer is no, 130 interrupted, 143 ended by SIGTERM",
)


@app.callback()
def common(
    ctx: typer.Context,
    local: LocalOption = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
    timeout: options.Timeout = None,
    env: options.Env = None,
    function: options.Function = None,
    version: options.Version = False,
) -> None:
    if local + (env is not None) + (function is not None) > 1:
        ctx.fail("--local, --env and --function exclude each other: each one selects the database.")
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    # not the root logger: at DEBUG botocore writes session tokens
    if debug:
        for name in ("alembic", "runner"):
            logging.getLogger(name).setLevel(logging.DEBUG)
    ctx.obj = Options(local, "json" if as_json else "tables", timeout, env, function)


@app.command(epilog=COMMON)
def plan(
    ctx: typer.Context,
    target: options.Either = "head",
    offline: options.Offline = None,
    sizes: options.Sizes = None,
    markdown: options.Markdown = False,
    sarif: options.Sarif = False,
) -> None:
    """Show what a change to TARGET would do: revisions, SQL, findings, table sizes, and the plan id."""
    if sarif:
        if markdown or ctx.obj.form == "json":
            ctx.fail("--sarif, --markdown and --json exclude each other.")
        ctx.obj = replace(ctx.obj, form="sarif")
    if offline is not None:
        source = ctx.get_parameter_source("target")
        if source is not None and source.name != "DEFAULT":
            ctx.fail("--offline FROM:TO names the target, so `plan` accepts no other beside it.")
        _plan_offline(ctx, offline, sizes, markdown)
    if sizes is not None:
        ctx.fail("--sizes belongs to --offline: with a database, `plan` reads the sizes there.")
    _ask(ctx, {"action": "plan", "target": target}, markdown)


def _plan_offline(ctx: typer.Context, ends: str, sizes: Path | None, markdown: bool) -> NoReturn:
    given: Options = ctx.obj
    _refuse_places(ctx, "plan --offline", "reads no database", local=given.local)

    from runner.preview import offline_plan
    from runner.script import graph

    span = offline_plan.parse(ends)
    if span is None:
        ctx.fail("--offline takes FROM:TO, such as `017:head`, `base:head`, or `-1:head` for the newest revision.")

    def work(draft: Draft, tell: Tell) -> None:
        invocation = Invocation(settings.read(given.environ), draft.request_id, given.deadline(), tell)
        offline_plan.draw_up(invocation, graph.load(invocation.settings, runs=True), span, sizes, draft)

    _answer(ctx, "plan", work, markdown)


@app.command(epilog=COMMON)
def rehearse(
    ctx: typer.Context,
    target: options.Either = "head",
    max_lock_hold_ms: Annotated[
        int, typer.Option("--max-lock-hold-ms", help="Stop when writes are blocked for longer.")
    ] = 2000,
    markdown: options.Markdown = False,
) -> None:
    """Run the change to TARGET in one transaction, measure it, and roll it back. It takes locks: use a clone."""
    _ask(ctx, {"action": "rehearse", "target": target, "max_lock_hold_ms": max_lock_hold_ms}, markdown)


@app.command(epilog=COMMON)
def check(ctx: typer.Context, markdown: options.Markdown = False) -> None:
    """Report problems: pending revisions, drift, edited history, invalid indexes, leftovers."""
    _ask(ctx, {"action": "check"}, markdown)


@app.command(epilog=COMMON)
def upgrade(
    ctx: typer.Context,
    target: options.Up = "head",
    plan: options.Plan = None,
    actor: options.Actor = None,
    key: options.Key = None,
) -> None:
    """Apply the revisions up to TARGET."""
    asked = {"action": "upgrade", "target": target, "plan": plan}
    _ask(ctx, {**asked, "actor": options.actor(actor), "idempotency_key": key})


@app.command(epilog=COMMON)
def downgrade(
    ctx: typer.Context,
    target: options.Down,
    plan: options.Plan = None,
    confirm: options.Confirm = None,
    actor: options.Actor = None,
    key: options.Key = None,
) -> None:
    """Revert the revisions down to TARGET."""
    asked = {"action": "downgrade", "target": target, "plan": plan, "confirm": confirm}
    _ask(ctx, {**asked, "actor": options.actor(actor), "idempotency_key": key})


@app.command(epilog=COMMON)
def current(ctx: typer.Context) -> None:
    """Print the revision that the database is at."""
    _ask(ctx, {"action": "current"})


@app.command(epilog=COMMON)
def heads(ctx: typer.Context) -> None:
    """List the head revisions; needs no database."""
    _ask(ctx, {"action": "heads"})


@app.command(epilog=COMMON)
def history(
    ctx: typer.Context,
    limit: Annotated[int | None, typer.Option(help="How many to list, the newest first.")] = None,
    markdown: options.Markdown = False,
) -> None:
    """List the revisions, newest first: applied or not, when, by whom, how long."""
    _ask(ctx, {"action": "history"} | ({} if limit is None else {"limit": limit}), markdown)


@app.command(epilog=COMMON)
def show(ctx: typer.Context, target: options.Named = "head") -> None:
    """Describe one revision; needs no database."""
    _ask(ctx, {"action": "show", "target": target})


@app.command(epilog=COMMON)
def sizes(ctx: typer.Context) -> None:
    """List the tables, the largest first, with estimated rows; its --json is a file for `plan --offline --sizes`."""
    _ask(ctx, {"action": "sizes"})


@app.command(epilog=COMMON)
def activity(ctx: typer.Context) -> None:
    """List the database's sessions: what they do, hold, wait for and block, and the progress of long work."""
    _ask(ctx, {"action": "activity"})


@app.command("end-session", epilog=COMMON)
def end_session(
    ctx: typer.Context,
    pid: Annotated[int, typer.Argument(metavar="PID", help="The session's pid, as `activity` shows it.")],
    confirm: Annotated[str | None, typer.Option(metavar="SESSION", help="The session's id, from `activity`.")] = None,
    actor: options.Actor = None,
) -> None:
    """End a session that blocks. PostgreSQL rolls its transaction back."""
    event: dict[str, object] = {"action": "end-session", "pid": pid, "confirm": confirm}
    _ask(ctx, {**event, "actor": options.actor(actor)})


@app.command(epilog=COMMON)
def stamp(
    ctx: typer.Context, target: options.Named, confirm: options.Confirm = None, actor: options.Actor = None
) -> None:
    """Record that the database is at TARGET, after comparing it with that revision's snapshot."""
    _ask(ctx, {"action": "stamp", "target": target, "confirm": confirm, "actor": options.actor(actor)})


@app.command(epilog=COMMON)
def repair(
    ctx: typer.Context,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The revision that was edited.")] = None,
    confirm: options.Confirm = None,
    actor: options.Actor = None,
) -> None:
    """Drop invalid indexes, or build them again; and accept the present text of TARGET, edited after it ran."""
    _ask(ctx, {"action": "repair", "target": target, "confirm": confirm, "actor": options.actor(actor)})


@app.command(epilog=COMMON)
def redo(
    ctx: typer.Context,
    confirm: options.Confirm = None,
    actor: options.Actor = None,
    key: options.Key = None,
) -> None:
    """Revert the newest revision by its downgrade(), and apply its present text."""
    asked: dict[str, object] = {"action": "redo", "confirm": confirm}
    _ask(ctx, {**asked, "actor": options.actor(actor), "idempotency_key": key})


@app.command("list-migrations", epilog=COMMON)
def list_migrations(ctx: typer.Context) -> None:
    """List the revisions, oldest first, in the words of the older contract."""
    _ask(ctx, {"action": "list-migrations"})


@app.command("run-migration", epilog=COMMON)
def run_migration(ctx: typer.Context, target: options.Named, actor: options.Actor = None) -> None:
    """Upgrade to TARGET, or to `all`, in the words of the older contract."""
    _ask(ctx, {"action": "run-migration", "target": target, "actor": options.actor(actor)})


@app.command(epilog=WITHOUT_FUNCTION)
def new(ctx: typer.Context, message: Annotated[str, typer.Argument(help="What it does, in a few words.")]) -> None:
    """Create a revision after the head, with the next number."""
    from runner import authoring

    _author(ctx, "new", lambda invocation: [authoring.new(invocation.settings, message)])


@app.command(epilog=WITHOUT_FUNCTION)
def snapshot(ctx: typer.Context) -> None:
    """Write the catalog after each revision to alembic/schema/."""
    from runner import authoring

    _author(ctx, "snapshot", authoring.snapshot)


@app.command(epilog=WITHOUT_PLACE)
def reset(ctx: typer.Context) -> None:
    """Make the embedded PostgreSQL new: with --local only, delete its data and start it empty."""
    given: Options = ctx.obj
    if not given.local:
        ctx.fail("`reset` deletes every row, so it is for the embedded PostgreSQL only: `migrate reset --local`.")

    from runner.postgres import embedded

    def work(draft: Draft, tell: Tell) -> None:
        config = settings.read(given.environ).alembic_config
        if not config.is_file():
            raise InvalidSettings(f"There is no `{config}`.", "Run from the project's folder.")
        there = embedded.reset(config.resolve().parent)
        was = "is new and empty, and the old data are deleted" if there else "is new and empty; there was none before"
        draft.conclude(f"The embedded database {was}. Make its schema with `migrate --local upgrade`.")

    _answer(ctx, "reset", work)


@app.command(epilog=COMMON)
def doctor(ctx: typer.Context) -> None:
    """Check what a run requires, one thing after the other, and say how to correct it."""
    from runner.doctor import function, local

    given: Options = ctx.obj

    def work(draft: Draft, tell: Tell) -> None:
        environment = _environment(given)
        if environment:
            function.examine(environment, given.timeout_s, tell, draft)
        else:
            local.examine(given.environ, given.deadline(), draft)

    _answer(ctx, "doctor", work)


@app.command(epilog=WITHOUT_PLACE)
def promote(
    ctx: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The environment to promote to.")],
    below: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="The environment to promote from, which has proven the image."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="For an environment with none below it: the image's tag or digest."),
    ] = None,
) -> None:
    """Make an environment run the image that is proven in the one below, from its next deployment on."""
    given: Options = ctx.obj
    _refuse_places(ctx, "promote", "takes its environments from --from and --to", local=given.local)
    if (below is None) == (image is None) or below == to:
        ctx.fail("`promote` takes either --from, which must differ from --to, or --image.")
    if image is not None and not IMAGE.fullmatch(image):
        ctx.fail("--image must be a tag or a digest, which is `sha256:` and 64 hexadecimal digits.")

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
        ctx.fail(f"`{action}` {why}, so it accepts neither {'--local, ' if local else ''}--env nor --function.")


def _author(ctx: typer.Context, action: str, write: Callable[[Invocation], list[Path]]) -> None:
    given: Options = ctx.obj
    _refuse_places(ctx, action, "writes local files")

    from runner.results import FilesResult

    def work(draft: Draft, tell: Tell) -> None:
        files = write(Invocation(settings.read(given.environ), draft.request_id, given.deadline(), tell))
        message = f"Wrote {count(len(files), 'file')}." if files else "Nothing to write: everything is up to date."
        draft.conclude(message, FilesResult(tuple(os.path.relpath(path) for path in files)))

    _answer(ctx, action, work)


def _answer(ctx: typer.Context, action: str, work: Callable[[Draft, Tell], None], markdown: bool = False) -> NoReturn:
    """Run a command that has no payload, and show its answer as those of verbs are shown."""
    given = _formed(ctx, markdown)
    draft = Draft(action, str(uuid.uuid4()))
    try:
        # as in `commands.execute`: what a revision prints must not come between the data
        with signals.raising(), console.progress() as tell, contextlib.redirect_stdout(sys.stderr):
            work(draft, tell)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - translated as in `commands.execute`
        answer = draft.fail(translation.explain(error))
    else:
        answer = draft.succeed()
    raise typer.Exit(_show(fit(answer.as_json()), given, _door(given)))


def _formed(ctx: typer.Context, markdown: bool) -> Options:
    given: Options = ctx.obj
    return replace(given, form="markdown") if markdown else given


def _ask(ctx: typer.Context, event: dict[str, object], markdown: bool = False) -> NoReturn:
    """Execute a verb here or in a function, show its answer and exit with its code."""
    given = _formed(ctx, markdown)
    payload = {key: command_line.as_typed(value) for key, value in event.items()}
    answer: dict[str, Json] | None = None
    door = _door(given)
    try:
        with signals.raising(), console.progress() as tell:
            answer = _execute(given, payload, next_step.spelling(tell, door))
    except KeyboardInterrupt:
        # before the work began, or behind its end
        answer = answer or Draft(str(payload["action"]), str(uuid.uuid4())).fail(Interrupted()).as_json()
    raise typer.Exit(_show(answer, given, door, next_step.of_call(payload)))


def _show(answer: dict[str, Json], given: Options, door: Door, same: NextStep | None = None) -> int:
    """Print an answer, whose messages name their steps in the words of a door, and return the exit code."""
    folder = settings.project_file(given.environ).parent
    return console.show(answer, given.form, folder, door, same)


def _door(given: Options) -> Door:
    """Return the words of this command line, with the options that select the call's database."""
    try:
        environment = _environment(given)
    except MigrationError:
        # the call says what is wrong
        environment = None
    if environment is None:
        return next_step.command_line(given.words)
    from runner.aws import state_machine

    return state_machine.door(environment, given.words)


def _execute(given: Options, payload: dict[str, object], tell: Tell) -> dict[str, Json]:
    request_id = str(uuid.uuid4())
    try:
        environment = _environment(given)
    except MigrationError as error:
        return Draft(str(payload["action"]), request_id).fail(error).as_json()
    if environment:
        from runner.aws import invoke

        return invoke.ask(environment, payload, given.timeout_s, tell)
    return commands.execute(payload, given.environ, request_id, given.deadline(), tell).document


def _environment(given: Options) -> Environment | None:
    """Return the function to invoke, None to execute here. Raises `InvalidSettings`."""
    # an empty name, as from a variable that is not set, is an error and must not mean this machine
    if given.function is not None:
        return environments.of_function(given.function)
    return None if given.env is None else environments.read(os.environ, given.env)


if __name__ == "__main__":
    # `python -m runner.cli` would otherwise do nothing and exit with 0
    app(prog_name="migrate")
