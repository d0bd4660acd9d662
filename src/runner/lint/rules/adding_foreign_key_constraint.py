"""A foreign key that is checked while it is added blocks the writes of both tables until every row is read.

With NOT VALID it is enforced for new rows only, which takes a moment. A later revision validates it: meanwhile the
application reads and writes. A new column without a default is null in every row, so its own `REFERENCES` reads none;
but `op.add_column` with `sa.ForeignKey` sends a second statement for it, which reads them all.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from collections.abc import Iterator

from postgast import nodes
from postgast import pg_query_pb2 as pb

from runner.lint.parsing import parse_tree
from runner.lint.remedies import building, foreign_keys, made_safe, new_columns
from runner.lint.rule import Rule, Violation
from runner.lint.state import added
from runner.lint.state.database import Database
from runner.lint.state.statement import Revision, Statement, shown
from runner.lint.state.tables import Constraint, Table, Tables

FILLED = frozenset({pb.CONSTR_DEFAULT, pb.CONSTR_GENERATED, pb.CONSTR_IDENTITY})


def find(revision: Revision) -> Iterator[Violation]:
    """Yield each foreign key that is added to a table of the database with a check of its rows."""
    database = revision.database
    for statement in revision.statements:
        table = statement.table
        yield from _enforced(statement, database)
        for one in statement.constraints("foreign key"):
            if table is None or one.referred is None or not _is_checked(statement, one, table):
                continue
            referred = shown(one.referred)
            blocked = "reads and writes of" if one.column else "writes to"
            others = f" and writes to `{referred}`" if one.column else f" and `{referred}`"
            message = (
                f"The foreign key `{one.name}` blocks {blocked} `{shown(table.name)}`{others} while "
                f"{database.count(table)} of `{shown(table.name)}` are checked."
            )
            remedy = "Add it NOT VALID, and validate it in the next revision."
            yield Violation(
                database.by_rows(table),
                message,
                remedy,
                statement,
                table,
                new_columns.with_foreign_key(one, revision, statement),
            )


def _enforced(statement: Statement, database: Database) -> Iterator[Violation]:
    """Yield each foreign key that nothing enforced until now, which reads all rows of both tables."""
    table = statement.table
    if table is None or table.origin is None:
        return
    for command in parse_tree.commands(statement.node, pb.AT_AlterConstraint):
        match command.def_:
            case nodes.ATAlterConstraint(conname=name, alter_enforceability=True, is_enforced=True):
                one = table.constraints.get(name)
                # PostgreSQL does nothing for one that is enforced
                if one is None or one.node.is_enforced:
                    continue
                referred = f" and writes to `{shown(one.referred)}`" if one.referred is not None else ""
                message = (
                    f"Enforcing the foreign key `{name}` blocks reads and writes of `{shown(table.name)}`{referred} "
                    f"while {database.count(table)} of `{shown(table.name)}` are checked."
                )
                remedy = "Make it again NOT VALID: then it is enforced for new rows. Validate it in the next revision."
                instead = made_safe.again(one, table), made_safe.validate(one, table.name)
                yield Violation(database.by_rows(table), message, remedy, statement, table, instead)


def _is_checked(statement: Statement, one: Constraint, table: Table) -> bool:
    column = _column(statement, one)
    if column is not None:
        kinds = {part.contype for part in column.constraints if isinstance(part, nodes.Constraint)}
        # PostgreSQL checks no row where the new column is null in all of them
        return one.valid and bool(FILLED & kinds or parse_tree.read_type(column.type_name).name in added.SERIAL)
    return one.valid and not _is_in_parts(one, table, statement.before)


def _column(statement: Statement, one: Constraint) -> nodes.ColumnDef | None:
    return next((column for column in statement.columns() if column.colname == one.column), None)


def _is_in_parts(one: Constraint, table: Table, tables: Tables) -> bool:
    """Return whether each partition has the same foreign key, so that only the partitioned table gets it."""
    if not table.is_partitioned:
        return False
    wanted = one.columns, one.referred, foreign_keys.referred_columns(one, tables)
    return all(
        any(
            wanted == (other.columns, other.referred, foreign_keys.referred_columns(other, tables)) and other.valid
            for other in part.constraints.values()
            if other.kind == "foreign key"
        )
        for part in building.leaves(tables, table.name)
    )


RULE = Rule(
    id="adding-foreign-key-constraint",
    levels="An error from 10,000 rows on, else a warning.",
    find=find,
    is_of_rows=True,
    bad=(
        'op.drop_constraint("parcels_supplier_id_fkey", "parcels")\n'
        'op.create_foreign_key("parcels_supplier_id_fkey", "parcels", "suppliers", ["supplier_id"], ["id"])',
        'op.create_foreign_key("items_account_fk", "items", "accounts", ["account_id"], ["id"])',
        'op.execute("ALTER TABLE ONLY Items ADD FOREIGN KEY (account_id) REFERENCES accounts")',
        'op.execute("alter table items add constraint k foreign key (account_id) references accounts (id) '
        'on delete cascade on update cascade deferrable initially deferred")',
        'op.execute("alter table archive.items add constraint \\"Account\\" foreign key (account_id) '
        'references accounts match full")',
        'op.execute("do $$ begin alter table if exists items add foreign key (account_id) '
        'references accounts; end $$")\nop.create_table_comment("items", "sold")',
        'op.create_foreign_key("items_account_fk", "items", "accounts", ["account_id"], ["id"], ondelete="SET NULL")',
        'op.execute("alter table items add owner bigint default 1 references accounts, add label text")',
        'op.add_column("items", sa.Column("owner", sa.BigInteger(), sa.ForeignKey("accounts.id")))',
        'op.execute("alter table events add constraint events_item foreign key (item_id) references items")',
        'op.create_foreign_key("logs_item_fk", "logs", "items", ["item_id"], ["id"], onupdate="CASCADE")',
    ),
    safe=(
        'add_foreign_key_not_valid("items_account_fk", "items", "accounts", ["account_id"], ["id"])\n'
        "---\n"
        'validate_constraint("items_account_fk", "items")',
        'op.execute("alter table items add column owner bigint")\n'
        "---\n"
        'create_index_concurrently("items_owner", "items", ["owner"])\n'
        "---\n"
        'op.execute("alter table items add foreign key (owner) references accounts not valid")',
        'op.create_table("notes", sa.Column("account_id", sa.BigInteger(), sa.ForeignKey("accounts.id")))',
        'op.execute("alter table items add foreign key (account_id) references accounts on delete cascade not valid")\n'
        "---\n"
        'op.execute("alter table items validate constraint items_account_id_fkey")',
    ),
)
