"""With row level security and no permissive policy, a table looks empty to all roles but its owner, and takes no row.

A restrictive policy alone lets nothing through: it only narrows what a permissive one lets through. A permissive policy
in the same revision keeps the application at work.
https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table

ONLY = " A restrictive policy only narrows what a permissive one lets through."
REMEDY = "Create the permissive policies of the application's roles before, in the same revision (`CREATE POLICY`)."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each table of the database with row security that has no policy after the plan."""
    for statement in revision.statements:
        table = _closed(statement)
        end = revision.end.of_origin(table.origin) if table is not None and table.origin is not None else None
        if table is not None and end is not None and end.row_security and not end.lets_rows_through:
            message = (
                f"No policy lets a role other than the owner read or write the rows of `{shown(table.name)}` "
                f"({revision.database.size(table)}).{ONLY if end.policies else ''}"
            )
            yield Violation("error", message, REMEDY, statement, table)


def _closed(statement: Statement) -> Table | None:
    """Return the table that a statement puts under row security, or whose last permissive policy it drops."""
    if any(parse_tree.commands(statement.node, pb.AT_EnableRowSecurity)):
        return statement.table
    match statement.node:
        case nodes.DropStmt(remove_type=pb.OBJECT_POLICY) as node:
            for name in parse_tree.dropped(node):
                before, after = statement.before.find(name), statement.after.find(name)
                opened = before is not None and before.lets_rows_through
                if opened and after is not None and not after.lets_rows_through:
                    return before
    return None


RULE = Rule(
    id="rls-without-policy",
    levels="An error.",
    find=find,
    bad=(
        'op.execute("alter table items enable row level security")',
        'op.execute("ALTER TABLE ONLY \\"archive\\".\\"items\\" FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY")',
        'op.execute("create policy own on items using (true)")\n'
        'op.execute("alter table items enable row level security")\nop.execute("drop policy own on items")',
        'op.execute("do $$ begin alter table items enable row level security; end $$")',
        'op.execute("drop policy letters_owner on letters")',
        'op.execute("create policy own on items as restrictive using (true)")\n'
        'op.execute("alter table items enable row level security")',
        'op.execute("create policy mine on letters as restrictive for select using (owner = current_user)")\n'
        'op.execute("drop policy letters_owner on letters")',
    ),
    safe=(
        'op.execute("create policy own on items using (true)")\n'
        'op.execute("alter table items enable row level security")',
        'op.execute("alter table items enable row level security, disable row level security")',
        'op.execute("create table fresh (n int)")\nop.execute("alter table fresh enable row level security")',
        'op.execute("create policy own on items as restrictive using (price > 0)")\n'
        'op.execute("create policy anyone on items as permissive for select using (true)")\n'
        'op.execute("alter table items enable row level security")',
        'op.execute("alter policy letters_owner on letters rename to owned")\n'
        'op.execute("create policy anyone on letters using (true)")\nop.execute("drop policy owned on letters")',
        'op.execute("create policy anyone on letters using (true)")\n'
        'op.execute("drop policy letters_owner on letters")',
    ),
)
