"""The plan of a change without a database: from the snapshots of the project and a file of sizes. It has no id."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory

from runner.answer import Change, Direction, Draft, names
from runner.engine.snapshots import Snapshots
from runner.errors import UnknownRevision
from runner.invocation import Invocation
from runner.preview import sizes_file
from runner.preview.plan import describe, examine, summarize
from runner.preview.sizes_file import Sizes
from runner.results import PlanResult
from runner.schema.catalog import EMPTY, Catalog
from runner.script import graph, offline
from runner.script.graph import Revisions

SPAN = re.compile(r"(?P<start>-[0-9]+|\w+):(?P<end>[+-][0-9]+|\w+)")
WITHOUT_SIZES = (
    "Every table counts as large, since no sizes were given: write them where the database is reached, with "
    "`migrate sizes --json > sizes.json`, and pass `--sizes sizes.json`."
)


@dataclass(frozen=True)
class Span:
    """The two ends of a plan, as they are typed: `017:head`."""

    start: str
    end: str


def parse(text: str) -> Span | None:
    """Return the ends in `FROM:TO`, None for a text of another form."""
    match = SPAN.fullmatch(text)
    return Span(match["start"], match["end"]) if match else None


def draw_up(invocation: Invocation, revisions: Revisions, span: Span, sizes: Path | None, draft: Draft) -> None:
    """Conclude `draft` with the plan from one revision to another, in either direction. Nothing is connected to.

    Raises `UnknownRevision`, `MultipleHeads`, and `InvalidSettings` for a file of sizes that is none, or a snapshot of
    an earlier text.
    """
    given = Sizes({}) if sizes is None else sizes_file.read(sizes)
    offline.run_env_offline(revisions.config, revisions.script)
    heads = _heads(revisions.script, span.start)
    direction = graph.direction(revisions.script, span.end, heads)
    route = graph.route(revisions.script, direction, span.end, heads)
    draft.change = Change(heads, heads, route.target, tuple(step.revision for step in route.steps))
    found = _snapshots(Snapshots(revisions.script), heads)
    actual = found or {"tables": {name: {} for name in given.tables}}
    rendered = offline.render(revisions.config, revisions.script, route.steps)
    # without a snapshot nobody knows the objects, so any that the plan does not make may be there
    complete = found is not None
    examined = examine(invocation, rendered, actual, given.estimate, (), given.server_version, complete=complete)
    touched = {name for parts in examined.touched.values() for kind, name in parts if kind == "tables"}
    lacking = [] if sizes is None else sorted(touched - given.tables.keys())
    result = PlanResult(
        direction=direction,
        plan=None,
        ok=not examined.has_errors,
        revisions=tuple(describe(one, examined, {}) for one in rendered),
        not_checked=tuple(_not_checked(direction, heads if found is None else (), lacking)),
        **examined.fields,
    )
    draft.conclude(_message(draft.change, result, sizes), result)


def _heads(script: ScriptDirectory, start: str) -> tuple[str, ...]:
    """Return the heads of a database at `start`: `base`, a revision, or `-1`, all but the newest revision."""
    if start == "base":
        return ()
    if start[0] == "-":
        # not by a downgrade: on the way down from a merge, Alembic would require the name of a branch
        steps = graph.route(script, "upgrade", "head", ()).steps
        left = len(steps) + int(start)
        if left < 0:
            told = f"`{start}` goes beyond the oldest revision: there are {len(steps)}."
            raise UnknownRevision(told, "List them with `migrate history`.")
        applied = {step.revision for step in steps[:left]}
        return tuple(sorted(applied - graph.before(script, applied)))
    return (graph.get(script, start).revision,)


def _snapshots(snapshots: Snapshots, heads: tuple[str, ...]) -> Catalog | None:
    """Return the catalog of a database at `heads`, empty at base, None where a snapshot is missing."""
    snapshots.refuse_outdated(heads)
    merged: Catalog = {**EMPTY}
    for head in heads:
        found = snapshots.catalog(head)
        if found is None:
            return None
        merged = {kind: merged.get(kind, {}) | found.get(kind, {}) for kind in merged.keys() | found.keys()}
    return merged


def _not_checked(direction: Direction, unknown: Sequence[str], lacking: Sequence[str]) -> Iterator[str]:
    """Yield in words what only a database could tell.

    Of `unknown` revisions there is no snapshot, and `lacking` are the tables that the file of sizes lacks.
    """
    yield "whether an applied revision was edited since it ran"
    if direction == "upgrade":
        yield "whether a table that a revision creates exists already"
    else:
        yield "the rows that the downgrade loses"
    if unknown:
        yield f"the objects of the database, since there is no snapshot of {_listed(unknown)}"
        yield (
            "whether a table is partitioned, has a DEFAULT partition, or others inherit from it, which types its "
            "columns have, and which types are domains"
        )
    if lacking:
        yield f"the rows of {_listed(lacking)}, which the file of sizes lacks and which therefore count as many"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _message(change: Change, plan: PlanResult, sizes: Path | None) -> str:
    if not change.pending:
        return f"Nothing to do: `{names(change.after) or 'base'}` is the target."
    said = [*summarize(change, plan), "A plan without a database has no id."]
    if sizes is None and change.after:
        said.append(WITHOUT_SIZES)
    return " ".join([*said, f"Not checked: {'; '.join(plan.not_checked)}."])
