"""The catalog of a database as plain data: read it, compare two of them, render one.

A catalog consists of nested dictionaries, always four levels deep. The leaves are the texts that PostgreSQL itself
gives, so that comparing two catalogs requires no knowledge of SQL. Empty parts are left out:

    {kind:     {object:         {section:   {thing:     text}}}}
    {"tables": {"public.leads": {"columns": {"lead_id": "uuid"}, "not_null": {"lead_id": "not null"}, …}},
     "functions": {"public.score(uuid)": {"definition": {"": "CREATE OR REPLACE FUNCTION …"}, "grants": {…}}}, …}

The kinds are tables, views, sequences, types (enums, domains, ranges, composites), functions, schemas,
extensions, publications and event triggers. Names are quoted as SQL requires. Left out on purpose: schema
`runner`, Alembic's version table, the objects of extensions, the versions of extensions, the names of NOT NULL
constraints (which exist since PostgreSQL 18), and privileges on schema `public`.

Not read: owners, roles, default privileges, grants on columns, types, languages and databases, the privilege
MAINTAIN; foreign tables, servers and user mappings, subscriptions, column lists of publications; operators,
casts, collations, text search, base types; tablespaces, large objects, security labels, settings of the
database or a role; the order of columns, statistics targets of indexes and extended statistics, CLUSTER's
mark, a partitioned table's trigger that is disabled on one partition; comments on objects that have no section;
and any row of data. Views and function bodies in SQL-standard form are decompiled by the server, so another
major version may give another text for them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, TextClause, text

from runner.postgres import connect, queries, sql

Catalog = dict[str, dict[str, dict[str, dict[str, str]]]]

EMPTY: Catalog = {"tables": {}}
"""The catalog of a new database; the key `tables` is always there, so that no reader has to check for it."""
QUERIES = (
    "relations", "columns", "options", "constraints", "indexes", "triggers", "rules", "policies", "statistics",
    "grants", "sequences", "functions", "types", "domain_constraints", "schemas", "extensions", "publications",
    "published_tables", "event_triggers",
)  # fmt: skip
"""Each returns rows of (kind, object, section, thing, text); without a text, a row only says that the object exists."""
WHOLE_OBJECT = 2
"""The length of the path of an object."""
SHOWN = 400
"""The number of characters of a text in a message; the body of a function may have pages."""


@dataclass(frozen=True)
class Difference:
    """A place where two catalogs differ; None stands for a part that one of them lacks.

    The path is (kind, object) for a whole object, (kind, object, section, thing) for a part of one.
    """

    path: tuple[str, ...]
    expected: Any
    actual: Any

    @property
    def kind(self) -> str:
        """Return the section, such as `columns`; followed by the object's kind if that is not a table."""
        kind, _, *part = self.path
        section = part[0] if part else "definition"
        names = {"definition": [kind]}.get(section, [section] if kind == "tables" else [kind, section])
        return ", ".join(names).replace("_", " ")

    @property
    def name(self) -> str:
        """Return the thing's name, qualified by its object's: `public.leads.nome`."""
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
    """Return one side of a difference as a text that no other side has; None for a part that does not exist.

    For a whole object it is a noun and the first 16 hex digits of the SHA-256 of its rendering, which may have pages.
    """
    if not isinstance(part, dict):
        return None if part is None else str(part)
    return f"{_noun(path)}, sha256 {hashlib.sha256(render(part).encode()).hexdigest()[:16]}"


def _excerpt(part: str, other: str) -> str:
    """Return a text; of a long one, only the part around the first character in which it differs from the other."""
    if len(part) <= SHOWN:
        return part
    differs_at = next((place for place, (a, b) in enumerate(zip(part, other, strict=False)) if a != b), 0)
    # a quarter of the excerpt is context before that character
    start = max(0, differs_at - SHOWN // 4)
    end = start + SHOWN
    return ("…" if start else "") + part[start:end] + ("…" if end < len(part) else "")


def _noun(path: tuple[str, ...]) -> str:
    noun = path[0].removesuffix("s").replace("_", " ")
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def table_names(connection: Connection) -> set[str]:
    """Return the names of a database's tables, as in its catalog."""
    return set(connection.execute(_query("tables"), _version_table(connection)).scalars())


def sized_names(connection: Connection) -> set[str]:
    """Return the names of a database's tables and materialized views, which have rows of their own."""
    return set(connection.execute(_query("sized"), _version_table(connection)).scalars())


def owners(connection: Connection) -> dict[str, tuple[str, str]]:
    """Return the kind of each relation, and for an index the table that it belongs to, else an empty text; by name."""
    return {row.name: (row.kind, row.owner) for row in connection.execute(_query("owners"))}


def read(connection: Connection) -> Catalog:
    """Return the catalog of the database of `connection`, whose transaction may be read-only.

    Names are qualified, whatever the session's `search_path` is. The session's settings are restored.
    """
    # PostgreSQL leaves out the schema of a name that `search_path` finds. JIT would compile these queries, since their
    # estimates are high, and that takes ten times as long as running them.
    before = _set(connection, {"search_path": "", "jit": "off"})
    catalog: Catalog = {"tables": {}}
    version_table = _version_table(connection)
    for query in map(_query, QUERIES):
        for kind, name, section, thing, definition in connection.execute(query, version_table):
            sections = catalog.setdefault(kind, {}).setdefault(name, {})
            if definition is not None:
                # the server's text for `IN (…)` depends on how the constraint was created
                sections.setdefault(section, {})[thing] = sql.spread_casts(definition)
    _set(connection, before)
    return catalog


def _version_table(connection: Connection) -> dict[str, str]:
    """Return the parameters by which the queries leave the version table out."""
    return {"version_table": connect.version_table(connection).name}


def _query(name: str) -> TextClause:
    return text(queries.load("runner.schema", f"queries/{name}.sql"))


def _set(connection: Connection, settings: dict[str, str]) -> dict[str, str]:
    """Change settings of the session, and return their former values."""
    query = text("select current_setting(:name), set_config(:name, :value, false)")
    return {
        name: connection.execute(query, {"name": name, "value": value}).one()[0] for name, value in settings.items()
    }


def tables_of_types(catalog: Catalog, types: Iterable[str]) -> set[str]:
    """Return the tables that are of these types, or have a column of one or of a domain over one, as in the catalog."""
    found = set(types)
    definitions = {name: one.get("definition", {}).get("", "") for name, one in catalog.get("types", {}).items()}
    while more := {name for name, text in definitions.items() if _is_of(text.removeprefix("domain "), found)} - found:
        found |= more
    return {
        name
        for name, table in catalog["tables"].items()
        if any(_is_of(text, found) for text in table.get("columns", {}).values())
        or table.get("shape", {}).get("of_type") in found
    }


def _is_of(text: str, types: set[str]) -> bool:
    """Return whether a text of a column or a domain begins with one of these types, followed by nothing or a space."""
    # a quoted name may have a space
    return any(text == one or text.startswith(f"{one} ") for one in types)


def compare(expected: Any, actual: Any, path: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Yield each difference between two catalogs, or between two parts of catalogs at `path`, in the order of names.

    An object that only one of them has is one difference, not one for each of its parts.
    """
    # a missing kind or section is as good as an empty one, a missing object is not
    if len(path) != WHOLE_OBJECT:
        expected, actual = _sides(expected, actual)
    if not (isinstance(expected, dict) and isinstance(actual, dict)):
        if expected != actual:
            yield Difference(path, expected, actual)
        return
    for name in sorted(expected.keys() | actual.keys()):
        yield from compare(expected.get(name), actual.get(name), (*path, name))


def _sides(expected: Any, actual: Any) -> tuple[Any, Any]:
    """Return both sides, an empty dictionary for one that is missing."""
    if isinstance(expected, dict) and actual is None:
        return expected, {}
    return ({} if isinstance(actual, dict) and expected is None else expected), actual


def render(catalog: Catalog) -> str:
    """Return a catalog as JSON with sorted keys, one line for each thing, so that `git diff` shows one."""
    return json.dumps(catalog, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
