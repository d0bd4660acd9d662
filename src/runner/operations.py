"""Operations for revisions that run while the application is serving; each can be run again.

    from runner.operations import create_index_concurrently

| helper | takes on the table | meanwhile the application |
|---|---|---|
| `create_index_concurrently` | `SHARE UPDATE EXCLUSIVE` | reads and writes |
| `drop_index_concurrently` | `SHARE UPDATE EXCLUSIVE` | reads and writes |
| `add_foreign_key_not_valid` | `SHARE ROW EXCLUSIVE` on both, for a moment | reads; writes wait for that moment |
| `add_check_not_valid` | `ACCESS EXCLUSIVE`, for a moment | reads and writes but for that moment |
| `add_key_using_index` | `ACCESS EXCLUSIVE`, for a moment | reads and writes but for that moment |
| `validate_constraint` | `SHARE UPDATE EXCLUSIVE`, `ROW SHARE` on the other | reads and writes |
| `set_not_null_safely` | `ACCESS EXCLUSIVE` for moments, else as above | reads and writes but for moments |

The lock of each statement stands in https://www.postgresql.org/docs/current/explicit-locking.html.
"""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError


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

    Takes `SHARE UPDATE EXCLUSIVE`: reads and writes go on, other schema changes of the table wait. A valid
    index of that name is left as it is, an invalid one that a failed build left is dropped and built again.
    """
    with op.get_context().autocommit_block():
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            schema=schema,
            postgresql_concurrently=True,
            postgresql_where=None if where is None else text(where),
            if_not_exists=True,
        )


def drop_index_concurrently(name: str, *, schema: str | None = None) -> None:
    """Drop an index, if it is there, without blocking reads or writes; alone in its revision.

    Takes `SHARE UPDATE EXCLUSIVE` on the table, and waits for the queries that use the index.
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
    """Add a foreign key that holds for new rows at once, unless it is there.

    Takes `SHARE ROW EXCLUSIVE` on both tables, which blocks their writes, but only for a moment: the rows
    that are there are not read. `validate_constraint`, in a later revision, proves them.
    """
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
    """Add a CHECK that holds for new rows at once, unless it is there.

    Takes `ACCESS EXCLUSIVE`, which blocks reads and writes, but only for a moment: the rows that are there
    are not read. `validate_constraint`, in a later revision, proves them.
    """
    if _constraint_exists(name, table, schema, "c"):
        return
    op.create_check_constraint(name, table, condition, schema=schema, postgresql_not_valid=True)


def add_key_using_index(name: str, table: str, index: str, *, primary: bool = False, schema: str | None = None) -> None:
    """Make a unique index, which `create_index_concurrently` has built, a UNIQUE or PRIMARY KEY constraint.

    Takes `ACCESS EXCLUSIVE` for a moment: the index is there, so no row is read. For a primary key its columns
    are NOT NULL already (`set_not_null_safely`). The index is renamed to the constraint.
    """
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    where = _quoted(table, schema)
    op.execute(f"ALTER TABLE {where} ADD CONSTRAINT {_quoted(name)} {kind} USING INDEX {_quoted(index)}")


def validate_constraint(name: str, table: str, *, schema: str | None = None) -> None:
    """Prove a constraint that was added NOT VALID; of one that is proven, nothing is done.

    Takes `SHARE UPDATE EXCLUSIVE`, and `ROW SHARE` on a table that is referred to: reads and writes go on
    while all rows are read.
    """
    op.execute(f"ALTER TABLE {_quoted(table, schema)} VALIDATE CONSTRAINT {_quoted(name)}")


def set_not_null_safely(table: str, column: str, *, schema: str | None = None) -> None:
    """Make a column NOT NULL without reading the table under a lock that blocks reads.

    A CHECK is added NOT VALID (`ACCESS EXCLUSIVE`, for a moment) and validated (`SHARE UPDATE EXCLUSIVE`, while
    all rows are read); the proven CHECK spares SET NOT NULL its own scan. In one revision the first lock is
    kept until the commit, so each of the three statements is committed by itself: alone in its revision.
    https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DROP-NOT-NULL
    """
    name = f"{table}_{column}_not_null"
    where, quoted = _quoted(table, schema), _quoted(name)
    with op.get_context().autocommit_block():
        # one that an earlier try left is replaced, in the same statement
        again = f"DROP CONSTRAINT IF EXISTS {quoted}, ADD CONSTRAINT {quoted}"
        op.execute(f"ALTER TABLE {where} {again} CHECK ({_quoted(column)} IS NOT NULL) NOT VALID")
        try:
            op.execute(f"ALTER TABLE {where} VALIDATE CONSTRAINT {quoted}")
        except IntegrityError:
            # a row stands in the way; the application's writes must not meet the CHECK meanwhile
            op.execute(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted}")
            raise
        op.execute(f"ALTER TABLE {where} ALTER COLUMN {_quoted(column)} SET NOT NULL")
        op.execute(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted}")


def _constraint_exists(name: str, table: str, schema: str | None, kind: str) -> bool:
    """Ask the database; SQL that is only printed (`--sql`) is written as for a database without it."""
    if op.get_context().as_sql:
        return False
    found = op.get_bind().execute(
        text(
            "select exists (select from pg_constraint where conname = left(:name, 63) and contype = :kind "
            "and conrelid = to_regclass(:table))"
        ),
        {"name": name, "kind": kind, "table": _quoted(table, schema)},
    )
    return bool(found.scalar_one())


def _quoted(name: str, schema: str | None = None) -> str:
    quote = op.get_context().impl.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else str(quote(name))
