"""A rule of CREATE RULE replaces what the application writes to a table, which gets no error and no row for it.

DO INSTEAD NOTHING drops each write in silence. With DO INSTEAD, RETURNING fails, which SQLAlchemy appends to an INSERT;
with a rule for INSERT or UPDATE that runs a statement, ON CONFLICT fails. A trigger can do the same and keeps both.
https://www.postgresql.org/docs/current/rules-update.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects import removal
from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table

EVENTS = {pb.CMD_DELETE: "DELETE", pb.CMD_INSERT: "INSERT", pb.CMD_UPDATE: "UPDATE"}
REMEDY = "Use a trigger, or deploy a version that does not write first and revoke the privilege."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each rule for the writes to a table of the database that a revision leaves behind."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        match statement.node:
            case nodes.RuleStmt(relation=nodes.RangeVar() as relation, event=event) as node if event in EVENTS:
                table = removal.users_table(statement, parse_tree.name(relation))
                if table is not None and not _is_dropped(node, revision, statement):
                    yield from _find(node, table, statement)


def _find(node: nodes.RuleStmt, table: Table, statement: Statement) -> Iterator[Violation]:
    name, event = shown(table.name), EVENTS[node.event]
    where = " for which its condition is true" if node.where_clause is not None else ""
    conflicts = "" if node.event == pb.CMD_DELETE else ", and so does an INSERT with ON CONFLICT"
    if node.instead and not node.actions:
        message = (
            f"Each {event} of `{name}`{where} is left out without an error: what the application writes is lost. With "
            "RETURNING it fails."
        )
        yield Violation("error", message, REMEDY, statement, table)
    elif table.kind == "view" or not node.actions:
        # only so an arbitrary view can be written; NOTHING beside the write changes nothing
        return
    elif node.instead:
        message = (
            f"Another statement runs instead of each {event} of `{name}`{where}. With RETURNING it fails{conflicts}."
        )
        yield Violation("error", message, REMEDY, statement, table)
    elif conflicts:
        message = f"An INSERT into `{name}` with ON CONFLICT fails as long as it has the rule `{node.rulename}`."
        yield Violation("warning", message, "Use a trigger.", statement, table)


def _is_dropped(node: nodes.RuleStmt, revision: Revision, statement: Statement) -> bool:
    """Return whether the same transaction drops the rule of this table again."""
    table = parse_tree.name(node.relation) if node.relation is not None else None
    later = removal.following(revision, statement) if statement.in_transaction else ()
    return any(
        isinstance(one.node, nodes.DropStmt)
        and one.node.remove_type == pb.OBJECT_RULE
        and table in parse_tree.dropped(one.node)
        and any(parse_tree.words([found])[-1] == node.rulename for found in one.node.objects)
        for one in later
    )


RULE = Rule(
    id="adding-rule",
    levels="An error for DO INSTEAD; a warning for DO ALSO, with which ON CONFLICT fails.",
    find=find,
    bad=(
        'op.execute("create rule frozen as on insert to items do instead nothing")',
        'op.execute("CREATE OR REPLACE RULE \\"frozen\\" AS ON DELETE TO archive.items DO INSTEAD NOTHING")',
        'op.execute("create rule kept as on update to items where new.price < 0 do instead nothing")',
        "op.execute(\"create rule moved as on insert to visits do instead insert into journal values (now(), 'v')\")",
        "op.execute(\"create rule noted as on insert to visits do also insert into journal values (now(), 'v')\")",
        'op.execute("create rule frozen as on update to cheap_items do instead nothing")',
        'op.execute("do $$ begin create rule frozen as on insert to items do instead nothing; end $$")',
        'op.execute("create rule frozen as on insert to items do instead nothing")\n'
        'op.execute("drop rule frozen on archive.items")',
    ),
    safe=(
        'op.execute("create rule quiet as on update to visits do nothing")',
        'op.execute("create table fresh (n int)")\n'
        'op.execute("create rule frozen as on delete to fresh do instead nothing")',
        'op.execute("create rule frozen as on insert to items do instead nothing")\n'
        'op.execute("drop rule frozen on items")',
        'op.execute("create rule frozen as on insert to archive.items do instead nothing")\n'
        'op.execute("drop rule frozen on archive.items")',
        'op.execute("create rule written as on insert to letter_writers do instead '
        'insert into letters (owner) values (new.owner)")',
        "op.execute(\"create rule noted as on delete to visits do also insert into journal values (now(), 'v')\")",
    ),
)
