"""A lock lasts until the commit: what runs after it in its transaction makes everyone wait who needs the table.

An ALTER TABLE takes a moment, and so does adding a constraint NOT VALID. An UPDATE, a VALIDATE CONSTRAINT or a query
after it takes time for each row, during which nobody reads or writes the table. In a later revision it runs without
that lock. https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

from collections.abc import Iterator, Mapping

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import bounds
from runner.lint.parsing import parse_tree
from runner.lint.remedies import instead
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import below, locks
from runner.lint.state.statement import Held, Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.sql import Name

EXCERPT = 60
"""Characters of the statement that took the lock."""
REMEDY = "Move it into a later revision, so that the lock is released before."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that works on rows while its transaction holds another lock that blocks the application."""
    for statement in revision.statements:
        table, held = _worked_on(statement, revision), _held(statement)
        if table is None or not held:
            continue
        name, lock = min(held.items(), key=lambda one: list(locks.BLOCKS).index(one[1].mode))
        since = "its own other action" if lock.text == statement.text else f"`{_excerpt(lock.text)}`"
        message = (
            f"It {_verb(statement)} {revision.database.count(table)} of `{shown(table.name)}` while `{shown(name)}` is "
            f"locked by {since}: {locks.BLOCKS[lock.mode]} of `{shown(name)}` are blocked until the commit."
        )
        level = revision.database.by_rows(table)
        yield Violation(level, message, REMEDY, statement, table, _instead(statement, table, revision))


def _worked_on(statement: Statement, revision: Revision) -> Table | None:
    """Return the largest table of the database of which a statement reads or writes more rows than its text names."""
    node, before = statement.node, statement.before
    if node is None or bounds.are_few(node, before):
        return None
    names = (*locks.worked_on(node), *locks.scanned(node, before))
    if isinstance(node, nodes.IndexStmt):
        # an index is of the rows of one table, and has none where it is of a partitioned table alone
        is_only = node.relation is not None and not node.relation.inh
        found = [one for one in map(before.find, names) if one is not None and not (is_only and one.is_partitioned)]
    else:
        found = [*below.read(names, node, before)]
    tables = [table for table in found if table.origin is not None]
    rows = {table.name: revision.database.rows(table) for table in tables}
    return max(tables, key=lambda one: float("inf") if (many := rows[one.name]) is None else many, default=None)


def _held(statement: Statement) -> Mapping[Name, Held]:
    """Return the locks that a statement does not take itself: about its own there is a finding already."""
    taken: dict[Name, locks.Mode] = {}
    for name, mode in locks.taken(statement.node, statement.before).items():
        table = statement.before.find(name)
        if table is not None and table.origin is not None:
            taken[table.origin] = mode
    held = {
        name: one
        for name, one in statement.held.items()
        if name not in taken or locks.is_stronger(one.mode, taken[name])
    }
    if _validates_beside(statement):
        held.update((name, Held(mode, statement.text)) for name, mode in taken.items() if name not in held)
    return held


def _validates_beside(statement: Statement) -> bool:
    """Return whether an ALTER TABLE validates a constraint under the lock of another of its actions."""
    return any(parse_tree.commands(statement.node, pb.AT_ValidateConstraint))


def _verb(statement: Statement) -> str:
    return "writes" if any(bounds.writes(statement.node)) else "reads"


def _excerpt(text: str) -> str:
    words = " ".join(text.split()).rstrip(";")
    return words if len(words) <= EXCERPT else f"{words[:EXCERPT]}…"


def _instead(statement: Statement, table: Table, revision: Revision) -> tuple[str, ...]:
    """Return two revisions where the second one is harmless by itself: it reads rows without a lock that blocks."""
    earlier = [one for one in revision.statements if one.place < statement.place and not one.in_block]
    is_whole = len({one.place for one in revision.statements}) == statement.place + 1 and not statement.in_block
    if revision.rendered.unrendered or not is_whole:
        return ()
    later = _later(statement, table)
    return ("\n".join(instead.executed(one.text) for one in earlier), later) if later and earlier else ()


def _later(statement: Statement, table: Table) -> str:
    match statement.node:
        case nodes.AlterTableStmt(cmds=[nodes.AlterTableCmd(subtype=pb.AT_ValidateConstraint, name=name)]):
            schema, owner = table.name
            return call("validate_constraint", name, owner, schema=schema)
        case nodes.SelectStmt() as query if not any(bounds.writes(query)):
            return instead.executed(statement.text)
    return ""


RULE = Rule(
    id="work-under-lock",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.add_column("items", sa.Column("stars", sa.BigInteger()))\n'
        'op.execute("update items set stars = 1 where stars is null")',
        'op.create_check_constraint("items_code_check", "items", "code > 0", postgresql_not_valid=True)\n'
        'op.execute("alter table items validate constraint items_code_check")',
        'add_foreign_key_not_valid("items_account_fk", "items", "accounts", ["account_id"], ["id"])\n'
        'validate_constraint("items_account_fk", "items")',
        'op.execute("ALTER TABLE items ADD CONSTRAINT c CHECK (code > 0) NOT VALID, VALIDATE CONSTRAINT c")',
        'op.alter_column("accounts", "name", server_default="x")\nop.execute("select count(*) from archive.items")',
        'op.add_column("accounts", sa.Column("items", sa.BigInteger()))\n'
        'op.execute("insert into visits (visit_id, at) select -id, at from items")',
        'op.execute("lock table visits in exclusive mode")\n'
        'op.execute("with gone as (delete from items where price > 3 returning id) select count(*) from gone")',
        'op.add_column("accounts", sa.Column("items", sa.BigInteger()))\n'
        'op.execute("merge into accounts a using items i on a.id = i.account_id when matched then delete")',
        'op.execute("do $$ begin alter table items add stars bigint; update items set stars = 1; end $$")',
        'op.create_table("orders", sa.Column("id", sa.BigInteger()), sa.Column("item", sa.BigInteger(), '
        'sa.ForeignKey("items.id")))\n'
        'op.execute("insert into orders select id, id from items")',
        'op.execute("create trigger visits_touch before update on visits for each row execute function touch()")\n'
        'op.execute("select count(*) from visits")',
        'op.execute("alter table items add stars bigint")\nop.execute("refresh materialized view account_totals")',
        'op.execute("alter table visits add stars bigint")\nop.execute("create index visits_at on visits (at)")',
    ),
    safe=(
        'op.add_column("items", sa.Column("stars", sa.BigInteger()))\n---\nop.execute("select count(*) from items")',
        'op.execute("select count(*) from items")\nop.add_column("items", sa.Column("stars", sa.BigInteger()))',
        'add_check_not_valid("items_code_check", "items", "code > 0")\n'
        'add_foreign_key_not_valid("items_account_fk", "items", "accounts", ["account_id"], ["id"])\n---\n'
        'validate_constraint("items_code_check", "items")\nvalidate_constraint("items_account_fk", "items")',
        "with op.get_context().autocommit_block():\n"
        '    op.execute("alter table items add if not exists stars bigint")\n'
        '    op.execute("alter table items validate constraint items_number_check")',
        'op.add_column("items", sa.Column("stars", sa.BigInteger()))\n'
        'op.execute("update items set stars = 1 where id = 1")\n'
        'op.execute("insert into visits (visit_id, at) values (-1, now())")',
        'op.create_table("fresh", sa.Column("id", sa.BigInteger(), primary_key=True))\n'
        'op.execute("insert into fresh select id from items")\n'
        'op.create_index("fresh_id", "fresh", ["id"])',
        "with op.get_context().autocommit_block():\n"
        '    op.execute("do $$ begin alter table items add stars bigint; commit; perform count(*) from items; end $$")',
    ),
)
