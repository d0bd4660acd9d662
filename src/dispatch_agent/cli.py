"""The command line: translates arguments into calls and results into words, nothing else."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from dispatch_agent import console, failure, interrupts, quiet, tenants, unreadable, words
from dispatch_agent.blocklist import nameless
from dispatch_agent.log import retention, stats
from dispatch_agent.sample_data import samples
from runner.errors import MigrationError
from runner.output import command_line, pipes
from runner.output.command_line import LocalOption
from runner.output.console import BY_CODE, PARTLY_DONE, put
from runner.postgres.connect import open_from

CONNECT_S = 60
COMMON = "Every command also takes --local, --env NAME, --json and --debug."
INVOKED_S = 960
"""The longest that a function runs, and a minute for its start."""


@dataclass(frozen=True)
class Options(command_line.DatabaseChoice):
    """The options that every command takes."""

    as_json: bool
    debug: bool
    env: str | None = None
    """The environment of `migrate.toml` whose functions do the work; None works here."""

    def engine(self) -> Engine:
        """Return an engine that has not connected yet."""
        return open_from(self.environ, "dispatch-agent", CONNECT_S)


app = command_line.create(
    command_line.OptionsAnywhere,
    "Decide on which channel each lead would be contacted, and record it. Nothing is ever sent.",
    "0 done, 1 error, 2 usage, 3 partly done, 130 interrupted",
)
TenantOption = Annotated[str | None, typer.Option("--tenant", help="A tenant's slug or id; default: all tenants.")]


@app.callback()
def common(
    ctx: typer.Context,
    local: LocalOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the run's log and the frames of a failure.")] = False,
    env: Annotated[
        str | None,
        typer.Option("--env", metavar="NAME", help="Invoke the functions of this environment in migrate.toml."),
    ] = None,
) -> None:
    if local and env is not None:
        ctx.fail("--local and --env exclude each other: each one selects the database.")
    # only now: Typer has set a hook of its own
    quiet.hide_texts()
    # a run logs the frames of its failure, and a person reads the sentence
    logging.getLogger("dispatch_agent").setLevel(logging.DEBUG if debug else logging.ERROR)
    ctx.obj = Options(local, as_json, debug, env)


@app.command("dry-run", epilog=COMMON)
def dry_run(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Option(help="A tenant's slug or id.")],
    batch: Annotated[int | None, typer.Option(min=1, show_default="1", help="How many leads to decide on.")] = None,
    lead: Annotated[str | None, typer.Option(metavar="ID", help="Only this lead.")] = None,
    run_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Continue this run; it decides on each lead once.")
    ] = None,
    cursor: Annotated[str | None, typer.Option(help="Where to continue, from an answer that was partly done.")] = None,
    spread: Annotated[
        bool, typer.Option("--spread", help="Simulate a day of sends to all leads, hour by hour; record nothing.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Decide as at this moment, such as 2026-11-24T10:30-03:00.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Stop after this many seconds.")] = 900,
) -> None:
    """Decide on leads, the most interested first, and record the decisions."""
    chosen = {"batchSize": batch, "leadId": lead, "cursor": cursor, "runId": run_id}
    event: dict[str, Any] = {"tenantId": tenant, **{key: value for key, value in chosen.items() if value is not None}}
    if at is not None:
        event["at"] = at
    if spread:
        event["spread"] = True
        if any(value is not None for value in chosen.values()):
            ctx.fail("--spread is about all leads, and takes neither --batch, --lead, --run-id nor --cursor.")
    else:
        event = {"batchSize": 1, "runId": str(uuid.uuid4())} | event
    left = "" if spread else f"Recorded decisions remain; `--run-id {event['runId']}` skips their leads."

    def work(given: Options) -> int:
        if given.env is not None:
            return show(_invoke(given, event, timeout), event, given)
        from dispatch_agent.run import run

        with console.progress() as tell, interrupts.ending():
            answer = run(event, given.environ, str(uuid.uuid4()), timeout, tell)
        return show(answer, event, given)

    _do(ctx, work, left)


@app.command("stats", epilog=COMMON)
def tell_stats(
    ctx: typer.Context,
    tenant: TenantOption = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days to count, including today.")] = 14,
) -> None:
    """Count the decisions per day, by channel and by block reason."""

    def work(given: Options) -> int:
        if given.env is not None:
            answer = _invoke(given, {"action": "stats", "days": days} | _of(tenant))
            if not answer["success"]:
                return show(answer, {}, given)
            found, told = stats.from_answer(answer), answer["ilegiveis"]
        else:
            with given.engine().connect() as connection:
                owner = tenants.find(connection, tenant) if tenant else None
                found = stats.read(connection, owner, days)
                told = {
                    "bloqueios": nameless.read(connection, owner).as_told(),
                    "contatos": unreadable.read(connection, owner).as_told(),
                }
        if given.as_json:
            tallies = stats.as_data(found)
            put({"tenant": tenant, "days": days, "today": found.today, "tallies": tallies, "ilegiveis": told})
            return 0
        decisions = console.count(found.decisions, "decision")
        console.say(f"{decisions} of {f'`{tenant}`' if tenant else 'all tenants'} since {found.dates[0]}.")
        for sentence in words.unreadable({"ilegiveis": told}):
            console.say(sentence)
        if not console.draws():
            console.table(stats.plain(found))
        elif found.decisions:
            console.table(stats.per_day(found), title="Decisões por dia")
            console.table(stats.per_reason(found), title="Motivos de bloqueio")
            console.picture(stats.plot(found, console.draws(), console.colours()))
        return 0

    _do(ctx, work)


@app.command("sample-data", epilog=COMMON)
def sample_data(
    ctx: typer.Context,
    leads: Annotated[int, typer.Option(min=1, help="How many leads to add.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same leads.")] = 7,
    tenant: Annotated[str, typer.Option(help="A tenant's slug or id; an unused slug creates a tenant.")] = "test-001",
) -> None:
    """Add fictitious leads; existing ones remain unchanged."""

    def work(given: Options) -> int:
        if given.env is not None:
            ctx.fail("`sample-data` works here alone, so it does not accept --env.")
        samples.refuse(given.environ)
        with given.engine().begin() as connection:
            added = samples.add(connection, tenant, leads, seed)
        if given.as_json:
            put(vars(added))
        console.say(added.sentence(tenant, seed))
        return 0

    _do(ctx, work, "Nothing was changed.")


@app.command(epilog=COMMON)
def purge(
    ctx: typer.Context,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Days or hours: 90d, 36h.")],
    tenant: TenantOption = None,
    recent: Annotated[bool, typer.Option("--recent", help="Allow an age of less than a day.")] = False,
) -> None:
    """Delete old decisions from the log, in batches; Ctrl-C stops after a batch."""
    try:
        age = retention.age(older_than)
    except ValueError:
        ctx.fail(f"`{older_than}` is not an age: write days or hours, such as 90d or 36h.")
    if age < retention.A_DAY and not recent:
        ctx.fail(f"{older_than} is less than a day, and would delete today's decisions; `--recent` allows it.")
    gone: list[int] = []

    def work(given: Options) -> int:
        if given.env is not None:
            return _purge_there(given, {"action": "purge", "olderThan": older_than, "recent": recent} | _of(tenant))
        with given.engine().connect() as connection:
            with connection.begin():
                owner = tenants.find(connection, tenant) if tenant else None
                before = retention.moment(connection, age)
            with console.progress() as tell, interrupts.stoppable() as stop:
                for number in retention.delete(connection, retention.Purge(before, owner)):
                    gone.append(number)
                    tell(f"Deleted {console.count(sum(gone), 'row')}.", number=sum(gone))
                    if stop.is_set():
                        raise KeyboardInterrupt
            left = retention.left(connection, owner)
        if given.as_json:
            put({"deleted": sum(gone), "left": left, "before": before})
        console.say(
            f"Deleted {console.count(sum(gone), 'row')} from before {before:%Y-%m-%d %H:%M:%S}; {left:,} remain."
        )
        return 0

    _do(
        ctx,
        work,
        lambda: f"Deleted {console.count(sum(gone), 'row')} in {console.count(len(gone), 'transaction')} before that.",
    )


def _purge_there(given: Options, event: dict[str, Any]) -> int:
    answer = _invoke(given, event)
    if not answer["success"]:
        return show(answer, event, given)
    if given.as_json:
        put(answer)
    rest = "" if answer["finished"] else " The time ran out; repeat the command to delete the rest."
    console.say(f"Deleted {console.count(answer['deleted'], 'row')} from before {answer['before']}.{rest}")
    return 0 if answer["finished"] else PARTLY_DONE


def _invoke(given: Options, event: dict[str, Any], timeout_s: float = INVOKED_S) -> dict[str, Any]:
    from dispatch_agent import remote

    return remote.ask(given.environ, str(given.env), event, timeout_s)


def _of(tenant: str | None) -> dict[str, str]:
    return {} if tenant is None else {"tenantId": tenant}


def show(answer: dict[str, Any], event: dict[str, Any], given: Options) -> int:
    """Print the answer of a run and return its exit code."""
    if given.as_json:
        put(answer)
    if given.debug:
        for line in answer.get("logs", []):
            console.say(line)
    if not answer["success"]:
        code = str(answer.get("code", "internal-error"))
        console.say(f"{code}: {answer['error']}", "red")
        return BY_CODE.get(code, 1)
    if not given.as_json:
        rows = map(words.hour, answer["horas"]) if "horas" in answer else map(words.decision, answer["decisoes"])
        console.table(list(rows), only_piped=("id",))
    for sentence in words.summary(answer):
        console.say(sentence)
    if not answer.get("cursor"):
        return 0
    again = f"--tenant {event['tenantId']} --batch {event['batchSize']} --run-id {event['runId']}"
    again += f" --at {event['at']}" if "at" in event else ""
    there = "" if given.env is None else f"--env {given.env} "
    console.say(f"The time ran out. Continue with `dispatch-agent {there}dry-run {again} --cursor {answer['cursor']}`.")
    return PARTLY_DONE


def _do(ctx: typer.Context, work: Callable[[Options], int], left: str | Callable[[], str] = "") -> None:
    """Do the work and exit; on failure print what happened, the state that is `left`, and one next step."""
    given: Options = ctx.obj
    try:
        code = work(given)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - each is reported in one sentence
        problem = failure.explain(error)
        state = problem.state or (left if isinstance(left, str) else left())
        code = _fail(problem, state, given)
        if given.debug:
            for frame in failure.frames(error):
                console.say(f"  {frame}")
    raise typer.Exit(code)


def _fail(problem: MigrationError, state: str, given: Options) -> int:
    if given.as_json:
        words = {"error": problem.sentence, "state": state, "hint": problem.advice}
        put({"success": False, "code": problem.code, **words})
    console.say(" ".join(filter(None, (f"{problem.code}: {problem.sentence}", state, problem.advice))), "red")
    return BY_CODE.get(problem.code, 1)


def main() -> None:
    """Run the command line."""
    pipes.tolerate()
    app(prog_name="dispatch-agent")


if __name__ == "__main__":
    main()
