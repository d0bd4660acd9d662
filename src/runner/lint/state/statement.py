"""The statements of a plan, each with the tables as they are before it and the locks that its transaction holds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import takewhile
from math import inf

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import code, parse_tree
from runner.lint.report import LARGE_ROWS
from runner.lint.state import assumed, below, course, domains, locks, temporary
from runner.lint.state.dependent import Reader
from runner.lint.state.domains import Domain
from runner.lint.state.tables import Constraint, Table, Tables, of_catalog
from runner.lint.state.tablespaces import Tablespaces
from runner.postgres import sql, tokens
from runner.postgres.sql import Name
from runner.results import Level, TableSize, estimated
from runner.schema.catalog import Catalog
from runner.script.offline import Rendered


@dataclass(frozen=True)
class Held:
    """A lock that an earlier statement of the transaction took."""

    mode: locks.Mode
    text: str
    """The statement."""


@dataclass(frozen=True)
class Statement:
    """A statement at its place in a plan."""

    text: str
    sent: str
    """The text that the revision sends: of a statement in a DO block, the whole block."""
    node: AstNode | None
    """Its parse tree, None where the parser does not accept it."""
    place: int
    """Which of its revision's statements it is, from 0; those in a DO block have the place of the block."""
    before: Tables
    after: Tables
    held: Mapping[Name, Held]
    """The locks that block the application, by the names that the tables have in the database."""
    in_transaction: bool
    """Whether other statements are in its transaction; those in a DO block always are."""
    defined: tuple[AstNode, ...] = ()
    """What earlier statements of the plan say of domains and functions."""
    in_block: bool = False
    """Whether it is a part of a DO block."""

    @property
    def table(self) -> Table | None:
        """Return the table of an ALTER TABLE or CREATE INDEX, None where there is none that is known.

        Its rows are its own; those that inherit from it count in `reached`.
        """
        match self.node:
            case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation, objtype=kind) if kind != pb.OBJECT_TYPE:
                return self.before.find(parse_tree.name(relation))
            case nodes.IndexStmt(relation=nodes.RangeVar() as relation):
                return self.before.find(parse_tree.name(relation))
        return None

    @property
    def reached(self) -> Table | None:
        """Return the table of an ALTER TABLE as one whose columns or checks change, those that inherit included."""
        return self.table if self.is_only else below.with_heirs(self.table, self.before)

    @property
    def is_only(self) -> bool:
        """Return whether an ALTER TABLE is about the table alone, which has no rows of its own if it is partitioned."""
        match self.node:
            case nodes.AlterTableStmt(relation=nodes.RangeVar(inh=inherits)):
                return not inherits
        return False

    def constraints(self, *kinds: str) -> Iterator[Constraint]:
        """Yield the constraints of these kinds that an ALTER TABLE adds to a table of the database."""
        table = self.table
        if table is not None and table.origin is not None:
            yield from (one for one in course.added_constraints(self.node, table) if one.kind in kinds)

    def columns(self) -> Iterator[nodes.ColumnDef]:
        """Yield the columns that an ALTER TABLE adds to a table of the database."""
        table = self.table
        if table is not None and table.origin is not None:
            yield from course.added_columns(self.node, table)


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


@dataclass(frozen=True)
class Revision:
    """A revision of a plan with its statements, as the rules read it."""

    rendered: Rendered
    statements: tuple[Statement, ...]
    database: Database
    earlier: tuple["Revision", ...]
    """The revisions of the plan before this one."""
    end: Tables
    """The tables after the whole plan."""
    texts: tuple[str, ...] = ()
    """Those of its texts that do something, by the places of the statements."""

    @cached_property
    def dropped(self) -> frozenset[str]:
        """Return the names of the columns, constraints and indexes that its statements drop."""
        names: set[str] = set()
        for one in self.statements:
            if isinstance(one.node, nodes.DropStmt) and one.node.remove_type == pb.OBJECT_INDEX:
                names.update(name for _, name in parse_tree.dropped(one.node))
            names.update(action.name for action in parse_tree.commands(one.node, *course.DROPS))
        return frozenset(names)

    def preceding(self, statement: Statement) -> Iterator[Statement]:
        """Yield the statements of this revision before one of them."""
        return takewhile(lambda one: one is not statement, self.statements)

    def domains(self, statement: Statement) -> Mapping[Name, Domain]:
        """Return the domains that there are before a statement."""
        made = domains.made(statement.defined)
        return {**self.database.domains, **made} if made else self.database.domains


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
        complete,
    )


def _routines(actual: Catalog) -> dict[Name, tuple[str, ...]]:
    found: dict[Name, tuple[str, ...]] = {}
    for text in actual.get("functions", ()):
        name = sql.read_name(text)
        found[name] = (*found.get(name, ()), text)
    return found


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


def shown(name: Name) -> str:
    """Return a name as messages show it: without the schema where that is `public`."""
    return name[1] if name[0] == "public" else ".".join(name)


def arrange(rendered: Iterable[Rendered], sent: Iterable[Iterable[str]], database: Database) -> list[Revision]:
    """Return the revisions of a plan with their statements; `sent` are the texts of each.

    What IF NOT EXISTS leaves as it is by then is no statement.
    """
    tables = database.tables
    defined: tuple[AstNode, ...] = ()
    pieces: list[tuple[Rendered, tuple[Statement, ...], tuple[str, ...]]] = []
    for one, texts in zip(rendered, sent, strict=True):
        tables = temporary.discarded(tables)
        groups = tuple(_follow(one, texts, tables, defined))
        statements = tuple(statement for _, found in groups for statement in found)
        if statements:
            tables, defined = statements[-1].after, _define(statements[-1].defined, statements[-1].node)
        pieces.append((one, statements, tuple(text for text, _ in groups)))
    revisions: list[Revision] = []
    for one, statements, kept in pieces:
        revisions.append(Revision(one, statements, database, tuple(revisions), tables, kept))
    return revisions


def _define(defined: tuple[AstNode, ...], node: AstNode | None) -> tuple[AstNode, ...]:
    """Return what is known of domains and functions after a statement."""
    match node:
        case (
            nodes.CreateDomainStmt() | nodes.AlterDomainStmt() | nodes.CreateFunctionStmt() | nodes.AlterFunctionStmt()
        ):
            return (*defined, node)
    return defined


def _follow(
    rendered: Rendered, texts: Iterable[str], tables: Tables, defined: tuple[AstNode, ...]
) -> Iterator[tuple[str, list[Statement]]]:
    """Yield each text of a revision that does something, with its statements, those of a DO block after the block."""
    held: dict[Name, Held] = {}
    place = 0
    for text in texts:
        # outside of a transaction, only the statements of a block are in one
        held = held if rendered.transactional else {}
        found: list[Statement] = []
        pieces = [*_read(text)]
        for piece, parsed, in_block in pieces:
            node = temporary.resolved(parsed, tables) if parsed is not None else None
            if course.is_there_already(node, tables):
                continue
            tables = assumed.presupposed(tables, node)
            in_transaction = rendered.transactional or in_block
            after = course.after(tables, node)
            statement = Statement(
                piece, text, node, place, tables, after, dict(held), in_transaction, defined, in_block
            )
            found.append(statement)
            defined = _define(defined, node)
            if isinstance(node, nodes.TransactionStmt) and node.kind in locks.RELEASING:
                held = {}
            elif in_transaction:
                _hold(held, piece, node, tables)
            tables = after
        if found or not pieces:
            yield text, found
            place += 1


def _hold(held: dict[Name, Held], text: str, node: AstNode | None, tables: Tables) -> None:
    """Add the locks that a statement takes on tables of the database to those that its transaction holds."""
    for name, mode in locks.taken(node, tables).items():
        table = tables.find(name)
        if table is None or table.origin is None:
            continue
        before = held.get(table.origin)
        if before is None or locks.is_stronger(mode, before.mode):
            held[table.origin] = Held(mode, text)


def _read(text: str) -> Iterator[tuple[str, AstNode | None, bool]]:
    """Yield the statements of a text, each with its tree; those in a DO block follow the block."""
    try:
        found = parse_tree.parse(text)
    except (postgast.PgQueryError, ValueError):
        yield text, None, False
        return
    for node in found:
        yield text, node, False
        if isinstance(node, nodes.DoStmt) and (body := block(node)) is not None:
            for inner in body.statements:
                yield from ((piece, tree, True) for piece, tree, _ in _read(inner))


def block(node: nodes.DoStmt) -> code.Body | None:
    """Return the statements of a DO block, None where its code is not PL/pgSQL or cannot be read."""
    found = code.body(node)
    if found is None or found[0] != "plpgsql":
        return None
    try:
        return code.read(found[1])
    except (postgast.PgQueryError, ValueError):
        return None
