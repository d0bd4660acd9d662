"""With row level security and no policy, a table looks empty to every role but its owner, and takes no row from them.

A policy in the same revision keeps the application at work.
https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from runner.lint import parse_tree
from runner.lint.rule import Rule, Violation
from runner.lint.statement import Revision, shown

REMEDY = "Create the policies of the application's roles before, in the same revision (`CREATE POLICY`)."


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each table of the database with row security that has no policy after the plan."""
    for statement in revision.statements:
        table = statement.table
        if table is None or table.origin is None:
            continue
        for _ in parse_tree.commands(statement.node, pb.AT_EnableRowSecurity):
            end = revision.end.of_origin(table.origin)
            if end is not None and end.row_security and not end.policies:
                message = (
                    f"No policy lets a role other than the owner read or write the rows of `{shown(table.name)}`, "
                    f"{revision.database.count(table)}."
                )
                yield Violation("error", message, REMEDY, statement, table)


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
    ),
    safe=(
        'op.execute("create policy own on items using (true)")\n'
        'op.execute("alter table items enable row level security")',
        'op.execute("alter table items enable row level security, disable row level security")',
        'op.execute("create table fresh (n int)")\nop.execute("alter table fresh enable row level security")',
    ),
)
