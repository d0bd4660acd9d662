"""The facade: one function a verb, and the single registry of verbs."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from runner import engine, failure, ledger, payloads, revisions, settings
from runner.deadline import Deadline
from runner.engine import Invocation, Run, Tell
from runner.errors import InternalError, MigrationError, MultipleHeads, UnknownRevision, count
from runner.payloads import Answer

logger = logging.getLogger(__name__)


def execute(
    event: object, environ: Mapping[str, str], request_id: str, deadline: Deadline, tell: Tell
) -> dict[str, Any]:
    """Do what `event` asks for and return the answer as plain data.

    A failure is an answer too, unless the event says `"on_error": "raise"`: then the `MigrationError` is
    raised, without a context that could hold what its sentence leaves out.
    """
    asked = event if isinstance(event, Mapping) else {}
    action = asked.get("action")
    answer = Answer(action if isinstance(action, str) and action in VERBS else None, request_id)
    try:
        payload = payloads.parse(event)
        invocation = Invocation(settings.read(environ), request_id, deadline, tell)
        VERBS[payload.action](payload, invocation, answer)
    except MigrationError as error:
        problem = error
    except Exception as error:  # noqa: BLE001 - a caller who parses answers gets one for a bug of ours too
        problem = InternalError(type(error).__name__, failure.frames(error))
        # without the exception itself, whose text may hold anything
        logger.error("A bug: %s at %s", problem.type, " < ".join(reversed(problem.frames)))  # noqa: TRY400
    else:
        return answer.as_json()
    if asked.get("on_error") == "raise":
        raise problem.with_traceback(None)
    answer.fail(problem)
    return answer.as_json()


def upgrade(payload: payloads.Upgrade, invocation: Invocation, answer: Answer) -> None:
    """Apply the revisions up to `target`."""
    _change(payload, invocation, answer, "upgrade", payload.target, Answer.succeed)


def downgrade(payload: payloads.Downgrade, invocation: Invocation, answer: Answer) -> None:
    """Revert the revisions down to `target`."""
    _change(payload, invocation, answer, "downgrade", payload.target, Answer.succeed)


def stamp(payload: payloads.Stamp, invocation: Invocation, answer: Answer) -> None:
    """Say that the database is at `target`, after comparing it with that revision's snapshot."""
    _change(payload, invocation, answer, "stamp", payload.target, Answer.succeed)


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
    script = revisions.load(invocation.settings).script
    answer.message = "Available migrations listed"
    answer.extra["executedMigrations"] = [one.revision for one in script.walk_revisions()][::-1]


def current(payload: payloads.Current, invocation: Invocation, answer: Answer) -> None:
    """Say which revision the database is at, and which are pending."""
    script = revisions.load(invocation.settings).script
    with engine.reading(invocation) as connection:
        heads = engine.read_heads(connection)
    answer.extra |= {"current": list(heads), "heads": sorted(script.get_heads()), "pending": []}
    try:
        pending = answer.extra["pending"] = revisions.pending(script, heads)
    except UnknownRevision as error:
        answer.message = f"{error.sentence} {error.advice}"
        return
    at = payloads.revisions(heads) or "base"
    left = f"{count(len(pending), 'revision')} pending" if pending else "nothing is pending"
    answer.message = f"The database is at `{at}`; {left}."


def heads(payload: payloads.Heads, invocation: Invocation, answer: Answer) -> None:
    """List the revisions that no other follows."""
    script = revisions.load(invocation.settings).script
    found = sorted(script.get_heads())
    answer.extra["revisions"] = [revisions.describe(revisions.get(script, head)) for head in found]
    answer.message = f"The revisions end in `{found[0]}`." if len(found) == 1 else MultipleHeads(tuple(found)).sentence


def history(payload: payloads.History, invocation: Invocation, answer: Answer) -> None:
    """List the revisions, newest first, with what the ledger knows: who, when, how long, which image."""
    script = revisions.load(invocation.settings).script
    with engine.reading(invocation) as connection:
        at = engine.read_heads(connection)
        known = ledger.latest(connection)
    walked = list(script.walk_revisions())
    applied = revisions.applied(script, at)
    answer.extra["revisions"] = [
        {
            **revisions.describe(one),
            "state": "applied" if one.revision in applied else "pending",
            "ledger": known.get(one.revision),
        }
        for one in walked[: payload.limit]
    ]
    answer.message = f"{len(applied)} of {count(len(walked), 'revision')} applied."


def show(payload: payloads.Show, invocation: Invocation, answer: Answer) -> None:
    """Describe one revision."""
    script = revisions.load(invocation.settings).script
    found = revisions.get(script, payload.target)
    answer.extra["revisions"] = [
        {**revisions.describe(found), "checksum": revisions.checksum(found.path), "text": found.longdoc}
    ]
    answer.message = f"`{found.revision}`: {found.doc.rstrip('.')}."


Verb = Callable[[Any, Invocation, Answer], None]
VERBS: dict[str, Verb] = {
    "upgrade": upgrade,
    "downgrade": downgrade,
    "current": current,
    "heads": heads,
    "history": history,
    "show": show,
    "stamp": stamp,
    "list-migrations": list_migrations,
    "run-migration": run_migration,
}
CHANGING = frozenset({"upgrade", "downgrade", "stamp", "run-migration"})


def _change(
    payload: payloads.Changing,
    invocation: Invocation,
    answer: Answer,
    direction: str,
    target: str,
    conclude: Callable[[Answer], None],
) -> None:
    known = revisions.load(invocation.settings)
    engine.change(Run(invocation, answer, payload.actor, conclude), known, direction, target)
