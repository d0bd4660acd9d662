"""The privileges that a GRANT gives and a REVOKE takes away, by the roles as the catalog names them."""

from collections.abc import Iterable, Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.lint.state.tables import Table
from runner.postgres.sql import Name
from runner.project import quote

OF_TABLES = frozenset({"DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"})


def roles(grantees: Iterable[AstNode]) -> Iterator[str]:
    """Yield the roles of a GRANT or REVOKE: `PUBLIC`, or a name that is quoted where it must be."""
    for one in grantees:
        if isinstance(one, nodes.RoleSpec):
            named = {pb.ROLESPEC_PUBLIC: "PUBLIC", pb.ROLESPEC_CSTRING: quote(one.rolename)}
            yield named.get(one.roletype, "CURRENT_USER")


def of_tables(node: nodes.GrantStmt) -> frozenset[str]:
    """Return the privileges on whole tables, all of them where the statement names none."""
    named = [one for one in node.privileges if isinstance(one, nodes.AccessPriv)]
    return frozenset(one.priv_name.upper() for one in named if not one.cols) if named else OF_TABLES


def concerns(node: nodes.GrantStmt, name: Name) -> bool:
    """Return whether a GRANT or REVOKE is about a table or a view, by its name or its schema."""
    if node.objtype != pb.OBJECT_TABLE:
        return False
    if node.targtype == pb.ACL_TARGET_ALL_IN_SCHEMA:
        return name[0] in parse_tree.words(node.objects)
    return any(isinstance(one, nodes.RangeVar) and parse_tree.name(one) == name for one in node.objects)


def held(table: Table, role: str) -> frozenset[str]:
    """Return the privileges that a role was granted on a table of the database; all where that is not known."""
    if not table.is_known:
        return OF_TABLES
    listed = table.grants.get(role, "")
    return frozenset(one.removesuffix(" with grant option") for one in listed.split(", ") if one)
