"""The privileges that a GRANT gives and a REVOKE takes away, by the roles as the catalog names them."""

from collections.abc import Iterable, Iterator, Mapping

from postgast import nodes
from postgast import pg_query_pb2 as pb
from postgast.nodes import AstNode

from runner.lint.parsing import parse_tree
from runner.postgres.sql import Name

OF_TABLES = frozenset({"DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"})
OF_COLUMNS = frozenset({"INSERT", "REFERENCES", "SELECT", "UPDATE"})
ALL = {
    pb.OBJECT_DATABASE: frozenset({"CONNECT"}), pb.OBJECT_SEQUENCE: frozenset({"SELECT", "UPDATE", "USAGE"}),
    pb.OBJECT_TABLE: OF_TABLES,
    **dict.fromkeys((pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE), frozenset({"EXECUTE"})),
}  # fmt: skip
"""The privileges that ALL stands for, without those to create something; USAGE for other kinds."""
PUBLIC = "PUBLIC"


def roles(grantees: Iterable[AstNode]) -> Iterator[str]:
    """Yield the roles of a GRANT or REVOKE: `PUBLIC`, or a name that is quoted where it must be."""
    for one in grantees:
        if isinstance(one, nodes.RoleSpec):
            is_named = one.roletype == pb.ROLESPEC_CSTRING
            other = PUBLIC if one.roletype == pb.ROLESPEC_PUBLIC else "CURRENT_USER"
            yield parse_tree.identifier(one.rolename) if is_named else other


def of_objects(node: nodes.GrantStmt) -> frozenset[str]:
    """Return the privileges on whole objects, all of them where the statement names none."""
    named = [one for one in node.privileges if isinstance(one, nodes.AccessPriv)]
    if not named:
        return ALL.get(node.objtype, frozenset({"USAGE"}))
    return frozenset(one.priv_name.upper() for one in named if not one.cols)


def of_columns(node: nodes.GrantStmt) -> frozenset[tuple[str, str]]:
    """Return the privileges on single columns, each with the column."""
    return frozenset(
        (privilege, column)
        for one in node.privileges
        if isinstance(one, nodes.AccessPriv)
        for column in parse_tree.words(one.cols)
        for privilege in ({one.priv_name.upper()} if one.priv_name else OF_COLUMNS)
    )


def concerns(node: nodes.GrantStmt, name: Name) -> bool:
    """Return whether a GRANT or REVOKE is about a table or a view, by its name or its schema."""
    if node.objtype != pb.OBJECT_TABLE:
        return False
    if node.targtype == pb.ACL_TARGET_ALL_IN_SCHEMA:
        return name[0] in parse_tree.words(node.objects)
    return any(isinstance(one, nodes.RangeVar) and parse_tree.name(one) == name for one in node.objects)


def held(listed: Mapping[str, str], role: str) -> frozenset[str]:
    """Return the privileges that a role was granted, from those of each role in the catalog."""
    # which names are quoted depends on the server's version
    found = listed.get(role) or listed.get(f'"{role}"', "")
    return frozenset(one.removesuffix(" with grant option") for one in found.split(", ") if one)


def lost(
    node: nodes.GrantStmt,
    role: str,
    listed: Mapping[str, str] | None,
    earlier: Iterable[nodes.GrantStmt],
    later: Iterable[nodes.GrantStmt],
) -> frozenset[str]:
    """Return the privileges on an object that a role has before a REVOKE, and neither itself nor by PUBLIC at the end.

    `listed` are those of each role in the catalog, None where they are not known; `earlier` and `later` are the other
    statements of the plan about the object, those after it only as far as they are in its transaction.
    """
    after = tuple(later)
    taken = of_objects(node) if listed is None else of_objects(node) & held(listed, role)
    return taken - _given(after, role, frozenset()) - by_public(listed, (*earlier, node, *after))


def by_public(listed: Mapping[str, str] | None, statements: Iterable[nodes.GrantStmt]) -> frozenset[str]:
    """Return the privileges on an object that everybody has after these statements; none where it is not known."""
    return _given(statements, PUBLIC, held(listed or {}, PUBLIC))


def _given(statements: Iterable[nodes.GrantStmt], role: str, before: frozenset[str]) -> frozenset[str]:
    found = before
    for one in statements:
        if role in roles(one.grantees) and not (one.grant_option and not one.is_grant):
            found = found | of_objects(one) if one.is_grant else found - of_objects(one)
    return found
