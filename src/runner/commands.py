"""The facade: one function for each verb, and the single registry of verbs.

Importing SQLAlchemy and Alembic takes 0.3 s, so each function imports what it needs when it is called.
"""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner import next_step, payloads, policy, settings
from runner.answer import Answer, Direction, Draft, Json, conclude_change, names
from runner.deadline import Deadline
from runner.errors import MigrationError, MultipleHeads, UnknownRevision, count
from runner.invocation import Invocation, Tell
from runner.length import cut_text, fit
from runner.next_step import NextStep
from runner.postgres import translation, version_table
from runner.script import linear
from runner.settings import Settings

if TYPE_CHECKING:
    from runner.engine.state import Terms
    from runner.results import LedgerRow
    from runner.script.graph import Revisions


@dataclass(frozen=True)
class Reply:
    """An answer, as an object and as JSON, and the error to raise where the caller asked for that."""

    answer: Answer
    document: dict[str, Json]
    """The answer as JSON, cut to its limit."""
    error: MigrationError | None = None
    same: NextStep | None = None
    """The call that was answered, which messages call the same command."""

    is_protected: bool = False
    """Whether the environment is known to be protected, where a call comes through the state machine."""

    def spelled(self) -> "Reply":
        """Return it with the steps of its messages as payloads, or as inputs of the state machine."""
        door = next_step.STATE_MACHINE if self.is_protected else next_step.PAYLOAD
        if self.error is not None:
            self.error.args = (next_step.spell(str(self.error.args[0]), self.same, door),)
        return replace(self, document=next_step.spell_all(self.document, self.same, door))


def execute(event: object, environ: Mapping[str, str], request_id: str, deadline: Deadline, tell: Tell) -> Reply:
    """Execute the verb that `event` names and return the answer, also where it fails.

    With `"on_error": "raise"` in the event the reply has the error as well, which the handler raises after it has
    written its log. The error's text is the answer's message; it has neither context nor traceback.
    """
    fields = event if isinstance(event, Mapping) else {}
    action = fields.get("action")
    # the action is the caller's text: an answer and a log repeat it only where it is a verb
    draft = Draft(action if isinstance(action, str) and action in VERBS else None, request_id)
    invocation, same, configured = None, None, None
    try:
        payload = payloads.parse(event)
        # only what is a payload: a message must not repeat any other text of the caller's
        same = next_step.of_call(payload.model_dump(exclude_unset=True))
        configured = settings.read(environ)
        policy.allow(configured, payload.action)
        invocation = Invocation(configured, request_id, deadline, tell)
        # what `env.py` or a revision prints must not come between the data
        with contextlib.redirect_stdout(sys.stderr):
            VERBS[payload.action](payload, invocation, draft)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - clients parse an answer, for a bug of ours too
        problem = translation.explain(error, invocation)
    else:
        reply = _reply(draft.succeed()) if draft.earlier is None else _repeat(draft.earlier)
        return replace(reply, is_protected=configured.is_protected)
    answer = draft.fail(problem)
    reply = replace(_reply(answer, same, configured), is_protected=configured is not None and configured.is_protected)
    # a partial run is no failure: the state machine reads its status and invokes the function again
    if fields.get("on_error") != "raise" or answer.status == "partial":
        return reply
    # Lambda returns and logs the text and the traceback of what a handler raises, and Step Functions cuts a cause at
    # 32,768 characters
    problem.args = (cut_text(answer.message),)
    return replace(reply, error=problem.with_traceback(None))


def _reply(answer: Answer, same: NextStep | None = None, configured: Settings | None = None) -> Reply:
    document = answer.as_json()
    if answer.failure is not None:
        step = next_step.only(answer.failure.hint, same)
        # what the environment refuses is no step for a program
        if step is not None and configured is not None and not policy.is_allowed(configured, step.action):
            step = None
        document["next"] = None if step is None else step.payload
    return Reply(answer, fit(document), same=same)


def _repeat(earlier: dict[str, Json]) -> Reply:
    """Return the stored answer to an earlier call, unchanged."""
    from runner import results

    return Reply(results.read(earlier), fit(earlier))


def upgrade(payload: payloads.Upgrade, invocation: Invocation, draft: Draft) -> None:
    """Apply the revisions up to `target`."""
    _change(payload, invocation, draft, "upgrade", payload.target)


def downgrade(payload: payloads.Downgrade, invocation: Invocation, draft: Draft) -> None:
    """Revert the revisions down to `target`."""
    _change(payload, invocation, draft, "downgrade", payload.target)


def stamp(payload: payloads.Stamp, invocation: Invocation, draft: Draft) -> None:
    """Write `target` into the version table, after comparing the database with that revision's snapshot."""
    _change(payload, invocation, draft, "stamp", payload.target)


def repair(payload: payloads.Repair, invocation: Invocation, draft: Draft) -> None:
    """Accept the present text of an applied revision, and drop the invalid indexes that failed builds left."""
    from runner.engine import repair
    from runner.engine.state import Run
    from runner.script import graph

    repair.repair(Run(invocation, draft, _terms(payload, invocation)), graph.load(invocation.settings), payload.target)


def redo(payload: payloads.Redo, invocation: Invocation, draft: Draft) -> None:
    """Revert the newest applied revision by its `downgrade()`, and apply its present text."""
    from runner.engine import redo
    from runner.engine.state import Run
    from runner.script import graph

    revisions = graph.load(invocation.settings, runs=True)
    redo.redo(Run(invocation, draft, _terms(payload, invocation), redo.conclude), revisions)


def run_migration(payload: payloads.RunMigration, invocation: Invocation, draft: Draft) -> None:
    """Upgrade to `target` or to `all`, and answer with the older contract's messages."""
    from runner.results import MigrationResult, MigrationsResult

    def conclude(done: Draft) -> None:
        if payload.target == "all":
            applied = done.change.applied if done.change else ()
            result = MigrationsResult(tuple(step.revision for step in applied))
            done.conclude("All migrations executed successfully", result)
        else:
            done.conclude(f"Migration {payload.target} executed successfully", MigrationResult(payload.target))

    target = "head" if payload.target == "all" else payload.target
    _change(payload, invocation, draft, "upgrade", target, conclude)


def list_migrations(payload: payloads.ListMigrations, invocation: Invocation, draft: Draft) -> None:
    """List the revisions of this image, oldest first, with the older contract's message."""
    from runner.results import MigrationsResult
    from runner.script import graph

    script = graph.load(invocation.settings).script
    newest_first = [revision.revision for revision in script.walk_revisions()]
    draft.conclude("Available migrations listed", MigrationsResult(tuple(reversed(newest_first))))


def plan(payload: payloads.Plan, invocation: Invocation, draft: Draft) -> None:
    """Show what a change to `target` would do: revisions, SQL, findings, table sizes, and the plan id."""
    from runner.preview import plan
    from runner.script import graph

    plan.draw_up(invocation, graph.load(invocation.settings, runs=True), payload.target, draft)


def rehearse(payload: payloads.Rehearse, invocation: Invocation, draft: Draft) -> None:
    """Run a change to `target` in one transaction, measure it, and roll it back."""
    from runner.engine.state import Run, Terms
    from runner.preview import rehearsal
    from runner.script import graph

    run = Run(invocation, draft, Terms())
    revisions = graph.load(invocation.settings, runs=True)
    rehearsal.rehearse(run, revisions, payload.target, payload.max_lock_hold_ms)


def check(payload: payloads.Check, invocation: Invocation, draft: Draft) -> None:
    """List a database's problems: pending revisions, drift, edited history, invalid indexes and the like."""
    from runner.preview import check
    from runner.script import graph

    check.inspect(invocation, graph.load(invocation.settings), draft)


def current(payload: payloads.Current, invocation: Invocation, draft: Draft) -> None:
    """Show the database's revision, the pending ones, and the holder of the migration lock."""
    from runner.results import CurrentResult

    # the revisions are read without Alembic where they form one line, which is most of this verb's time
    revisions = linear.read(invocation.settings) or _graph(invocation)
    position = version_table.read_position(invocation)
    heads, pending = tuple(revisions.heads), []
    try:
        pending = revisions.pending(position.heads)
    except UnknownRevision as error:
        # the database may be ahead of this image; where it is, is the answer all the same
        message = f"{error.sentence} {error.advice}"
    else:
        left = f"{count(len(pending), 'revision')} pending" if pending else "nothing is pending"
        running = f" {position.holder.sentence}" if position.holder else ""
        message = f"The database is at `{names(position.heads) or 'base'}`; {left}.{running}"
    draft.conclude(
        message, CurrentResult(position.heads, heads, tuple(pending), str(position.holder) if position.holder else None)
    )


def _graph(invocation: Invocation) -> "Revisions":
    from runner.script import graph

    return graph.load(invocation.settings)


def heads(payload: payloads.Heads, invocation: Invocation, draft: Draft) -> None:
    """List the revisions that no other follows."""
    from runner.results import HeadsResult
    from runner.script import graph

    revisions = graph.load(invocation.settings)
    ends = revisions.heads
    message = f"The revisions end in `{ends[0]}`." if len(ends) == 1 else MultipleHeads(tuple(ends)).sentence
    draft.conclude(message, HeadsResult(tuple(graph.describe(graph.get(revisions.script, head)) for head in ends)))


def history(payload: payloads.History, invocation: Invocation, draft: Draft) -> None:
    """List the revisions, newest first, with the ledger's record of each: who, when, how long, which image.

    `images` is the last run of each image in this database, by which `promote` decides whether an image is proven.
    """
    from runner.engine import ledger
    from runner.postgres import session
    from runner.results import HistoricRevision, HistoryResult
    from runner.script import graph

    script = graph.load(invocation.settings).script
    with session.reading(invocation) as connection:
        at = version_table.read_heads(connection)
        rows, images = ledger.latest(connection), ledger.images(connection)
    walked = list(script.walk_revisions())
    known, ran = graph.ids(script), {name for name, row in rows.items() if _is_applied(row)}
    ahead = [head for head in at if head not in known]
    # a newer image's revisions are known by the ledger only; without one nothing is
    applied = ran if ahead and ran else graph.applied(script, at)
    revisions = tuple(
        HistoricRevision(
            **vars(graph.describe(revision)),
            state="applied" if revision.revision in applied else "pending",
            ledger=rows.get(revision.revision),
        )
        for revision in walked
    )
    newer = sorted(ran - known, key=lambda name: rows[name].started_at or "", reverse=True)
    others = tuple(HistoricRevision(name, LACKING, None, name in ahead, "applied", rows[name]) for name in newer)
    message = f"{len(applied & known)} of {count(len(walked), 'revision')} applied."
    if ahead:
        has = {row.image_digest for name, row in rows.items() if name in ahead} - {None}
        message += f" The database is at `{names(at)}`, which this image lacks"
        message += f"; `{' or '.join(sorted(map(str, has)))}` has it." if has else "."
    # what only the ledger knows is newer where the database is ahead, else it was deleted long ago
    listed = (*others, *revisions) if ahead else (*revisions, *others)
    draft.conclude(message, HistoryResult(listed[: payload.limit], tuple(images)))


LACKING = "not in this image"
"""The description of a revision that only the ledger knows."""


def _is_applied(row: "LedgerRow") -> bool:
    """Return whether the newest row of a revision says that it is applied; a downgrade that failed left it so."""
    return (row.direction == "downgrade") != (row.status == "success")


def show(payload: payloads.Show, invocation: Invocation, draft: Draft) -> None:
    """Describe one revision."""
    from runner.results import ShownRevision, ShowResult
    from runner.script import graph

    revision = graph.get(graph.load(invocation.settings).script, payload.target)
    shown = ShownRevision(**vars(graph.describe(revision)), checksum=graph.checksum(revision), text=revision.longdoc)
    draft.conclude(f"`{revision.revision}`: {revision.doc.rstrip('.')}.", ShowResult((shown,)))


def sizes(payload: payloads.Sizes, invocation: Invocation, draft: Draft) -> None:
    """List the tables of the database with their sizes and the planner's estimates of their rows."""
    from runner.preview import table_sizes

    table_sizes.report(invocation, draft)


def activity(payload: payloads.Activity, invocation: Invocation, draft: Draft) -> None:
    """Show the database's sessions: what they do, hold, wait for and block, and how far long work has come."""
    from runner.postgres import activity, session

    with session.looking(invocation) as connection:
        found = activity.read(connection, invocation.settings)
        draft.conclude(activity.summary(found, session.database_name(connection)), found)


def end_session(payload: payloads.EndSession, invocation: Invocation, draft: Draft) -> None:
    """End a session of the database, which `confirm` names as `activity` shows it."""
    from runner.engine import end_session
    from runner.postgres import session

    with session.looking(invocation) as connection:
        end_session.end(connection, invocation, payload, draft)


# The payload is `Any`: each function takes its own class, and a parameter of their union would not match it.
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
    "sizes": sizes,
    "activity": activity,
    "end-session": end_session,
    "stamp": stamp,
    "repair": repair,
    "redo": redo,
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
    migrate.change(run, graph.load(invocation.settings, runs=True), direction, target)


def _terms(payload: payloads.Changing, invocation: Invocation) -> "Terms":
    """Return the caller's terms of a change.

    The idempotency key defaults to the request id, which stays the same when Lambda retries an invocation:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html
    """
    from runner.engine.state import Terms

    # without the fields that do not alter what a run does: a call that differs only in those is a repetition
    content = payload.model_dump_json(exclude={"on_error", "idempotency_key", "actor"})
    return Terms(
        payload.actor,
        getattr(payload, "confirm", None),
        payload.idempotency_key or invocation.request_id,
        getattr(payload, "plan", None),
        hashlib.sha256(content.encode()).hexdigest(),
    )
