"""Foreign keys: the columns that they reference, the indexes that they need, and how one is added safely."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building, made_again, made_safe
from runner.lint.rule import call
from runner.lint.state.statement import Revision, Statement
from runner.lint.state.tables import Constraint, Index, Table, Tables
from runner.postgres.sql import Name

NO_ACTION = "a"
ACTIONS = {"c": "CASCADE", "d": "SET DEFAULT", "n": "SET NULL", "r": "RESTRICT"}
"""What ON DELETE does, by the letter that the grammar gives it."""
SEARCHED = frozenset({"btree", "hash"})
FIRST_WITH_PARTS = 18
"""The version from which a partitioned table takes a foreign key NOT VALID."""


def referred_columns(one: Constraint, tables: Tables) -> tuple[str, ...]:
    """Return the columns that a foreign key references: those of the primary key where it names none."""
    found = tables.find(one.referred) if one.referred is not None else None
    return one.referred_columns or (found.key() if found is not None else ())


def is_indexed(columns: Sequence[str], table: Table, tables: Tables) -> bool:
    """Return whether the rows with given values in these columns are found by an index, in each partition too."""
    if any(_serves(index, columns) for index in table.indexes.values()):
        return True
    parts = [tables.find(name) for name in tables.partitions(table.name)] if table.is_partitioned else []
    return bool(parts) and all(part is not None and is_indexed(columns, part, tables) for part in parts)


def _serves(index: Index, columns: Sequence[str]) -> bool:
    node = index.node
    if not index.valid or set(index.columns[: len(columns)]) != set(columns):
        return False
    if node is None:
        return True
    if node.access_method not in SEARCHED or (node.access_method == "hash" and len(columns) > 1):
        return False
    return _excludes_only_null(node.where_clause, columns)


def _excludes_only_null(condition: AstNode | None, columns: Sequence[str]) -> bool:
    """Return whether a WHERE excludes only rows in which one of the columns is null, which refer to nothing."""
    match condition:
        case None:
            return True
        case nodes.BoolExpr(boolop=pb.AND_EXPR, args=args):
            return all(_excludes_only_null(one, columns) for one in args)
        case nodes.NullTest(nulltesttype=pb.IS_NOT_NULL, arg=nodes.ColumnRef(fields=fields)):
            return parse_tree.words(fields)[-1] in columns
    return False


def index(one: Constraint, table: Table, tables: Tables) -> tuple[str, ...]:
    """Return the revisions that build the index which a foreign key lacks, none where it has one."""
    return tuple(_indexes(one, table, tables, set()))


def _indexes(one: Constraint, table: Table, tables: Tables, made: set[Name]) -> Iterator[str]:
    if is_indexed(one.columns, table, tables):
        return
    if table.is_partitioned:
        for part in map(tables.find, tables.partitions(table.name)):
            if part is not None:
                yield from _indexes(one, part, tables, made)
        return
    schema, owner = table.name
    name = building.free_name(tables, made, schema, owner, *one.columns, "idx")
    made.add((schema, name))
    yield call("create_index_concurrently", name, owner, list(one.columns), schema=schema)


def end(revision: Revision, statement: Statement) -> Table | None:
    """Return the table of a statement as it is at the end of the plan."""
    table = statement.table
    return revision.end.of_origin(table.origin) if table is not None and table.origin is not None else None


def safely(one: Constraint, table: Table, revision: Revision, statement: Statement) -> tuple[str, ...]:
    """Return the revisions that build the index of a foreign key, add it NOT VALID, and validate it.

    There are none where the same revision makes the table that it references.
    """
    if one.referred is not None and _is_made_beside(one.referred, revision, statement):
        return ()
    last = end(revision, statement)
    indexed = index(one, replace(table, indexes=last.indexes), revision.end) if last is not None else ()
    first, *later = not_valid(one, table, statement.before, revision.database.major_version)
    dropping = made_again.dropping_constraint(one.name, table, revision, statement)
    return *indexed, "\n".join((*dropping, first)), *later


def _is_made_beside(name: Name, revision: Revision, statement: Statement) -> bool:
    """Return whether an earlier statement of the same revision makes a table."""
    if not statement.before.is_new(name):
        return False
    earlier = (one.node for one in revision.preceding(statement))
    return any(isinstance(one, nodes.CreateStmt) and one.relation and parse_tree.name(one.relation) == name
               for one in earlier)  # fmt: skip


def not_valid(one: Constraint, table: Table, tables: Tables, major_version: int) -> tuple[str, ...]:
    """Return the revisions that add a foreign key NOT VALID, and validate it unless it is to stay so."""
    if not table.is_partitioned or major_version >= FIRST_WITH_PARTS:
        validating = (made_safe.validate(one, table.name),) if one.valid else ()
        return _foreign_key(one, table.name, tables), *validating
    names = [part.name for part in building.leaves(tables, table.name)]
    # https://www.postgresql.org/docs/17/sql-altertable.html: no NOT VALID on a partitioned table, and no scan either
    # where each partition has the foreign key already
    whole = made_safe.adding(one)
    constraint = whole.__getattribute__("def").constraint
    constraint.skip_validation, constraint.initially_valid = False, True
    if not names:
        return (made_safe.alter(table.name, whole),)
    return (
        "\n".join(_foreign_key(one, name, tables) for name in names),
        "\n".join(made_safe.validate(one, name) for name in names),
        made_safe.alter(table.name, whole),
    )


def _foreign_key(one: Constraint, table: Name, tables: Tables) -> str:
    node, referred = one.node, one.referred
    columns = referred_columns(one, tables)
    helped = (
        referred is not None
        and referred[0] == "public"
        and columns
        and (node.fk_upd_action or NO_ACTION) == NO_ACTION
        and (node.fk_matchtype or "s") == "s"
        and not (node.deferrable or node.initdeferred or node.fk_del_set_cols or node.fk_with_period)
    )
    if not helped or referred is None:
        return made_safe.alter(table, made_safe.adding(one))
    action = ACTIONS.get(node.fk_del_action)
    options = {"ondelete": action} if action else {}
    schema, name = table
    return call(
        "add_foreign_key_not_valid", one.name, name, referred[1], list(one.columns), list(columns), **options,
        schema=schema,
    )  # fmt: skip
