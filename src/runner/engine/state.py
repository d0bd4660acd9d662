"""One run that may change the database: who asked, and how far it has come."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from alembic.runtime.migration import MigrationInfo
from alembic.script import Script

from runner.answer import Answer
from runner.engine.baseline import Baseline
from runner.engine.plan_id import Parts
from runner.errors import LockTimeout
from runner.invocation import Invocation
from runner.script import graph
from runner.script.offline import Rendered

RUN = "runner.run"
"""Where a run waits in Alembic's `config.attributes` for `env.py`."""

INVOCATION = "runner.invocation"
"""Where an invocation that only looks waits for `env.py`."""


@dataclass(frozen=True)
class Terms:
    """Say what the caller claims and allows: who asks, what is confirmed, which call this repeats."""

    actor: str | None = None
    confirm: str | None = None
    idempotency_key: str | None = None
    plan: str | None = None
    payload_sha256: str | None = None


@dataclass
class Current:
    """The revision that is being run."""

    info: MigrationInfo
    description: str
    started: float = field(default_factory=time.monotonic)
    heads: tuple[str, ...] | None = None
    """The database's revisions once this one is committed; None until its commit is asked for."""
    locks: dict[str, str] = field(default_factory=dict)
    invalid_before: frozenset[int] | None = None
    """The oids of the invalid indexes before its autocommit block; None for a transactional revision."""

    @property
    def name(self) -> str:
        """Name a step by its revision; a stamp by the revision that it stamps."""
        if self.info.is_stamp:
            return ",".join(self.info.destination_revision_ids) or "base"
        return str(self.info.up_revision_id)

    @property
    def direction(self) -> str:
        """Return `upgrade`, `downgrade` or `stamp`."""
        if self.info.is_stamp:
            return "stamp"
        return "upgrade" if self.info.is_upgrade else "downgrade"

    @property
    def path(self) -> str | None:
        """Return the file of the revision that is applied or reverted."""
        revision = self.info.up_revision
        return str(revision.path) if isinstance(revision, Script) else None

    @property
    def checksum(self) -> str | None:
        """Return the file's checksum, as the ledger keeps it."""
        stamped = self.info.is_stamp
        revision = next(iter(self.info.destination_revisions), None) if stamped else self.info.up_revision
        return graph.checksum(revision) if isinstance(revision, Script) else None

    @property
    def took_ms(self) -> float:
        """Return how long it has been running."""
        return round((time.monotonic() - self.started) * 1000, 1)


@dataclass
class Run:
    """Follow one run over its tries; `answer` gathers what it did."""

    invocation: Invocation
    answer: Answer
    terms: Terms
    conclude: Callable[[Answer], None]
    """Writes the answer's message once all went well."""
    direction: str = ""
    schema: Path = Path()
    """Where the snapshots are."""
    interrupted: threading.Event = field(default_factory=threading.Event)
    resolved: bool = False
    """Whether the target has been resolved; from then on only the absolute one counts."""
    connection_losses: int = 0
    """How often a connection was lost under the current revision."""
    run_id: int | None = None
    current: Current | None = None
    adopted: dict[str, Baseline] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    """The ids of all revisions here."""
    heads: tuple[str, ...] = ()
    """Those of them that no other follows."""
    parts: Parts = field(default_factory=dict)
    """What the caller's plan rested on when the run began."""
    rendered: list[Rendered] = field(default_factory=list)
    """What the steps would send; only where the caller names a plan."""
    tries: int = 0
    blocker: str = ""
    """Whom the current revision was last seen to wait for."""
    waited_since: float | None = None
    """When the current revision's first try began that could not get its lock."""
    slept_ms: float = 0.0
    """How long the current revision was seen to wait for a lock that it got."""

    def blocked(self, blocker: str) -> LockTimeout:
        """Note that the run could not get a lock in time, and return how to say so."""
        self.tries += 1
        began = self.current.started if self.current else time.monotonic()
        self.waited_since = self.waited_since or began
        waited_s = time.monotonic() - self.waited_since
        self.blocker = blocker or self.blocker
        name = self.current.name if self.current else str(self.answer.action)
        return LockTimeout(name, self.tries, waited_s, self.blocker or "a lock that is free again")

    def lock_wait_ms(self) -> float:
        """Return how long the current revision waited for locks, tries that were rolled back included."""
        assert self.current is not None  # noqa: S101 - only a revision waits for locks
        earlier_s = self.current.started - self.waited_since if self.waited_since else 0.0
        return round(earlier_s * 1000 + self.slept_ms, 1)
