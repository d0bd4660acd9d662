"""The rows that each statement of a rehearsal reads while the session holds a lock that blocks others.

The counters are the server's own, of the present transaction. A parallel worker counts for itself: of a query in
parallel only the leader's part is seen, and what an index build in parallel leaves out is taken from the table's size.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS
from psycopg2.extensions import cursor as PlainCursor  # noqa: N812 - a class
from sqlalchemy import Connection, text

from runner.lint.report import excerpt
from runner.postgres import sql, tokens
from runner.postgres.transaction import GuardedConnection
from runner.preview.lock_monitor import MODES, STRENGTH

# What the session has read it has locked, down to each index, so that few relations have to be looked at. There is no
# join, which would take three times as long, since it is sent after each statement.
# Of an index the entries count: an index-only scan, by which a foreign key may be checked, fetches no row.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW
READ = """
    select relation, mode, pg_catalog.pg_relation_filenode(relation), pg_catalog.pg_stat_get_xact_numscans(relation),
           pg_catalog.pg_stat_get_xact_tuples_returned(relation)
    from pg_catalog.pg_locks
    where pid operator(pg_catalog.=) pg_catalog.pg_backend_pid() and granted
      and relation operator(pg_catalog.>=) 16384::pg_catalog.oid
"""
# What was read and is not locked any more: ROLLBACK TO SAVEPOINT and the exception blocks of PL/pgSQL release locks.
RELEASED = """
    select oid, null, null, pg_catalog.pg_stat_get_xact_numscans(oid), pg_catalog.pg_stat_get_xact_tuples_returned(oid)
    from pg_catalog.pg_class
    where oid operator(pg_catalog.>=) 16384::pg_catalog.oid
      and pg_catalog.pg_stat_get_xact_numscans(oid) operator(pg_catalog.>) 0
"""
BLOCKS = frozenset({"call", "do"})
TABLES = """
    select c.oid, coalesce(x.indrelid, c.oid), c.reltuples::pg_catalog.int8
    from pg_catalog.pg_class c left join pg_catalog.pg_index x on x.indexrelid operator(pg_catalog.=) c.oid
    where c.oid operator(pg_catalog.=) any (%s::pg_catalog.oid[])
"""
# An index has the name of its table, on which its lock counts.
EXISTING = text("""
    select c.oid, regexp_replace(coalesce(x.indrelid, c.oid)::regclass::text, '^public[.]', '') as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_index x on x.indexrelid = c.oid
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'runner')
""")
# What may build an index, and the words that say so.
BUILDERS, BUILDS = ("alter", "create", "reindex"), frozenset({"index", "key", "primary", "reindex", "unique"})
# What locks the tables that it names so that others wait.
LOCKING = frozenset({"alter", "cluster", "drop", "lock", "refresh", "reindex", "truncate"})
LOCKING_CREATE = frozenset({"index", "partition", "policy", "references", "rule", "trigger"})


@dataclass(frozen=True)
class Scan:
    """What one statement read of a table while a lock blocked others."""

    statement: str
    """On one line, cut as in a finding."""
    table: int
    """The table's oid."""
    rows: int
    rewrites: bool
    locked: int
    """The oid of the relation with the strongest lock, of several the table itself."""
    blocks: str
    """The statements that this lock blocks."""


@dataclass(frozen=True)
class Counts:
    """The counters and the locks at one moment, by oid."""

    rows: dict[int, int] = field(default_factory=dict)
    """The rows read of each table, and the entries read of each index."""
    scans: dict[int, int] = field(default_factory=dict)
    """The number of times that each was scanned."""
    files: dict[int, int | None] = field(default_factory=dict)
    """The number of each one's file; a rewrite makes a new file."""
    locks: dict[int, str] = field(default_factory=dict)
    """The strongest mode on each relation that others can see."""


@dataclass
class Scans:
    """The scans of a revision in a rehearsal, on the driver's connection of its session."""

    driver: GuardedConnection
    existing: dict[int, str] = field(default_factory=dict)
    """The names of the relations that others can see, by oid."""
    found: list[Scan] = field(default_factory=list)
    _files: dict[int, set[int | None]] = field(default_factory=dict)
    """The numbers that each table's file has had; ROLLBACK TO SAVEPOINT brings back an earlier one."""
    _earlier: dict[int, str] = field(default_factory=dict)
    """The locks that earlier revisions have left."""
    _last: Counts | None = None
    """The counters when they were read last."""
    _statement: str = ""
    """What was sent since then."""
    _failed: bool = False
    """Whether it has failed, so that the counters cannot be read before a ROLLBACK TO SAVEPOINT."""

    def open(self, connection: Connection) -> None:
        """Note, before the first revision, what others can see."""
        self.existing = {row.oid: row.name for row in connection.execute(EXISTING)}

    def begin(self, files: Mapping[int, int]) -> None:
        """Begin another revision; `files` are the numbers of the tables' files."""
        self.found, self._statement, self._failed = [], "", False
        self._files = {table: {file} for table, file in files.items()}
        self._last = self._read()
        self._earlier = dict(self._last.locks) if self._last else {}

    @contextlib.contextmanager
    def measure(self, statement: str) -> Iterator[None]:
        """Measure the statement that the block sends."""
        # rows that were fetched since then from a cursor on the server
        if _first_word(self._statement) in sql.QUERIES:
            self.settle()
        self._statement = self._statement if self._failed else statement
        try:
            yield
        except BaseException:
            self._failed = True
            raise
        if self._earlier and _takes_lock(statement):
            self._lock_again(set(sql.names_in(statement)))
        self.settle()

    def settle(self) -> None:
        """Count what was read since the last time as read by the last statement."""
        # a failed transaction accepts no query, and where there is none, a query would begin one
        now = self._read(released=self._failed or _first_word(self._statement) in BLOCKS)
        if now is None:
            return
        if self._last is not None:
            self.found += self._compare(self._last, now)
            # what is not seen for a time keeps its counters
            now = replace(now, rows=self._last.rows | now.rows, scans=self._last.scans | now.scans)
        self._last, self._failed = now, False
        for table in now.files.keys() & self._files.keys():
            self._files[table].add(now.files[table])

    def _lock_again(self, words: set[str]) -> None:
        """Forget that an earlier revision has locked what is named here: this one does so by itself."""
        names = {one: sql.read_name(self.existing[one])[1] for one in self._earlier}
        self._earlier = {one: mode for one, mode in self._earlier.items() if names[one] not in words}

    def _read(self, *, released: bool = False) -> Counts | None:
        if self.driver.info.transaction_status != TRANSACTION_STATUS_INTRANS:
            return None
        return _count([*(self._ask(RELEASED) if released else ()), *self._ask(READ)], self.existing)

    def _ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with PlainCursor(self.driver) as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall()

    def _compare(self, before: Counts, after: Counts) -> Iterator[Scan]:
        """Yield what was read between two moments, if a lock of this revision blocks others."""
        strong = {one: mode for one, mode in after.locks.items() if MODES[mode] and self._earlier.get(one) != mode}
        read = {one: rows - before.rows.get(one, 0) for one, rows in after.rows.items()}
        rewritten = {one for one, file in after.files.items() if self._is_new(one, file)}
        if not strong or not (rewritten or any(read.values())):
            return
        builds, total = _builds_index(self._statement), dict[int, int]()
        for relation, table, size in self._ask(TABLES, [one for one in after.rows if read[one] or one in rewritten]):
            rows = read[relation]
            if builds and relation == table:
                rows = max(rows, (after.scans[table] - before.scans.get(table, 0)) * size)
            if relation in rewritten:
                # SET TABLESPACE copies the file and reads no row; TRUNCATE leaves a table without a size
                rows = max(rows, size)
            total[table] = total.get(table, 0) + rows
        for table in total:
            locked = min(strong, key=lambda one: (STRENGTH.index(strong[one]), one != table))
            if total[table] > 0:
                blocks = str(MODES[strong[locked]])
                yield Scan(shorten(self._statement), table, total[table], table in rewritten, locked, blocks)

    def _is_new(self, table: int, file: int | None) -> bool:
        # indexes and what the rehearsal has made itself are not among those that are known
        return file is not None and table in self._files and file not in self._files[table]


def _count(rows: Iterable[tuple[Any, ...]], existing: Mapping[int, str]) -> Counts:
    """Return the counters in the rows of `READ`, in which a relation stands once for each mode."""
    counts = Counts()
    for relation, mode, file, number, returned in rows:
        if mode is not None and relation in existing:
            counts.locks[relation] = min(mode, counts.locks.get(relation, mode), key=STRENGTH.index)
        counts.rows[relation], counts.scans[relation], counts.files[relation] = returned, number, file
    return counts


def shorten(statement: str) -> str:
    """Return a statement on one line, without its semicolon, as long as in a finding."""
    return excerpt(statement).rstrip("; ")


def _first_word(statement: str) -> str:
    return next((token.keyword for token in tokens.read(statement)), "")


def _builds_index(text: str) -> bool:
    """Return whether a statement of the text may build an index, which several processes may do in parallel."""
    building = (one for one in sql.split(text) if _first_word(one) in BUILDERS)
    return any(token.keyword in BUILDS for one in building for token in tokens.read(one))


def _takes_lock(text: str) -> bool:
    """Return whether a statement of the text is of a kind that locks a table so that others wait."""
    return not sql.is_concurrent_work(text) and any(map(_locks, sql.split(text)))


def _locks(statement: str) -> bool:
    match _first_word(statement):
        case "create":
            return any(token.keyword in LOCKING_CREATE for token in tokens.read(statement))
        case "do":
            # also the words of its body
            return not (LOCKING | {"index"}).isdisjoint(sql.names_in(statement))
        case word:
            return word in LOCKING
