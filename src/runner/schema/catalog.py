"""A database's schema as plain data: read it, compare two, write a snapshot.

A catalog is nested dictionaries, always of the same depth, whose leaves are the text that PostgreSQL itself
gives for a thing, so that two catalogs compare without any knowledge of SQL. What is empty is left out:

    {kind:     {object:         {section:   {thing:     text}}}}
    {"tables": {"public.leads": {"columns": {"lead_id": "uuid"}, "not_null": {"lead_id": "not null"}, …}},
     "functions": {"public.score(uuid)": {"definition": {"": "CREATE OR REPLACE FUNCTION …"}, "grants": {…}}}, …}

The kinds are tables, views, sequences, types (enums, domains, ranges, composites), functions, schemas,
extensions, publications and event triggers. Names are quoted as SQL wants them. Left out on purpose: schema
`runner`, Alembic's version table, what belongs to an extension, an extension's version, the names of the NOT
NULL constraints that PostgreSQL 18 made, and the rights in schema `public`.

Not seen: owners, roles, default privileges, grants on columns, types, languages and databases, the right
MAINTAIN; foreign tables, servers and user mappings, subscriptions, column lists of publications; operators,
casts, collations, text search, base types; tablespaces, large objects, security labels, settings of the
database or a role; the order of columns, statistics targets of indexes and extended statistics, CLUSTER's
mark, a partitioned table's trigger that is disabled on one partition; comments on what has no section of its
own; what extensions made; and any row of data. Views and function bodies in SQL-standard form are decompiled
by the server, so that another major version may word them differently.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, TextClause, text

from runner.postgres import queries, sql
from runner.postgres.version_table import VERSION_TABLE

Catalog = dict[str, dict[str, dict[str, dict[str, str]]]]

EMPTY: Catalog = {"tables": {}}
"""What is read from a new database."""
QUERIES = (
    "relations", "columns", "options", "constraints", "indexes", "triggers", "rules", "policies", "statistics",
    "grants", "sequences", "functions", "types", "domain_constraints", "schemas", "extensions", "publications",
    "published_tables", "event_triggers",
)  # fmt: skip
"""Each gives rows of (kind, object, section, thing, text); one without text only says that the object is there."""
WHOLE_OBJECT = 2
"""How long the path of an object is."""
SHOWN = 400
"""How many characters of one text a sentence has room for; a function's body may have pages."""


@dataclass(frozen=True)
class Difference:
    """Name one place where two catalogs differ; None stands for what is not there.

    The path is (kind, object) for a whole object, (kind, object, section, thing) for a part of one.
    """

    path: tuple[str, ...]
    expected: Any
    actual: Any

    @property
    def kind(self) -> str:
        """Say what sort of thing differs: `columns`, or with the object's kind where that is not a table."""
        kind, _, *part = self.path
        section = part[0] if part else "definition"
        names = {"definition": [kind]}.get(section, [section] if kind == "tables" else [kind, section])
        return ", ".join(names).replace("_", " ")

    @property
    def name(self) -> str:
        """Name the thing, qualified by what it hangs on: `public.leads.nome`."""
        _, owner, *part = self.path
        return ".".join(name for name in (owner, *part[1:]) if name)

    def __str__(self) -> str:
        expected, found = self._shown(self.expected, self.actual), self._shown(self.actual, self.expected)
        return f"`{self.name}` ({self.kind}): expected {expected}, found {found}"

    def _shown(self, part: Any, other: Any) -> str:
        if part is None:
            return "none"
        return _noun(self.path) if isinstance(part, dict) else f"`{_excerpt(part, str(other or ''))}`"


def describe(path: tuple[str, ...], part: Any) -> str | None:
    """Return the exact text of one side of a difference: equal only for what is equal.

    A whole object is told by its noun and the beginning of the SHA-256 of its rendering.
    """
    if not isinstance(part, dict):
        return None if part is None else str(part)
    return f"{_noun(path)}, sha256 {hashlib.sha256(render(part).encode()).hexdigest()[:16]}"


def _excerpt(part: str, other: str) -> str:
    """Return a text as it is, or if it is long, what stands around the first place where the other one differs."""
    if len(part) <= SHOWN:
        return part
    same = next((place for place, (a, b) in enumerate(zip(part, other, strict=False)) if a != b), 0)
    start = max(0, same - SHOWN // 4)
    end = start + SHOWN
    return ("…" if start else "") + part[start:end] + ("…" if end < len(part) else "")


def _noun(path: tuple[str, ...]) -> str:
    noun = path[0].removesuffix("s").replace("_", " ")
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def table_names(connection: Connection) -> set[str]:
    """Return the tables of a database, named as in its catalog."""
    return set(connection.execute(_query("tables"), {"version_table": VERSION_TABLE}).scalars())


def owners(connection: Connection) -> dict[str, tuple[str, str]]:
    """Return each relation's kind, and the table that it belongs to if it is an index, by its name."""
    return {row.name: (row.kind, row.owner) for row in connection.execute(_query("owners"))}


def read(connection: Connection) -> Catalog:
    """Read the catalog of the database that `connection` is on, inside its transaction, which may be read-only.

    Names come out qualified whatever the session's `search_path`; its settings are left as they were.
    """
    # compiling a query takes ten times as long as running it
    before = _set(connection, {"search_path": "", "jit": "off"})
    catalog: Catalog = {"tables": {}}
    for query in map(_query, QUERIES):
        for kind, name, section, thing, definition in connection.execute(query, {"version_table": VERSION_TABLE}):
            found = catalog.setdefault(kind, {}).setdefault(name, {})
            if definition is not None:
                found.setdefault(section, {})[thing] = sql.spread_casts(definition)
    _set(connection, before)
    return catalog


def _query(name: str) -> TextClause:
    return text(queries.load("runner.schema", f"queries/{name}.sql"))


def _set(connection: Connection, settings: dict[str, str]) -> dict[str, str]:
    """Change settings of the session, and return what they were."""
    query = text("select current_setting(:name), set_config(:name, :value, false)")
    return {
        name: connection.execute(query, {"name": name, "value": value}).one()[0] for name, value in settings.items()
    }


def compare(expected: Any, actual: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Yield each difference between two catalogs, or two parts of them, in the order of their names.

    An object that only one of them has is one difference, not one for each of its parts.
    """
    if len(path) != WHOLE_OBJECT:
        expected, actual = _sides(expected, actual)
    if not (isinstance(expected, dict) and isinstance(actual, dict)):
        if expected != actual:
            yield Difference(path, expected, actual)
        return
    for name in sorted(expected.keys() | actual.keys()):
        yield from compare(expected.get(name), actual.get(name), (*path, name))


def _sides(expected: Any, actual: Any) -> tuple[Any, Any]:
    """Read a kind or a section that one side lacks as an empty one."""
    if isinstance(expected, dict) and actual is None:
        return expected, {}
    return ({} if isinstance(actual, dict) and expected is None else expected), actual


def render(catalog: Catalog) -> str:
    """Return a snapshot's text: JSON with sorted keys, a line for each thing."""
    return json.dumps(catalog, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def load(path: Path) -> Catalog:
    """Read a snapshot that `render` wrote."""
    catalog: Catalog = json.loads(path.read_text(encoding="utf-8"))
    return catalog
