"""REINDEX blocks the writes of its table, and the reads too: to plan a query, all indexes of a table are locked.

With CONCURRENTLY a new index is built beside the old one while the application reads and writes; it runs outside of a
transaction. https://www.postgresql.org/docs/current/sql-reindex.html
"""

from collections.abc import Iterator, Set

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.parsing import parse_tree
from runner.lint.remedies import building
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name

MANY = {
    pb.REINDEX_OBJECT_DATABASE: "the database", pb.REINDEX_OBJECT_SCHEMA: "the schema",
    pb.REINDEX_OBJECT_SYSTEM: "PostgreSQL's catalog",
}  # fmt: skip
REMEDY = "Rebuild concurrently, in an autocommit block of a revision of its own."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each REINDEX of tables of the database that blocks them."""
    for statement in revision.statements:
        match statement.node:
            case nodes.ReindexStmt(params=params) as node if not parse_tree.is_on(params, "concurrently"):
                yield from (
                    _of_many(node, statement, revision) if node.kind in MANY else _of_one(node, statement, revision)
                )


def _of_many(node: nodes.ReindexStmt, statement: Statement, revision: Revision) -> Iterator[Violation]:
    database = revision.database
    is_empty = database.is_complete and not _has_tables(node.name, database.tables.relations)
    if node.kind == pb.REINDEX_OBJECT_SCHEMA and is_empty:
        return
    message = f"REINDEX blocks reads and writes of each table of {MANY[node.kind]} while its indexes are built."
    if node.kind == pb.REINDEX_OBJECT_SYSTEM:
        yield Violation("error", message, "Leave it out of the migrations.", statement)
    else:
        yield Violation("error", message, REMEDY, statement, None, (building.reindexed(node),))


def _of_one(node: nodes.ReindexStmt, statement: Statement, revision: Revision) -> Iterator[Violation]:
    table, database = _table(node, statement), revision.database
    if table is not None and table.origin is not None:
        message = (
            f"REINDEX blocks writes to `{shown(table.name)}`, and reads that plan over its indexes, while "
            f"{database.count(table)} are read."
        )
        yield Violation(database.by_rows(table), message, REMEDY, statement, table, (building.reindexed(node),))
    elif node.kind == pb.REINDEX_OBJECT_INDEX and _is_unknown(node, revision, statement):
        message = (
            "REINDEX blocks writes to the index's table, and reads that plan over it, while all its rows are read."
        )
        yield Violation("error", message, REMEDY, statement, None, (building.reindexed(node),))


def _is_unknown(node: nodes.ReindexStmt, revision: Revision, statement: Statement) -> bool:
    return node.relation is not None and removal.may_have_index(parse_tree.name(node.relation), revision, statement)


def _has_tables(schema: str, existing: Set[Name]) -> bool:
    return any(name[0] == schema for name in existing)


def _table(node: nodes.ReindexStmt, statement: Statement) -> Table | None:
    if node.relation is None:
        return None
    name = parse_tree.name(node.relation)
    is_index = node.kind == pb.REINDEX_OBJECT_INDEX
    return statement.before.with_index(name) if is_index else statement.before.find(name)


RULE = Rule(
    id="require-concurrent-reindex",
    levels="For a table or an index an error from 10,000 rows on, else a warning; for more tables an error.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("reindex table items")',
        'op.execute("REINDEX INDEX \\"items_name\\"")',
        'op.execute("reindex (verbose) table archive.items")',
        'with op.get_context().autocommit_block():\n    op.execute("reindex schema archive")',
        'with op.get_context().autocommit_block():\n    op.execute("reindex table events")',
        'with op.get_context().autocommit_block():\n    op.execute("reindex system")',
    ),
    safe=(
        'with op.get_context().autocommit_block():\n    op.execute("reindex table concurrently items")',
        'with op.get_context().autocommit_block():\n    op.execute("reindex (concurrently) index items_name")',
        'op.execute("create table fresh (n int primary key)")\nop.execute("reindex table fresh")',
    ),
)
