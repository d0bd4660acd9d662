"""LOCK TABLE blocks the application until the commit, from before the statements that need the lock.

Each statement takes the lock that it needs by itself, when it runs. `EXCLUSIVE` and the two `SHARE` modes that are
found here block writes, `ACCESS EXCLUSIVE`, which is the default, also reads.
https://www.postgresql.org/docs/current/sql-lock.html
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state import locks
from runner.lint.state.statement import Revision, shown
from runner.results import Level

REMEDY = "Leave it out: each statement takes the lock that it needs."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each lock of a table of the database that blocks the application."""
    for statement in revision.statements:
        match statement.node:
            case nodes.LockStmt(relations=relations, mode=number) if number in locks.NUMBERED:
                mode = locks.NUMBERED[number]
                for one in relations:
                    table = statement.before.find(parse_tree.name(one)) if isinstance(one, nodes.RangeVar) else None
                    # outside of a transaction it fails, which another rule says
                    if table is not None and table.origin is not None and statement.in_transaction:
                        blocked = locks.BLOCKS[mode]
                        message = f"`{mode}` blocks {blocked} of `{shown(table.name)}` until the commit."
                        level: Level = "error" if "reads" in blocked else "warning"
                        yield Violation(level, message, REMEDY, statement, table)


RULE = Rule(
    id="lock-table",
    levels="An error if it blocks reads, a warning if it blocks writes only.",
    find=find,
    bad=(
        'op.execute("lock items")',
        'op.execute("LOCK TABLE ONLY \\"items\\" IN ACCESS EXCLUSIVE MODE NOWAIT")',
        'op.execute("lock table accounts, archive.items in share row exclusive mode")',
        'op.execute("lock table events in share mode")',
        'op.execute("do $$ begin lock table items in exclusive mode; end $$")',
    ),
    safe=(
        'op.execute("lock table items in access share mode")',
        'op.execute("lock table items in share update exclusive mode")',
        'op.execute("create table fresh (n int)")\nop.execute("lock table fresh")',
    ),
)
