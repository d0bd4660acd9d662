"""The plan of a change: its revisions, their SQL, findings, table sizes, and the plan's id. Nothing is changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection

from runner import policy
from runner.answer import Change, Draft, names
from runner.engine import baseline, data_loss, history, plan_id, preconditions
from runner.engine.baseline import Baseline
from runner.engine.plan_id import Part
from runner.engine.snapshots import Snapshots
from runner.errors import count
from runner.invocation import Invocation
from runner.lint import report, squawk
from runner.lint.report import LintReport
from runner.lint.state.dependent import Reader
from runner.lint.state.tablespaces import Tablespaces
from runner.postgres import session, sql, version_table
from runner.preview import dependents, refusals, table_sizes, tablespaces
from runner.results import Finding, PlannedRevision, PlanResult, TableSize
from runner.schema import catalog
from runner.schema.catalog import Catalog
from runner.script import graph, offline
from runner.script.graph import Revisions
from runner.script.offline import Rendered
from runner.script.step import Step

SIZED = ("tables", "views")
"""The kinds of the catalog that may hold rows, materialized views included; a plain view has no size."""
UNLINTED = "The SQL was not linted because the extra `lint` is not installed."


@dataclass(frozen=True)
class Examined:
    """The effects of revisions on a database."""

    rendered: Sequence[Rendered]
    actual: Catalog
    touched: Mapping[str, set[Part]]
    """The objects that each revision names."""
    sizes: Mapping[str, TableSize]
    report: LintReport

    @property
    def has_errors(self) -> bool:
        """Return whether a finding is an error."""
        return any(finding.level == "error" for finding in self.report.findings)

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields of a `PlanResult` that it has."""
        report = self.report
        found = {"findings": report.findings, "allowed": report.allowed, "linter": report.linter}
        return {"tables": tuple(self.sizes.values()), **found}


def draw_up(invocation: Invocation, revisions: Revisions, target: str, draft: Draft) -> None:
    """Conclude `draft` with the plan from the database's heads to `target`, in either direction.

    Takes no migration lock, and its transaction is read-only. Raises the errors by which the change would be refused
    before its first step: `UnknownRevision`, `MultipleHeads`, `HistoryChanged`, `RevisionFailed` for an id that is too
    long, `UnversionedDatabase`.
    """
    offline.run_env(revisions.config, revisions.script)
    with session.reading(invocation) as connection:
        heads = version_table.read_heads(connection)
        history.refuse(revisions.script, heads, connection, invocation.settings)
        direction = graph.direction(revisions.script, target, heads)
        route = graph.route(revisions.script, direction, target, heads)
        draft.change = Change(heads, heads, route.target, tuple(step.revision for step in route.steps))
        preconditions.refuse_long_ids(route.steps, connection)
        upgrades, snapshots = direction == "upgrade", Snapshots(revisions.script)
        baselines = baseline.find(connection, snapshots, heads, route.steps) if upgrades else {}
        place = plan_id.place(invocation.settings.environment, connection)
        examined = find(invocation, revisions, route.steps, baselines, connection)
    rendered, actual = examined.rendered, examined.actual
    settings, linted = invocation.settings, examined.report.linter is not None
    parts = plan_id.collect(place, heads, route.target, rendered, actual, settings.image_digest, linted=linted)
    refused = bool(rendered) and (examined.has_errors or not linted) and settings.is_protected
    result = PlanResult(
        direction=direction,
        # without an id, nobody can run a refused plan; a protected environment requires one
        plan=plan_id.identify(parts) if rendered and not refused else None,
        ok=not examined.has_errors and not refused,
        revisions=tuple(describe(one, examined, baselines) for one in rendered),
        **examined.fields,
        permitted=policy.is_allowed(settings, direction),
    )
    draft.conclude(_message(draft.change, result, settings.environment if refused else None), result)


def find(
    invocation: Invocation,
    revisions: Revisions,
    steps: Sequence[Step],
    baselines: Mapping[str, Baseline],
    connection: Connection,
) -> Examined:
    """Return what `steps` would do to the database of `connection`; `baselines` are the tables that they adopt."""
    rendered = offline.render(revisions.config, revisions.script, steps)
    actual = catalog.read(connection)
    losses = _data_losses(Snapshots(revisions.script), steps, rendered, actual, connection)
    of_database = [*losses, *_existing_tables(rendered, baselines)]
    estimate, version = partial(table_sizes.estimate, connection), session.server_version(connection)
    # several rules ask about one statement, and one about those before it
    reader, places = cache(partial(dependents.read, connection)), cache(partial(tablespaces.read, connection))
    return examine(invocation, rendered, actual, estimate, of_database, version, reader, places)


def examine(
    invocation: Invocation,
    rendered: Sequence[Rendered],
    actual: Catalog,
    estimate: Callable[[Iterable[str]], dict[str, TableSize]],
    of_database: Iterable[Finding],
    server_version: str,
    dependents: Reader | None = None,
    tablespaces: Callable[[], Tablespaces] | None = None,
    *,
    complete: bool = True,
) -> Examined:
    """Return what `rendered` would do where the catalog is `actual`.

    `estimate` returns the sizes of the relations that it is given, as far as they are known. `of_database` are the
    findings that need the database itself; `dependents` reads what goes with a CASCADE, and `tablespaces` where tables
    are, None without a database. The catalog is not `complete` where nobody knows the database's tables.
    """
    touched = plan_id.touched(actual, rendered)
    named = {part for parts in touched.values() for part in parts}
    # what is added to a domain is checked in the tables with columns of it
    types = {name for kind, name in named if kind == "types"}
    relations = {name for kind, name in named if kind in SIZED}
    further = table_sizes.beside(actual, relations) | (catalog.tables_of_types(actual, types) if types else set())
    sizes = estimate(relations | further)
    findings = [*of_database, *refusals.find(rendered)]
    harmless: list[Finding] = []
    linter = None
    program = squawk.find(invocation.settings.alembic_config.parent)
    if program is not None:
        # they load PostgreSQL's parser, which the extra `lint` installs
        from runner.lint import findings as rules
        from runner.lint.state import database as of_lint

        table = invocation.settings.version_table
        own = [(table.schema, table.name)]
        database = of_lint.describe(
            actual, sizes, server_version, dependents, own, complete=complete, tablespaces=tablespaces
        )
        found, harmless = rules.find(rendered, database, program)
        findings += found
        linter = squawk.version(program)
    shown = {name: size for name, size in sizes.items() if name in relations}
    return Examined(rendered, actual, touched, shown, report.report(rendered, findings, harmless, linter))


def _data_losses(
    snapshots: Snapshots,
    steps: Sequence[Step],
    rendered: list[Rendered],
    actual: Catalog,
    connection: Connection,
) -> Iterator[Finding]:
    """Yield a finding for each table or column with rows that a downgrade drops."""
    for step, one in zip(steps, rendered, strict=True):
        if step.direction == "downgrade":
            for lost in data_loss.find(snapshots, step, one, actual, connection):
                remedy = "Keep a copy if the rows may be needed again."
                yield Finding("downgrade-loses-rows", "error", one.revision, f"It drops {lost}.", remedy)


def _existing_tables(rendered: Sequence[Rendered], baselines: Mapping[str, Baseline]) -> Iterator[Finding]:
    """Yield a finding for each existing table that a revision creates without IF NOT EXISTS."""
    for one in rendered:
        existing = baselines[one.revision].tables if one.revision in baselines else ()
        making = [text for text in one.rendered if sql.made_if_absent(text) is None]
        made = {name: one.line_of(text) for text in making for name in _names(text, "create")}
        dropped = {name for text in one.rendered for name in _names(text, "drop")}
        for name in existing:
            if sql.read_name(name) in made.keys() - dropped:
                message = f"`{name}` exists already, and the revision creates it without IF NOT EXISTS, which fails."
                remedy = "Pass `if_not_exists=True`, so that the table is adopted, or move it away."
                line = made[sql.read_name(name)]
                yield Finding("table-exists", "error", one.revision, message, remedy, line=line)


def _names(text: str, verb: str) -> Iterator[sql.Name]:
    """Yield the names in a CREATE TABLE or a DROP TABLE, as `verb` says; none in any other statement."""
    statement = sql.read(text)
    if statement.verb.startswith(verb) and statement.verb.endswith("table"):
        yield from statement.names


def describe(rendered: Rendered, examined: Examined, baselines: Mapping[str, Baseline]) -> PlannedRevision:
    """Return a revision as a plan shows it; `baselines` are the existing tables that each revision adopts."""
    existing = baselines.get(rendered.revision)
    touched = examined.touched[rendered.revision]
    return PlannedRevision(
        revision=rendered.revision,
        description=rendered.description,
        direction=rendered.direction,
        transactional=rendered.transactional,
        checksum=rendered.checksum,
        tables=tuple(sorted(name for kind, name in touched if kind == "tables")),
        adopts=tuple(sorted(existing.tables)) if existing else (),
        sql=rendered.statements,
        unrendered=rendered.unrendered,
    )


def _message(change: Change, plan: PlanResult, refusing: str | None) -> str:
    if not change.pending:
        return f"Nothing to do: the database is at `{names(change.after) or 'base'}`."
    said = summarize(change, plan)
    if refusing and any(finding.level == "error" for finding in plan.findings):
        said.append(f"In `{refusing}` a plan with errors has no id: correct each error, or allow it with a reason.")
    elif refusing:
        said.append(f"In `{refusing}` a plan that was not linted has no id: install the extra `lint`.")
    else:
        said.append(f"The plan id is `{plan.plan}`.")
    return " ".join(said)


def summarize(change: Change, plan: PlanResult) -> list[str]:
    """Return sentences that say what a plan does and how many findings it has."""
    at, verb = names(change.after) or "base", "apply" if plan.direction == "upgrade" else "revert"
    levels = [finding.level for finding in plan.findings]
    found = ", ".join(count(levels.count(level), level) for level in report.LEVELS if level in levels) or "no findings"
    said = [f"From `{at}` to `{change.target}`: {count(len(change.pending), 'revision')} to {verb}; {found}."]
    if plan.linter is None:
        said.append(UNLINTED)
    return said
