"""What the rules use of a database: its tables, their sizes, and objects of other kinds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf

from runner.lint.report import LARGE_ROWS
from runner.lint.state import domains
from runner.lint.state.dependent import Reader
from runner.lint.state.domains import Domain
from runner.lint.state.tables import Table, Tables, of_catalog
from runner.lint.state.tablespaces import Tablespaces
from runner.postgres import sql, tokens
from runner.postgres.sql import Name
from runner.results import Level, TableSize, estimated
from runner.schema.catalog import Catalog


@dataclass(frozen=True)
class Database:
    """What the rules use of the database."""

    tables: Tables
    sizes: Mapping[Name, TableSize]
    """By the names that the tables have in the database."""
    known: frozenset[Name]
    """Objects of every kind."""
    routines: Mapping[Name, tuple[str, ...]]
    """The functions of each name, with their arguments, as in the catalog."""
    of_triggers: frozenset[Name]
    """The functions of triggers, which no query can call."""
    version: str
    """The server's version, such as `15.3`."""
    own: frozenset[Name] = frozenset()
    """The tables of the runner outside of its schema, which the catalog leaves out."""
    domains: Mapping[Name, Domain] = field(default_factory=dict)
    functions: Mapping[Name, tuple[str, ...]] = field(default_factory=dict)
    """The definitions of the functions of each name, as the catalog has them."""
    enums: Mapping[Name, frozenset[str]] = field(default_factory=dict)
    """The values of the enumerated types."""
    dependents: Reader | None = None
    """Reads what goes with objects that are dropped with CASCADE; None offline."""
    tablespaces: Callable[[], Tablespaces] | None = None
    """Reads where the database's tables are; None offline."""
    typed: Mapping[Name, tuple[Name, ...]] = field(default_factory=dict)
    """The tables that are OF a composite type."""
    grants: Mapping[str, Mapping[Name, Mapping[str, str]]] = field(default_factory=dict)
    """The privileges of each role but the owner on the schemas and sequences, by the kind and the name."""
    routine_grants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The privileges of each role but the owner on the functions, by their names with arguments, as in the catalog."""
    is_complete: bool = True
    """Whether its objects are known: else what the plan does not make counts as there."""

    @property
    def major_version(self) -> int:
        """Return the server's major version, such as 15."""
        return int(self.version.partition(".")[0])

    def rows(self, table: Table | None) -> int | None:
        """Return the planner's estimate of a table's rows: 0 for a table that the plan makes, None if unknown."""
        if table is None or table.origin is None:
            return 0
        if table.kind == "view" and not table.heirs:
            return None
        own = (table.origin,) if table.kind != "view" else ()
        sizes = [self.sizes.get(name) for name in (*own, *table.heirs)]
        rows = [size.rows for size in sizes if size is not None and size.rows is not None]
        return sum(rows) if len(rows) == len(sizes) else None

    def by_rows(self, table: Table | None) -> Level:
        """Return the level of what takes time for each row of a table; an unknown number of rows counts as large."""
        return "error" if self.is_large(table) else "warning"

    def is_large(self, table: Table | None) -> bool:
        """Return whether what is done for each row of a table takes long."""
        return self.many(table) >= LARGE_ROWS

    def many(self, table: Table | None) -> float:
        """Return the rows of a table to compare them: an unknown number is more than any other."""
        rows = self.rows(table)
        return inf if rows is None else rows

    def count(self, table: Table | None) -> str:
        """Return the rows of a table as the subject of a sentence, always in the plural: `about 20,000 rows`.

        They are `all rows` where their number is unknown.
        """
        rows = self.rows(table)
        if rows is not None and rows > 1:
            return estimated(rows)
        return "all rows" + {None: "", 0: " (none yet)", 1: " (about 1)"}[rows]

    def size(self, table: Table | None) -> str:
        """Return the number of a table's rows in words, for parentheses."""
        rows = self.rows(table)
        return "nobody knows how many rows" if rows is None else estimated(rows)


def describe(
    actual: Catalog,
    sizes: Mapping[str, TableSize],
    version: str,
    dependents: Reader | None = None,
    own: Iterable[Name] = (),
    *,
    complete: bool = True,
    tablespaces: Callable[[], Tablespaces] | None = None,
) -> Database:
    """Return what the rules use of a database with that catalog; `sizes` are of the tables that the plan touches.

    `own` are the tables of the runner outside of its schema; the catalog is not `complete` where nobody knows the
    database's tables.
    """
    tables, routines = of_catalog(actual, complete=complete), _routines(actual)
    return Database(
        tables,
        {sql.read_name(name): size for name, size in sizes.items()},
        frozenset(sql.read_name(name) for objects in actual.values() for name in objects),
        routines,
        frozenset(map(sql.read_name, filter(partial(_is_of_trigger, actual), actual.get("functions", ())))),
        version,
        frozenset(own),
        domains.of_catalog(actual),
        {name: tuple(_code(actual, one) for one in texts) for name, texts in routines.items()},
        dict(_enums(actual)),
        dependents,
        tablespaces,
        _typed(actual),
        {kind: {sql.read_name(name): one for name, one in _grants(actual, kind)} for kind in ("schemas", "sequences")},
        dict(_grants(actual, "functions")),
        complete,
    )


def _routines(actual: Catalog) -> dict[Name, tuple[str, ...]]:
    found: dict[Name, tuple[str, ...]] = {}
    for text in actual.get("functions", ()):
        name = sql.read_name(text)
        found[name] = (*found.get(name, ()), text)
    return found


def _grants(actual: Catalog, kind: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    return ((name, sections.get("grants", {})) for name, sections in actual.get(kind, {}).items())


def _code(actual: Catalog, function: str) -> str:
    return actual["functions"][function].get("definition", {}).get("", "")


def _is_of_trigger(actual: Catalog, function: str) -> bool:
    # as `pg_get_functiondef` writes it, which has a line for what a function returns
    written = _code(actual, function)
    return any(f"\n RETURNS {kind}\n" in written for kind in ("trigger", "event_trigger"))


def _typed(actual: Catalog) -> dict[Name, tuple[Name, ...]]:
    found: dict[Name, tuple[Name, ...]] = {}
    for table, sections in actual.get("tables", {}).items():
        if kind := sections.get("shape", {}).get("of_type"):
            name = sql.read_name(kind)
            found[name] = (*found.get(name, ()), sql.read_name(table))
    return found


def _enums(actual: Catalog) -> Iterator[tuple[Name, frozenset[str]]]:
    for name, sections in actual.get("types", {}).items():
        definition = sections.get("definition", {}).get("", "")
        if definition.startswith("enum "):
            values = (one.value for one in tokens.read(definition) if one.kind == "string")
            yield sql.read_name(name), frozenset(values)
