"""What is known of one run that may change the database.

Three kinds of knowledge, apart: what is settled once (`Rendering`, `Resolved`, `Begun`), the present attempt (`Attempt`
and the `Waits` of its step, each replaced as a whole), and what grows, which is the answer's draft.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alembic.runtime.migration import MigrationContext

from runner.answer import Change, Direction, Draft, conclude_change
from runner.engine.baseline import Baseline
from runner.engine.plan_id import Parts
from runner.errors import LockTimeout
from runner.invocation import Invocation
from runner.script.offline import Rendered
from runner.script.step import Route, Step

RUN = "runner.run"
"""Where a run waits in Alembic's `config.attributes` for `env.py`."""

INVOCATION = "runner.invocation"
"""Where an invocation that only looks waits for `env.py`."""

Find = Callable[[tuple[str, ...], MigrationContext], Route]
"""Resolves what the caller asked for, from where the database is."""


@dataclass(frozen=True)
class Terms:
    """What the caller claims and allows: who asks, what is confirmed, which call this repeats."""

    actor: str | None = None
    confirm: str | None = None
    idempotency_key: str | None = None
    plan: str | None = None
    payload_sha256: str | None = None


@dataclass(frozen=True)
class Rendering:
    """What the steps would send, found before Alembic's own run, where a plan or a downgrade asks for it."""

    steps: tuple[Rendered, ...] = ()
    known: tuple[str, ...] = ()
    """The ids of all revisions here."""


@dataclass(frozen=True)
class Resolved:
    """What was asked for, resolved once under the lock; from then on only this counts."""

    target: str
    direction: Direction | None
    """None where there was nothing to do."""
    heads: tuple[str, ...]
    """The revisions here that no other follows."""
    snapshots: Path
    """Their folder."""


@dataclass(frozen=True)
class Begun:
    """A run that has its row in the ledger."""

    run_id: int
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """What is there already of what the steps would make, by revision."""
    parts: Parts = field(default_factory=dict)
    """What the caller's plan rested on when the run began."""


@dataclass(frozen=True)
class Attempt:
    """One try of one step."""

    step: Step
    started: float = field(default_factory=time.monotonic)
    commits: tuple[str, ...] | None = None
    """The database's revisions once this one is committed; None until its commit is asked for."""
    locks: Mapping[str, str] = field(default_factory=dict)
    invalid_before: frozenset[int] | None = None
    """The oids of the invalid indexes before its autocommit block; None for a transactional revision."""

    @property
    def duration_ms(self) -> float:
        """Return for how long it has been running."""
        return round((time.monotonic() - self.started) * 1000, 1)


@dataclass(frozen=True)
class Waits:
    """What kept the present step waiting, in this attempt and in those that were rolled back."""

    tries: int = 0
    """How many could not get their lock in time."""
    since: float | None = None
    """When the first of those began, on the monotonic clock."""
    blocker: str = ""
    """Who was last seen to hold the lock."""
    slept_ms: float = 0.0
    """How long it waited for a lock that it got."""
    connection_losses: int = 0


@dataclass
class Run:
    """One run over its attempts."""

    invocation: Invocation
    draft: Draft
    terms: Terms
    conclude: Callable[[Draft], None] = conclude_change
    """Writes the answer's message once all went well."""
    interrupted: threading.Event = field(default_factory=threading.Event)
    rendering: Rendering = Rendering()
    resolved: Resolved | None = None
    begun: Begun | None = None
    attempt: Attempt | None = None
    waits: Waits = Waits()

    @property
    def change(self) -> Change:
        """Return how far the run has come."""
        assert self.draft.change is not None  # noqa: S101 - set when the database has been looked at
        return self.draft.change

    @property
    def settled(self) -> Resolved:
        """Return what is resolved."""
        assert self.resolved is not None  # noqa: S101 - asked for after the target is resolved
        return self.resolved

    @property
    def trying(self) -> Attempt:
        """Return the attempt that is under way."""
        assert self.attempt is not None  # noqa: S101 - asked for between begin and commit of a step
        return self.attempt

    @property
    def run_id(self) -> int | None:
        """Return the run's id in the ledger, None where it has no row yet."""
        return None if self.begun is None else self.begun.run_id

    def lock_wait_ms(self) -> float:
        """Return how long the present step waited for locks, attempts that were rolled back included."""
        earlier_s = self.trying.started - self.waits.since if self.waits.since else 0.0
        return round(earlier_s * 1000 + self.waits.slept_ms, 1)

    def block(self, blocker: str) -> LockTimeout:
        """Note that the run could not get a lock in time, and return the error that says so."""
        waits, now = self.waits, time.monotonic()
        since = waits.since or (self.attempt.started if self.attempt else now)
        self.waits = Waits(waits.tries + 1, since, blocker or waits.blocker, waits.slept_ms, waits.connection_losses)
        name = self.attempt.step.revision if self.attempt else str(self.draft.action)
        shown = self.waits.blocker or "a lock that has since been released"
        return LockTimeout(name, self.waits.tries, now - since, shown)
