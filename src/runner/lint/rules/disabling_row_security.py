"""Without row level security, each role with privileges on a table reads and writes the rows that policies hid from it.

What the application shows to a tenant then holds the rows of all others. FORCE makes the policies hold for the owner
too: without it, an application that logs in as the owner sees every row.
https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table

REMEDY = "Keep it, and let a permissive policy show the rows that a role needs (`CREATE POLICY`)."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each table of the database whose policies a revision takes away from the application's roles."""
    if revision.rendered.direction == "downgrade":
        return
    for statement in revision.statements:
        table = statement.table
        if table is not None and table.origin is not None and (table.row_security or not table.is_known):
            yield from _find(revision, statement, table)


def _find(revision: Revision, statement: Statement, table: Table) -> Iterator[Violation]:
    name = shown(table.name)
    then = (revision.statements[-1] if statement.in_transaction else statement).after.of_origin(
        table.origin or table.name
    )
    if then is None:
        return
    if any(parse_tree.commands(statement.node, pb.AT_DisableRowSecurity)) and not then.row_security:
        message = (
            f"Without row security, each role with privileges on `{name}` reads and writes all its rows "
            f"({revision.database.size(table)}), which its policies hid until now."
        )
        yield Violation("error", message, REMEDY, statement, table)
    if any(parse_tree.commands(statement.node, pb.AT_NoForceRowSecurity)) and not _is_forced_again(revision, statement):
        message = f"The policies of `{name}` no longer hold for its owner, who then reads and writes all rows."
        remedy = "Keep it, unless no application logs in as the owner."
        yield Violation("warning", message, remedy, statement, table)


def _is_forced_again(revision: Revision, statement: Statement) -> bool:
    later = revision.statements[[*revision.statements].index(statement) + 1 :] if statement.in_transaction else ()
    table = statement.table
    return any(
        table is not None and one.table is not None and one.table.origin == table.origin
        for one in later
        if any(parse_tree.commands(one.node, pb.AT_ForceRowSecurity))
    )


RULE = Rule(
    id="disabling-row-security",
    levels="An error; a warning for NO FORCE.",
    find=find,
    bad=(
        'op.execute("alter table letters disable row level security")',
        'op.execute("ALTER TABLE ONLY public.\\"letters\\" NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")',
        'op.execute("alter table letters no force row level security")',
        'op.execute("do $$ begin alter table letters disable row level security; end $$")',
    ),
    safe=(
        'op.execute("alter table letters disable row level security, enable row level security")',
        'op.execute("create policy anyone on letters for select using (true)")',
        'op.execute("create table fresh (n int)")\nop.execute("alter table fresh disable row level security")',
    ),
)
