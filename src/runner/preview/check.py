"""The answer to `check`: the problems of a database."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from alembic import autogenerate
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Column, Connection, Table, text

from runner import policy
from runner.answer import Change, Draft
from runner.answer import names as shown
from runner.engine import history, ledger
from runner.engine.snapshots import Snapshots
from runner.engine.state import INVOCATION
from runner.errors import MigrationError, MultipleHeads, UnknownRevision, count
from runner.invocation import Invocation
from runner.postgres import advisory_lock, invalid_indexes, search_path, session, trust, version_table
from runner.postgres.invalid_indexes import InvalidIndex
from runner.results import AcceptedDifference, CheckResult, Level, Problem
from runner.schema import catalog, drift
from runner.schema.catalog import Difference
from runner.script import alembic_internals, graph
from runner.script.graph import Revisions
from runner.settings import Settings

# A constraint that is NOT VALID holds for new rows only: https://www.postgresql.org/docs/current/sql-altertable.html
UNVALIDATED = text("""
    select regexp_replace(c.conrelid::regclass::text, '^public[.]', '') as owner, quote_ident(c.conname) as name,
           format('%I.%I', n.nspname, r.relname) as qualified
    from pg_constraint c join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
    where not c.convalidated and n.nspname !~ '^pg_' and n.nspname <> 'runner' order by 1, 2
""")

COMPARISONS = 2
"""The catalog is compared with a snapshot, and with the models."""


def inspect(invocation: Invocation, revisions: Revisions, draft: Draft) -> None:
    """Conclude `draft` with all problems of the database. Takes no migration lock and writes nothing.

    A comparison that cannot be made is named under `not_compared`. Raises `RevisionFailed` for a revision that cannot
    be imported.
    """
    # `upgrade` imports only what it runs; here a broken file is to be found before somebody needs it
    revisions.import_all()
    snapshots = Snapshots(revisions.script)
    skipped: list[str] = []
    with session.reading(invocation) as connection:
        heads = version_table.read_heads(connection)
        draft.change = Change(heads, heads)
        problems = [*_several_heads(revisions), *_pending(revisions, heads, draft)]
        drifted = _drift(snapshots, heads, connection, skipped)
        # without the file of a head, Alembic cannot say which revisions were applied
        if not any(problem.kind == "unknown-revision" for problem in problems):
            edited = history.problems(revisions.script, heads, connection, invocation.settings)
            texts = [*map(_of_error, edited)] or [*_outdated(snapshots, heads)]
            problems += texts
            if not any(problem.level == "error" for problem in texts) and not drifted.differences:
                problems += _accepted_edits(revisions, snapshots, heads, connection)
        # what a killed run left is one problem, whatever it is seen as
        builds = _killed_builds(connection)
        left = {index.name for _, indexes in builds.values() for index in indexes}
        drifted = replace(drifted, differences=tuple(one for one in drifted.differences if _index_of(one) not in left))
        problems = [one for one in problems if one.kind != "pending" or one.name not in builds]
        problems += _of_drift(heads, drifted)
        problems += [one for one in _invalid(connection, invocation.settings) if one.name not in left]
        problems += _incomplete(connection)
        problems += _unvalidated(connection, snapshots, heads, drifted)
        problems += [*_killed_runs(connection, builds), *_untrusted(connection)]
    # below the head, every pending change would be a difference from the models
    if set(heads) != set(revisions.heads):
        skipped.append("the models, because they describe the head")
    elif any(problem.kind == "shadowing-object" for problem in problems):
        skipped.append("the models, because that would run another role's code")
    else:
        problems += _models(invocation, revisions, drifted, skipped)
    problems += _nothing_compared(heads, skipped)
    errors = [problem for problem in problems if problem.level == "error"]
    accepted = tuple(_accepted(difference, entry) for difference, entry in drifted.accepted)
    result = CheckResult(not errors, tuple(problems), accepted, tuple(skipped))
    draft.conclude(_message(shown(heads) or "base", errors, drifted, skipped), result)


def _accepted(difference: Difference, entry: drift.Accepted) -> AcceptedDifference:
    expected, found = (catalog.describe(difference.path, side) for side in (difference.expected, difference.actual))
    return AcceptedDifference(difference.kind, difference.name, difference.path, expected, found, entry.reason)


def _several_heads(revisions: Revisions) -> Iterator[Problem]:
    if len(revisions.heads) > 1:
        yield _of_error(MultipleHeads(tuple(revisions.heads)))


def _pending(revisions: Revisions, heads: tuple[str, ...], draft: Draft) -> Iterator[Problem]:
    try:
        pending = revisions.pending(heads)
    except UnknownRevision as error:
        yield _of_error(error)
        return
    draft.update(pending=tuple(pending))
    for revision in pending:
        yield Problem(
            "pending", "error", revision, "It is not applied here.", "Run `migrate plan`, then `migrate upgrade`."
        )


def _outdated(snapshots: Snapshots, heads: tuple[str, ...]) -> Iterator[Problem]:
    """Yield the snapshots that are older than the present text of the revisions; a note if that is unknown."""
    for head in heads:
        match snapshots.is_current(head):
            case False:
                message = "Its snapshot was made before it, or a revision before it, was edited: drift may be hidden."
                remedy = "Run `migrate snapshot`, then `migrate check` again."
                yield Problem("snapshot", "error", head, message, remedy)
            case None if snapshots.catalog(head) is not None:
                message = "Its snapshot does not say which text it was made from, so a later edit cannot be noticed."
                yield Problem("snapshot", "note", head, message, "Write it again with `migrate snapshot`.")


def _accepted_edits(
    revisions: Revisions, snapshots: Snapshots, heads: tuple[str, ...], connection: Connection
) -> Iterator[Problem]:
    """Yield the revisions whose text a `repair` accepted though it runs something else than what ran.

    They are notes where the schema equals that of a snapshot made from the present texts.
    """
    # a snapshot is the catalog after one revision
    agrees = len(heads) == 1 and snapshots.is_current(heads[0]) is True
    applied = graph.applied(revisions.script, heads)
    for name, row in sorted(ledger.checksums(connection).items()):
        if name in applied and row.is_accepted_only:
            message = "A `repair` accepted its present text, which runs something else than what ran here."
            remedy = "Compare the schema with it: run `migrate snapshot`, then `migrate check` again."
            if agrees:
                message += " The schema is that of its snapshot; rows are not compared."
                remedy = "Correct what the old text wrote into rows in a revision of its own."
            yield Problem("accepted-edit", "note" if agrees else "error", name, message, remedy)


def _nothing_compared(heads: tuple[str, ...], skipped: list[str]) -> Iterator[Problem]:
    """Yield a problem if neither the catalog nor the models could be compared: no finding then proves nothing."""
    if len(skipped) == COMPARISONS:
        message = "Its schema was not compared, neither with a snapshot nor with the models."
        yield Problem("not-compared", "error", shown(heads) or "base", message, "Run `migrate snapshot`.")


def _drift(
    snapshots: Snapshots, heads: tuple[str, ...], connection: Connection, skipped: list[str]
) -> drift.Comparison:
    """Compare the database with the snapshot of its revision; add to `skipped` if there is none."""
    # a snapshot is the catalog after one revision, so two heads have none
    expected = snapshots.catalog(heads[0]) if len(heads) == 1 else None if heads else catalog.EMPTY
    if expected is None:
        skipped.append(f"the catalog, because there is no snapshot of `{shown(heads)}`")
        return drift.Comparison((), (), ())
    return drift.find(expected, catalog.read(connection), drift.load(snapshots.folder))


def _of_drift(heads: tuple[str, ...], drifted: drift.Comparison) -> Iterator[Problem]:
    if drifted.differences and not heads:
        objects = count(len(drifted.differences), "object")
        message = f"The database has {objects} and no version: it is older than its revisions, or not this project's."
        remedy = "Run `migrate plan` to see which tables an upgrade would adopt."
        yield Problem("unversioned-database", "error", "", message, remedy)
        return
    yield from map(_of_difference, drifted.differences)
    paths = {difference.path for difference in drifted.differences}
    yield from (_unneeded(entry, entry.at in paths) for entry in drifted.unused)


def _of_difference(difference: Difference) -> Problem:
    remedy = "Correct it, or accept it in `alembic/accepted_drift.toml`."
    return Problem("drift", "error", difference.name, str(difference), remedy, drift.render(difference))


def _unneeded(one: drift.Accepted, differs: bool) -> Problem:
    """Return the note on an entry that accepts nothing; `differs` if the database has another text at its path."""
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


def _invalid(connection: Connection, settings: Settings) -> Iterator[Problem]:
    with_repair = f"with {policy.offer(settings, 'repair')}"
    # a revision is what a protected environment always takes
    can_repair = policy.is_allowed(settings, "repair")
    drops = ledger.unfinished_drops(connection)
    for index in invalid_indexes.find(connection):
        if index.busy:
            continue
        message = "The index is invalid: writes maintain it, and no query uses it."
        does, statement = ("Build it again", "REINDEX") if index.required else ("Drop it", "DROP")
        ways = with_repair
        if not can_repair:
            ways = f"in a revision (`{statement} INDEX CONCURRENTLY` in an autocommit block), or {with_repair}"
        remedy = f"{does} {ways}."
        if not index.required:
            remedy = f"{does} {ways}; what an interrupted revision left, `migrate upgrade` builds again."
        if index.identity in drops:
            revision, direction = (drops[index.identity][key] for key in ("revision", "direction"))
            # the revision that the DROP is part of is the newest one applied
            again = "`migrate upgrade`" if direction == "upgrade" else policy.offer(settings, "downgrade", "-1")
            remedy = f"Run {again} again: it finishes the DROP of the index that `{revision}` began."
        yield Problem("invalid-index", "error", index.name, message, remedy)


def _incomplete(connection: Connection) -> Iterator[Problem]:
    for index in invalid_indexes.find_incomplete(connection):
        yield Problem("incomplete-index", "warning", index.name, index.reason, index.remedy)


def _unvalidated(
    connection: Connection, snapshots: Snapshots, heads: tuple[str, ...], drifted: drift.Comparison
) -> Iterator[Problem]:
    """Yield the constraints that are NOT VALID; a note for one that is so in the snapshot, or that is accepted."""
    accepted = {difference.path[1:] for difference, _ in drifted.accepted}
    catalogs = (snapshots.catalog(head) or catalog.EMPTY for head in heads)
    tables = {name: table for one in catalogs for name, table in one["tables"].items()}
    for row in connection.execute(UNVALIDATED):
        expected = tables.get(row.qualified, {}).get("constraints", {}).get(row.name, "")
        intended = expected.endswith("NOT VALID") or (row.qualified, "constraints", row.name) in accepted
        level: Level = "note" if intended else "error"
        message = f"`{row.name}` of `{row.owner}` was never validated for the existing rows."
        remedy = "Validate it with `validate_constraint`, in a revision."
        yield Problem("unvalidated-constraint", level, f"{row.owner}.{row.name}", message, remedy)


def _killed_builds(connection: Connection) -> dict[str, tuple[str, list[InvalidIndex]]]:
    """Return the request of the killed run and the invalid indexes that it left, by the revision that it was in."""
    if advisory_lock.holder(connection) is not None:
        return {}
    found = invalid_indexes.find(connection)
    # one that was killed in a DROP built nothing
    killed = [one for one in ledger.killed_builds(connection) if not one.before.dropped]
    builds = {one.revision: (one.request_id, one.before.left(found)) for one in killed}
    return {revision: build for revision, build in builds.items() if build[1]}


def _killed_runs(connection: Connection, builds: Mapping[str, tuple[str, list[InvalidIndex]]]) -> Iterator[Problem]:
    """Yield the runs that were killed, each once with all that it left."""
    told = {request_id: (revision, indexes) for revision, (request_id, indexes) in builds.items()}
    # while the migration lock is held, a run without an end may be the holder's
    if advisory_lock.holder(connection) is None:
        for request_id in ledger.killed(connection):
            message, remedy = f"The run of request `{request_id}` was killed.", "which records this and continues."
            if request_id in told:
                revision, indexes = told[request_id]
                names = ", ".join(f"`{index.name}`" for index in indexes)
                message = f"The run of request `{request_id}` was killed in `{revision}`, and left {names} invalid."
                remedy = "which drops or builds again what was left, and continues."
            yield Problem("leftover", "error", request_id, message, f"Run `migrate upgrade`, {remedy}")


def _index_of(difference: Difference) -> str | None:
    """Return the name of the index that a difference is about, with its schema; None for any other difference."""
    match difference.path:
        case (_, table, "indexes", name):
            return f"{table.rpartition('.')[0]}.{name}"
    return None


def _untrusted(connection: Connection) -> Iterator[Problem]:
    """Yield what lets another role have its code run where `search_path` has the project's schema."""
    schema = search_path.PROJECT
    if trust.is_open(connection, schema):
        message = "Every role may create functions and operators here, which others may then run without noticing."
        remedy = f"Run `REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC` as its owner."
        yield Problem("open-schema", "warning", schema, message, remedy)
    for shadow in trust.shadows(connection, schema):
        message = f"It has the name of one of PostgreSQL's own, and belongs to `{shadow.owner}`, whose code then runs."
        remedy = f"Find out why it is there; unless it is needed, run `DROP {shadow.name}`."
        yield Problem("shadowing-object", "error", shadow.name, message, remedy)


def _models(
    invocation: Invocation, revisions: Revisions, drifted: drift.Comparison, skipped: list[str]
) -> list[Problem]:
    """Compare the models with the database by Alembic's own comparison; add to `skipped` if there are none to import.

    A difference from the snapshot is drift already, and is not reported a second time.
    """
    directives: list[Any] = []
    said, reached = len(skipped), []

    def compare(_heads: Any, context: Any) -> list[Any]:
        reached.append(True)
        metadata = alembic_internals.options(context)["target_metadata"]
        if metadata is None:
            skipped.append("the models, because `env.py` names none")
        else:
            directives.extend(autogenerate.compare_metadata(context, metadata))
        # no steps: Alembic then runs nothing
        return []

    # only the project's `env.py` imports the models
    revisions.config.attributes[INVOCATION] = invocation
    with EnvironmentContext(revisions.config, revisions.script, fn=compare, dont_mutate=True):
        try:
            graph.run_environment(revisions.script, needs_models=False)
        except ImportError as error:
            skipped.append(f"the models, because `{error.name}` cannot be imported")
    if not reached and len(skipped) == said:
        skipped.append("the models, because `env.py` does not call `environment.run`")
    reported = {_part(one) for one in [*(one for one, _ in drifted.accepted), *drifted.differences]}
    # Alembic puts the directives for one column into a list
    flat = [directive for one in directives for directive in (one if isinstance(one, list) else [one])]
    found = [_of_directive(directive, revisions.heads) for directive in flat]
    return sorted((one for part, one in found if part not in reported), key=lambda one: (one.name, one.message))


def _part(difference: Difference) -> tuple[str, str]:
    """Return the table and the thing of a difference, without schema; the table twice for a whole table."""
    table = difference.path[1].rpartition(".")[2].strip('"')
    thing = difference.path[-1].strip('"') if len(difference.path) > catalog.WHOLE_OBJECT else ""
    return table, thing or table


def _of_directive(directive: tuple[Any, ...], heads: list[str]) -> tuple[tuple[str, str], Problem]:
    """Return the part that a directive is about, as `_part` does, and the problem that it stands for.

    A directive is what Alembic's comparison would change so that the database matches the models.
    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#alembic.autogenerate.compare_metadata
    """
    match directive:
        case (verb, Table() as table, *_):
            part = (table.name, table.name)
        case (verb, _, str(table), column, *_):
            part = (table, column.name if isinstance(column, Column) else column)
        case (verb, thing, *_):
            part = (thing.table.name, str(thing.name))
    change, _, what = verb.partition("_")
    newest = " and ".join(f"`{head}`" for head in heads)
    message = {
        "add": f"The models have this {what}, and the database at {newest} does not.",
        "remove": f"The database at {newest} has this {what}, and the models do not.",
    }.get(change, f"Its {what} differs between the models and the database at {newest}.")
    remedy = f"Make the change in a revision after {newest} (`migrate new`), or correct the model."
    return part, Problem("models", "error", ".".join(dict.fromkeys(part)), message, remedy)


def _message(at: str, wrong: list[Problem], drifted: drift.Comparison, skipped: list[str]) -> str:
    kinds = [problem.kind for problem in wrong]
    found = ", ".join(f"{kind} ({kinds.count(kind)})" for kind in dict.fromkeys(kinds))
    said = [f"The database is at `{at}`: {found or 'no problems'}."]
    if drifted.accepted:
        said.append(f"{count(len(drifted.accepted), 'known difference')} accepted.")
    return " ".join([*said, *(f"Not compared: {what}." for what in skipped)])
