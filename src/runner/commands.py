"""The facade: one function a verb, and the single registry of verbs.

SQLAlchemy and Alembic take 0.3 s to import, so each verb imports what it needs when it is asked for.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner import payloads, policy, settings
from runner.answer import Answer, fit
from runner.answer import revisions as shown
from runner.deadline import Deadline
from runner.errors import (
    MigrationError,
    MultipleHeads,
    UnknownRevision,
    count,
)
from runner.invocation import Invocation, Tell
from runner.postgres import translation, version_table
from runner.script import linear

if TYPE_CHECKING:
    from runner.engine.state import Terms
    from runner.script.graph import Revisions


@dataclass(frozen=True)
class Outcome:
    """What a call came to: its answer, and the error that the caller wants raised, if it does."""

    answer: dict[str, Any]
    error: MigrationError | None = None


def execute(event: object, environ: Mapping[str, str], request_id: str, deadline: Deadline, tell: Tell) -> Outcome:
    """Do what `event` asks for; a failure is an answer too.

    With `"on_error": "raise"` in the event the outcome has the error as well, for the door to raise when it
    has written its log. Its text is the answer's message, and no context of it holds what that leaves out.
    """
    asked = event if isinstance(event, Mapping) else {}
    action = asked.get("action")
    answer = Answer(action if isinstance(action, str) and action in VERBS else None, request_id)
    try:
        payload = payloads.parse(event)
        known = settings.read(environ)
        policy.allow(known, payload.action)
        VERBS[payload.action](payload, Invocation(known, request_id, deadline, tell), answer)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - who parses answers gets one for a bug of ours too
        problem = translation.explain(error)
    else:
        return Outcome(fit(answer.as_json()))
    answer.fail(problem)
    told = fit(answer.as_json())
    if asked.get("on_error") != "raise" or told["status"] == "partial":
        return Outcome(told)
    problem.args = (answer.message,)
    return Outcome(told, problem.with_traceback(None))


def upgrade(payload: payloads.Upgrade, invocation: Invocation, answer: Answer) -> None:
    """Apply the revisions up to `target`."""
    _change(payload, invocation, answer, "upgrade", payload.target, Answer.succeed)


def downgrade(payload: payloads.Downgrade, invocation: Invocation, answer: Answer) -> None:
    """Revert the revisions down to `target`."""
    _change(payload, invocation, answer, "downgrade", payload.target, Answer.succeed)


def stamp(payload: payloads.Stamp, invocation: Invocation, answer: Answer) -> None:
    """Say that the database is at `target`, after comparing it with that revision's snapshot."""
    _change(payload, invocation, answer, "stamp", payload.target, Answer.succeed)


def repair(payload: payloads.Repair, invocation: Invocation, answer: Answer) -> None:
    """Accept the text that an applied revision has now, and clear away what a failure left."""
    from runner.engine import migrate
    from runner.engine.state import Run
    from runner.script import graph

    known = graph.load(invocation.settings)
    run = Run(invocation, answer, _terms(payload, invocation), Answer.succeed)
    cleared = migrate.repair(run, known, payload.target)
    answer.extra["cleared"] = cleared
    answer.message = f"`{answer.target}` is recorded as it is now; {count(len(cleared), 'leftover')} dropped."


def run_migration(payload: payloads.RunMigration, invocation: Invocation, answer: Answer) -> None:
    """Upgrade to `target` or to `all`, in the words that operators have parsed for years."""

    def conclude(done: Answer) -> None:
        if payload.target == "all":
            done.message = "All migrations executed successfully"
            done.extra["executedMigrations"] = [one.revision for one in done.applied]
        else:
            done.message = f"Migration {payload.target} executed successfully"
            done.extra["migration"] = payload.target

    target = "head" if payload.target == "all" else payload.target
    _change(payload, invocation, answer, "upgrade", target, conclude)


def list_migrations(payload: payloads.ListMigrations, invocation: Invocation, answer: Answer) -> None:
    """List the revisions of this image, oldest first, in the older contract's words."""
    from runner.script import graph

    script = graph.load(invocation.settings).script
    answer.message = "Available migrations listed"
    answer.extra["executedMigrations"] = [one.revision for one in script.walk_revisions()][::-1]


def plan(payload: payloads.Plan, invocation: Invocation, answer: Answer) -> None:
    """Say what a change to `target` would do here: revisions, SQL, findings, sizes, and the plan's id."""
    from runner.preview.plan import draw_up
    from runner.script import graph

    draw_up(invocation, graph.load(invocation.settings), payload.target, answer)


def rehearse(payload: payloads.Rehearse, invocation: Invocation, answer: Answer) -> None:
    """Run a change to `target` in one transaction, measure it, and roll it back."""
    from runner.engine.state import Run, Terms
    from runner.preview import rehearsal
    from runner.script import graph

    run = Run(invocation, answer, Terms(), Answer.succeed)
    rehearsal.rehearse(run, graph.load(invocation.settings), payload.target, payload.max_lock_hold_ms)


def check(payload: payloads.Check, invocation: Invocation, answer: Answer) -> None:
    """Say what is not as it should be: pending revisions, drift, edited history, invalid indexes and the like."""
    from runner.preview import check
    from runner.script import graph

    check.inspect(invocation, graph.load(invocation.settings), answer)


def current(payload: payloads.Current, invocation: Invocation, answer: Answer) -> None:
    """Say which revision the database is at, which are pending, and who is running now."""
    known = linear.read(invocation.settings) or _graph(invocation)
    found = version_table.look(invocation)
    about = {"current": list(found.heads), "heads": known.heads, "pending": [], "running": found.holder}
    answer.extra |= about
    try:
        pending = answer.extra["pending"] = known.pending(found.heads)
    except UnknownRevision as error:
        answer.message = f"{error.sentence} {error.advice}"
        return
    left = f"{count(len(pending), 'revision')} pending" if pending else "nothing is pending"
    running = f" A run holds the migration lock: {found.holder}." if found.holder else ""
    answer.message = f"The database is at `{shown(found.heads) or 'base'}`; {left}.{running}"


def _graph(invocation: Invocation) -> "Revisions":
    from runner.script import graph

    return graph.load(invocation.settings)


def heads(payload: payloads.Heads, invocation: Invocation, answer: Answer) -> None:
    """List the revisions that no other follows."""
    from runner.script import graph

    known = graph.load(invocation.settings)
    found = known.heads
    answer.extra["revisions"] = [graph.describe(graph.get(known.script, head)) for head in found]
    answer.message = f"The revisions end in `{found[0]}`." if len(found) == 1 else MultipleHeads(tuple(found)).sentence


def history(payload: payloads.History, invocation: Invocation, answer: Answer) -> None:
    """List the revisions, newest first, with what the ledger knows: who, when, how long, which image.

    `images` tells how the last run of each image ended here, which is what a promotion rests on.
    """
    from runner.engine import ledger, migrate
    from runner.script import graph

    script = graph.load(invocation.settings).script
    with migrate.reading(invocation) as connection:
        at = migrate.read_heads(connection)
        known = ledger.latest(connection)
        answer.extra["images"] = ledger.images(connection)
    walked = list(script.walk_revisions())
    applied = graph.applied(script, at)
    answer.extra["revisions"] = [
        {
            **graph.describe(one),
            "state": "applied" if one.revision in applied else "pending",
            "ledger": known.get(one.revision),
        }
        for one in walked[: payload.limit]
    ]
    answer.message = f"{len(applied)} of {count(len(walked), 'revision')} applied."


def show(payload: payloads.Show, invocation: Invocation, answer: Answer) -> None:
    """Describe one revision."""
    from runner.script import graph

    script = graph.load(invocation.settings).script
    found = graph.get(script, payload.target)
    answer.extra["revisions"] = [{**graph.describe(found), "checksum": graph.checksum(found), "text": found.longdoc}]
    answer.message = f"`{found.revision}`: {found.doc.rstrip('.')}."


Verb = Callable[[Any, Invocation, Answer], None]
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
    answer: Answer,
    direction: str,
    target: str,
    conclude: Callable[[Answer], None],
) -> None:
    from runner.engine import migrate
    from runner.engine.state import Run
    from runner.script import graph

    known = graph.load(invocation.settings)
    run = Run(invocation, answer, _terms(payload, invocation), conclude)
    migrate.change(run, known, direction, target)


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
