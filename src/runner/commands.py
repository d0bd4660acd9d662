"""The facade: one function a verb, and the single registry of verbs.

SQLAlchemy and Alembic take 0.3 s to import, so each verb imports what it needs when it is asked for.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner import payloads, policy, settings
from runner.answer import Answer, Direction, Draft, Json, conclude_change, fit, names
from runner.deadline import Deadline
from runner.errors import MigrationError, MultipleHeads, UnknownRevision, count
from runner.invocation import Invocation, Tell
from runner.postgres import translation, version_table
from runner.script import linear

if TYPE_CHECKING:
    from runner.engine.state import Terms
    from runner.script.graph import Revisions


@dataclass(frozen=True)
class Reply:
    """What a call came to: its answer, also as it leaves, and the error that the caller asks to be raised."""

    answer: Answer
    told: dict[str, Json]
    error: MigrationError | None = None


def execute(event: object, environ: Mapping[str, str], request_id: str, deadline: Deadline, tell: Tell) -> Reply:
    """Do what `event` asks for; a failure is an answer too.

    With `"on_error": "raise"` in the event the outcome has the error as well, for the door to raise when it
    has written its log. Its text is the answer's message, and no context of it holds what that leaves out.
    """
    asked = event if isinstance(event, Mapping) else {}
    action = asked.get("action")
    draft = Draft(action if isinstance(action, str) and action in VERBS else None, request_id)
    try:
        payload = payloads.parse(event)
        known = settings.read(environ)
        policy.allow(known, payload.action)
        VERBS[payload.action](payload, Invocation(known, request_id, deadline, tell), draft)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - who parses answers gets one for a bug of ours too
        problem = translation.explain(error)
    else:
        return _reply(draft.succeed()) if draft.earlier is None else _repeat(draft.earlier)
    answer = draft.fail(problem)
    if asked.get("on_error") != "raise" or answer.status == "partial":
        return _reply(answer)
    problem.args = (answer.message,)
    return replace(_reply(answer), error=problem.with_traceback(None))


def _reply(answer: Answer) -> Reply:
    return Reply(answer, fit(answer.as_json()))


def _repeat(earlier: dict[str, Json]) -> Reply:
    """Reply with the answer to an earlier call, which is returned as it stands."""
    from runner import results

    return Reply(results.read(earlier), fit(earlier))


def upgrade(payload: payloads.Upgrade, invocation: Invocation, draft: Draft) -> None:
    """Apply the revisions up to `target`."""
    _change(payload, invocation, draft, "upgrade", payload.target)


def downgrade(payload: payloads.Downgrade, invocation: Invocation, draft: Draft) -> None:
    """Revert the revisions down to `target`."""
    _change(payload, invocation, draft, "downgrade", payload.target)


def stamp(payload: payloads.Stamp, invocation: Invocation, draft: Draft) -> None:
    """Say that the database is at `target`, after comparing it with that revision's snapshot."""
    _change(payload, invocation, draft, "stamp", payload.target)


def repair(payload: payloads.Repair, invocation: Invocation, draft: Draft) -> None:
    """Accept the text that an applied revision has now, and clear away what a failure left."""
    from runner.engine import repair
    from runner.engine.state import Run
    from runner.script import graph

    repair.repair(Run(invocation, draft, _terms(payload, invocation)), graph.load(invocation.settings), payload.target)


def run_migration(payload: payloads.RunMigration, invocation: Invocation, draft: Draft) -> None:
    """Upgrade to `target` or to `all`, in the words that operators have parsed for years."""
    from runner.results import MigrationResult, MigrationsResult

    def conclude(done: Draft) -> None:
        if payload.target == "all":
            applied = done.change.applied if done.change else ()
            result = MigrationsResult(tuple(one.revision for one in applied))
            done.conclude("All migrations executed successfully", result)
        else:
            done.conclude(f"Migration {payload.target} executed successfully", MigrationResult(payload.target))

    target = "head" if payload.target == "all" else payload.target
    _change(payload, invocation, draft, "upgrade", target, conclude)


def list_migrations(payload: payloads.ListMigrations, invocation: Invocation, draft: Draft) -> None:
    """List the revisions of this image, oldest first, in the older contract's words."""
    from runner.results import MigrationsResult
    from runner.script import graph

    script = graph.load(invocation.settings).script
    found = [one.revision for one in script.walk_revisions()]
    draft.conclude("Available migrations listed", MigrationsResult(tuple(reversed(found))))


def plan(payload: payloads.Plan, invocation: Invocation, draft: Draft) -> None:
    """Say what a change to `target` would do here: revisions, SQL, findings, sizes, and the plan's id."""
    from runner.preview import plan
    from runner.script import graph

    plan.draw_up(invocation, graph.load(invocation.settings), payload.target, draft)


def rehearse(payload: payloads.Rehearse, invocation: Invocation, draft: Draft) -> None:
    """Run a change to `target` in one transaction, measure it, and roll it back."""
    from runner.engine.state import Run, Terms
    from runner.preview import rehearsal
    from runner.script import graph

    run = Run(invocation, draft, Terms())
    rehearsal.rehearse(run, graph.load(invocation.settings), payload.target, payload.max_lock_hold_ms)


def check(payload: payloads.Check, invocation: Invocation, draft: Draft) -> None:
    """Say what is not as it should be: pending revisions, drift, edited history, invalid indexes and the like."""
    from runner.preview import check
    from runner.script import graph

    check.inspect(invocation, graph.load(invocation.settings), draft)


def current(payload: payloads.Current, invocation: Invocation, draft: Draft) -> None:
    """Say which revision the database is at, which are pending, and who is running now."""
    from runner.results import CurrentResult

    known = linear.read(invocation.settings) or _graph(invocation)
    found = version_table.look(invocation)
    heads, pending = tuple(known.heads), []
    try:
        pending = known.pending(found.heads)
    except UnknownRevision as error:
        message = f"{error.sentence} {error.advice}"
    else:
        left = f"{count(len(pending), 'revision')} pending" if pending else "nothing is pending"
        running = f" A run holds the migration lock: {found.holder}." if found.holder else ""
        message = f"The database is at `{names(found.heads) or 'base'}`; {left}.{running}"
    draft.conclude(message, CurrentResult(found.heads, heads, tuple(pending), found.holder))


def _graph(invocation: Invocation) -> "Revisions":
    from runner.script import graph

    return graph.load(invocation.settings)


def heads(payload: payloads.Heads, invocation: Invocation, draft: Draft) -> None:
    """List the revisions that no other follows."""
    from runner.results import HeadsResult
    from runner.script import graph

    known = graph.load(invocation.settings)
    found = known.heads
    message = f"The revisions end in `{found[0]}`." if len(found) == 1 else MultipleHeads(tuple(found)).sentence
    draft.conclude(message, HeadsResult(tuple(graph.describe(graph.get(known.script, head)) for head in found)))


def history(payload: payloads.History, invocation: Invocation, draft: Draft) -> None:
    """List the revisions, newest first, with what the ledger knows: who, when, how long, which image.

    `images` tells how the last run of each image ended here, which is what a promotion rests on.
    """
    from runner.engine import ledger
    from runner.postgres import session
    from runner.results import HistoricRevision, HistoryResult
    from runner.script import graph

    script = graph.load(invocation.settings).script
    with session.reading(invocation) as connection:
        at = version_table.read_heads(connection)
        known, images = ledger.latest(connection), ledger.images(connection)
    walked = list(script.walk_revisions())
    applied = graph.applied(script, at)
    revisions = tuple(
        HistoricRevision(
            **vars(graph.describe(one)),
            state="applied" if one.revision in applied else "pending",
            ledger=known.get(one.revision),
        )
        for one in walked[: payload.limit]
    )
    message = f"{len(applied)} of {count(len(walked), 'revision')} applied."
    draft.conclude(message, HistoryResult(revisions, tuple(images)))


def show(payload: payloads.Show, invocation: Invocation, draft: Draft) -> None:
    """Describe one revision."""
    from runner.results import ShownRevision, ShowResult
    from runner.script import graph

    found = graph.get(graph.load(invocation.settings).script, payload.target)
    about = ShownRevision(**vars(graph.describe(found)), checksum=graph.checksum(found), text=found.longdoc)
    draft.conclude(f"`{found.revision}`: {found.doc.rstrip('.')}.", ShowResult((about,)))


Verb = Callable[[Any, Invocation, Draft], None]
VERBS: dict[str, Verb] = {
    "plan": plan,
    "rehearse": rehearse,
    "check": check,
    "upgrade": upgrade,
    "downgrade": downgrade,
    "current": current,
    "heads": heads,
    "history": history,
    "show": show,
    "stamp": stamp,
    "repair": repair,
    "list-migrations": list_migrations,
    "run-migration": run_migration,
}


def _change(
    payload: payloads.Changing,
    invocation: Invocation,
    draft: Draft,
    direction: Direction,
    target: str,
    conclude: Callable[[Draft], None] = conclude_change,
) -> None:
    from runner.engine import migrate
    from runner.engine.state import Run
    from runner.script import graph

    run = Run(invocation, draft, _terms(payload, invocation), conclude)
    migrate.change(run, graph.load(invocation.settings), direction, target)


def _terms(payload: payloads.Changing, invocation: Invocation) -> "Terms":
    """Read the caller's terms; a Lambda's own retry keeps the request id, which so is the key by default."""
    from runner.engine.state import Terms

    asked = payload.model_dump_json(exclude={"on_error", "idempotency_key", "actor"})
    return Terms(
        payload.actor,
        getattr(payload, "confirm", None),
        payload.idempotency_key or invocation.request_id,
        getattr(payload, "plan", None),
        hashlib.sha256(asked.encode()).hexdigest(),
    )
