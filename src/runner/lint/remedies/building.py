"""The Python that builds an index or detaches a partition without blocking writes, as a statement describes it."""

from collections.abc import Collection
from typing import Any

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import clauses, parse_tree
from runner.lint.remedies import instead
from runner.lint.rule import call
from runner.lint.state.chosen_names import shortened, unused
from runner.lint.state.tables import Table, Tables
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name


def table_name(node: nodes.IndexStmt) -> Name:
    """Return the table of a CREATE INDEX."""
    assert node.relation is not None  # noqa: S101 - the grammar demands one
    return parse_tree.name(node.relation)


def index_name(node: nodes.IndexStmt) -> str:
    """Return the name of an index, one like PostgreSQL's where the statement leaves it out."""
    return node.idxname or shortened(table_name(node)[1], *clauses.index_columns(node), "idx")


def free_name(tables: Tables, made: Collection[Name], schema: str, *parts: str) -> str:
    """Return a name for an index that the schema does not have, nor `made` of the same remedy."""
    return unused(lambda name: (schema, name) in made or tables.has((schema, name)), *parts)


def concurrently(node: nodes.IndexStmt, name: str = "", table: Name | None = None) -> str:
    """Return the Python that builds an index concurrently, under another name and on another table where given."""
    schema, owner = table or table_name(node)
    name = name or index_name(node)
    if _is_plain(node):
        return call("create_index_concurrently", name, owner, _columns(node), schema=schema, **_options(node))
    return instead.committed_each(instead.executed(_text(node, name, (schema, owner))))


def replaced(node: nodes.IndexStmt, tables: Tables) -> tuple[str, ...]:
    """Return the revisions that build an index beside the one that has its name, drop that, and take its name."""
    (schema, owner), name = table_name(node), index_name(node)
    new = free_name(tables, ((schema, name),), schema, owner, *clauses.index_columns(node), "idx")
    table = tables.find((schema, owner))
    is_partitioned = table is not None and table.is_partitioned
    # that of a partitioned table cannot be dropped concurrently
    dropping = call("op.drop_index" if is_partitioned else "drop_index_concurrently", name, schema=schema)
    old = parse_tree.identifier(*(part for part in (schema if schema != PROJECT else "", new) if part))
    renaming = instead.executed(f"ALTER INDEX {old} RENAME TO {parse_tree.identifier(name)}")
    if is_partitioned:
        return *by_partition(node, tables, new), f"{dropping}\n{renaming}"
    return concurrently(node, new), dropping, renaming


def reindexed(node: nodes.ReindexStmt) -> str:
    """Return the Python that rebuilds the same indexes concurrently."""
    is_concurrent = parse_tree.is_on(node.params, "concurrently")
    text = parse_tree.statement_text(node, None if is_concurrent else _set_concurrently)
    return instead.committed_each(instead.executed(text))


def _set_concurrently(copied: Any) -> None:
    copied.params.add().def_elem.defname = "concurrently"


def detached(node: nodes.AlterTableStmt) -> str:
    """Return the Python that detaches the same partition concurrently."""
    block = instead.committed_each(instead.executed(parse_tree.statement_text(node, _detach_concurrently)))
    return f"{block}\n# lint-allow prefer-robust-stmts: DETACH PARTITION has no IF EXISTS"


def _detach_concurrently(copied: Any) -> None:
    for one in copied.cmds:
        # `def` is a keyword of Python
        getattr(one.alter_table_cmd, "def").partition_cmd.concurrent = True


def by_partition(node: nodes.IndexStmt, tables: Tables, name: str = "") -> tuple[str, ...]:
    """Return the revisions that build an index of a partitioned table: of each partition by itself, then attached."""
    made: list[str] = []
    built: list[str] = []
    attached: list[str] = []
    _follow(node, table_name(node), name or index_name(node), tables, made, built, attached, set())
    return ("\n".join(made), *built, "\n".join(attached)) if attached else ("\n".join(made),)


def _follow(
    node: nodes.IndexStmt,
    table: Name,
    name: str,
    tables: Tables,
    made: list[str],
    built: list[str],
    attached: list[str],
    named: set[Name],
) -> None:
    made.append(_on_only(node, name, table))
    for part in map(tables.find, tables.partitions(table)):
        if part is None:
            continue
        schema, owner = part.name
        own = free_name(tables, named, schema, owner, *clauses.index_columns(node), "idx")
        named.add((schema, own))
        if part.is_partitioned:
            _follow(node, part.name, own, tables, made, built, attached, named)
        else:
            built.append(concurrently(node, own, part.name))
        options = {} if part.name[0] == table[0] else {"partition_schema": part.name[0]}
        # those of a partition's own partitions come before
        attached.append(call("attach_index", name, own, schema=table[0], **options))


def _on_only(node: nodes.IndexStmt, name: str, table: Name) -> str:
    if _is_plain(node):
        return call("create_index_on_only", name, table[1], _columns(node), schema=table[0], **_options(node))
    return instead.executed(_text(node, name, table, only=True))


def _options(node: nodes.IndexStmt) -> dict[str, object]:
    """Return the options of the helpers that build an index."""
    options: dict[str, object] = {"unique": True} if node.unique else {}
    if node.where_clause is not None:
        options["where"] = instead.written(parse_tree.expression_text(node.where_clause))
    return options


def _text(node: nodes.IndexStmt, name: str, table: Name, *, only: bool = False) -> str:
    """Return the statement with a name and a table, concurrently, or ON ONLY the table."""
    changed = pb.IndexStmt()
    changed.CopyFrom(parse_tree.message(node))
    changed.idxname, changed.concurrent, changed.if_not_exists = name, not only, True
    changed.relation.schemaname, changed.relation.relname = table
    changed.relation.inh = not only
    return parse_tree.statement_text(nodes.IndexStmt(changed))


def _is_plain(node: nodes.IndexStmt) -> bool:
    """Return whether `create_index_concurrently` has an argument for all that a statement says of an index."""
    has_more = node.index_including_params or node.options or node.table_space or node.nulls_not_distinct
    return not has_more and node.access_method in ("", "btree") and all(map(_is_plain_column, node.index_params))


def _is_plain_column(one: AstNode) -> bool:
    match one:
        case nodes.IndexElem(name=name, ordering=pb.SORTBY_DEFAULT, nulls_ordering=pb.SORTBY_NULLS_DEFAULT):
            return bool(name) and not one.opclass and not one.collation and not one.opclassopts
    return False


def _columns(node: nodes.IndexStmt) -> list[str]:
    return [one.name for one in node.index_params if isinstance(one, nodes.IndexElem)]


def leaves(tables: Tables, name: Name) -> list[Table]:
    """Return the partitions of a table that hold rows, those of its partitions included."""
    found = []
    for part in map(tables.find, tables.partitions(name)):
        if part is not None:
            found += leaves(tables, part.name) if part.is_partitioned else [part]
    return found
