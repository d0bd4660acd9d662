"""A version of the application that still runs, or to which a deployment returns, does not find what moved elsewhere.

It names the old schema, or its `search_path` does. What the same transaction makes again under the old name is found at
every moment; for a table that is a view, which can be read and written like the table.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-SCHEMA
"""

from collections.abc import Iterator

from postgast import nodes

from runner.lint.effects import old_name, removal
from runner.lint.rule import Rule, Violation
from runner.lint.state.statement import Revision, shown


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each object of the database that a revision moves to another schema."""
    yield from old_name.moved(revision, nodes.AlterObjectSchemaStmt)
    for statement, one in removal.missed(revision, nodes.AlterObjectSchemaStmt):
        table = removal.relation(statement, one)
        if table is not None and table.kind == "table":
            continue
        assert isinstance(statement.node, nodes.AlterObjectSchemaStmt)  # noqa: S101 - as asked for
        kind = table.kind if table is not None else one.kind
        name, schema = shown(one.name), statement.node.newschema
        message = f"Moving the {kind} `{name}` to schema `{schema}` breaks {removal.USERS}."
        remedy = (
            f"Make it in `{schema}` beside the old one, deploy a version that uses the new one, and drop the old one "
            "in a later revision."
        )
        yield Violation("error", message, remedy, statement, table)


RULE = Rule(
    id="ban-set-schema",
    levels="An error; for a table a note where a view of all columns gets the old name.",
    find=find,
    bad=(
        'op.execute("alter table visits set schema archive")',
        'op.execute("ALTER VIEW IF EXISTS public.cheapest_items SET SCHEMA \\"archive\\"")',
        'op.execute("alter type colour set schema archive")',
        'op.execute("alter function rank_of(bigint) set schema archive")',
        'op.execute("alter sequence tickets set schema archive")',
        'op.execute("alter extension pg_trgm set schema archive")',
        'op.execute("do $$ begin alter domain positive set schema archive; end $$")',
    ),
    safe=(
        'op.execute("alter view cheapest_items set schema archive")\n'
        'op.execute("create view cheapest_items as select * from archive.cheapest_items")',
        'op.execute("alter table visits set schema archive")\n'
        'op.execute("create view visits as select * from archive.visits")',
        'op.execute("create table drafts (n bigint); alter table drafts set schema archive")',
    ),
)
