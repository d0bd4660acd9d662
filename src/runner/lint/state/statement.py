"""The statements of a plan, each with the tables as they are before it and the locks that its transaction holds."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import code, parse_tree
from runner.lint.state import added, assumed, below, course, domains, locks, temporary
from runner.lint.state.database import Database
from runner.lint.state.domains import Domain
from runner.lint.state.tables import Constraint, Table, Tables
from runner.postgres.sql import Name
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
            yield from (one for one in added.added_constraints(self.node, table) if one.kind in kinds)

    def columns(self) -> Iterator[nodes.ColumnDef]:
        """Yield the columns that an ALTER TABLE adds to a table of the database."""
        table = self.table
        if table is not None and table.origin is not None:
            yield from added.added_columns(self.node, table)


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
