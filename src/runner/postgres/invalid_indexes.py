"""Invalid indexes: what a failed concurrent build leaves behind, updated by every write and used by no query.

https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event

from runner.deadline import Deadline
from runner.postgres import queries, sql
from runner.postgres.timeouts import send

LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class InvalidIndex:
    """An invalid index."""

    oid: int
    name: str
    """With its schema, quoted where it must be."""
    required: bool
    """Whether a constraint or a partitioned index rests on it, so that it cannot be dropped."""
    names: frozenset[str]
    """By which a statement may mean it: its table, the tables of which that is a partition, and their indexes."""
    schema: str
    """The table's."""
    busy: bool
    """Whether a session may be building it."""

    def is_meant_by(self, statement: str) -> bool:
        """Return whether a statement names the table, one of its indexes, or all that there is."""
        words = sql.words(statement)
        everywhere = {"database", "system"} if "reindex" in words else set()
        return bool(words & (self.names | everywhere)) or {"reindex", "schema", self.schema} <= words

    @property
    def mending(self) -> str:
        """Return the statement that drops it, or that builds it again where it is required."""
        # what a REINDEX leaves is never required: it gets the constraint only once it is valid
        if self.required:
            return f"REINDEX INDEX CONCURRENTLY {self.name}"
        return f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}"


def find(connection: Connection) -> list[InvalidIndex]:
    """Return the invalid indexes that no session is building, in the order of their names."""
    return [index for index in _read(connection, None) if not index.busy]


def _read(connection: Connection, name: str | None) -> list[InvalidIndex]:
    """Return all invalid indexes, or only the one of that name."""
    query = queries.load_named("runner.postgres", "invalid_indexes.sql")["find"]
    rows = send(connection, query, {"name": name})[0]
    return [InvalidIndex(**{**row, "names": frozenset(row["names"])}) for row in rows]


def as_record(found: list[InvalidIndex]) -> dict[str, str]:
    """Return the names by oid, as the ledger keeps them: a rebuilt index has its name and another oid."""
    return {str(index.oid): index.name for index in found}


def without(found: list[InvalidIndex], record: Mapping[str, str]) -> list[InvalidIndex]:
    """Return the indexes that are not among those of the record."""
    return [index for index in found if record.get(str(index.oid)) != index.name]


def mend(connection: Connection, index: InvalidIndex, bound_ms: int) -> None:
    """Drop an invalid index or build it again, concurrently, in at most `bound_ms`.

    `connection` must be in AUTOCOMMIT. Raises SQLAlchemy's `DBAPIError`.
    """
    # all of the time for the lock too: it waits for old snapshots, and blocks neither reads nor writes meanwhile
    connection.exec_driver_sql(f"set lock_timeout = {bound_ms}; set statement_timeout = {bound_ms}")
    # the driver would read a `%` of the name as a placeholder
    connection.exec_driver_sql(index.mending.replace("%", "%%"))


def rebuild_leftovers(
    connection: Connection, deadline: Deadline, record: Callable[[], Mapping[str, str] | None]
) -> None:
    """Make all concurrent work on `connection` begin without what an earlier try of it left.

    A CREATE INDEX CONCURRENTLY drops an invalid index of its name, and builds it anew if it was left meanwhile: IF NOT
    EXISTS would accept it and report success. Without a name, it would build a second index beside the first, and a
    REINDEX skips an invalid one: before those, everything is mended that is not in `record()`, the invalid indexes from
    before the earliest try, and that the statement means.
    """

    def before(opened: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if (name := sql.built_concurrently(statement)) is not None:
            _drop_leftover(opened, name, deadline)
        elif sql.adds_concurrently(statement) and (earlier := record()) is not None:
            for index in without(find(opened), earlier):
                if index.is_meant_by(statement):
                    send(opened, index.mending)

    def after(opened: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        # again: another session's build of that name may have failed while this statement waited for it
        while (name := sql.built_concurrently(statement)) is not None and _drop_leftover(opened, name, deadline):
            # with the parameters, even if there are none: without them psycopg2 would send a `%%` unchanged
            cursor.execute(statement, parameters)

    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)


def _drop_leftover(connection: Connection, name: str, deadline: Deadline) -> bool:
    """Drop the invalid index `name` as soon as no session is building it; return whether there was one."""
    while deadline.remaining_s > 0:
        found = _read(connection, name)
        if not found:
            return False
        if not found[0].busy:
            send(connection, found[0].mending)
            return True
        time.sleep(LOOK_EVERY_S)
    return False
