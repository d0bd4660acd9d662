"""What is not as it should be with a database: the answer to `check`."""

from collections.abc import Iterator
from typing import Any

from alembic import autogenerate
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Column, Connection, Table, text

from runner.answer import Change, Draft
from runner.answer import names as shown
from runner.engine import baseline, history, ledger
from runner.engine.state import INVOCATION
from runner.errors import MigrationError, MultipleHeads, UnknownRevision, count
from runner.invocation import Invocation
from runner.postgres import advisory_lock, invalid_indexes, session, version_table
from runner.postgres.version_table import VERSION_TABLE
from runner.results import AcceptedDifference, CheckResult, Level, Problem
from runner.schema import catalog, drift
from runner.schema.catalog import Difference
from runner.script import alembic_internals
from runner.script.graph import Revisions

UNVALIDATED = text("""
    select c.conrelid::regclass::text as owner, quote_ident(c.conname) as name,
           format('%I.%I', n.nspname, r.relname) as qualified
    from pg_constraint c join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
    where not c.convalidated and n.nspname !~ '^pg_' and n.nspname <> 'runner' order by 1, 2
""")


def inspect(invocation: Invocation, known: Revisions, draft: Draft) -> None:
    """Conclude `draft` with all that is not as it should be; takes no lock and writes nothing.

    Where a comparison cannot be made the answer says so under `not_compared`.
    """
    known.import_all()
    skipped: list[str] = []
    with session.reading(invocation) as connection:
        heads = version_table.read_heads(connection)
        draft.change = Change(heads, heads)
        problems = [*_heads(known), *_pending(known, heads, draft)]
        if not any(problem.kind == "unknown-revision" for problem in problems):
            problems += map(_of_error, history.changed(known.script, heads, connection))
        drifted = _drift(known, heads, connection, skipped)
        problems += _of_drift(heads, drifted)
        problems += [*_invalid(connection), *_unvalidated(connection, known, heads, drifted), *_left(connection)]
    if set(heads) == set(known.heads):
        problems += _models(invocation, known, drifted, skipped)
    else:
        skipped.append("the models, because they describe the head")
    wrong = [problem for problem in problems if problem.level == "error"]
    accepted = tuple(_accepted(one, by) for one, by in drifted.accepted)
    result = CheckResult(not wrong, tuple(problems), accepted, tuple(skipped))
    draft.conclude(_message(shown(heads) or "base", wrong, drifted, skipped), result)


def _accepted(one: Difference, by: drift.Accepted) -> AcceptedDifference:
    expected, found = (catalog.describe(one.path, side) for side in (one.expected, one.actual))
    return AcceptedDifference(one.kind, one.name, one.path, expected, found, by.reason)


def _heads(known: Revisions) -> Iterator[Problem]:
    if len(known.heads) > 1:
        yield _of_error(MultipleHeads(tuple(known.heads)))


def _pending(known: Revisions, heads: tuple[str, ...], draft: Draft) -> Iterator[Problem]:
    try:
        pending = known.pending(heads)
    except UnknownRevision as error:
        yield _of_error(error)
        return
    draft.update(pending=tuple(pending))
    for revision in pending:
        yield Problem(
            "pending", "error", revision, "It is not applied here.", "Run `migrate plan`, then `migrate upgrade`."
        )


def _drift(known: Revisions, heads: tuple[str, ...], connection: Connection, skipped: list[str]) -> drift.Found:
    """Compare the database with the snapshot of the revision that it is at."""
    schema = known.snapshots
    expected = baseline.snapshot(schema, heads[0]) if len(heads) == 1 else None if heads else catalog.EMPTY
    if expected is None:
        skipped.append(f"the catalog, because there is no snapshot of `{shown(heads)}`")
        return drift.Found((), (), ())
    return drift.find(expected, catalog.read(connection), drift.load(schema))


def _of_drift(heads: tuple[str, ...], drifted: drift.Found) -> Iterator[Problem]:
    if drifted.differences and not heads:
        message = f"The database has {count(len(drifted.differences), 'object')} and no version."
        remedy = "Run `migrate plan` to see which tables an upgrade would adopt."
        yield Problem("unversioned-database", "error", "", message, remedy)
        return
    yield from map(_of_difference, drifted.differences)
    paths = {one.path for one in drifted.differences}
    yield from (_unneeded(one, one.at in paths) for one in drifted.unused)


def _of_difference(one: Difference) -> Problem:
    remedy = "Correct it, or accept it in `alembic/accepted_drift.toml`."
    return Problem("drift", "error", one.name, str(one), remedy, drift.render(one))


def _unneeded(one: drift.Accepted, differs: bool) -> Problem:
    name = Difference(one.at, None, None).name
    if differs:
        message = f"It was accepted as `{one.found or 'absent'}` and has changed since."
        return Problem("accepted-drift", "note", name, message, "Correct it, or accept its present state.")
    return Problem(
        "accepted-drift",
        "note",
        name,
        "It is accepted but does not occur here.",
        "Remove the entry if no database has it.",
    )


def _of_error(error: MigrationError) -> Problem:
    name = str(error.details().get("revision", ""))
    return Problem(error.code, "error", name, error.sentence, error.advice)


def _invalid(connection: Connection) -> Iterator[Problem]:
    for name in invalid_indexes.invalid(connection).values():
        message = "The index is invalid: writes maintain it, and no query uses it."
        yield Problem(
            "invalid-index", "error", name, message, "Drop it with `migrate repair`; the revision builds it again."
        )


def _unvalidated(
    connection: Connection, known: Revisions, heads: tuple[str, ...], drifted: drift.Found
) -> Iterator[Problem]:
    """Yield the constraints that hold for new rows only; one that its revision left so, or is accepted, is a note."""
    accepted = {one.path[1:] for one, _ in drifted.accepted}
    at = (baseline.snapshot(known.snapshots, head) or catalog.EMPTY for head in heads)
    tables = {name: table for one in at for name, table in one["tables"].items()}
    for row in connection.execute(UNVALIDATED):
        wanted = tables.get(row.qualified, {}).get("constraints", {}).get(row.name, "")
        well_known = wanted.endswith("NOT VALID") or (row.qualified, "constraints", row.name) in accepted
        level: Level = "note" if well_known else "error"
        message = f"`{row.name}` of `{row.owner}` was never validated for the existing rows."
        remedy = "Validate it with `validate_constraint`, in a revision."
        yield Problem("unvalidated-constraint", level, f"{row.owner}.{row.name}", message, remedy)


def _left(connection: Connection) -> Iterator[Problem]:
    """Yield what a run that was killed has left behind."""
    if advisory_lock.holder(connection, VERSION_TABLE) is None:
        for request_id in ledger.killed(connection):
            message = f"The run of request `{request_id}` was killed."
            yield Problem(
                "leftover", "error", request_id, message, "Run `migrate upgrade`, which records this and continues."
            )


def _models(invocation: Invocation, known: Revisions, drifted: drift.Found, skipped: list[str]) -> list[Problem]:
    """Compare the models with the database by Alembic's own comparison, through `env.py`, which knows them.

    Where they cannot be imported, `skipped` says so. What differs from the snapshot as well is drift, told once.
    """
    found: list[Any] = []

    def compare(_heads: Any, context: Any) -> list[Any]:
        found.extend(autogenerate.compare_metadata(context, alembic_internals.options(context)["target_metadata"]))
        return []

    known.config.attributes[INVOCATION] = invocation
    with EnvironmentContext(known.config, known.script, fn=compare):
        try:
            known.script.run_env()
        except ImportError as error:
            skipped.append(f"the models, because `{error.name}` cannot be imported")
    known_already = {_part(one) for one in [*(one for one, _ in drifted.accepted), *drifted.differences]}
    flat = [step for one in found for step in (one if isinstance(one, list) else [one])]
    return [problem for step in flat for part, problem in [_of_step(step)] if part not in known_already]


def _part(one: Difference) -> tuple[str, str]:
    """Return the table and the thing that a difference is about, unqualified; the table twice for a whole one."""
    table = one.path[1].rpartition(".")[2].strip('"')
    thing = one.path[-1].strip('"') if len(one.path) > catalog.WHOLE_OBJECT else ""
    return table, thing or table


def _of_step(step: tuple[Any, ...]) -> tuple[tuple[str, str], Problem]:
    """Read one step of Alembic's comparison, which says what would bring the database to the models.

    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#alembic.autogenerate.compare_metadata
    """
    match step:
        case (verb, Table() as table, *_):
            part = (table.name, table.name)
        case (verb, _, str(table), column, *_):
            part = (table, column.name if isinstance(column, Column) else column)
        case (verb, thing, *_):
            part = (thing.table.name, str(thing.name))
    change, _, what = verb.partition("_")
    message = {
        "add": f"The models have this {what}, and the database does not.",
        "remove": f"The database has this {what}, and the models do not.",
    }.get(change, f"Its {what} differs between the models and the database.")
    remedy = "Write a revision that makes the change, or correct the model."
    return part, Problem("models", "error", ".".join(dict.fromkeys(part)), message, remedy)


def _message(at: str, wrong: list[Problem], drifted: drift.Found, skipped: list[str]) -> str:
    kinds = [problem.kind for problem in wrong]
    found = ", ".join(f"{kind} ({kinds.count(kind)})" for kind in dict.fromkeys(kinds))
    said = [f"The database is at `{at}`: {found or 'no problems'}."]
    if drifted.accepted:
        said.append(f"{count(len(drifted.accepted), 'known difference')} accepted.")
    return " ".join([*said, *(f"Not compared: {what}." for what in skipped)])
