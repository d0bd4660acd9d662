"""The baseline: tables that pending revisions create and that the database has already.

Each such table is compared with the snapshot of the revision that creates it. If all its columns have the right type,
the table is kept with its rows and completed in the revision's own transaction. If any table differs, nothing changes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from runner.engine.snapshots import Snapshots
from runner.errors import UnversionedDatabase
from runner.postgres import session
from runner.schema import catalog, definitions
from runner.schema.catalog import Difference
from runner.schema.definitions import Definitions
from runner.script.step import Step

Table = dict[str, dict[str, str]]
"""One table of a catalog: section, thing, text."""

COMMENTS_ON = "comments_on_"
OVERWRITTEN = frozenset(
    {"defaults", "not_null", "options", "column_options", "grants", "comments"}
    | {f"{COMMENTS_ON}{parts}" for parts in ("constraints", "indexes", "triggers", "rules", "policies", "statistics")}
)
"""Sections in which the revision or `complete` replaces a text that differs; in any other, such a text is refused."""


@dataclass(frozen=True)
class Baseline:
    """The existing tables that one revision creates, each as that revision's snapshot describes it."""

    revision: str
    tables: dict[str, Table]


def find(
    connection: Connection, snapshots: Snapshots, heads: tuple[str, ...], steps: Iterable[Step]
) -> dict[str, Baseline]:
    """Return the baselines of `steps`, by revision.

    Raises `UnversionedDatabase` if an existing table differs from its snapshot, `InvalidSettings` if that snapshot is
    older than the text of its revision.
    """
    baselines, differences = _compare(connection, snapshots, heads, steps)
    if differences:
        raise UnversionedDatabase(session.database_name(connection), [str(difference) for difference in differences])
    return {baseline.revision: baseline for baseline in baselines}


def _compare(
    connection: Connection, snapshots: Snapshots, heads: tuple[str, ...], steps: Iterable[Step]
) -> tuple[list[Baseline], list[Difference]]:
    """Return the existing tables that `steps` create, and where those differ; the steps are in the order they run.

    Tables of the revisions that the database is at are not compared: a pending revision may drop and create them again.
    """
    relations = catalog.owners(connection)
    at = [snapshots.catalog(head) for head in heads]
    # a new database has nothing to compare; without a head's snapshot, nothing says which tables its revisions created
    if not relations or None in at:
        return [], []
    managed = {name for head in at if head for name in head["tables"]}
    created = [(step, _created_tables(snapshots, step.revision, step.parents, managed)) for step in steps]
    existing = catalog.table_names(connection)
    overlapping = [(step, tables) for step, tables in created if existing & tables.keys()]
    compared = [step for step, _ in overlapping]
    differences: list[Difference] = []
    for step, tables in created:
        conflicts = [one for name in tables for one in _name_conflicts(name, tables[name], relations, managed)]
        compared += [step] if conflicts else []
        differences += conflicts
    # what was compared with an old text must neither be adopted nor refused
    used = [revision for step in compared for revision in (*heads, *step.parents, step.revision)]
    snapshots.refuse_outdated(dict.fromkeys(used))
    if not overlapping:
        return [], differences
    # the names took one query, the catalog takes one for each section
    actual = catalog.read(connection)["tables"]
    baselines: list[Baseline] = []
    for step, tables in overlapping:
        kept = {name: table for name, table in tables.items() if name in existing}
        baselines.append(Baseline(step.revision, kept))
        differences += [
            difference for name, table in kept.items() for difference in _irreparable(name, table, actual[name])
        ]
    return baselines, differences


def complete(connection: Connection, baseline: Baseline, sent: Sequence[str]) -> list[Difference]:
    """Add what the tables of `baseline` lack, and return the differences that remain.

    `connection` is in the revision's transaction, after `upgrade()`, which has sent the statements `sent`: what they
    created is there already.
    """
    actual = catalog.read(connection)["tables"]
    statements: list[str] = []
    for name, table in baseline.tables.items():
        lacks = any(one.path[2] in definitions.SECTIONS for one in _differences(name, table, actual[name]))
        written = definitions.find(connection, name, sent) if lacks else Definitions()
        statements += _completing_statements(name, table, actual[name], written)
    # a foreign key needs the other table's key, a comment needs its object
    for statement in sorted(statements, key=lambda text: (text.startswith("COMMENT ON "), "FOREIGN KEY" in text)):
        # psycopg2 would read a `%` of the catalog as a placeholder
        connection.exec_driver_sql(statement.replace("%", "%%"))
    # read again: a statement that ran is no proof that the server's text is now the snapshot's
    actual = catalog.read(connection)["tables"]
    return [
        difference for name, table in baseline.tables.items() for difference in _differences(name, table, actual[name])
    ]


def _created_tables(
    snapshots: Snapshots, revision: str, parents: tuple[str, ...], managed: set[str]
) -> dict[str, Table]:
    """Return the tables that a revision creates; none if its snapshot or a parent's is missing."""
    after = snapshots.catalog(revision)
    before = [snapshots.catalog(parent) for parent in parents]
    if after is None or None in before:
        return {}
    earlier = {name for parent in before if parent for name in parent["tables"]} | managed
    return {name: table for name, table in after["tables"].items() if name not in earlier}


def _name_conflicts(
    name: str, table: Table, relations: dict[str, tuple[str, str]], managed: set[str]
) -> Iterator[Difference]:
    """Yield where another object has the name of a table or of its index: IF NOT EXISTS would accept that object."""
    wanted = "partitioned table" if "partition_key" in table.get("shape", {}) else "table"
    kind, _ = relations.get(name, (wanted, ""))
    if kind != wanted:
        yield Difference(("tables", name), f"a {wanted}", f"a {kind}")
    # an index shares the namespace of tables; keys and exclusion constraints have one, checks and foreign keys do not
    # https://www.postgresql.org/docs/current/sql-createindex.html
    keys = [key for key, text in table.get("constraints", {}).items() if not text.startswith(("CHECK", "FOREIGN"))]
    namespace = name.rpartition(".")[0]
    for key in [*keys, *table.get("indexes", {})]:
        kind, owner = relations.get(f"{namespace}.{key}", ("", name))
        # a pending revision may drop the index of a managed table first
        if owner != name and owner not in managed:
            yield Difference(("tables", name, "indexes", key), "an index of it", f"{kind} of {owner or 'its own'}")


def _irreparable(name: str, expected: Table, actual: Table) -> Iterator[Difference]:
    """Yield what `complete` cannot repair: a missing column, another type, a name that another object has.

    A missing policy, grant or setting is not yielded: the revision itself may create it.
    """
    indexes = actual.get("indexes", {})
    for difference in _differences(name, expected, actual):
        section, key = difference.path[2:4]
        replaced = section not in OVERWRITTEN and difference.actual is not None
        if section in ("columns", "shape") or replaced:
            yield difference
        elif section == "constraints" and key in indexes:
            # ADD CONSTRAINT would fail: a plain index has the name of the constraint's own index
            yield Difference(difference.path, difference.expected, indexes[key])


def _differences(name: str, expected: Table, actual: Table) -> Iterator[Difference]:
    """Yield the differences in what the revision creates; other parts of the table are left alone."""
    for difference in catalog.compare(expected, actual, ("tables", name)):
        if difference.expected is not None or _is_on_created_part(difference, expected):
            yield difference


def _is_on_created_part(difference: Difference, expected: Table) -> bool:
    """Return whether something extra (a default, a comment, row-level security) is on a part that the snapshot has."""
    section, thing = difference.path[2:4]
    if section in ("shape", "settings"):
        return True
    if section in ("defaults", "not_null", "comments"):
        return not thing or thing in expected.get("columns", {})
    return section.startswith(COMMENTS_ON) and thing in expected.get(section.removeprefix(COMMENTS_ON), {})


def _completing_statements(name: str, expected: Table, actual: Table, written: Definitions) -> Iterator[str]:
    """Yield a statement for each of `_differences` that one can remove."""
    for difference in _differences(name, expected, actual):
        _, _, section, thing = difference.path
        wanted = difference.expected
        # `columns` and `shape` were refused before; `settings`, `column_options` and `grants` are left to the revision,
        # and the comparison after it refuses what it did not set
        match section:
            case "defaults":
                change = f"SET DEFAULT {written.of(section, thing, wanted)}" if wanted else "DROP DEFAULT"
                yield f"ALTER TABLE {name} ALTER COLUMN {thing} {change}"
            case "not_null":
                yield f"ALTER TABLE {name} {_not_null_action(thing, wanted, written)}"
            case "constraints":
                yield _constraint_statement(name, thing, wanted, expected, actual, written)
            case "indexes" | "triggers" | "rules" | "statistics":
                yield wanted
            case "policies":
                yield f"CREATE POLICY {thing} ON {name} {wanted}"
            case "options":
                yield f"ALTER TABLE {name} SET ({thing} = {wanted})"
            case "comments":
                what = f"COLUMN {name}.{thing}" if thing else f"TABLE {name}"
                yield f"COMMENT ON {what} IS {_literal(wanted)}"
            case _ if section.startswith(COMMENTS_ON):
                yield f"COMMENT ON {_comment_target(name, section, thing)} IS {_literal(wanted)}"


def _comment_target(name: str, section: str, thing: str) -> str:
    """Return the object of a COMMENT ON statement, in that statement's syntax."""
    match section.removeprefix(COMMENTS_ON):
        case "indexes":
            return f"INDEX {name.rpartition('.')[0]}.{thing}"
        case "statistics":
            return f"STATISTICS {thing}"
        case "policies":
            return f"POLICY {thing} ON {name}"
        case others:
            return f"{others.removesuffix('s').upper()} {thing} ON {name}"


def _not_null_action(thing: str, wanted: str | None, written: Definitions) -> str:
    if wanted is None:
        return f"ALTER COLUMN {thing} DROP NOT NULL"
    named = written.of("not_null", thing, wanted)
    return f"ALTER COLUMN {thing} SET NOT NULL" if named == wanted else f"ADD {named}"


def _constraint_statement(
    name: str, thing: str, wanted: str, expected: Table, actual: Table, written: Definitions
) -> str:
    """Return the statement that adds a constraint, or that renames the one of the same definition."""
    for other, text in actual.get("constraints", {}).items():
        # adding it as well would build a second index or scan the table again
        if text == wanted and other not in expected["constraints"]:
            return f"ALTER TABLE {name} RENAME CONSTRAINT {other} TO {thing}"
    return f"ALTER TABLE {name} ADD CONSTRAINT {thing} {written.of('constraints', thing, wanted)}"


def _literal(comment: str | None) -> str:
    # a backslash needs no escape: `standard_conforming_strings` is on by default
    return "NULL" if comment is None else "'" + comment.replace("'", "''") + "'"
