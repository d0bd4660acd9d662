"""CREATE INDEX blocks the writes of its table until each row is read and the index is built.

With CONCURRENTLY, writes go on meanwhile; it takes longer, and runs outside of a transaction. On a partitioned table
there is no CONCURRENTLY: the indexes of the partitions are built that way one by one, and attached to one of the table.
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building, made_again, new_columns
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each index of a table of the database that is built while writes wait."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        match statement.node:
            case nodes.IndexStmt(concurrent=False, relation=nodes.RangeVar() as relation) as node:
                if table is None or table.origin is None:
                    continue
                # an index of a partitioned table alone has no rows
                if table.is_partitioned and (not relation.inh or not statement.before.partitions(table.name)):
                    continue
                message = (
                    f"Building the index blocks writes to `{shown(table.name)}` while {database.count(table)} are read."
                )
                remedy = "Build it concurrently, in a revision of its own."
                is_there = made_again.replaces_index(building.index_name(node), revision, statement)
                replaced = building.replaced(node, statement.before) if is_there else ()
                instead: tuple[str, ...] = replaced or (building.concurrently(node),)
                if table.is_partitioned:
                    remedy = "Build that of each partition concurrently, in a revision of its own, and attach them."
                    instead = replaced or building.by_partition(node, statement.before)
                # in another transaction than what the same revision adds
                added = new_columns.before(revision, statement, set(_columns(node)))
                instead = ("\n".join(added), *instead) if added and instead else instead
                yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


def _columns(node: nodes.IndexStmt) -> Iterator[str]:
    """Yield the columns that an index is of, those in expressions, its INCLUDE and its WHERE too."""
    elements = (*node.index_params, *node.index_including_params)
    yield from (one.name for one in elements if isinstance(one, nodes.IndexElem))
    yield from (name for one in parse_tree.walk(node, nodes.ColumnRef) for name in parse_tree.words(one.fields)[-1:])


RULE = Rule(
    id="require-concurrent-index-creation",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.drop_index("depots_id", "depots")\nop.create_index("depots_id", "depots", ["city", "id"])',
        'op.add_column("items", sa.Column("owner", sa.Text()))\nop.create_index("owned", "items", ["owner"])',
        'op.add_column("items", sa.Column("owner", sa.Text()))\n'
        'op.create_index("owned", "items", ["code"], postgresql_include=["owner"])',
        'op.create_index("items_price", "items", ["price"])',
        'op.create_index("items_price", "items", ["price"], unique=False, schema="archive")',
        'op.create_index("items_x", "items", ["code", "id"], unique=True, postgresql_where=sa.text("name <> \':x\'"))',
        'op.create_index("items_x", "items", [sa.text("lower(name)"), sa.text("id desc nulls last")])',
        'op.create_index("items_x", "items", ["name"], postgresql_ops={"name": "text_pattern_ops"})',
        'op.create_index("items_x", "items", ["code"], postgresql_include=["price"], if_not_exists=True)',
        'op.create_index("items_x", "items", ["name"], postgresql_using="hash")',
        'op.execute("CREATE INDEX ON \\"public\\".\\"items\\" (price, (code + 1))")',
        'op.execute("create unique index x on items (code, price) nulls not distinct with (fillfactor = 70)")',
        'op.execute("create index x on account_totals (total)")',
        'op.execute("do $$ begin create index x on only items (price); end $$")',
        'op.create_index("events_item", "events", ["item_id"])',
        'op.execute("create index on events (lower(kind) desc)")',
        'op.create_index("events_kind", "events", ["kind"])',
        'op.create_index("events_key", "events", ["id", "at"], unique=True)',
    ),
    safe=(
        'create_index_concurrently("items_price", "items", ["price"])',
        'op.create_table("fresh", sa.Column("id", sa.BigInteger()))\nop.create_index("fresh_id", "fresh", ["id"])',
        'op.create_index("items_name", "items", ["name"], if_not_exists=True)',
        'create_index_on_only("events_item", "events", ["item_id"])\n---\n'
        'create_index_concurrently("events_2025_item", "events_2025", ["item_id"])\n---\n'
        'create_index_concurrently("events_2026_item", "events_2026", ["item_id"])\n---\n'
        'attach_index("events_item", "events_2025_item")\nattach_index("events_item", "events_2026_item")',
    ),
)
