"""A write of many rows in one transaction locks each of them until the commit: the application's writes of them wait.

It also leaves a dead row for each, which only a later VACUUM removes, and a failure undoes all of it. Batches that
commit each, outside of the migration, lock few rows for a moment, and go on where they stopped.
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS
"""

from collections.abc import Iterator

from postgast import nodes
from postgast.nodes import AstNode

from runner.lint.effects import bounds
from runner.lint.effects.bounds import Write
from runner.lint.parsing import parse_tree
from runner.lint.report import LEVELS
from runner.lint.rule import Rule, Violation
from runner.lint.state.database import Database
from runner.lint.state.statement import Revision, Statement, block, shown
from runner.lint.state.tables import Table
from runner.results import Level

REMEDY = "Write the rows in batches that commit each, outside of the migration."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield the write of each statement that may write many rows of a table of the database."""
    repeated = _repeated(revision)
    for statement in revision.statements:
        is_repeated = statement.in_block and statement.place in repeated
        writes = bounds.writes(statement.node)
        found = [one for write in writes for one in _find(write, statement, revision, is_repeated=is_repeated)]
        yield from sorted(found, key=lambda one: LEVELS.index(one.level))[:1]


def _find(write: Write, statement: Statement, revision: Revision, *, is_repeated: bool) -> Iterator[Violation]:
    database, table = revision.database, bounds.target(write, statement.before)
    if table is None or table.origin is None:
        return
    if bounds.are_few(write, statement.before) and not is_repeated:
        return
    # a table that is small here may be large in another database
    is_small = bounds.are_few(write, statement.before, database.rows) and not is_repeated
    source = max(bounds.sources(write, statement.before), key=database.many, default=None)
    match write:
        case nodes.UpdateStmt(where_clause=condition) | nodes.DeleteStmt(where_clause=condition):
            yield _of_condition(condition, table, statement, database, is_small=is_small)
        case nodes.MergeStmt(join_condition=condition) if source is None:
            yield _of_condition(condition, table, statement, database, is_small=is_small)
        case _ if source is not None:
            message = (
                f"It writes into `{shown(table.name)}` what it reads of {database.count(source)} of "
                f"`{shown(source.name)}`, in one transaction, and locks what it writes until the commit."
            )
            level = _level(database, source, _reads_whole(write, source))
            yield Violation("note" if is_small else level, message, REMEDY, statement, source)


def _of_condition(
    condition: AstNode | None, table: Table, statement: Statement, database: Database, *, is_small: bool
) -> Violation:
    is_all = bounds.is_of_all(condition, table)
    written = f"`{shown(table.name)}` ({database.size(table)})"
    what = f"all rows of {written}" if is_all else f"each row of {written} for which its condition is true"
    message = f"It writes {what}, and locks what it writes until the commit."
    return Violation("note" if is_small else _level(database, table, is_all), message, REMEDY, statement, table)


def _repeated(revision: Revision) -> frozenset[int]:
    """Return the places of the blocks that may repeat their statements in a loop, without a COMMIT in between."""
    committing = {one.place for one in revision.statements if isinstance(one.node, nodes.TransactionStmt)}
    return frozenset(
        one.place
        for one in revision.statements
        if isinstance(one.node, nodes.DoStmt)
        and one.place not in committing
        and (body := block(one.node)) is not None
        and body.loops
    )


def _level(database: Database, table: Table, is_all: bool) -> Level:
    if not database.is_large(table):
        # milliseconds here; on another database the table may be large
        return "note"
    return "error" if is_all else "warning"


def _reads_whole(write: Write, source: Table) -> bool:
    """Return whether an INSERT reads each row of a table."""
    match write:
        case nodes.InsertStmt(
            select_stmt=nodes.SelectStmt(
                from_clause=[nodes.RangeVar() as relation], where_clause=condition, limit_count=None
            )
        ):
            return parse_tree.name(relation) == source.name and bounds.is_of_all(condition, source)
    return False


RULE = Rule(
    id="unbounded-write",
    levels="On a large table an error for all rows and a warning for those of a condition, on a small one a note.",
    find=find,
    bad=(
        "op.execute(\"update items set note = 'x'\")",
        'op.execute("UPDATE ONLY public.items AS i SET note = name WHERE 1 = 1 OR price > 3")',
        'op.execute("update items set quantity = 1 where code is not null")',
        'op.execute("update items set quantity = 1 where quantity is null")',
        'op.execute(sa.table("items", sa.column("note", sa.Text())).update().values(note="x"))',
        'op.execute("delete from archive.items")',
        'op.execute("with x as (select 1 where true) delete from \\"items\\" where price > 3")',
        'op.execute("with gone as (delete from items where price > 3 returning id) select count(*) from gone")',
        'op.execute("delete from items using accounts a where a.id = items.account_id")',
        'op.execute("insert into visits (visit_id, at) select id, at from items")',
        'op.execute("merge into items i using accounts a on a.id = i.account_id when matched then delete")',
        'op.execute("merge into items i using (values (1)) v (n) on true when matched then delete")',
        'op.execute("do $$ begin update items set note = null; end $$")',
        'op.execute("do $$ declare r record; begin for r in select id from items loop "'
        ' "update items set note = null where id = r.id; end loop; end $$")',
        'op.execute("update events set kind = null")',
    ),
    safe=(
        "op.execute(\"update items set note = 'x' where id = 5\")",
        "op.execute(\"update items set note = 'x' where 7 = items.code and price > 1\")",
        "op.execute(\"update items i set note = v.note from (values (1, 'a'), (2, 'b')) v (id, note) "
        'where v.id = i.id")',
        'op.execute("delete from visits where visit_id in (1, 2, 3)")',
        'op.execute("delete from items where id = 1 or id = 2 or (code in (3, 4) and price > 1)")',
        'op.execute("update items set quantity = 1 where (code, id) in ((1, 1), (2, 2))")',
        'op.execute("delete from items where id = (select max(id) from items where price > 1)")',
        'op.bulk_insert(sa.table("accounts", sa.column("email", sa.Text()), sa.column("code", sa.Integer())), '
        '[{"email": "a", "code": -1}, {"email": "b", "code": -2}])',
        'op.execute("insert into visits (visit_id, at) select n, now() from items, (values (-1)) v (n) where id = 1")',
        'op.execute("merge into items i using (values (1)) v (id) on v.id = i.id when matched '
        'then update set note = 1")',
        'op.create_table("fresh", sa.Column("id", sa.BigInteger()))\n'
        'op.execute("insert into fresh select id from items")\n'
        'op.execute("update fresh set id = id + 1")',
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"do $$ begin loop update items set note = 'x' where id in \"\n"
        '               "(select id from items where note is null limit 5000); "\n'
        '               "exit when not found; commit; end loop; end $$")',
    ),
)
