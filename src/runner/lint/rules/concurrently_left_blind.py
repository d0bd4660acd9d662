"""An autocommit block makes no statement concurrent: VACUUM FULL, CLUSTER and REFRESH block there as long as they run.

The runner's short `lock_timeout` bounds how long such a statement waits for its lock, and others queue behind it. It
does not bound how long the lock is held: that is until the statement ends, at most until the deadline of the run.
LOCK TABLE fails there, since its lock would end at once.
https://www.postgresql.org/docs/current/sql-vacuum.html
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.parsing import parse_tree
from runner.lint.remedies import refreshing
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown

REPACK = "Leave it to autovacuum, or use a tool that copies the table beside the application, such as pg_repack."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that blocks a table of the database as long as it runs, outside of a transaction."""
    for statement in revision.statements:
        if statement.in_transaction:
            continue
        match statement.node:
            case nodes.VacuumStmt(options=options, rels=relations) if parse_tree.is_on(options, "full"):
                names = [one.relation for one in relations if isinstance(one, nodes.VacuumRelation)]
                yield from _rewritten("VACUUM FULL", names, statement, revision)
            case nodes.ClusterStmt(relation=relation):
                yield from _rewritten("CLUSTER", [relation] if relation is not None else [], statement, revision)
            case nodes.RefreshMatViewStmt() as node:
                found = refreshing.violation(node, statement, revision.database)
                if found is not None:
                    yield found
            case nodes.LockStmt():
                message = "It fails: `LOCK TABLE` is for a transaction, and in an autocommit block there is none."
                yield Violation("error", message, "Leave it out.", statement)


def _rewritten(
    what: str, relations: list[nodes.RangeVar | None], statement: Statement, revision: Revision
) -> Iterator[Violation]:
    database = revision.database
    if not relations:
        message = f"`{what}` without a name rewrites table after table, and blocks reads and writes of each meanwhile."
        yield Violation("error", message, REPACK, statement)
    for relation in relations:
        table = statement.before.find(parse_tree.name(relation)) if relation is not None else None
        if table is not None and table.origin is not None:
            message = (
                f"`{what}` blocks reads and writes of `{shown(table.name)}` while {database.count(table)} are written "
                "again."
            )
            yield Violation(database.by_rows(table), message, REPACK, statement, table)


def _block(statement: str) -> str:
    return f'with op.get_context().autocommit_block():\n    op.execute("{statement}")'


RULE = Rule(
    id="concurrently-left-blind",
    levels="An error from 10,000 rows on, else a warning; an error for a statement that fails, or that names no table.",
    find=find,
    is_of_rows=True,
    bad=(
        _block("vacuum full items"),
        _block("VACUUM (FULL, ANALYZE) archive.items, accounts"),
        _block("vacuum full"),
        _block("cluster items using items_code"),
        _block("refresh materialized view account_totals"),
        _block("refresh materialized view item_prices"),
        _block("lock table items"),
    ),
    safe=(
        _block("vacuum items"),
        _block("vacuum (full false, analyze) items"),
        _block("refresh materialized view concurrently account_totals"),
        _block("create table if not exists fresh (n int); vacuum full fresh").replace("; ", '")\n    op.execute("'),
    ),
)
