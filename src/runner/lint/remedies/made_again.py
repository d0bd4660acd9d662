"""What a revision drops and makes again under the same name: a remedy of several revisions has to drop it as well."""

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.rule import call
from runner.lint.state.statement import Revision, Statement
from runner.lint.state.tables import Table


def dropping_constraint(name: str, table: Table, revision: Revision, statement: Statement) -> tuple[str, ...]:
    """Return the call that drops a constraint of that name, where the revision does it before it makes another one."""
    if not _is_dropped(pb.AT_DropConstraint, name, table, revision, statement):
        return ()
    return (call("op.drop_constraint", name, table.name[1], schema=table.name[0]),)


def dropping_column(name: str, table: Table, revision: Revision, statement: Statement) -> tuple[str, ...]:
    """Return the call that drops a column of that name, where the revision does it before it adds another one."""
    if not _is_dropped(pb.AT_DropColumn, name, table, revision, statement):
        return ()
    return (call("op.drop_column", table.name[1], name, schema=table.name[0]),)


def replaces_index(name: str, revision: Revision, statement: Statement) -> bool:
    """Return whether the revision drops an index of that name before it builds another one."""
    assert statement.table is not None  # noqa: S101 - of an index that is built
    wanted = statement.table.name[0], name
    return name in revision.dropped and any(
        isinstance(one.node, nodes.DropStmt)
        and one.node.remove_type == pb.OBJECT_INDEX
        and wanted in parse_tree.dropped(one.node)
        for one in revision.preceding(statement)
    )


def _is_dropped(subtype: int, name: str, table: Table, revision: Revision, statement: Statement) -> bool:
    if name not in revision.dropped:
        return False
    # one ALTER TABLE may do both
    for one in (*revision.preceding(statement), statement):
        if one.table is not None and one.table.origin == table.origin:
            parts = one.table.columns if subtype == pb.AT_DropColumn else one.table.constraints
            if name in parts and any(command.name == name for command in parse_tree.commands(one.node, subtype)):
                return True
    return False
