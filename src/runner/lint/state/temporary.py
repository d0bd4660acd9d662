"""Temporary relations: while a revision runs, an unqualified name is found among them before the database's.

https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SEARCH-PATH
"""

from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Any

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.state.tables import TEMPORARY, Tables

PERSISTENCE = "t"
"""The persistence of a temporary relation, as in `pg_class`."""
DROPPED = {
    pb.OBJECT_TABLE: 1, pb.OBJECT_VIEW: 1, pb.OBJECT_SEQUENCE: 1, pb.OBJECT_INDEX: 1, pb.OBJECT_TRIGGER: 2,
    pb.OBJECT_RULE: 2,
}  # fmt: skip
"""The parts of an unqualified name in a DROP: that of a trigger or a rule begins with its table."""


def resolved(node: AstNode, tables: Tables) -> AstNode:
    """Return a statement in which the temporary relations that it makes or names have their schema."""
    names = frozenset(_names(tables))
    if not names and not any(map(_is_made, parse_tree.walk(node, nodes.RangeVar))):
        return node
    message = type(parse_tree.message(node))()
    message.CopyFrom(parse_tree.message(node))
    changed = nodes.wrap(message)
    taken = names - {one.ctename for one in parse_tree.walk(changed, nodes.CommonTableExpr)}
    for relation in parse_tree.walk(changed, nodes.RangeVar):
        if not relation.schemaname and (_is_made(relation) or relation.relname in taken):
            parse_tree.message(relation).schemaname = TEMPORARY
    if isinstance(changed, nodes.DropStmt):
        _qualify(message, changed.remove_type, names)
    if isinstance(changed, nodes.ViewStmt) and _reads_temporary(changed):
        message.view.schemaname = TEMPORARY
    return changed


def discarded(tables: Tables) -> Tables:
    """Return the tables at the beginning of a revision, which finds no temporary relation."""
    return replace(tables, changed={name: one for name, one in tables.changed.items() if name[0] != TEMPORARY})


def _names(tables: Tables) -> Iterator[str]:
    for name, table in tables.changed.items():
        if name[0] == TEMPORARY and table is not None:
            yield name[1]
            yield from table.indexes


def _is_made(relation: nodes.RangeVar) -> bool:
    return relation.relpersistence == PERSISTENCE


def _qualify(message: Any, kind: int, names: Set[str]) -> None:
    for one in message.objects:
        parts = [part.string.sval for part in one.list.items]
        if parts and len(parts) == DROPPED.get(kind) and parts[0] in names:
            del one.list.items[:]
            for part in (TEMPORARY, *parts):
                one.list.items.add().string.sval = part


def _reads_temporary(node: nodes.ViewStmt) -> bool:
    """Return whether PostgreSQL makes a view temporary since it reads what is."""
    read = parse_tree.walk(node.query, nodes.RangeVar) if node.query is not None else ()
    return node.view is not None and not node.view.schemaname and any(one.schemaname == TEMPORARY for one in read)
