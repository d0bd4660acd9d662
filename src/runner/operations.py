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
| `create_index_on_only` | `SHARE`, for a moment | reads; writes wait for that moment |
| `attach_index` | `ACCESS EXCLUSIVE` on the partition's index, a moment | reads and writes, except for that moment |
| `add_key_on_only` | `ACCESS EXCLUSIVE`, for a moment | reads and writes, except for that moment |

PostgreSQL builds nothing concurrently on a partitioned table. It is done partition by partition, each by its name, and
the table then takes over what its partitions have without reading a row:

- an index: `create_index_on_only`, `create_index_concurrently` on each partition, `attach_index` for each
- a key: `create_index_concurrently` with `unique=True` and `add_key_using_index` on each partition, `add_key_on_only`,
  `attach_index` for each
- a foreign key: `add_foreign_key_not_valid` and `validate_constraint` on each partition, then `op.create_foreign_key`
- a CHECK or NOT NULL: `add_check_not_valid` and `validate_constraint`, or `set_not_null_safely`, as on any table
- to drop an index: `op.drop_index`, which takes `ACCESS EXCLUSIVE` on the table and its partitions, for a moment

A partition that is partitioned itself is treated like the table. Foreign keys may have other names than the table's,
but must agree with it in columns and actions: where one differs or is not validated, `op.create_foreign_key` reads that
partition. It takes `SHARE ROW EXCLUSIVE` on the table and its partitions, and `ACCESS EXCLUSIVE` on the referenced one.
https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE

Lock modes and their conflicts: https://www.postgresql.org/docs/current/explicit-locking.html
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError

# Qualified, operators too: it is sent under the `search_path` of the revision, along which only the table is looked up.
# The type `name` cuts a longer name as PostgreSQL does when it makes the constraint.
EXISTS = text("""
    select exists (select from pg_catalog.pg_constraint
                   where conname operator(pg_catalog.=) cast(:name as pg_catalog.name)
                     and contype operator(pg_catalog.=) cast(:kind as pg_catalog."char")
                     and conrelid operator(pg_catalog.=) cast(pg_catalog.to_regclass(:table) as pg_catalog.oid)
                     and (cast(:column as pg_catalog.text) is null or pg_catalog.starts_with(
                         pg_catalog.pg_get_constraintdef(oid),
                         pg_catalog.format('CHECK ((%I IS NOT NULL))', cast(:column as pg_catalog.text)))))
""")

LONGEST_NAME = 63
"""The bytes of a name: https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS"""


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
    where, quoted = _quoted(table, schema), _quoted(_not_null_check(column))
    # what this helper once called its CHECK; PostgreSQL 18 calls its own NOT NULL constraints so
    earlier = f"{table}_{column}_not_null"
    with op.get_context().autocommit_block():
        # replaces the CHECK of an earlier try in the same statement, so that the lock is taken once
        again = f"DROP CONSTRAINT IF EXISTS {quoted}, ADD CONSTRAINT {quoted}"
        if _constraint_exists(earlier, table, schema, "c", column):
            again = f"DROP CONSTRAINT IF EXISTS {_quoted(earlier)}, {again}"
        op.execute(f"ALTER TABLE {where} {again} CHECK ({_quoted(column)} IS NOT NULL) NOT VALID")
        try:
            op.execute(f"ALTER TABLE {where} VALIDATE CONSTRAINT {quoted}")
        except IntegrityError:
            # a row is NULL: until that is corrected, the CHECK would make the application's own updates of it fail
            op.execute(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted}")
            raise
        op.execute(f"ALTER TABLE {where} ALTER COLUMN {_quoted(column)} SET NOT NULL")
        op.execute(f"ALTER TABLE {where} DROP CONSTRAINT IF EXISTS {quoted}")


def create_index_on_only(
    name: str,
    table: str,
    columns: Sequence[str | TextClause],
    *,
    unique: bool = False,
    where: str | None = None,
    schema: str | None = None,
) -> None:
    """Make the index of a partitioned table without those of its partitions, unless it exists.

    Takes `SHARE` on the table, which blocks its writes, but only for a moment: it has no rows of its own. The index is
    invalid until `attach_index` has given it one of each partition; a foreign table among them has none, and then it
    stays invalid. On a table that is not partitioned, it would be built at once, while writes wait.
    https://www.postgresql.org/docs/current/sql-createindex.html
    """
    # Alembic and SQLAlchemy have no ON ONLY
    kind = "UNIQUE INDEX" if unique else "INDEX"
    listed = ", ".join(_quoted(column) if isinstance(column, str) else column.text for column in columns)
    condition = "" if where is None else f" WHERE {where}"
    op.execute(f"CREATE {kind} IF NOT EXISTS {_quoted(name)} ON ONLY {_quoted(table, schema)} ({listed}){condition}")


def attach_index(
    index: str, partition_index: str, *, schema: str | None = None, partition_schema: str | None = None
) -> None:
    """Attach the index of a partition to that of its table; one that is attached is left as it is.

    Takes `ACCESS EXCLUSIVE` on the partition's index, for a moment; no row is read. With that of the last partition,
    the table's index becomes valid. The partition's index is in `schema` too, unless `partition_schema` names another.
    https://www.postgresql.org/docs/current/sql-alterindex.html
    """
    attached = _quoted(partition_index, partition_schema or schema)
    op.execute(f"ALTER INDEX {_quoted(index, schema)} ATTACH PARTITION {attached}")


def add_key_on_only(
    name: str, table: str, columns: Sequence[str], *, primary: bool = False, schema: str | None = None
) -> None:
    """Add a UNIQUE or PRIMARY KEY constraint to a partitioned table without those of its partitions, unless it exists.

    Takes `ACCESS EXCLUSIVE` for a moment: the table has no rows of its own. The constraint's index is invalid until
    `attach_index` has given it that of a key of each partition (`add_key_using_index`). The columns include those of
    the partition key; those of a primary key must be NOT NULL already (`set_not_null_safely`).
    """
    if _constraint_exists(name, table, schema, "p" if primary else "u"):
        return
    # Alembic has no operation for ONLY
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    listed = ", ".join(map(_quoted, columns))
    op.execute(f"ALTER TABLE ONLY {_quoted(table, schema)} ADD CONSTRAINT {_quoted(name)} {kind} ({listed})")


def _constraint_exists(name: str, table: str, schema: str | None, kind: str, not_null: str | None = None) -> bool:
    """Return whether the table has such a constraint; False where SQL is only printed (`--sql`).

    With the column `not_null`, only a CHECK counts that the column is NOT NULL.
    """
    if op.get_context().as_sql:
        return False
    wanted = {"name": name, "kind": kind, "table": _quoted(table, schema), "column": not_null}
    return bool(op.get_bind().execute(EXISTS, wanted).scalar_one())


def _not_null_check(column: str) -> str:
    """Return the name of the CHECK for a column.

    No name that PostgreSQL makes has such an end, and no two columns of a table share one, however long their names.
    """
    end = f"_not_null_{hashlib.sha256(column.encode()).hexdigest()[:8]}"
    return column.encode()[: LONGEST_NAME - len(end)].decode(errors="ignore") + end


def _quoted(name: str, schema: str | None = None) -> str:
    # `op.execute` doubles each `%` for the driver, and so would the dialect of the connection
    dialect: Any = type(op.get_context().impl.dialect)
    quote = dialect(paramstyle="named").identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else str(quote(name))
