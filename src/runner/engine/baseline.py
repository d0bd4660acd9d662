"""A database from before: tables that the pending revisions would make are there already.

Each is compared with the snapshot of the revision that makes it. There with every column of the right
type, it is kept with its rows and completed in the revision's own transaction; there but different,
nothing is touched at all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from runner.errors import UnversionedDatabase
from runner.postgres import session
from runner.schema import catalog
from runner.schema.catalog import Catalog, Difference
from runner.script.step import Step

Table = dict[str, dict[str, str]]

COMMENTS_ON = "comments_on_"
MENDED = frozenset(
    {"defaults", "not_null", "options", "column_options", "grants", "comments"}
    | {f"{COMMENTS_ON}{parts}" for parts in ("constraints", "indexes", "triggers", "rules", "policies", "statistics")}
)
"""The sections in which the revision, or completing, overwrites another text; elsewhere it is refused at once."""


@dataclass(frozen=True)
class Baseline:
    """Name the tables that one revision would make and that are there already, as it would make them."""

    revision: str
    tables: dict[str, Table]


def snapshot(schema: Path, revision: str) -> Catalog | None:
    """Return the catalog after `revision`, or None where `migrate snapshot` has not written it yet."""
    path = schema / f"{revision}.json"
    return catalog.load(path) if path.exists() else None


def find(connection: Connection, schema: Path, heads: tuple[str, ...], steps: Iterable[Step]) -> dict[str, Baseline]:
    """Return what is there already of what the steps would make, by revision.

    Raises `UnversionedDatabase` where it is there but different.
    """
    found, wrong = _compare(connection, schema, heads, steps)
    if wrong:
        raise UnversionedDatabase(session.database_name(connection), [str(difference) for difference in wrong])
    return {one.revision: one for one in found}


def _compare(
    connection: Connection, schema: Path, heads: tuple[str, ...], steps: Iterable[Step]
) -> tuple[list[Baseline], list[Difference]]:
    """Find what the pending revisions would make and is there, and in what it differs.

    `steps` are in the order in which they would run. What the revisions that the database is at have made is no
    stranger, whatever a pending one does to it first.
    """
    relations = catalog.owners(connection)
    here = [snapshot(schema, head) for head in heads]
    if not relations or None in here:
        return [], []
    ours = {name for one in here if one for name in one["tables"]}
    made = [(step.revision, _made(schema, step.revision, step.parents, ours)) for step in steps]
    taken = [
        difference
        for _, tables in made
        for name, table in tables.items()
        for difference in _taken(name, table, relations, ours)
    ]
    present = catalog.table_names(connection)
    overlapping = [(revision, tables) for revision, tables in made if present & tables.keys()]
    if not overlapping:
        return [], taken
    actual = catalog.read(connection)["tables"]
    found: list[Baseline] = []
    wrong: list[Difference] = list(taken)
    for revision, tables in overlapping:
        kept = {name: table for name, table in tables.items() if name in present}
        found.append(Baseline(revision, kept))
        wrong += [difference for name, table in kept.items() for difference in _unfit(name, table, actual[name])]
    return found, wrong


def complete(connection: Connection, adopted: Baseline) -> list[Difference]:
    """Give the adopted tables what they lack, and return what is different even then.

    Runs inside the revision's transaction, after the revision: what that has made is not missing any more.
    """
    present = catalog.read(connection)["tables"]
    todo = [
        statement for name, table in adopted.tables.items() for statement in _completion(name, table, present[name])
    ]
    # a foreign key needs the other table's key, a comment what it is on
    for statement in sorted(todo, key=lambda one: (one.startswith("COMMENT ON "), "FOREIGN KEY" in one)):
        # psycopg2 would read a `%` of the catalog as a placeholder
        connection.exec_driver_sql(statement.replace("%", "%%"))
    present = catalog.read(connection)["tables"]
    return [difference for name, table in adopted.tables.items() for difference in _lacking(name, table, present[name])]


def _made(schema: Path, revision: str, parents: tuple[str, ...], ours: set[str]) -> dict[str, Table]:
    """Return the tables that a revision makes; none where a snapshot is missing to tell by."""
    after = snapshot(schema, revision)
    before = [snapshot(schema, parent) for parent in parents]
    if after is None or None in before:
        return {}
    known = {name for parent in before if parent for name in parent["tables"]} | ours
    return {name: table for name, table in after["tables"].items() if name not in known}


def _taken(name: str, table: Table, relations: dict[str, tuple[str, str]], ours: set[str]) -> Iterator[Difference]:
    """Yield the names of a table and its indexes that something else has; IF NOT EXISTS would accept it."""
    wanted = "partitioned table" if "partition_key" in table.get("shape", {}) else "table"
    kind, _ = relations.get(name, (wanted, ""))
    if kind != wanted:
        yield Difference(("tables", name), f"a {wanted}", f"a {kind}")
    keys = [key for key, text in table.get("constraints", {}).items() if not text.startswith(("CHECK", "FOREIGN"))]
    namespace = name.rpartition(".")[0]
    for key in [*keys, *table.get("indexes", {})]:
        kind, owner = relations.get(f"{namespace}.{key}", ("", name))
        if owner != name and owner not in ours:
            yield Difference(("tables", name, "indexes", key), "an index of it", f"{kind} of {owner or 'its own'}")


def _unfit(name: str, expected: Table, actual: Table) -> Iterator[Difference]:
    """Yield what completing cannot mend: a column absent or of another type, a name that another thing has.

    A policy, a right or a setting that is lacking may be what the revision itself goes on to make.
    """
    indexes = actual.get("indexes", {})
    for difference in _lacking(name, expected, actual):
        section, key = difference.path[2:4]
        replaced = section not in MENDED and difference.actual is not None
        if section in ("columns", "shape") or replaced:
            yield difference
        elif section == "constraints" and key in indexes:
            yield Difference(difference.path, difference.expected, indexes[key])


def _lacking(name: str, expected: Table, actual: Table) -> Iterator[Difference]:
    """Yield the differences in what the revision made; what the table has beyond that is its own affair."""
    for difference in catalog.compare(expected, actual, ("tables", name)):
        if difference.expected is not None or _ours(difference, expected):
            yield difference


def _ours(difference: Difference, expected: Table) -> bool:
    """Tell whether something too many (a default, a comment, row level security) is on what the revision made."""
    section, thing = difference.path[2:4]
    if section in ("shape", "settings"):
        return True
    if section in ("defaults", "not_null", "comments"):
        return not thing or thing in expected.get("columns", {})
    return section.startswith(COMMENTS_ON) and thing in expected.get(section.removeprefix(COMMENTS_ON), {})


def _completion(name: str, expected: Table, actual: Table) -> Iterator[str]:
    """Yield the statements that give a table what `_lacking` names and a statement can give."""
    for difference in _lacking(name, expected, actual):
        _, _, section, thing = difference.path
        wanted = difference.expected
        match section:
            case "defaults":
                change = f"SET DEFAULT {wanted}" if wanted else "DROP DEFAULT"
                yield f"ALTER TABLE {name} ALTER COLUMN {thing} {change}"
            case "not_null":
                yield f"ALTER TABLE {name} ALTER COLUMN {thing} {'SET' if wanted else 'DROP'} NOT NULL"
            case "constraints":
                yield _constrain(name, thing, wanted, expected, actual)
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
                yield f"COMMENT ON {_commented(name, section, thing)} IS {_literal(wanted)}"


def _commented(name: str, section: str, thing: str) -> str:
    """Return what a comment is on, in the words of COMMENT ON."""
    match section.removeprefix(COMMENTS_ON):
        case "indexes":
            return f"INDEX {name.rpartition('.')[0]}.{thing}"
        case "statistics":
            return f"STATISTICS {thing}"
        case "policies":
            return f"POLICY {thing} ON {name}"
        case others:
            return f"{others.removesuffix('s').upper()} {thing} ON {name}"


def _constrain(name: str, thing: str, wanted: str, expected: Table, actual: Table) -> str:
    """Rename the constraint that says the same under another name, or add it."""
    for other, text in actual.get("constraints", {}).items():
        if text == wanted and other not in expected["constraints"]:
            return f"ALTER TABLE {name} RENAME CONSTRAINT {other} TO {thing}"
    return f"ALTER TABLE {name} ADD CONSTRAINT {thing} {wanted}"


def _literal(comment: str | None) -> str:
    return "NULL" if comment is None else "'" + comment.replace("'", "''") + "'"
