"""The tables whose rows a statement reaches through the one that it names: below a view, and those that inherit."""

from collections.abc import Iterator
from dataclasses import replace

from postgast import nodes
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.state.tables import Table, Tables
from runner.postgres.sql import Name


def with_heirs(table: Table | None, tables: Tables) -> Table | None:
    """Return a table with those that inherit from it, whose rows count too; a view with the tables below it.

    The size of a partitioned table is that of its partitions already.
    """
    if table is None or table.is_partitioned:
        return table
    further = _under(table, tables, frozenset()) if table.kind == "view" else _heirs(table, tables)
    origins = (one.origin for one in further if one.origin is not None)
    return replace(table, heirs=tuple(dict.fromkeys(origins)))


def _heirs(table: Table, tables: Tables) -> Iterator[Table]:
    for child in map(tables.find, tables.partitions(table.name)):
        if child is not None:
            yield child
            yield from _heirs(child, tables)


def has_no_null(table: Table, column: str, tables: Tables) -> bool:
    """Return whether a column has no null for sure, in the partitions of a partitioned table too."""
    if column in table.proven:
        return True
    parts = [tables.find(name) for name in tables.partitions(table.name)] if table.is_partitioned else []
    return bool(parts) and all(part is not None and has_no_null(part, column, tables) for part in parts)


def reached(relation: nodes.RangeVar, tables: Tables) -> Table | None:
    """Return the table of a query or a write, with those that inherit from it unless it is ONLY that one."""
    table = tables.find(parse_tree.name(relation))
    return with_heirs(table, tables) if relation.inh else table


def read(names: tuple[Name, ...], node: AstNode, tables: Tables) -> Iterator[Table]:
    """Yield the tables that a statement reads where it names these, without the views, of which it reads others."""
    alone = {parse_tree.name(one) for one in parse_tree.walk(node, nodes.RangeVar) if not one.inh}
    for name in names:
        found = tables.find(name)
        if found is not None:
            for table in _under(found, tables, frozenset()):
                whole = table if name in alone and table is found else with_heirs(table, tables)
                if whole is not None:
                    yield whole


def _under(table: Table, tables: Tables, above: frozenset[Name]) -> Iterator[Table]:
    """Yield a table itself, the tables below a view."""
    if table.kind != "view":
        yield table
    elif table.name not in above:
        for name in table.reads:
            found = tables.of_origin(name) or tables.find(name)
            if found is not None:
                yield from _under(found, tables, above | {table.name})
