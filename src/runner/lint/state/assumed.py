"""What a statement presupposes of a table of which nothing is known: the columns that it names are there, and so on.

Without a snapshot a plan knows no table of the database. What it did not make itself counts as existing.
"""

from dataclasses import replace
from functools import reduce

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.parsing.parse_tree import Type
from runner.lint.state.tables import Column, Table, TableKind, Tables
from runner.postgres.sql import Name

VIEWS: dict[int, TableKind] = {pb.OBJECT_VIEW: "view", pb.OBJECT_MATVIEW: "materialized view"}
ALTERED = frozenset({pb.OBJECT_TABLE, *VIEWS})
PARTITIONED = frozenset({pb.AT_AttachPartition, pb.AT_DetachPartition})
NAMING = frozenset({
    pb.AT_AlterColumnType, pb.AT_ColumnDefault, pb.AT_DropColumn, pb.AT_DropNotNull, pb.AT_SetExpression,
    pb.AT_SetNotNull,
})  # fmt: skip
"""The actions of ALTER TABLE that need a column."""


def presupposed(tables: Tables, node: AstNode | None) -> Tables:
    """Return the tables before a statement, with what it presupposes of those of which nothing is known."""
    match node:
        case nodes.AlterTableStmt(relation=nodes.RangeVar() as relation, objtype=kind) if kind in ALTERED:
            return _with(tables, parse_tree.name(relation), kind, *parse_tree.commands(node))
        case nodes.RenameStmt(rename_type=pb.OBJECT_COLUMN, relation=nodes.RangeVar() as relation):
            tables = _with(tables, parse_tree.name(relation), node.relation_type)
            return _with_column(tables, parse_tree.name(relation), node.subname)
        case nodes.RenameStmt(rename_type=kind, relation=nodes.RangeVar() as relation) if kind in VIEWS:
            return _with(tables, parse_tree.name(relation), kind)
        case nodes.AlterObjectSchemaStmt(object_type=kind, relation=nodes.RangeVar() as relation) if kind in VIEWS:
            return _with(tables, parse_tree.name(relation), kind)
        case nodes.DropStmt(remove_type=kind) if kind in VIEWS:
            return reduce(lambda found, name: _with(found, name, kind), parse_tree.dropped(node), tables)
        case nodes.DropStmt(remove_type=pb.OBJECT_POLICY, objects=objects):
            policies = [parse_tree.words([one])[-1] for one in objects]
            return reduce(lambda found, name: _with_policies(found, name, policies), parse_tree.dropped(node), tables)
        case nodes.RefreshMatViewStmt(relation=nodes.RangeVar() as relation):
            return _with(tables, parse_tree.name(relation), pb.OBJECT_MATVIEW)
        # only the index of a partitioned table is built without those of the partitions
        case nodes.IndexStmt(relation=nodes.RangeVar(inh=False) as relation):
            return _partitioned(tables, parse_tree.name(relation))
        case nodes.CreateStmt(inh_relations=[nodes.RangeVar() as relation], partbound=nodes.PartitionBoundSpec()):
            return _partitioned(tables, parse_tree.name(relation))
    return tables


def _unknown(tables: Tables, name: Name) -> Table | None:
    table = tables.find(name)
    return table if table is not None and not table.is_known else None


def _with(tables: Tables, name: Name, kind: int, *commands: nodes.AlterTableCmd) -> Tables:
    table = _unknown(tables, name)
    if table is None:
        return tables
    return tables.having(reduce(_of_action, commands, replace(table, kind=VIEWS.get(kind, table.kind))))


def _of_action(table: Table, command: nodes.AlterTableCmd) -> Table:
    """Return a table of the database as an action presupposes it, where it has something to do."""
    kind = command.subtype
    if kind in PARTITIONED:
        return replace(table, is_partitioned=True)
    if kind in (pb.AT_SetLogged, pb.AT_SetUnLogged):
        return replace(table, is_unlogged=kind == pb.AT_SetLogged)
    if kind not in NAMING:
        return table
    column = table.columns.get(command.name, Column(command.name, Type("")))
    if column.is_made:
        return table
    column = replace(
        column,
        not_null=column.not_null or kind == pb.AT_DropNotNull,
        has_default=column.has_default or (kind == pb.AT_ColumnDefault and command.def_ is None),
        generated="stored" if kind == pb.AT_SetExpression else column.generated,
    )
    return replace(table, columns={**table.columns, column.name: column})


def _with_column(tables: Tables, name: Name, column: str) -> Tables:
    table = _unknown(tables, name)
    if table is None or column in table.columns:
        return tables
    return tables.having(replace(table, columns={**table.columns, column: Column(column, Type(""))}))


def _with_policies(tables: Tables, name: Name, policies: list[str]) -> Tables:
    table = _unknown(tables, name)
    if table is None:
        return tables
    there = {**dict.fromkeys(policies, True), **table.policies}
    return tables.having(replace(table, policies=there, row_security=True))


def _partitioned(tables: Tables, name: Name) -> Tables:
    table = _unknown(tables, name)
    return tables if table is None else tables.having(replace(table, is_partitioned=True))
