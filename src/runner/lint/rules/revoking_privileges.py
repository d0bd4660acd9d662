"""A role that loses a privilege gets `permission denied` from its next statement on, also the running application.

First deploy an application that does without, then revoke. What the same revision grants again is at no moment missing
for others, and what PUBLIC has is not lost. https://www.postgresql.org/docs/current/sql-revoke.html
"""

from collections.abc import Callable, Iterator
from functools import partial

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import privileges, removal
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table
from runner.postgres.search_path import PROJECT
from runner.postgres.sql import Name

REMEDY = f"Deploy a version that does without first, and revoke when {removal.USERS}, needs it no more."
CREATING = frozenset({"CREATE", "TEMP", "TEMPORARY"})
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
    listed = table.grants if table.is_known else None
    earlier, later = _others(revision, statement, lambda one: privileges.concerns(one, table.name))
    for role in privileges.roles(node.grantees):
        lost = privileges.lost(node, role, listed, earlier, later)
        if lost:
            message = f"`{role}` may no longer {', '.join(sorted(lost))} on `{shown(table.name)}`."
            yield Violation("error", message, REMEDY, statement, table)
        # a privilege on the whole table is one on each column
        grantees = {role, privileges.PUBLIC}
        granting = [one for one in later if one.is_grant and grantees & {*privileges.roles(one.grantees)}]
        whole = privileges.held(listed or {}, role) | privileges.by_public(listed, (*earlier, node, *later))
        whole = whole.union(*map(privileges.of_objects, granting))
        columns = privileges.of_columns(node).difference(*map(privileges.of_columns, granting))
        for privilege, column in sorted(one for one in columns if one[0] not in whole):
            message = (
                f"`{role}` may no longer {privilege} `{column}` of `{shown(table.name)}` where it was granted that: "
                "privileges on columns are not read."
            )
            yield Violation("warning", message, REMEDY, statement, table)


def _others(
    revision: Revision, statement: Statement, concerns: Callable[[nodes.GrantStmt], bool]
) -> tuple[tuple[nodes.GrantStmt, ...], tuple[nodes.GrantStmt, ...]]:
    """Return the statements about the same object before a REVOKE, and those after it in its transaction."""
    later = removal.following(revision, statement) if statement.in_transaction else ()
    before, after = (
        tuple(one.node for one in some if isinstance(one.node, nodes.GrantStmt) and concerns(one.node))
        for some in (removal.preceding(revision, statement), later)
    )
    return before, after


def _of_schema(statement: Statement, node: nodes.GrantStmt) -> Violation:
    schemas = ", ".join(f"`{one}`" for one in parse_tree.words(node.objects))
    message = f"{_listed(node.grantees)} loses privileges on each table of the schema {schemas}."
    return Violation("error", message, REMEDY, statement)


def _of_others(revision: Revision, statement: Statement, node: nodes.GrantStmt) -> Iterator[Violation]:
    named = {one.priv_name.upper() for one in node.privileges if isinstance(one, nodes.AccessPriv)}
    if node.objtype not in removal.KINDS or (named and named <= CREATING):
        return
    kind = removal.KINDS[node.objtype]
    for one in removal.named(kind, node.objects):
        old = removal.complete(one, revision.database)
        if not removal.is_there(old, revision, statement) or one.name == (PROJECT, PROJECT):
            continue
        earlier, later = _others(revision, statement, partial(_is_about, node.objtype, one))
        listed = removal.grants(old, revision.database)
        losing = [
            role
            for role in privileges.roles(node.grantees)
            if privileges.lost(node, role, listed, earlier, later) - CREATING
        ]
        if losing:
            roles = ", ".join(f"`{role}`" for role in losing)
            message = f"{roles} may no longer use the {kind} `{shown(one.name)}`, or less of it."
            yield Violation("error", message, REMEDY, statement)


def _is_about(objtype: int, thing: removal.Thing, node: nodes.GrantStmt) -> bool:
    return node.objtype == objtype and thing in removal.named(thing.kind, node.objects)


RULE = Rule(
    id="revoking-privileges",
    levels="An error; a warning for columns, since privileges on them are not read.",
    find=find,
    bad=(
        'op.execute("revoke select on notices from public")',
        'op.execute("REVOKE ALL PRIVILEGES ON TABLE public.\\"notices\\", items FROM PUBLIC")',
        'op.execute("revoke all on all tables in schema public from public")',
        'op.execute("revoke all on notices from public")\nop.execute("grant select on notices to public")',
        'op.execute("revoke usage on schema archive from clerk")',
        'op.execute("revoke execute on function rank_of(bigint) from public")',
        'op.execute("revoke all on sequence tickets from clerk")',
        'op.execute("revoke readers from application")',
        'op.execute("do $$ begin revoke insert on notices from public; end $$")',
        'op.execute("revoke select on rooms from clerk")',
        'op.execute("REVOKE ALL ON rooms FROM \\"Archivist\\"")',
        'op.execute("revoke insert on cheap_items from clerk")',
        'op.execute("revoke execute on function touch() from clerk, public")',
        'op.execute("revoke insert on notices from clerk, public")',
        'op.execute("revoke select (floor) on rooms from \\"Archivist\\"")',
    ),
    safe=(
        'op.execute("revoke select on items from public")',
        'op.execute("revoke all on notices from public")\nop.execute("grant select, insert on notices to public")',
        'op.execute("revoke create on schema public from public")',
        'op.execute("revoke select, insert on notices from clerk")',
        'op.execute("revoke select on rooms from clerk")\nop.execute("grant select on rooms to public")',
        'op.execute("revoke execute on function touch() from clerk")',
        'op.execute("revoke execute on function weigh() from clerk; revoke usage on schema shelf from clerk")',
        'op.execute("revoke select (floor) on rooms from clerk")',
        'op.execute("revoke update (floor) on rooms from clerk")\nop.execute("grant update (floor) on rooms to clerk")',
        'op.execute("revoke update (floor) on rooms from clerk")\nop.execute("grant update on rooms to clerk")',
        'op.execute("create table fresh (n int)")\nop.execute("grant all on fresh to public")\n'
        'op.execute("revoke delete on fresh from public")',
        "op.execute(\"create function once() returns int language sql as 'select 1'\")\n"
        'op.execute("revoke execute on function once() from public")',
    ),
)
