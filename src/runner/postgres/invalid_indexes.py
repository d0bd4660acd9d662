"""Invalid indexes: what a failed concurrent build leaves behind, updated by every write and used by no query.

https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from runner.deadline import Deadline
from runner.postgres import queries, search_path, sql
from runner.postgres.sql import Target
from runner.postgres.timeouts import send

LOOK_EVERY_S = 0.2
MOST_NAMED = 10
"""The most partitions that a finding names: a table may have thousands."""


@dataclass(frozen=True)
class InvalidIndex:
    """An invalid index."""

    oid: int
    name: str
    """With its schema, quoted where it must be."""
    required: bool
    """Whether a constraint or a partitioned index rests on it, so that it cannot be dropped."""
    busy: bool
    """Whether a session may be building it."""

    @property
    def identity(self) -> tuple[str, str]:
        """Return its oid and its name, as the ledger has them."""
        return str(self.oid), self.name

    @property
    def mending(self) -> str:
        """Return the statement that drops it, or that builds it again where it is required."""
        # what a REINDEX leaves is never required: it gets the constraint only once it is valid
        if self.required:
            return f"REINDEX INDEX CONCURRENTLY {self.name}"
        return f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}"


@dataclass(frozen=True)
class IncompleteIndex:
    """The index of a partitioned table, which is invalid until each partition has a valid one attached to it."""

    name: str
    """With its schema, quoted where it must be, as the partitions."""
    key: bool
    """Whether it is that of a UNIQUE or PRIMARY KEY constraint."""
    partitions: Sequence[str]
    """Those without a valid one; none where the last became valid after it was attached."""

    @property
    def reason(self) -> str:
        """Return why it is invalid."""
        if not self.partitions:
            return "It is still invalid, because an index of a partition became valid after it was attached."
        named = ", ".join(f"`{name}`" for name in self.partitions[:MOST_NAMED])
        more = len(self.partitions) - MOST_NAMED
        return f"No query uses it yet: no valid index is attached for {named}{f' and {more} more' if more > 0 else ''}."

    @property
    def remedy(self) -> str:
        """Return the next step."""
        if not self.partitions:
            return "Attach that one again with `attach_index`, in a revision."
        key = ", make it a key with `add_key_using_index`" if self.key else ""
        return f"Build one on each with `create_index_concurrently`{key}, then attach it with `attach_index`."


@dataclass(frozen=True)
class Before:
    """What an autocommit block finds, in its revision's earliest try; both are names by oid.

    A rebuilt index has its name and another oid, one that a REINDEX replaces has its oid and another name.
    """

    invalid: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    """The indexes that a DROP INDEX CONCURRENTLY was sent for, which is left to finish what it began."""

    def left(self, found: Sequence[InvalidIndex]) -> list[InvalidIndex]:
        """Return the indexes that have become invalid since."""
        return [index for index in found if self.invalid.get(str(index.oid)) != index.name]

    def built(self, found: Sequence[InvalidIndex]) -> list[InvalidIndex]:
        """Return the indexes that have become invalid since by another statement than a DROP."""
        return [index for index in self.left(found) if self.dropped.get(str(index.oid)) != index.name]


def find(connection: Connection) -> list[InvalidIndex]:
    """Return the invalid indexes, in the order of their names; `search_path` is our own.

    Without those of TOAST tables where the role may not name them.
    """
    nothing = dict.fromkeys(("kind", "target", "name", "relation", "index"))
    return _of(send(connection, _sql("find"), nothing))


def find_incomplete(connection: Connection) -> list[IncompleteIndex]:
    """Return the incomplete indexes of partitioned tables, in the order of their names; `search_path` is our own."""
    return [IncompleteIndex(**index) for index in send(connection, _sql("find_incomplete"), {})[0]]


def find_on(connection: Connection, targets: Iterable[Target]) -> list[InvalidIndex]:
    """Return the invalid indexes of what a revision's statements were about; `search_path` is our own."""
    send(connection, search_path.ENTER)
    found = [index for target in targets for index in _find_on(connection, target)]
    send(connection, search_path.LEAVE)
    return found


def _find_on(connection: Connection, target: Target, name: str | None = None) -> list[InvalidIndex]:
    """Return the invalid indexes of a target, or only the one that is called `name`."""
    kind, named = target
    relation = None if kind == "schema" else named
    return _of(_send(connection, "find", {"kind": kind, "target": named, "name": name}, relation, name))


def _of(row: Any) -> list[InvalidIndex]:
    return [InvalidIndex(**index) for index in row[0]]


def _sql(name: str) -> str:
    return queries.load_named("runner.postgres", "invalid_indexes.sql")[name]


def _send(
    connection: Connection, query: str, parameters: dict[str, str | None], relation: str | None, index: str | None
) -> Any:
    """Send a query under our own `search_path`, with the oids of two names, and return its first row."""
    path, *oids, _ = send(connection, _sql("resolve"), {"target": relation, "name": index, "path": search_path.OWN})
    row = send(connection, _sql(query), {**parameters, "relation": oids[0], "index": oids[1]})
    send(connection, "select pg_catalog.set_config('search_path', %(path)s, false)", {"path": path})
    return row


def as_record(found: Sequence[InvalidIndex]) -> dict[str, str]:
    """Return the names by oid, as `Before` has them."""
    return {str(index.oid): index.name for index in found}


def locate(connection: Connection, name: str) -> dict[str, str]:
    """Return the name of an index by its oid, as `Before` has it; empty if there is none."""
    row = _send(connection, "locate", {}, None, name)
    return dict([row]) if row else {}


def mend(connection: Connection, index: InvalidIndex, bound_ms: int) -> None:
    """Drop an invalid index or build it again, concurrently, in at most `bound_ms`.

    `connection` must be in AUTOCOMMIT. Raises SQLAlchemy's `DBAPIError`.
    """
    # all of the time for the lock too: it waits for old snapshots, and blocks neither reads nor writes meanwhile
    connection.exec_driver_sql(f"set lock_timeout = {bound_ms}; set statement_timeout = {bound_ms}")
    # the driver would read a `%` of the name as a placeholder
    connection.exec_driver_sql(index.mending.replace("%", "%%"))


@dataclass(frozen=True)
class Leftovers:
    """What an earlier try of concurrent work left, which is mended before the work is done again.

    A CREATE INDEX CONCURRENTLY drops an invalid index of its name on its table: IF NOT EXISTS would accept it and
    report success. Without a name, it would build a second index beside the first, and a REINDEX skips an invalid one:
    before those, what was built in vain on their target since `before()` is mended. A DROP is noted before it is sent.
    """

    connection: Connection
    deadline: Deadline
    before: Callable[[], Before | None]
    note_drop: Callable[[Mapping[str, str]], None]

    def clear(self, statement: str) -> None:
        """Mend what is left before a statement is sent; the connection is in AUTOCOMMIT."""
        earlier = self.before()
        if sql.built_concurrently(statement) is not None:
            self.clear_again(statement)
        elif earlier is None:
            return
        elif (target := sql.target_of_build(statement)) is not None:
            _mend(self.connection, lambda: earlier.built(_find_on(self.connection, target)), self.deadline)
        elif (name := sql.dropped_concurrently(statement)) is not None:
            self.note_drop(locate(self.connection, name))

    def clear_again(self, statement: str) -> bool:
        """Mend the invalid index that a statement names; return whether there was one, so that it is to be sent again.

        Another session's build of that name may have failed while the statement waited for it.
        """
        name, target = sql.built_concurrently(statement), sql.target_of_build(statement)
        if name is None or target is None:
            return False
        return _mend(self.connection, lambda: _find_on(self.connection, target, name), self.deadline)


def _mend(connection: Connection, read: Callable[[], list[InvalidIndex]], deadline: Deadline) -> bool:
    """Mend the indexes that `read` returns, each as soon as no session is building it; return whether there was one."""
    mended = False
    while (found := read()) and deadline.remaining_s > 0:
        idle = [index for index in found if not index.busy]
        if idle:
            send(connection, idle[0].mending)
            mended = True
        else:
            time.sleep(LOOK_EVERY_S)
    return mended
