"""A database from before: tables that the pending revisions would make are there already.

Each is compared with the snapshot of the revision that makes it. There with every column of the right
type, it is kept with its rows and completed in the revision's own transaction; there but different,
nothing is touched at all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from runner import catalog
from runner.catalog import Catalog, Difference
from runner.errors import InvalidSettings

Table = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Adopted:
    """Name the tables that one revision would make and that are there already, as it would make them."""

    revision: str
    tables: dict[str, Table]


def snapshot(schema: Path, revision: str) -> Catalog | None:
    """Return the catalog after `revision`, or None where `migrate snapshot` has not written it yet."""
    path = schema / f"{revision}.json"
    return catalog.load(path) if path.exists() else None


def find(
    connection: Connection, schema: Path, steps: Iterable[tuple[str, tuple[str, ...]]]
) -> tuple[list[Adopted], list[Difference]]:
    """Find what the pending revisions would make and is there, and in what it differs.

    `steps` are pairs of a revision and those before it, in the order in which they would run.
    """
    present = catalog.table_names(connection)
    made = [(revision, _made(schema, revision, parents)) for revision, parents in steps] if present else []
    overlapping = [(revision, tables) for revision, tables in made if present & tables.keys()]
    if not overlapping:
        return [], []
    actual = catalog.read(connection)["tables"]
    found: list[Adopted] = []
    wrong: list[Difference] = []
    for revision, tables in overlapping:
        kept = {name: table for name, table in tables.items() if name in present}
        found.append(Adopted(revision, kept))
        wrong += [difference for name, table in kept.items() for difference in _unfit(name, table, actual[name])]
    return found, wrong


def complete(connection: Connection, adopted: Adopted) -> list[Difference]:
    """Give the adopted tables what they lack, and return what is different even then.

    Runs inside the revision's transaction, after the revision: what that has made is not missing any more.
    """
    present = catalog.read(connection)["tables"]
    todo = [
        statement for name, table in adopted.tables.items() for statement in _completion(name, table, present[name])
    ]
    # a foreign key comes last, since it needs the other table's key
    for statement, *parameters in sorted(todo, key=lambda parts: "FOREIGN KEY" in parts[0]):
        connection.exec_driver_sql(statement, tuple(parameters))
    present = catalog.read(connection)["tables"]
    return [difference for name, table in adopted.tables.items() for difference in _lacking(name, table, present[name])]


def stray(connection: Connection, schema: Path, target: str) -> list[Difference]:
    """Return in what a database is not what `target` makes, before it is stamped so.

    What no revision knows is the database's own affair; a table that only a later revision makes is not.
    Raises `InvalidSettings` when the target has no snapshot to compare with.
    """
    expected = {"tables": {}} if target == "base" else snapshot(schema, target)
    if expected is None:
        raise InvalidSettings(
            f"There is no snapshot of `{target}` to compare the database with.",
            "Write it with `migrate snapshot`.",
        )
    actual = catalog.read(connection)
    later = {name for path in schema.glob("*.json") for name in catalog.load(path)["tables"]}
    tables = expected["tables"]
    found = [
        Difference(("tables", name), None, actual["tables"][name])
        for name in sorted(later - tables.keys())
        if name in actual["tables"]
    ]
    for name, table in tables.items():
        found += _lacking(name, table, actual["tables"].get(name, {}))
    for kind in catalog.OTHERS:
        parts = catalog.compare(expected.get(kind, {}), actual[kind], (kind,))
        found += [difference for difference in parts if difference.expected is not None]
    return found


def _made(schema: Path, revision: str, parents: tuple[str, ...]) -> dict[str, Table]:
    after = snapshot(schema, revision)
    if after is None:
        return {}
    before = [snapshot(schema, parent) for parent in parents]
    known = {name for parent in before if parent for name in parent["tables"]}
    return {name: table for name, table in after["tables"].items() if name not in known}


def _unfit(name: str, expected: Table, actual: Table) -> Iterator[Difference]:
    """Yield what completing cannot mend: a column absent or of another type, a name taken by another thing."""
    for difference in _lacking(name, expected, actual):
        section = difference.path[2]
        replaced = section in ("constraints", "indexes", "triggers") and difference.actual is not None
        if section == "columns" or replaced:
            yield difference


def _lacking(name: str, expected: Table, actual: Table) -> Iterator[Difference]:
    """Yield the differences in what the revision made; what the table has beyond that is its own affair."""
    empty: Table = {section: {} for section in catalog.SECTIONS}
    for difference in catalog.compare(empty | expected, empty | actual, ("tables", name)):
        if difference.expected is not None or _ours(difference, expected):
            yield difference


def _ours(difference: Difference, expected: Table) -> bool:
    """Tell whether something too many (a default, a NOT NULL, a comment) is on a column of the revision."""
    section, column = difference.path[2:4]
    return section in ("defaults", "not_null", "comments") and (not column or column in expected["columns"])


def _completion(name: str, expected: Table, actual: Table) -> Iterator[tuple[str, ...]]:
    """Yield the statements, with their parameters, that give a table what `_lacking` names."""
    for difference in _lacking(name, expected, actual):
        _, _, section, thing = difference.path
        wanted = difference.expected
        match section:
            case "defaults":
                change = f"SET DEFAULT {wanted}" if wanted else "DROP DEFAULT"
                yield (f"ALTER TABLE {name} ALTER COLUMN {thing} {_literal(change)}",)
            case "not_null":
                yield (f"ALTER TABLE {name} ALTER COLUMN {thing} {'SET' if wanted else 'DROP'} NOT NULL",)
            case "constraints":
                yield (_literal(_constrain(name, thing, wanted, expected, actual)),)
            case "indexes" | "triggers":
                yield (_literal(wanted),)
            case "comments":
                what = f"COLUMN {name}.{thing}" if thing else f"TABLE {name}"
                yield (f"COMMENT ON {what} IS %s", wanted)


def _constrain(name: str, thing: str, wanted: str, expected: Table, actual: Table) -> str:
    """Rename the constraint that says the same under another name, or add it."""
    for other, text in actual.get("constraints", {}).items():
        if text == wanted and other not in expected["constraints"]:
            return f"ALTER TABLE {name} RENAME CONSTRAINT {other} TO {thing}"
    return f"ALTER TABLE {name} ADD CONSTRAINT {thing} {wanted}"


def _literal(statement: str) -> str:
    """Keep psycopg2 from reading a `%` of the catalog as a placeholder."""
    return statement.replace("%", "%%")
