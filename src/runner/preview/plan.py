"""What a change would do here, found without doing it: revisions, SQL, findings, sizes, and the plan's id."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection

from runner.answer import Change, Draft, names
from runner.engine import baseline, data_loss, history, plan_id
from runner.engine.baseline import Baseline
from runner.errors import count
from runner.invocation import Invocation
from runner.postgres import session, version_table
from runner.preview import lint, squawk, table_sizes
from runner.preview.lint import LintReport
from runner.results import Finding, PlannedRevision, PlanResult
from runner.schema import catalog
from runner.script import graph, offline
from runner.script.graph import Revisions
from runner.script.offline import Rendered
from runner.script.step import Step

SIZED = ("tables", "views")
"""The kinds of the catalog that may hold rows; a view that holds none is not told."""


def draw_up(invocation: Invocation, known: Revisions, target: str, draft: Draft) -> None:
    """Conclude `draft` with the plan from where the database is to `target`, up or down.

    Takes no lock, and its transaction is read-only. Raises what the change would be refused with before its
    first step: `UnknownRevision`, `MultipleHeads`, `HistoryChanged`, `UnversionedDatabase`.
    """
    with session.reading(invocation) as connection:
        heads = version_table.read_heads(connection)
        direction = graph.direction(known.script, target, heads)
        found = graph.route(known.script, direction, target, heads)
        draft.change = Change(heads, heads, found.target, tuple(step.revision for step in found.steps))
        history.refuse_changed(known.script, heads, connection)
        kept = baseline.find(connection, known.snapshots, heads, found.steps) if direction == "upgrade" else {}
        rendered = offline.render(known.config, known.script, found.steps)
        here = catalog.read(connection)
        touched = {one.revision: _tables(here, one) for one in rendered}
        relations = {name for one in rendered for kind, name in plan_id.touched(here, one) if kind in SIZED}
        measured = table_sizes.estimate(connection, relations)
        place = plan_id.place(invocation.settings.environment, connection)
        report = lint.lint(
            rendered,
            here["tables"],
            measured,
            _data_losses(known, found.steps, rendered, here, connection),
            squawk.find(invocation.settings.alembic_config.parent),
            _server_version(connection),
        )
    parts = plan_id.collect(place, heads, found.target, rendered, here, invocation.settings.image_digest)
    errors = [finding for finding in report.findings if finding.level == "error"]
    refused = bool(errors) and invocation.settings.is_protected
    result = PlanResult(
        direction=direction,
        plan=plan_id.identify(parts) if rendered and not refused else None,
        ok=not errors,
        revisions=tuple(_describe(one, touched[one.revision], kept) for one in rendered),
        tables=tuple(measured.values()),
        findings=report.findings,
        allowed=report.allowed,
        linter=report.linter,
    )
    draft.conclude(_message(draft.change, result, report, invocation.settings.environment if refused else None), result)


def _server_version(connection: Connection) -> str:
    """Return the server's version as squawk takes it, such as `15.3`."""
    number = int(connection.exec_driver_sql("show server_version_num").scalar_one())
    return f"{number // 10000}.{number % 10000}"


def _data_losses(
    known: Revisions, steps: Sequence[Step], rendered: list[Rendered], here: catalog.Catalog, connection: Connection
) -> Iterator[Finding]:
    """Yield what a downgrade loses, counted."""
    for step, one in zip(steps, rendered, strict=True):
        if step.direction == "downgrade":
            for lost in data_loss.find(known.snapshots, step, one, here, connection):
                remedy = "Keep a copy if the rows may be needed again."
                yield Finding("downgrade-loses-rows", "error", one.revision, f"It drops {lost}.", remedy)


def _tables(here: catalog.Catalog, one: Rendered) -> tuple[str, ...]:
    return tuple(sorted(name for kind, name in plan_id.touched(here, one) if kind == "tables"))


def _describe(one: Rendered, tables: tuple[str, ...], kept: Mapping[str, Baseline]) -> PlannedRevision:
    return PlannedRevision(
        revision=one.revision,
        description=one.description,
        direction=one.direction,
        transactional=one.transactional,
        checksum=one.checksum,
        tables=tables,
        adopts=tuple(sorted(kept[one.revision].tables)) if one.revision in kept else (),
        sql=one.statements,
        unrendered=one.unrendered,
    )


def _message(change: Change, plan: PlanResult, report: LintReport, refusing: str | None) -> str:
    at = names(change.after) or "base"
    total = len(change.pending)
    if not total:
        return f"Nothing to do: the database is at `{at}`."
    verb = "apply" if plan.direction == "upgrade" else "revert"
    levels = [finding.level for finding in report.findings]
    found = [count(levels.count(level), level) for level in lint.LEVELS if level in levels]
    said = [
        f"From `{at}` to `{change.target}`: {count(total, 'revision')} to {verb}; {', '.join(found) or 'no findings'}."
    ]
    if report.linter is None:
        said.append("The SQL was not linted because squawk is not installed.")
    if refusing:
        said.append(f"In `{refusing}` a plan with errors has no id: correct each error, or allow it with a reason.")
    else:
        said.append(f"The plan id is `{plan.plan}`.")
    return " ".join(said)
