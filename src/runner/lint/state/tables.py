"""The tables as they are before each statement of a plan: those of the database, with what the plan has done to them.

A table that the database does not have is nobody's yet, so only its name is followed. The others keep the name that
they have in the database as `origin`, whatever the plan renames them to: sizes and dependents are looked up by it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Literal

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import clauses, parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.postgres import sql
from runner.postgres.sql import Name
from runner.schema.catalog import Catalog

GENERATED = re.compile(r"\) (stored|virtual)(?: collate .+)?$")
"""The end of a generated column's text."""
TEMPORARY = "pg_temp"
"""The schema of temporary relations, by the name that each session has for its own."""

ConstraintKind = Literal["check", "exclude", "foreign key", "not null", "primary key", "unique"]
TableKind = Literal["table", "view", "materialized view"]
KINDS: dict[int, ConstraintKind] = {
    pb.CONSTR_CHECK: "check", pb.CONSTR_EXCLUSION: "exclude", pb.CONSTR_FOREIGN: "foreign key",
    pb.CONSTR_NOTNULL: "not null", pb.CONSTR_PRIMARY: "primary key", pb.CONSTR_UNIQUE: "unique",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: Type
    not_null: bool = False
    has_default: bool = False
    """Whether it has a default, an identity or a generation expression."""
    generated: str = ""
    """`stored` or `virtual`, empty for a column that is not generated."""
    is_made: bool = False
    """Whether the plan added it."""
    collation: str = ""
    """Empty for that of its type."""


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table, or one that a statement adds."""

    name: str
    kind: ConstraintKind
    columns: tuple[str, ...]
    node: nodes.Constraint
    valid: bool = True
    is_made: bool = False
    """Whether the plan added it."""
    column: str | None = None
    """The column in whose definition it stands, None for one of the table."""

    @property
    def referred(self) -> Name | None:
        """Return the table that a foreign key references."""
        return parse_tree.name(self.node.pktable) if self.node.pktable is not None else None

    @property
    def referred_columns(self) -> tuple[str, ...]:
        """Return the columns that a foreign key names of the table that it references; none for its primary key."""
        return tuple(parse_tree.words(self.node.pk_attrs))


@dataclass(frozen=True)
class Index:
    """An index of a table, or the one of a key."""

    name: str
    columns: tuple[str, ...]
    """The columns in their order, with an empty text for an expression."""
    unique: bool
    partial: bool
    is_made: bool = False
    node: nodes.IndexStmt | None = None
    """Its definition, None for the index of a key."""
    valid: bool = True


@dataclass(frozen=True)
class Table:
    """A table, a view or a materialized view."""

    name: Name
    origin: Name | None
    """Its name in the database, None for one that the plan makes."""
    kind: TableKind = "table"
    columns: Mapping[str, Column] = field(default_factory=dict)
    constraints: Mapping[str, Constraint] = field(default_factory=dict)
    indexes: Mapping[str, Index] = field(default_factory=dict)
    is_partitioned: bool = False
    partition_key: str = ""
    """The strategy and the columns of a partitioned table of the database, such as `RANGE (at)`."""
    bound: str = ""
    """The bound of a partition of the database, such as `DEFAULT`."""
    parents: tuple[Name, ...] = ()
    """The partitioned table that it is a partition of, or the tables that it inherits from."""
    is_unlogged: bool = False
    access_method: str = "heap"
    tablespace: str = ""
    """That to which the plan has moved it, empty where it is in the one that it has in the database."""
    row_security: bool = False
    policies: Mapping[str, bool] = field(default_factory=dict)
    """Whether each policy is permissive: only those let rows through, of which restrictive ones take some away."""
    reads: tuple[Name, ...] = ()
    """The relations that a view names, as they are called in the database."""
    heirs: tuple[Name, ...] = ()
    """The origins of the tables that inherit from it, where a statement reaches their rows too; those below a view."""
    grants: Mapping[str, str] = field(default_factory=dict)
    """The privileges of each role but the owner, as in the catalog: `{"app": "INSERT, SELECT"}`."""
    is_known: bool = True
    """Whether its columns and so on are known; else it has further ones than those that the plan names."""

    @property
    def proven(self) -> frozenset[str]:
        """Return the columns that are NOT NULL, or of which a valid CHECK says it."""
        checks = (one.node.raw_expr for one in self.constraints.values() if one.kind == "check" and one.valid)
        declared = frozenset(name for name, column in self.columns.items() if column.not_null)
        return declared.union(*map(clauses.not_null_columns, checks))

    def has_index(self, name: str) -> bool:
        """Return whether it has an index of that name, also that of an EXCLUDE constraint."""
        constraint = self.constraints.get(name)
        return name in self.indexes or (constraint is not None and constraint.kind == "exclude")

    @property
    def lets_rows_through(self) -> bool:
        """Return whether a role other than the owner may see or write rows under row security."""
        return any(self.policies.values())

    def key(self) -> tuple[str, ...]:
        """Return the columns of the primary key, none where there is none."""
        return next((one.columns for one in self.constraints.values() if one.kind == "primary key"), ())


@dataclass(frozen=True)
class Tables:
    """The tables at one moment of a plan."""

    load: Callable[[Name], Table | None]
    """Returns a table of the database."""
    owners: Mapping[Name, Name]
    """The table of each index of the database, by both names."""
    children: Mapping[Name, tuple[Name, ...]]
    """The partitions of each partitioned table of the database, and the tables that inherit from one; by its name."""
    relations: Set[Name] = frozenset()
    """The names of the database's tables and views."""
    changed: Mapping[Name, Table | None] = field(default_factory=dict)
    """What the plan has made or altered so far, None for a name that no longer has a table."""

    def find(self, name: Name) -> Table | None:
        """Return the table of that name, None where there is none, or where nothing is known of it."""
        return self.changed[name] if name in self.changed else self.load(name)

    def of_origin(self, origin: Name) -> Table | None:
        """Return the table that has this name in the database, under whatever name now; None where it is dropped."""
        here = next((one for one in self.changed.values() if one is not None and one.origin == origin), None)
        return here or (None if origin in self.changed else self.load(origin))

    def referred(self, one: Constraint) -> Table | None:
        """Return the table that a foreign key references, by its name in the database where it is not the plan's."""
        if one.referred is None:
            return None
        return self.find(one.referred) if one.is_made else self.of_origin(one.referred)

    def is_new(self, name: Name) -> bool:
        """Return whether the database has no such table, so that nobody uses it and it has no rows of anybody."""
        found = self.find(name)
        return found is None or found.origin is None

    def with_index(self, index: Name) -> Table | None:
        """Return the table that has an index of that name."""
        for table in self.changed.values():
            if table is not None and table.name[0] == index[0] and index[1] in table.indexes:
                return table
        owner = self.owners.get(index)
        # a renamed table's own name is kept in `changed`
        here = next((one for one in self.changed.values() if one is not None and one.origin == owner), None)
        here = here or (self.find(owner) if owner is not None else None)
        # the plan may have dropped or renamed it
        return here if here is not None and (index[1] in here.indexes or index[1] in here.constraints) else None

    def has(self, name: Name) -> bool:
        """Return whether a table, a view or an index has a name, which IF NOT EXISTS leaves as it is."""
        table = self.with_index(name)
        if table is not None and table.has_index(name[1]):
            return True
        return self.changed[name] is not None if name in self.changed else name in self.relations

    def partitions(self, name: Name) -> tuple[Name, ...]:
        """Return the names of a table's partitions, or of those that inherit from it, those of the database first."""
        table = self.find(name)
        origin = table.origin if table is not None else None
        there = self.children.get(origin, ()) if origin is not None else ()
        made = [one.name for one in self.changed.values() if one is not None and name in one.parents]
        gone = {key for key, one in self.changed.items() if one is None or name not in one.parents}
        return (*(one for one in there if one not in gone), *(one for one in made if one not in there))

    def default_partition(self, name: Name) -> Table | None:
        """Return the DEFAULT partition of a table, None where it has none."""
        found = map(self.find, self.partitions(name))
        return next((one for one in found if one is not None and one.bound == "DEFAULT"), None)

    def having(self, *tables: Table) -> "Tables":
        """Return the tables with these in place of those of the same names."""
        return replace(self, changed={**self.changed, **{table.name: table for table in tables}})

    def without(self, *names: Name) -> "Tables":
        """Return the tables without these."""
        return replace(self, changed={**self.changed, **dict.fromkeys(names)})


def of_catalog(actual: Catalog, *, complete: bool = True) -> Tables:
    """Return the tables of a database, each read from its catalog when it is asked for.

    Of an incomplete catalog, a table that it lacks counts as one of the database; no table's columns are known.
    """
    listed = {sql.read_name(name): (kind, name) for kind in ("views", "tables") for name in actual.get(kind, {})}
    loaded: dict[Name, Table | None] = {}

    def load(name: Name) -> Table | None:
        if name not in loaded:
            kind, found = listed.get(name, ("", ""))
            lacking = None if complete or name[0] == TEMPORARY else Table(name, name, is_known=False)
            there = _read(name, kind, actual[kind][found]) if kind else lacking
            loaded[name] = replace(there, is_known=complete) if there is not None else None
        return loaded[name]

    children: dict[Name, list[Name]] = {}
    for name, (kind, found) in listed.items():
        for parent in _parents(actual[kind][found]):
            children.setdefault(parent, []).append(name)
    owners = {
        (name[0], sql.read_name(index)[1]): name
        for name, (kind, found) in listed.items()
        for section in ("indexes", "constraints")
        for index in actual[kind][found].get(section, ())
    }
    below = {parent: tuple(sorted(names)) for parent, names in children.items()}
    return Tables(load, owners, below, frozenset(listed))


def _parents(sections: Mapping[str, Mapping[str, str]]) -> list[Name]:
    listed = sections.get("shape", {}).get("inherits", "")
    return [sql.read_name(one) for one in listed.split(", ")] if listed else []


def _read(name: Name, kind: str, sections: Mapping[str, Mapping[str, str]]) -> Table:
    """Return a table from the texts of a catalog."""
    grants = sections.get("grants", {})
    if kind == "views":
        query = sections.get("definition", {}).get("", "")
        if not query.startswith("materialized"):
            return Table(name, name, "view", reads=parse_tree.queried(query), grants=grants)
        return Table(name, name, "materialized view", indexes=dict(_read_indexes(sections)), grants=grants)
    defaults, not_null = sections.get("defaults", {}), sections.get("not_null", {})
    shape = sections.get("shape", {})
    columns = {}
    for quoted, text in sections.get("columns", {}).items():
        column = _plain(quoted)
        is_made_up = " generated " in text
        collation = text.partition(" collate ")[2].partition(" generated ")[0]
        columns[column] = Column(
            column,
            parse_tree.type_of(text),
            # `not null not valid` says nothing of the rows that are there
            not_null.get(quoted) == "not null",
            has_default=quoted in defaults or is_made_up,
            generated=found[1] if (found := GENERATED.search(text)) else "",
            collation=_plain(collation) if collation else "",
        )
    constraints = {one.name: one for one in _read_constraints(sections)}
    keys = {
        one.name: Index(one.name, one.columns, unique=True, partial=False)
        for one in constraints.values()
        if one.kind in ("primary key", "unique")
    }
    return Table(
        name,
        name,
        columns=columns,
        constraints=constraints,
        indexes={**dict(_read_indexes(sections)), **keys},
        is_partitioned="partition_key" in shape,
        partition_key=shape.get("partition_key", ""),
        bound=shape.get("partition_bound", ""),
        is_unlogged=shape.get("persistence") == "unlogged",
        access_method=shape.get("access_method", "heap"),
        parents=tuple(_parents(sections)),
        row_security=sections.get("settings", {}).get("row_security", "").startswith("on"),
        policies={_plain(key): text.startswith("AS PERMISSIVE") for key, text in sections.get("policies", {}).items()},
        grants=grants,
    )


def _plain(quoted: str) -> str:
    return sql.read_name(quoted)[1]


def _read_constraints(sections: Mapping[str, Mapping[str, str]]) -> Iterator[Constraint]:
    for quoted, text in sections.get("constraints", {}).items():
        node = parse_tree.definition(text.partition(" -- ")[0])
        if node is not None and node.contype in KINDS:
            columns = clauses.constrained(node)
            yield Constraint(_plain(quoted), KINDS[node.contype], columns, node, valid=not node.skip_validation)


def _read_indexes(sections: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, Index]]:
    for quoted, text in sections.get("indexes", {}).items():
        node = parse_tree.index_definition(text.partition(" -- ")[0])
        if node is not None:
            index = read_index(_plain(quoted), node)
            yield index.name, replace(index, valid=not text.endswith(" -- invalid"))


def read_index(name: str, node: nodes.IndexStmt, *, is_made: bool = False) -> Index:
    """Return the index that a CREATE INDEX describes."""
    columns = tuple(one.name for one in node.index_params if isinstance(one, nodes.IndexElem))
    return Index(name, columns, unique=node.unique, partial=node.where_clause is not None, is_made=is_made, node=node)
