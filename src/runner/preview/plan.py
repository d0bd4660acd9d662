"""What a change would do here, found without doing it: revisions, SQL, findings, sizes, and the plan's id."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from runner.answer import Answer
from runner.engine import baseline, data_loss, migrate, plan_id, steps
from runner.engine.baseline import Baseline
from runner.errors import UnversionedDatabase, count
from runner.invocation import Invocation
from runner.preview import lint, squawk, table_sizes
from runner.preview.lint import LintReport
from runner.preview.suppressions import Finding
from runner.schema import catalog
from runner.script import graph, offline
from runner.script.graph import Revisions, Step
from runner.script.offline import Rendered

SIZED = ("tables", "views")
"""The kinds of the catalog that may hold rows; a view that holds none is not told."""


def draw_up(invocation: Invocation, known: Revisions, target: str, answer: Answer) -> None:
    """Fill `answer` with the plan from where the database is to `target`, up or down.

    Takes no lock, and its transaction is read-only. Raises what the change would be refused with before its
    first step: `UnknownRevision`, `MultipleHeads`, `HistoryChanged`, `UnversionedDatabase`.
    """
    with migrate.reading(invocation) as connection:
        heads = migrate.read_heads(connection)
        direction = graph.direction(known.script, target, heads)
        found = graph.steps(known.script, direction, target, heads)
        answer.before = answer.after = heads
        answer.target = graph.absolute(known.script, target, found, heads)
        answer.pending = [str(step.info.up_revision_id) for step in found]
        steps.refuse_changed_history(known.script, heads, connection)
        adopted = find_adopted(known, heads, found, connection) if direction == "upgrade" else []
        rendered = offline.render(known.config, known.script, found)
        here = catalog.read(connection)
        touched = {one.revision: _tables(here, one) for one in rendered}
        relations = {name for one in rendered for kind, name in plan_id.touched(here, one) if kind in SIZED}
        measured = table_sizes.estimate(connection, relations)
        place = plan_id.place(invocation.settings.environment, connection)
        report = lint.lint(
            rendered,
            here["tables"],
            measured,
            _losses(known, found, rendered, here, connection),
            squawk.find(invocation.settings.alembic_config.parent),
            _server_version(connection),
        )
    image = invocation.settings.image_digest
    parts = plan_id.collect(place, heads, answer.target, rendered, here, image)
    errors = [finding for finding in report.findings if finding.level == "error"]
    refused = bool(errors) and invocation.settings.is_protected
    plan = plan_id.identify(parts) if rendered and not refused else None
    answer.extra |= {
        "direction": direction,
        "plan": plan,
        "ok": not errors,
        "revisions": [_describe(one, touched[one.revision], adopted) for one in rendered],
        "tables": [asdict(size) for size in measured.values()],
        "findings": [asdict(finding) for finding in report.findings],
        "allowed": [asdict(finding) for finding in report.allowed],
        "linter": report.linter,
    }
    answer.message = _message(answer, report, invocation.settings.environment if refused else None)


def find_adopted(known: Revisions, heads: tuple[str, ...], found: list[Step], connection: Connection) -> list[Baseline]:
    """Return what the steps would adopt. Raises `UnversionedDatabase` where a table differs."""
    pairs = [(str(step.info.up_revision_id), step.info.down_revision_ids) for step in found]
    adopted, wrong = baseline.find(connection, schema(known), heads, pairs)
    if wrong:
        name = connection.exec_driver_sql("select current_database()").scalar_one()
        raise UnversionedDatabase(name, [str(difference) for difference in wrong])
    return adopted


def schema(known: Revisions) -> Path:
    """Return the folder of the snapshots."""
    return Path(known.script.dir) / "schema"


def _server_version(connection: Connection) -> str:
    """Return the server's version as squawk takes it, such as `15.3`."""
    number = int(connection.exec_driver_sql("show server_version_num").scalar_one())
    return f"{number // 10000}.{number % 10000}"


def _losses(
    known: Revisions, found: list[Step], rendered: list[Rendered], here: catalog.Catalog, connection: Connection
) -> Iterator[Finding]:
    """Yield what a downgrade loses, counted."""
    for step, one in zip(found, rendered, strict=True):
        if not step.info.is_upgrade:
            for lost in data_loss.find(schema(known), step.info, one, here, connection):
                remedy = "Keep a copy of them if anybody may want them back."
                yield Finding("downgrade-loses-rows", "error", one.revision, f"It drops {lost}.", remedy)


def _tables(here: catalog.Catalog, one: Rendered) -> list[str]:
    return sorted(name for kind, name in plan_id.touched(here, one) if kind == "tables")


def _describe(one: Rendered, tables: list[str], adopted: list[Baseline]) -> dict[str, Any]:
    return {
        "revision": one.revision,
        "description": one.description,
        "direction": one.direction,
        "transactional": one.transactional,
        "checksum": one.checksum,
        "tables": tables,
        "adopts": sorted(name for each in adopted if each.revision == one.revision for name in each.tables),
        "sql": None if one.statements is None else list(one.statements),
        "unrendered": one.unrendered,
    }


def _message(answer: Answer, report: LintReport, refusing: str | None) -> str:
    at = answer.as_json()["from"] or "base"
    total = len(answer.pending)
    if not total:
        return f"Nothing to do: the database is at `{at}`."
    verb = "apply" if answer.extra["direction"] == "upgrade" else "revert"
    levels = [finding.level for finding in report.findings]
    found = [count(levels.count(level), level) for level in ("error", "warning", "note") if level in levels]
    said = [
        f"From `{at}` to `{answer.target}`: {count(total, 'revision')} to {verb}; {', '.join(found) or 'no findings'}."
    ]
    if report.linter is None:
        said.append("The SQL was not linted: squawk is not installed.")
    if refusing:
        said.append(f"In `{refusing}` a plan with errors has no id: mend them, or allow each with its reason.")
    else:
        said.append(f"The plan is `{answer.extra['plan']}`.")
    return " ".join(said)
