"""On a partitioned table PostgreSQL refuses CONCURRENTLY, USING INDEX and, before version 18, a NOT VALID foreign key.

Each partition accepts them. An index or a foreign key of the table then takes those of its partitions over, without
reading a row. An index of a partitioned table can only be dropped as a whole, which takes a moment.
https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building, foreign_keys, made_safe
from runner.lint.remedies.foreign_keys import FIRST_WITH_PARTS
from runner.lint.rule import Rule, Violation, call
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table

EACH = "Do it for each partition in a revision of its own, then for the table, which takes over what they have."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each statement that a partitioned table refuses."""
    for statement in revision.statements:
        match statement.node:
            case nodes.IndexStmt(concurrent=True) as node:
                yield from _index(node, statement)
            case nodes.DropStmt(remove_type=pb.OBJECT_INDEX, concurrent=True) as node:
                yield from _drop(node, statement)
            case nodes.AlterTableStmt() as node:
                table = statement.table
                if table is not None and table.is_partitioned:
                    yield from _constraints(node, table, statement, revision)


def _index(node: nodes.IndexStmt, statement: Statement) -> Iterator[Violation]:
    table = statement.table
    if table is not None and table.is_partitioned:
        message = f"`CREATE INDEX CONCURRENTLY` fails: `{shown(table.name)}` is partitioned."
        yield Violation("error", message, EACH, statement, table, building.by_partition(node, statement.before))


def _drop(node: nodes.DropStmt, statement: Statement) -> Iterator[Violation]:
    for index in parse_tree.dropped(node):
        table = statement.before.with_index(index)
        if table is not None and table.is_partitioned:
            name = shown(table.name)
            message = f"`DROP INDEX CONCURRENTLY` fails: `{index[1]}` is an index of `{name}`, which is partitioned."
            remedy = f"Drop it without CONCURRENTLY: that blocks reads and writes of `{name}` for a moment."
            yield Violation(
                "error", message, remedy, statement, table, (call("op.drop_index", *index[1:], schema=index[0]),)
            )


def _constraints(
    node: nodes.AlterTableStmt, table: Table, statement: Statement, revision: Revision
) -> Iterator[Violation]:
    name, database = shown(table.name), revision.database
    for one in statement.constraints("foreign key", "primary key", "unique"):
        if one.node.indexname:
            message = f"`USING INDEX` fails: `{name}` is partitioned."
            advice = made_safe.keys_of_parts(one, table, statement.before)
            yield Violation("error", message, EACH, statement, table, advice)
        elif one.kind != "foreign key" or one.column is not None:
            continue
        elif node.relation is not None and not node.relation.inh:
            message = f"`ONLY` fails for a foreign key: `{name}` is partitioned."
            advice = foreign_keys.safely(one, table, revision, statement)
            yield Violation("error", message, EACH, statement, table, advice)
        elif not one.valid and database.major_version < FIRST_WITH_PARTS:
            message = f"A foreign key `NOT VALID` fails before PostgreSQL {FIRST_WITH_PARTS}: `{name}` is partitioned."
            advice = foreign_keys.safely(one, table, revision, statement)
            yield Violation("error", message, EACH, statement, table, advice)


RULE = Rule(
    id="partitioned-needs-parts",
    levels="An error.",
    find=find,
    bad=(
        'create_index_concurrently("events_item", "events", ["item_id"])',
        'op.execute("CREATE INDEX CONCURRENTLY ON events (lower(kind) DESC) WHERE id > 3")',
        'create_index_concurrently("logs_item", "logs", ["item_id"], where="region <> \':x\'")',
        'drop_index_concurrently("depots_id")',
        'add_foreign_key_not_valid("events_item_fk", "events", "items", ["item_id"], ["id"])',
        'add_foreign_key_not_valid("logs_item_fk", "logs", "items", ["item_id"], ["id"], ondelete="CASCADE")',
        'op.execute("alter table only events add foreign key (item_id) references items (id)")',
        'create_index_on_only("events_key", "events", ["id", "at"], unique=True)\n---\n'
        'add_key_using_index("events_pkey", "events", "events_key", primary=True)',
    ),
    safe=(
        'create_index_on_only("events_item", "events", ["item_id"])\n---\n'
        'create_index_concurrently("events_2025_item", "events_2025", ["item_id"])\n---\n'
        'create_index_concurrently("events_2026_item", "events_2026", ["item_id"])\n---\n'
        'attach_index("events_item", "events_2025_item")\nattach_index("events_item", "events_2026_item")',
        'create_index_concurrently("events_2025_item", "events_2025", ["item_id"])\n---\n'
        'create_index_concurrently("events_2026_item", "events_2026", ["item_id"])\n---\n'
        'add_foreign_key_not_valid("fk", "events_2025", "items", ["item_id"], ["id"])\n'
        'add_foreign_key_not_valid("fk", "events_2026", "items", ["item_id"], ["id"])\n---\n'
        'validate_constraint("fk", "events_2025")\nvalidate_constraint("fk", "events_2026")\n---\n'
        'op.create_foreign_key("fk", "events", "items", ["item_id"], ["id"])',
        'add_check_not_valid("id_check", "events", "id > 0")\n---\nvalidate_constraint("id_check", "events")',
    ),
)
