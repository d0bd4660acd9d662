"""Operations for revisions that run while the application is serving; each can be repeated after a failure.

    from runner.operations import create_index_concurrently

| operation | lock on the table | what the application can do meanwhile |
|---|---|---|
| `create_index_concurrently` | `SHARE UPDATE EXCLUSIVE` | reads and writes |
| `drop_index_concurrently` | `SHARE UPDATE EXCLUSIVE` | reads and writes |
| `add_foreign_key_not_valid` | `SHARE ROW EXCLUSIVE` on both, for a moment | reads; writes wait for that moment |
| `add_check_not_valid` | `ACCESS EXCLUSIVE`, for a moment | reads and writes, except for that moment |
| `add_key_using_index` | `ACCESS EXCLUSIVE`, for a moment | reads and writes, except for that moment |
| `validate_constraint` | `SHARE UPDATE EXCLUSIVE`, `ROW SHARE` on the referenced one | reads and writes |
| `set_not_null_safely` | `ACCESS EXCLUSIVE` for moments, else as above | reads and writes, except for those moments |

Lock modes and their conflicts: https://www.postgresql.org/docs/current/explicit-locking.html
"""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

# Qualified, operators too: it is sent under the `search_path` of the revision, along which only the table is looked up.
# The type `name` cuts a longer name as PostgreSQL does when it makes the constraint.
EXISTS = text("""
    select exists (select from pg_catalog.pg_constraint
                   where conname operator(pg_catalog.=) cast(:name as pg_catalog.name)
                     and contype operator(pg_catalog.=) cast(:kind as pg_catalog."char")
                     and conrelid operator(pg_catalog.=) cast(pg_catalog.to_regclass(:table) as pg_catalog.oid))
""")


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[Any],
    *,
    unique: bool = False,
    where: str | None = None,
    schema: str | None = None,
) -> None:
    """Build an index without blocking writes; alone in its revision.

    Takes `SHARE UPDATE EXCLUSIVE` on the table: reads and writes continue, other schema changes of it wait. A valid
    index of that name is kept, an invalid one that a failed build left is dropped and built again.
    """
    # CREATE INDEX CONCURRENTLY cannot run inside a transaction block
    # https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
    with op.get_context().autocommit_block():
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            schema=schema,
            postgresql_concurrently=True,
            postgresql_where=None if where is None else text(where),
            # for a repetition; alone it would accept an invalid index too, which the runner drops before the statement
            if_not_exists=True,
        )


def drop_index_concurrently(name: str, *, schema: str | None = None) -> None:
    """Drop an index, if it exists, without blocking reads or writes; alone in its revision.

    Takes `SHARE UPDATE EXCLUSIVE` on the table, and waits for the transactions that use the index.
    """
    with op.get_context().autocommit_block():
        op.drop_index(name, schema=schema, postgresql_concurrently=True, if_exists=True)


def add_foreign_key_not_valid(
    name: str,
    table: str,
    referred: str,
    columns: Sequence[str],
    referred_columns: Sequence[str],
    *,
    ondelete: str | None = None,
    schema: str | None = None,
) -> None:
    """Add a foreign key that is enforced for new rows only, unless it exists.

    Takes `SHARE ROW EXCLUSIVE` on both tables, which blocks their writes, but only for a moment: existing rows are not
    checked. `validate_constraint` checks them, in a later revision.
    """
    # ADD CONSTRAINT has no IF NOT EXISTS
    if _constraint_exists(name, table, schema, "f"):
        return
    op.create_foreign_key(
        name,
        table,
        referred,
        list(columns),
        list(referred_columns),
        ondelete=ondelete,
        source_schema=schema,
        postgresql_not_valid=True,
    )


def add_check_not_valid(name: str, table: str, condition: str, *, schema: str | None = None) -> None:
    """Add a CHECK constraint that is enforced for new rows only, unless it exists.

    Takes `ACCESS EXCLUSIVE`, which blocks reads and writes, but only for a moment: existing rows are not checked.
    `validate_constraint` checks them, in a later revision.
    """
    if _constraint_exists(name, table, schema, "c"):
        return
    op.create_check_constraint(name, table, condition, schema=schema, postgresql_not_valid=True)


def add_key_using_index(name: str, table: str, index: str, *, primary: bool = False, schema: str | None = None) -> None:
    """Make a unique index, built by `create_index_concurrently`, a UNIQUE or PRIMARY KEY constraint.

    Takes `ACCESS EXCLUSIVE` for a moment: the index exists, so no row is read. The columns of a primary key must be
    NOT NULL already (`set_not_null_safely`). The index is renamed to the constraint.
    """
    # Alembic has no operation for USING INDEX
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    where = _quoted(table, schema)
    op.execute(f"ALTER TABLE {where} ADD CONSTRAINT {_quoted(name)} {kind} USING INDEX {_quoted(index)}")


def validate_constraint(name: str, table: str, *, schema: str | None = None) -> None:
    """Validate a constraint that was added NOT VALID; a valid one is left as it is.

    Takes `SHARE UPDATE EXCLUSIVE` on the table, and `ROW SHARE` on the one that a foreign key references: reads and
    writes continue while all rows are checked.
    """
    op.execute(f"ALTER TABLE {_quoted(table, schema)} VALIDATE CONSTRAINT {_quoted(name)}")


def set_not_null_safely(table: str, column: str, *, schema: str | None = None) -> None:
    """Make a column NOT NULL without scanning the table under a lock that blocks reads; alone in its revision.

    A CHECK constraint is added NOT VALID (`ACCESS EXCLUSIVE`, for a moment) and validated (`SHARE UPDATE EXCLUSIVE`,
    while all rows are checked); because of the valid CHECK, SET NOT NULL skips its own scan. A transaction would keep
    the first lock until its commit, so each statement is committed by itself.
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
    """
    name = f"{table}_{column}_not_null"
    where, quoted = _quoted(table, schema), _quoted(name)
    with op.get_context().autocommit_block():
        # replaces the CHECK of an earlier try in the same statement, so that the lock is taken once
        again = f"DROP CONSTRAINT IF EXISTS {quoted}, ADD CONSTRAINT {quoted}"
        op.execute(f"ALTER TABLE {where} {again} CHECK ({_quoted(column)} IS NOT NULL) NOT VALID")
        try:
            op.execute(f"ALTER TABLE {where} VALIDATE CONSTRAINT {quoted}")
        except IntegrityError:
            # a row is NULL: until that is corrected, the CHECK would make the application's own updates of it fail
            op.execute(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted}")
            raise
        op.execute(f"ALTER TABLE {where} ALTER COLUMN {_quoted(column)} SET NOT NULL")
        op.execute(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted}")


def _constraint_exists(name: str, table: str, schema: str | None, kind: str) -> bool:
    """Return whether the table has such a constraint; False where SQL is only printed (`--sql`)."""
    if op.get_context().as_sql:
        return False
    exists = op.get_bind().execute(EXISTS, {"name": name, "kind": kind, "table": _quoted(table, schema)})
    return bool(exists.scalar_one())


def _quoted(name: str, schema: str | None = None) -> str:
    quote = op.get_context().impl.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else str(quote(name))
