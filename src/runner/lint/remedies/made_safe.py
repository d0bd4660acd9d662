"""The user's own statement made safe: the Python of one `upgrade()` after another, for `Violation.instead`.

Helpers of `runner.operations` where they can do what the statement did, else its own SQL, changed in its tree.
"""

from collections.abc import Sequence

import postgast
from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building, instead
from runner.lint.rule import call
from runner.lint.state.tables import Constraint, Table, Tables
from runner.postgres.sql import Name

# op.execute takes a colon before a word for a parameter
# https://docs.sqlalchemy.org/en/20/core/sqlelement.html#sqlalchemy.sql.expression.text

KEY_OF_PARTS = (
    "Add it with `add_key_on_only`; build a unique index of each partition with `create_index_concurrently`, make it a "
    "key there with `add_key_using_index`, and attach it with `attach_index`."
)
"""The remedy for the key of a partitioned table."""


def alter(table: Name, *commands: pb.AlterTableCmd) -> str:
    """Return an ALTER TABLE of these actions as a call."""
    tree = pb.ParseResult()
    statement = tree.stmts.add().stmt.alter_table_stmt
    statement.relation.CopyFrom(_relation(table))
    statement.objtype = pb.OBJECT_TABLE
    for command in commands:
        statement.cmds.add().alter_table_cmd.CopyFrom(command)
    return instead.executed(postgast.deparse(tree))


def _relation(table: Name) -> pb.RangeVar:
    schema = "" if table[0] == "public" else table[0]
    return pb.RangeVar(schemaname=schema, relname=table[1], inh=True, relpersistence="p")


def adding(one: Constraint) -> pb.AlterTableCmd:
    """Return the action that adds a constraint to a table NOT VALID, under its name."""
    command = pb.AlterTableCmd(subtype=pb.AT_AddConstraint, behavior=pb.DROP_RESTRICT)
    constraint = command.__getattribute__("def").constraint
    constraint.CopyFrom(parse_tree.message(one.node))
    constraint.conname = one.name
    constraint.skip_validation, constraint.initially_valid = True, False
    if one.kind == "foreign key" and not one.node.fk_attrs:
        for column in one.columns:
            constraint.fk_attrs.add().string.sval = column
    return command


def again(one: Constraint, table: Table) -> str:
    """Return an ALTER TABLE that drops a constraint, and adds it NOT VALID and enforced under its name."""
    dropping = pb.AlterTableCmd(subtype=pb.AT_DropConstraint, name=one.name, behavior=pb.DROP_RESTRICT)
    added = adding(one)
    getattr(added, "def").constraint.is_enforced = True
    return alter(table.name, dropping, added)


def check(one: Constraint, table: Table) -> tuple[str, ...]:
    """Return the revisions that add a CHECK NOT VALID, and validate it."""
    return _check(one, table.name), validate(one, table.name)


def _check(one: Constraint, table: Name) -> str:
    condition = parse_tree.expression_text(one.node.raw_expr) if one.node.raw_expr is not None else ""
    if one.node.is_no_inherit or not condition or instead.PARAMETER.search(condition):
        return alter(table, adding(one))
    schema, name = table
    return call("add_check_not_valid", one.name, name, condition, schema=schema)


def validate(one: Constraint, table: Name) -> str:
    """Return the call that validates a constraint."""
    return call("validate_constraint", one.name, table[1], schema=table[0])


def key(one: Constraint, table: Table, tables: Tables, dropping: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the revisions that add a UNIQUE or PRIMARY KEY constraint by an index that is built concurrently.

    `dropping` are the calls that drop the constraint whose name it gets; its index is there until then.
    There are none for what no index that was built before can be: WITHOUT OVERLAPS, other storage.
    """
    node = one.node
    if node.options or node.indexspace or node.without_overlaps:
        return ()
    schema, name = table.name
    unproven = [column for column in one.columns if column not in table.proven] if one.kind == "primary key" else []
    safely = [call("set_not_null_safely", name, column, schema=schema) for column in unproven]
    special = bool(node.including or node.deferrable or node.initdeferred or node.nulls_not_distinct)
    if table.is_partitioned:
        keys = () if special or dropping else keys_of_parts(one, table, tables)
        return (*safely, *keys) if keys else ()
    new = one.name
    if dropping:
        label = "pkey" if one.kind == "primary key" else "key"
        new = building.free_name(tables, ((schema, one.name),), schema, name, *one.columns, label)
    if special:
        built_before = () if node.indexname else (_concurrently(one, table.name, new),)
        return *safely, *built_before, "\n".join((*dropping, _using_index(one, table.name, node.indexname or new)))
    built = node.indexname or (_ready(one, table) if one.column is None else None)
    is_there = built is not None and built in table.indexes and not table.indexes[built].is_made
    index = built or new
    create = call("create_index_concurrently", index, name, list(one.columns), unique=True, schema=schema)
    primary = {"primary": True} if one.kind == "primary key" else {}
    using = call("add_key_using_index", one.name, name, index, **primary, schema=schema)
    return *safely, *(() if is_there else (create,)), "\n".join((*dropping, using))


def keys_of_parts(one: Constraint, table: Table, tables: Tables) -> tuple[str, ...]:
    """Return the revisions that make a key of the indexes of the partitions; none where these have partitions."""
    parts = [part for part in map(tables.find, tables.partitions(table.name)) if part is not None]
    if any(part.is_partitioned for part in parts) or not one.columns:
        return ()
    schema, name = table.name
    primary = {"primary": True} if one.kind == "primary key" else {}
    whole = call("add_key_on_only", one.name, name, list(one.columns), **primary, schema=schema)
    built, attached = [], []
    named: set[Name] = set()
    for part in parts:
        owner, made = part.name
        # as PostgreSQL names the key of a partition
        index = building.free_name(tables, named, owner, made, *(("pkey",) if primary else (*one.columns, "key")))
        named.add((owner, index))
        built.append(call("create_index_concurrently", index, made, list(one.columns), unique=True, schema=owner))
        attached.append(call("add_key_using_index", index, made, index, **primary, schema=owner))
        elsewhere = {"partition_schema": owner} if owner != schema else {}
        attached.append(call("attach_index", one.name, index, **elsewhere, schema=schema))
    return whole, *built, "\n".join(attached)


def _concurrently(one: Constraint, table: Name, name: str) -> str:
    """Return the calls that build the index of a key, with what the helper has no word for."""
    statement = pb.IndexStmt(
        idxname=name, access_method="btree", unique=True, concurrent=True, if_not_exists=True,
        nulls_not_distinct=one.node.nulls_not_distinct,
    )  # fmt: skip
    statement.relation.CopyFrom(_relation(table))
    for column in one.columns:
        statement.index_params.add().index_elem.CopyFrom(_element(column))
    for column in parse_tree.words(one.node.including):
        statement.index_including_params.add().index_elem.CopyFrom(_element(column))
    tree = pb.ParseResult()
    tree.stmts.add().stmt.index_stmt.CopyFrom(statement)
    return instead.committed_each(instead.executed(postgast.deparse(tree)))


def _element(column: str) -> pb.IndexElem:
    return pb.IndexElem(name=column, ordering=pb.SORTBY_DEFAULT, nulls_ordering=pb.SORTBY_NULLS_DEFAULT)


def _using_index(one: Constraint, table: Name, index: str) -> str:
    command = pb.AlterTableCmd(subtype=pb.AT_AddConstraint, behavior=pb.DROP_RESTRICT)
    command.__getattribute__("def").constraint.CopyFrom(
        pb.Constraint(
            contype=one.node.contype, conname=one.name, indexname=index,
            deferrable=one.node.deferrable, initdeferred=one.node.initdeferred,
        )
    )  # fmt: skip
    return alter(table, command)


def _ready(one: Constraint, table: Table) -> str | None:
    """Return the unique index of a table that can become the key, None where there is none."""
    for index in table.indexes.values():
        if (
            index.unique
            and index.valid
            and not index.partial
            and index.columns == one.columns
            and _is_plain(index.node)
        ):
            return index.name
    return None


def _is_plain(node: nodes.IndexStmt | None) -> bool:
    # the index of another key has no definition of its own, and cannot be given to a second one
    if node is None or node.nulls_not_distinct or node.index_including_params or node.access_method != "btree":
        return False
    elements = [one for one in node.index_params if isinstance(one, nodes.IndexElem)]
    usual = (pb.SORTBY_DEFAULT, pb.SORTBY_ASC), (pb.SORTBY_NULLS_DEFAULT, pb.SORTBY_NULLS_LAST)
    return all(
        not one.opclass and not one.collation and one.ordering in usual[0] and one.nulls_ordering in usual[1]
        for one in elements
    )


def not_valid(node: nodes.AlterDomainStmt) -> str:
    """Return an ALTER DOMAIN that adds a constraint, with NOT VALID."""
    tree = pb.ParseResult()
    statement = tree.stmts.add().stmt.alter_domain_stmt
    statement.CopyFrom(parse_tree.message(node))
    constraint = statement.__getattribute__("def").constraint
    constraint.skip_validation, constraint.initially_valid = True, False
    return instead.executed(postgast.deparse(tree))
