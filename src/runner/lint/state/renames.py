"""What a RENAME or SET SCHEMA does to the tables of a plan: they are the same, under other names or with such parts."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.state import partitions
from runner.lint.state.tables import Constraint, Index, Table, Tables
from runner.postgres.sql import Name

N = TypeVar("N", nodes.Constraint, nodes.IndexStmt, nodes.PartitionSpec)
RELATIONS = frozenset({pb.OBJECT_INDEX, pb.OBJECT_MATVIEW, pb.OBJECT_TABLE, pb.OBJECT_VIEW})


def renamed(tables: Tables, node: nodes.RenameStmt) -> Tables:
    """Return the tables after a RENAME."""
    old, new = node.subname, node.newname
    match node.rename_type, node.relation:
        case pb.OBJECT_SCHEMA, _:
            return _with_schema(tables, old, new)
        case pb.OBJECT_COLUMN, nodes.RangeVar() as relation:
            return _with_column(tables, parse_tree.name(relation), old, new)
        case pb.OBJECT_TABCONSTRAINT, nodes.RangeVar() as relation:
            table = tables.find(parse_tree.name(relation))
            has_one = table is not None and old in table.constraints
            return tables.having(_with_part(table, old, new)) if table is not None and has_one else tables
        case pb.OBJECT_POLICY, nodes.RangeVar() as relation:
            table = tables.find(parse_tree.name(relation))
            if table is None or old not in table.policies:
                return tables
            policies = {_name(key, old, new): permissive for key, permissive in table.policies.items()}
            return tables.having(replace(table, policies=policies))
        case kind, nodes.RangeVar() as relation if kind in RELATIONS:
            name = parse_tree.name(relation)
            # ALTER TABLE renames an index, too
            table = tables.with_index(name) if tables.find(name) is None else None
            if table is not None:
                return tables.having(_with_part(table, name[1], new))
            return moved(tables, name, (name[0], new))
    return tables


def moved(tables: Tables, old: Name, new: Name) -> Tables:
    """Return the tables with another schema or name of one, in its partitions and the plan's foreign keys too."""
    table = tables.find(old)
    if table is None:
        return tables
    children = [child for child in map(tables.find, tables.partitions(old)) if child is not None]
    tables = tables.having(
        *(replace(one, parents=tuple(new if name == old else name for name in one.parents)) for one in children)
    )
    referring = (one for one in tables.changed.values() if one is not None and _made_keys(one, old))
    tables = tables.having(*(_with_referred(one, old, new) for one in referring))
    # it may reference itself
    table = tables.find(old)
    assert table is not None  # noqa: S101 - as above
    return tables.without(old).having(replace(table, name=new))


def _made_keys(table: Table, referred: Name) -> list[Constraint]:
    return [one for one in table.constraints.values() if one.is_made and one.referred == referred]


def _with_referred(table: Table, old: Name, new: Name) -> Table:
    changed = dict(table.constraints)
    for one in _made_keys(table, old):
        message = pb.Constraint()
        message.CopyFrom(parse_tree.message(one.node))
        message.pktable.schemaname, message.pktable.relname = new
        changed[one.name] = replace(one, node=nodes.Constraint(message))
    return replace(table, constraints=changed)


def _with_schema(tables: Tables, old: str, new: str) -> Tables:
    names = {name for name in (*tables.relations, *tables.changed) if name[0] == old}
    for name in sorted(names):
        tables = moved(tables, name, (new, name[1]))
    return tables


def _with_column(tables: Tables, name: Name, old: str, new: str) -> Tables:
    table = tables.find(name)
    if table is None or old not in table.columns:
        return tables
    columns = {one.name: one for one in table.columns.values() if one.name != old}
    columns[new] = replace(table.columns[old], name=new)
    changed = replace(
        table,
        columns=columns,
        constraints={key: _constraint(one, table.name, old, new) for key, one in table.constraints.items()},
        indexes={key: _index(one, old, new) for key, one in table.indexes.items()},
        partition_key=_key(table.partition_key, old, new),
    )
    tables = tables.having(changed)
    for child in tables.partitions(name):
        tables = _with_column(tables, child, old, new)
    return tables


def _constraint(one: Constraint, table: Name, old: str, new: str) -> Constraint:
    refers_to_itself = one.referred == table and old in one.referred_columns
    if old not in one.columns and not refers_to_itself:
        return one
    node = _rewritten(one.node, old, new)
    message = parse_tree.message(node)
    lists = [message.keys, message.fk_attrs, message.including]
    for part in (part for found in (*lists, *([message.pk_attrs] if refers_to_itself else [])) for part in found):
        part.string.sval = new if part.string.sval == old else part.string.sval
    column = new if one.column == old else one.column
    return replace(one, columns=_names(one.columns, old, new), node=node, column=column)


def _index(one: Index, old: str, new: str) -> Index:
    node = _rewritten(one.node, old, new) if one.node is not None else None
    return replace(one, columns=_names(one.columns, old, new), node=node)


def _key(text: str, old: str, new: str) -> str:
    if not text:
        return text
    (tree,) = parse_tree.parse(f"create table t () partition by {text}")
    spec = next(parse_tree.walk(tree, nodes.PartitionSpec))
    return partitions.key_text(_rewritten(spec, old, new))


def _names(names: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if name == old else name for name in names)


def _rewritten(node: N, old: str, new: str) -> N:
    """Return a copy of a tree with another name of a column."""
    message = type(parse_tree.message(node))()
    message.CopyFrom(parse_tree.message(node))
    changed = type(node)(message)
    for field in _columns(changed):
        if field.name == old:
            field.name = new
    for one in parse_tree.walk(changed, nodes.ColumnRef):
        last = parse_tree.message(one).fields[-1]
        if last.string.sval == old:
            last.string.sval = new
    return changed


def _columns(node: AstNode) -> Iterator[Any]:
    """Yield the messages whose `name` is that of a column."""
    for kind in (nodes.IndexElem, nodes.PartitionElem):
        yield from map(parse_tree.message, parse_tree.walk(node, kind))


def _with_part(table: Table, old: str, new: str) -> Table:
    """Return a table with another name for a constraint or an index; a key and its index have one name."""
    return replace(
        table,
        constraints={_name(key, old, new): _part(one, old, new) for key, one in table.constraints.items()},
        indexes={_name(key, old, new): _part(one, old, new) for key, one in table.indexes.items()},
    )


P = TypeVar("P", Constraint, Index)


def _part(one: P, old: str, new: str) -> P:
    return replace(one, name=_name(one.name, old, new))


def _name(name: str, old: str, new: str) -> str:
    return new if name == old else name
