"""The former owner of an object loses each privilege on it, unless it is a member of the new owner or granted some.

An application that logs in as the former owner gets `permission denied`, and migrations by that role can no longer
alter the object. What the same transaction grants on a table to another role than the new owner counts as granted to
the former owner, whose name is not read: that keeps the application at work.
https://www.postgresql.org/docs/current/ddl-priv.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import privileges, removal
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table

REMEDY = (
    "Grant the former owner what the application needs, in the same revision, or let migrations and application log in "
    "as members of the new owner first."
)


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each object of the database that a revision gives to another owner."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        match statement.node:
            case nodes.AlterTableStmt():
                table = statement.table
                for one in parse_tree.commands(statement.node, pb.AT_ChangeOwner):
                    if (
                        table is not None
                        and table.origin is not None
                        and not _is_granted(revision, statement, table, one.newowner)
                    ):
                        yield _violation(f"`{shown(table.name)}`", one.newowner, statement, table)
            case nodes.AlterOwnerStmt(object_type=kind, object=nodes.AstNode() as named) if kind in removal.KINDS:
                for thing in removal.named(removal.KINDS[kind], [named]):
                    old = removal.complete(thing, revision.database)
                    if removal.is_there(old, revision, statement):
                        yield _violation(f"the {thing.kind} `{shown(thing.name)}`", statement.node.newowner, statement)
            case nodes.ReassignOwnedStmt(roles=roles, newrole=new):
                owners = ", ".join(f"`{one}`" for one in privileges.roles(roles))
                yield _violation(f"whatever is owned by {owners}", new, statement)


def _violation(what: str, owner: nodes.RoleSpec | None, statement: Statement, table: Table | None = None) -> Violation:
    new = ", ".join(privileges.roles([owner] if owner is not None else []))
    message = f"It gives {what} to `{new}`: the former owner loses its privileges, and cannot alter it any more."
    return Violation("warning", message, REMEDY, statement, table)


def _is_granted(revision: Revision, statement: Statement, table: Table, owner: nodes.RoleSpec | None) -> bool:
    """Return whether the same transaction then grants something on a table to another role than its new owner."""
    later = removal.following(revision, statement) if statement.in_transaction else ()
    new = {*privileges.roles([owner] if owner is not None else [])}
    return any(
        isinstance(one.node, nodes.GrantStmt)
        and one.node.is_grant
        and privileges.concerns(one.node, table.name)
        and not {*privileges.roles(one.node.grantees)} <= new
        for one in later
    )


RULE = Rule(
    id="changing-owner",
    levels="A warning.",
    find=find,
    bad=(
        'op.execute("alter table items owner to keeper")',
        'op.execute("ALTER TABLE ONLY archive.\\"items\\" OWNER TO \\"Keeper\\", ADD COLUMN more text")',
        'op.execute("alter view cheap_items owner to keeper")',
        'op.execute("alter type mood owner to keeper")',
        'op.execute("alter function rank_of(bigint) owner to keeper")',
        'op.execute("alter schema archive owner to keeper")',
        'op.execute("reassign owned by current_user to keeper")',
        'op.execute("do $$ begin alter table items owner to keeper; end $$")',
        'op.execute("alter table visits owner to keeper")\nop.execute("grant all on visits to keeper")',
    ),
    safe=(
        'op.execute("create table fresh (n int)")\nop.execute("alter table fresh owner to current_user")',
        'op.execute("alter table visits owner to clerk")\nop.execute("grant all on visits to clerk, current_user")',
        'op.execute("create type fresh as enum (\'a\')")\nop.execute("alter type fresh owner to current_user")',
    ),
)
