"""The tenant's blocklist, looked up by its keys: its size is no matter for a run.

The table `blocklist_chaves` has, for each row of the blocklist that was read, its keys with the version of their
reader, or a mark that it names nobody. Triggers delete the keys of a row that changes, and mark the row. A run reads
what is marked, and what an older version has read, before it decides on anything; from then on the table is complete,
which a mark of the tenant says. Only one session of a tenant writes keys at a time.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import DBAPIError

from dispatch_agent import reading, turn
from dispatch_agent.blocklist.nameless import NAMED, Nameless
from dispatch_agent.contacts.keys import VERSION, is_tail, keys, names_somebody
from dispatch_agent.contacts.of_lead import lookup_keys
from dispatch_agent.failure import BlocklistTooLong, RunBusy
from dispatch_agent.lead import Lead
from runner.postgres import advisory_lock, queries, sqlstate
from runner.postgres.version_table import lock_key

BATCH_ROWS = 5_000
"""The number of blocklist rows whose keys are committed at once."""
MOST_MARKED = 1_000
"""The number of marked rows that a chunk of leads reads itself; more are caught up first."""


class Row(NamedTuple):
    """A row of the blocklist whose keys are not in the table."""

    id: UUID
    is_there: bool
    """Whether the tenant still has it."""
    telefone: str | None
    email: str | None
    lead_id: UUID | None
    marks: list[int]

    def keys(self) -> set[str]:
        """Return the keys of its texts."""
        return _keys(self.telefone, self.email)


@dataclass(frozen=True, slots=True)
class Time:
    """What catching up may take: `remaining_s` is the time in which a further batch may begin."""

    remaining_s: Callable[[], float]
    answering_s: float
    """The time beyond it that statements may take."""


@dataclass(slots=True)
class Found:
    """What the blocklist has of some leads at one moment."""

    keys: set[str] = field(default_factory=set)
    leads: set[str] = field(default_factory=set)
    marked: int = 0
    """The number of marked rows, whose keys are among `keys`."""
    nameless: list[UUID] = field(default_factory=list)
    """Those of them that name nobody."""
    complete: bool = False


@dataclass(slots=True)
class Blocklist:
    """A tenant's blocklist, read on `connection`, in a transaction, for one chunk of leads after the other."""

    connection: Connection
    tenant_id: UUID
    catch_up: Callable[[], None] | None
    """Writes the missing keys; None where nothing may be written, and what has no keys is read into memory."""
    unread: frozenset[str] | None = None
    """The keys of the rows that have none in the table, where they were read into memory."""
    unread_nameless: tuple[UUID, ...] = ()

    def prepare(self) -> Nameless:
        """Read what has no keys yet, and return the rows that name nobody."""
        found = self._find((), ())
        if self.catch_up and found.marked:
            self.catch_up()
            found = self._find((), ())
        stored = self.connection.execute(_sql("nameless"), self._ours(named=NAMED)).all()
        more = {*self.unread_nameless, *found.nameless}
        return Nameless(
            (stored[0][1] if stored else 0) + len(more), (*(row for row, _ in stored), *sorted(more))[:NAMED]
        )

    def marked(self, leads: list[Lead]) -> list[Lead]:
        """Return a chunk of leads, with what the blocklist has of each."""
        if self.connection.execute(_sql("is-empty"), self._ours()).scalar_one():
            return leads
        sought = [lookup_keys(lead) for lead in leads]
        found = self._find(set(itertools.chain(*sought)), [lead.lead_id for lead in leads])
        return [_with_blocks(lead, its_own, found) for lead, its_own in zip(leads, sought, strict=True)]

    def _find(self, sought: Iterable[str], leads: Iterable[str]) -> Found:
        while True:
            found = self._look_up(sought, leads)
            if self.catch_up is None:
                if found.complete or self.unread is not None:
                    found.keys |= self.unread or frozenset()
                    return found
                self._read_unread()
            elif found.complete and found.marked <= MOST_MARKED:
                return found
            else:
                self.catch_up()

    def _look_up(self, sought: Iterable[str], leads: Iterable[str]) -> Found:
        found = Found()
        most = None if self.catch_up is None else MOST_MARKED + 1
        whole, tails = set(sought), {key for key in sought if is_tail(key)}
        texts = {"keys": "\n".join(whole - tails), "tails": "\n".join(tails), "leads": ",".join(leads)}
        asked = self._ours(**texts, most=most)
        for kind, value, other, row in self.connection.execute(_sql("find"), asked):
            match kind:
                case "key":
                    found.keys.add(value)
                case "lead":
                    found.leads.add(value)
                case "marked":
                    named = _keys(value, other)
                    found.marked += 1
                    found.keys |= named
                    if row is not None and not names_somebody(named):
                        found.nameless.append(row)
                case _:
                    found.complete = True
        return found

    def _read_unread(self) -> None:
        unread: set[str] = set()
        nameless = []
        for row in _stream(self.connection, "unread", self.tenant_id):
            named = row.keys()
            unread |= named
            if row.lead_id is None and not names_somebody(named):
                nameless.append(row.id)
        self.unread, self.unread_nameless = frozenset(unread), tuple(nameless)

    def _ours(self, **more: object) -> dict[str, object]:
        return {"tenant": self.tenant_id, "version": VERSION, **more}


def open_list(engine: Engine, reader: Connection, tenant_id: UUID, time: Time | None) -> Blocklist:
    """Return the blocklist of a tenant; without `time`, or where the login may not write, it only reads."""
    writes = time is not None and reader.execute(_sql("may-write")).scalar_one()
    return Blocklist(reader, tenant_id, (lambda: _catch_up(engine, tenant_id, time)) if time and writes else None)


def _with_blocks(lead: Lead, sought: list[str], found: Found) -> Lead:
    blocked = () if found.keys.isdisjoint(sought) else tuple(key for key in sought if key in found.keys)
    by_id = lead.lead_id in found.leads
    return replace(lead, bloqueado=by_id, contatos_bloqueados=blocked) if blocked or by_id else lead


def _sql(name: str) -> TextClause:
    return text(queries.load_named("dispatch_agent.blocklist", "lookup.sql")[name])


def _keys(*texts: str | None) -> set[str]:
    return {key for one in texts if one for key in keys(one)}


def _catch_up(engine: Engine, tenant_id: UUID, time: Time) -> None:
    """Write the keys of all rows that have none of this version, in batches of their own transactions.

    Raises `RunBusy`, `BlocklistTooLong`.
    """
    ours = {"tenant": tenant_id, "version": VERSION}
    done = 0
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as writer,
        engine.connect() as reader,
        _alone(writer, tenant_id, time),
    ):
        for connection in (writer, reader):
            turn.bound(connection, time.remaining_s() + time.answering_s)
            connection.exec_driver_sql(reading.BY_INDEX)
        reader.commit()
        complete = writer.execute(_sql("is-complete"), ours).scalar_one()
        try:
            for query in ("marked",) if complete else ("unread", "marked"):
                rows = _stream(reader, query, tenant_id)
                while batch := list(itertools.islice(rows, BATCH_ROWS)):
                    writer.execute(_sql("keep"), ours | _kept(batch))
                    done += len(batch)
                    if time.remaining_s() <= 0:
                        raise BlocklistTooLong(done)
                reader.commit()
                if query == "unread":
                    writer.execute(_sql("complete"), ours)
        except DBAPIError as error:
            if done and sqlstate.is_cancelled(error):
                raise BlocklistTooLong(done) from error
            raise


@contextmanager
def _alone(connection: Connection, tenant_id: UUID, time: Time) -> Iterator[None]:
    """Hold the lock of the tenant's keys, on a connection in AUTOCOMMIT."""
    number = lock_key(f"dispatch blocklist {tenant_id}")
    if not advisory_lock.take(connection, number, time.remaining_s()):
        raise RunBusy("Another run of the tenant is reading what is new in the blocklist.")
    try:
        yield
    finally:
        advisory_lock.release(connection, number)


def _stream(connection: Connection, name: str, tenant_id: UUID) -> Iterator[Row]:
    options = {"stream_results": True, "yield_per": BATCH_ROWS}
    asked = {"tenant": tenant_id, "version": VERSION}
    for row in connection.execute(_sql(name), asked, execution_options=options):
        yield Row(*row)


def _kept(batch: list[Row]) -> dict[str, object]:
    """Return the parameters of `keep`: a line for each key, an empty one for a row that names nobody."""
    lines: list[tuple[str, str]] = []
    for row in batch:
        if row.is_there:
            named = row.keys()
            lines += [(str(row.id), key) for key in named]
            if not names_somebody(named):
                lines.append((str(row.id), ""))
    changed = [row for row in batch if row.marks]
    return {
        "changed": ",".join(str(row.id) for row in changed),
        "marks": ",".join(str(mark) for row in changed for mark in row.marks),
        "rows": ",".join(row for row, _ in lines),
        "keys": "\n".join(key for _, key in lines),
    }
