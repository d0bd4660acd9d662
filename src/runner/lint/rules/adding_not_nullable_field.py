"""SET NOT NULL looks for nulls in every row, and blocks the application's reads and writes of the table meanwhile.

It reads no row where the column is NOT NULL already, or where a valid CHECK says that it is: such a CHECK is added NOT
VALID and validated while the application reads and writes, which `set_not_null_safely` does. From PostgreSQL 18 on, a
NOT NULL constraint itself can be added NOT VALID, and a virtual column that is NOT NULL is computed for every row.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.effects.volatility import VIRTUAL
from runner.lint.parsing import parse_tree
from runner.lint.remedies import new_columns
from runner.lint.rule import Rule, Violation, call
from runner.lint.state import below
from runner.lint.state.database import Database
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Table


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each column of a table of the database that is made NOT NULL with a look at its rows."""
    database = revision.database
    for statement in revision.statements:
        table = statement.reached
        if table is None or table.origin is None:
            continue
        for column in dict.fromkeys(_columns(statement)):
            if below.has_no_null(table, column, statement.before):
                continue
            message = (
                f"Making `{column}` NOT NULL blocks reads and writes of `{shown(table.name)}` while "
                f"{database.count(table)} are read."
            )
            remedy = "Use `set_not_null_safely`, in a revision of its own."
            instead = call("set_not_null_safely", table.name[1], column, schema=table.name[0])
            yield Violation(database.by_rows(table), message, remedy, statement, table, (instead,))
        yield from _computed(statement, table, database)
        yield from _inherited(statement, table, database)


def _inherited(statement: Statement, table: Table, database: Database) -> Iterator[Violation]:
    """Yield each constraint that what inherits from a table gets too; only those of NOT NULL can be altered so."""
    heirs = [one for one in map(statement.before.find, statement.before.partitions(table.name)) if one is not None]
    for command in parse_tree.commands(statement.node, pb.AT_AlterConstraint):
        match command.def_:
            case nodes.ATAlterConstraint(conname=name, alter_inheritability=True, noinherit=False):
                # the names of these constraints, which exist since PostgreSQL 18, are not read
                read = [one for one in heirs if name not in {f"{table.name[1]}_{key}_not_null" for key in one.proven}]
                for heir in read:
                    message = (
                        f"With INHERIT, `{name}` holds for `{shown(heir.name)}` too: it blocks reads and writes "
                        f"of both while {database.count(heir)} of `{shown(heir.name)}` are read for nulls."
                    )
                    remedy = f"Make the column of `{shown(heir.name)}` NOT NULL before, with `set_not_null_safely`."
                    yield Violation(database.by_rows(heir), message, remedy, statement, heir)


def _computed(statement: Statement, table: Table, database: Database) -> Iterator[Violation]:
    """Yield each virtual column with NOT NULL that is added or gets another expression: it is computed for each row."""
    for one in statement.columns():
        parts = {part.contype: part for part in one.constraints if isinstance(part, nodes.Constraint)}
        generated = parts.get(pb.CONSTR_GENERATED)
        if generated is not None and generated.generated_kind == VIRTUAL and pb.CONSTR_NOTNULL in parts:
            remedy = "Add it without NOT NULL, and use `set_not_null_safely` in the next revision."
            safely = call("set_not_null_safely", table.name[1], one.colname, schema=table.name[0])
            instead = new_columns.without_not_null(one, table), safely
            yield _of_virtual(f"The new column `{one.colname}`", remedy, statement, table, database, instead)
    for command in parse_tree.commands(statement.node, pb.AT_SetExpression):
        column = table.columns.get(command.name)
        if column is not None and column.generated == "virtual" and column.name in table.proven:
            remedy = (
                "Drop its NOT NULL before, and make it NOT NULL again with `set_not_null_safely`, each in a revision "
                "of its own."
            )
            yield _of_virtual(f"The new expression of `{column.name}`", remedy, statement, table, database, ())


def _of_virtual(
    what: str, remedy: str, statement: Statement, table: Table, database: Database, instead: tuple[str, ...]
) -> Violation:
    message = (
        f"{what}, which is NOT NULL, is computed for {database.count(table)}, and reads and writes of "
        f"`{shown(table.name)}` are blocked meanwhile."
    )
    return Violation(database.by_rows(table), message, remedy, statement, table, instead)


def _columns(statement: Statement) -> Iterator[str]:
    """Yield the columns that an ALTER TABLE makes NOT NULL, not those that it adds."""
    for command in parse_tree.commands(statement.node, pb.AT_SetNotNull):
        yield command.name
    for one in statement.constraints("not null"):
        if one.valid and one.column is None:
            yield from one.columns


RULE = Rule(
    id="adding-not-nullable-field",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.execute("alter table rooms alter constraint rooms_floor_not_null inherit")',
        'op.alter_column("items", "quantity", nullable=False)',
        'op.execute("ALTER TABLE ONLY Items ALTER quantity SET NOT NULL, ALTER quantity SET DEFAULT 2")',
        'op.execute("alter table archive.items alter column account_id set not null")',
        'op.execute("alter table events alter item_id set not null")',
        'op.execute("do $$ begin alter table if exists items alter \\"quantity\\" set not null; end $$")',
    ),
    safe=(
        'op.execute("create table sheds (n int not null); create table huts () inherits (sheds)")',
        'set_not_null_safely("items", "quantity")',
        'op.alter_column("items", "account_id", nullable=False)',
        'op.alter_column("items", "code", nullable=False)',
        'add_check_not_valid("quantified", "items", "quantity IS NOT NULL AND quantity < 9")\n'
        "---\n"
        'validate_constraint("quantified", "items")\n'
        "---\n"
        'op.alter_column("items", "quantity", nullable=False)\n'
        'op.drop_constraint("quantified", "items")',
        'op.create_table("notes", sa.Column("n", sa.BigInteger()))\nop.alter_column("notes", "n", nullable=False)',
    ),
)
