"""A role that loses a privilege gets `permission denied` from its next statement on, also the running application.

First deploy an application that does without, then revoke. What the same revision grants again is at no moment missing
for others. https://www.postgresql.org/docs/current/sql-revoke.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import privileges, removal
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name

REMEDY = f"Deploy a version that does without first, and revoke when {removal.USERS} needs it no more."
CREATING = frozenset({"create", "temp", "temporary"})
"""The privileges that an application does not need to read and write."""


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each privilege on an object of the database that a revision takes from a role and does not give back."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        match statement.node:
            case nodes.GrantStmt(is_grant=False, grant_option=False, objtype=pb.OBJECT_TABLE) as node:
                for name in _names(node, statement):
                    table = removal.users_table(statement, name)
                    if table is not None:
                        yield from _of_table(revision, statement, node, table)
                if node.targtype == pb.ACL_TARGET_ALL_IN_SCHEMA and not revision.database.is_complete:
                    yield _of_schema(statement, node)
            case nodes.GrantStmt(is_grant=False, grant_option=False, targtype=pb.ACL_TARGET_OBJECT) as node:
                yield from _of_others(revision, statement, node)
            case nodes.GrantRoleStmt(is_grant=False, grantee_roles=members) as node if not node.opt:
                granted = ", ".join(
                    f"`{one.priv_name}`" for one in node.granted_roles if isinstance(one, nodes.AccessPriv)
                )
                message = f"{_listed(members)} loses what it may do as a member of {granted}."
                yield Violation("error", message, REMEDY, statement)


def _listed(grantees: list[nodes.AstNode]) -> str:
    return ", ".join(f"`{one}`" for one in privileges.roles(grantees))


def _names(node: nodes.GrantStmt, statement: Statement) -> Iterator[Name]:
    there = {*statement.before.relations, *statement.before.changed}
    if node.targtype == pb.ACL_TARGET_OBJECT:
        there |= {parse_tree.name(one) for one in node.objects if isinstance(one, nodes.RangeVar)}
    yield from sorted(one for one in there if privileges.concerns(node, one))


def _of_table(revision: Revision, statement: Statement, node: nodes.GrantStmt, table: Table) -> Iterator[Violation]:
    later = removal.following(revision, statement) if statement.in_transaction else ()
    for role in privileges.roles(node.grantees):
        lost = privileges.of_tables(node) & privileges.held(table, role)
        for other in later:
            if (
                isinstance(other.node, nodes.GrantStmt)
                and other.node.is_grant
                and privileges.concerns(other.node, table.name)
            ):
                lost -= (
                    privileges.of_tables(other.node) if role in privileges.roles(other.node.grantees) else frozenset()
                )
        if lost:
            message = f"`{role}` may no longer {', '.join(sorted(lost))} on `{shown(table.name)}`."
            yield Violation("error", message, REMEDY, statement, table)


def _of_schema(statement: Statement, node: nodes.GrantStmt) -> Violation:
    schemas = ", ".join(f"`{one}`" for one in parse_tree.words(node.objects))
    message = f"{_listed(node.grantees)} loses privileges on each table of the schema {schemas}."
    return Violation("error", message, REMEDY, statement)


def _of_others(revision: Revision, statement: Statement, node: nodes.GrantStmt) -> Iterator[Violation]:
    named = {one.priv_name for one in node.privileges if isinstance(one, nodes.AccessPriv)}
    if node.objtype not in removal.KINDS or (named and named <= CREATING):
        return
    kind = removal.KINDS[node.objtype]
    for one in removal.named(kind, node.objects):
        is_granted = any(
            isinstance(other.node, nodes.GrantStmt)
            and other.node.is_grant
            and other.node.objtype == node.objtype
            and one in removal.named(kind, other.node.objects)
            and {*privileges.roles(node.grantees)} <= {*privileges.roles(other.node.grantees)}
            for other in (removal.following(revision, statement) if statement.in_transaction else ())
        )
        old = removal.complete(one, revision.database)
        if not is_granted and removal.is_there(old, revision, statement) and one.name != (PROJECT, PROJECT):
            message = f"{_listed(node.grantees)} may no longer use the {kind} `{shown(one.name)}`, or less of it."
            yield Violation("error", message, REMEDY, statement)


RULE = Rule(
    id="revoking-privileges",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("revoke select on notices from public")',
        'op.execute("REVOKE ALL PRIVILEGES ON TABLE public.\\"notices\\", items FROM PUBLIC")',
        'op.execute("revoke all on all tables in schema public from public")',
        'op.execute("revoke all on notices from public")\nop.execute("grant select on notices to public")',
        'op.execute("revoke usage on schema archive from application")',
        'op.execute("revoke execute on function rank_of(bigint) from public")',
        'op.execute("revoke all on sequence tickets from application")',
        'op.execute("revoke readers from application")',
        'op.execute("do $$ begin revoke insert on notices from public; end $$")',
    ),
    safe=(
        'op.execute("revoke select on items from public")',
        'op.execute("revoke all on notices from public")\nop.execute("grant select, insert on notices to public")',
        'op.execute("revoke create on schema public from public")',
        'op.execute("create table fresh (n int)")\nop.execute("grant all on fresh to public")\n'
        'op.execute("revoke delete on fresh from public")',
        "op.execute(\"create function once() returns int language sql as 'select 1'\")\n"
        'op.execute("revoke execute on function once() from public")',
    ),
)
