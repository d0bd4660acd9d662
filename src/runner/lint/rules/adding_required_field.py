"""A new NOT NULL column without a default fails where the table has rows, which would be null in it.

Where it has none, the application that runs meanwhile does not know the column, and each INSERT of it fails. A constant
default takes a moment, whatever the rows; or the column is added without NOT NULL, filled, and then made NOT NULL.
https://www.postgresql.org/docs/current/ddl-alter.html#DDL-ALTER-ADDING-A-COLUMN
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.remedies import new_columns
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import added, domains
from runner.lint.state.statement import Revision, Statement, shown

GIVEN = frozenset({pb.CONSTR_DEFAULT, pb.CONSTR_GENERATED, pb.CONSTR_IDENTITY})


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column without a value that is added NOT NULL to a table of the database."""
    database = revision.database
    for statement in revision.statements:
        table = statement.reached
        for column in statement.columns():
            if table is None or not _is_required(column, revision, statement):
                continue
            owner, rows = shown(table.name), database.rows(table)
            if rows == 0 and not _is_left_required(column.colname, revision, statement):
                continue
            fails = f"fails, since {database.count(table)} of `{owner}` have no value for it" if rows else (
                f"makes each INSERT into `{owner}` fail that does not give it, such as the running application's"
                if rows == 0 else f"fails if `{owner}` has rows, which have no value for it"
            )  # fmt: skip
            message = f"Adding `{column.colname}` NOT NULL without a default {fails}."
            again = call("set_not_null_safely", table.name[1], column.colname, schema=table.name[0])
            remedy = (
                f"Give it a constant default; or add it without NOT NULL, fill the rows in batches, then `{again}`."
            )
            instead = new_columns.safely(column, revision, statement)
            yield Violation("error", message, remedy, statement, table, instead)


def _is_required(column: nodes.ColumnDef, revision: Revision, statement: Statement) -> bool:
    kinds = {one.contype for one in column.constraints if isinstance(one, nodes.Constraint)}
    found = parse_tree.read_type(column.type_name)
    if kinds & GIVEN or (found.name in added.SERIAL and not found.schema):
        return False
    if kinds & {pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY}:
        domain = revision.domains(statement).get(domains.named(found))
        return domain is None or domain.default is None
    return _is_of_required_domain(found, revision, statement)


def _is_of_required_domain(found: parse_tree.Type, revision: Revision, statement: Statement) -> bool:
    known = revision.domains(statement)
    domain = known.get(domains.named(found)) if not found.is_array else None
    if domain is None or domain.default is not None:
        return False
    return domain.not_null or _is_of_required_domain(domain.base, revision, statement)


def _is_left_required(column: str, revision: Revision, statement: Statement) -> bool:
    """Return whether the column is there, and without a default, when the revision has ended."""
    assert statement.table is not None  # noqa: S101 - of a column that is added
    found = revision.statements[-1].after.of_origin(statement.table.origin or statement.table.name)
    left = found.columns.get(column) if found is not None else None
    return left is not None and not left.has_default


RULE = Rule(
    id="adding-required-field",
    levels="An error.",
    find=find,
    bad=(
        'op.add_column("items", sa.Column("weight", sa.BigInteger(), nullable=False))',
        'op.execute("ALTER TABLE ONLY Items ADD weight bigint NOT NULL, ALTER weight SET DEFAULT 1")',
        'op.execute("alter table archive.items add column if not exists \\"Weight\\" numeric(5, 2) not null")',
        'op.execute("do $$ begin alter table events add weight bigint not null check (weight > 0); end $$")',
    ),
    safe=(
        'op.add_column("items", sa.Column("weight", sa.BigInteger(), nullable=False, server_default="0"))\n'
        'op.alter_column("items", "weight", server_default=None)',
        'op.add_column("items", sa.Column("weight", sa.BigInteger()))\n'
        "---\n"
        'op.execute("update items set weight = 1 where id between 1 and 100")',
        'op.execute("alter table items add column if not exists code integer not null")',
        'op.create_table("notes", sa.Column("n", sa.BigInteger()))\n'
        'op.add_column("notes", sa.Column("m", sa.BigInteger(), nullable=False))',
    ),
)
