"""The state of one run that may change the database.

Its parts differ in how they change: `Rendering`, `Resolution` and `Begun` are set once, the present `Attempt` and the
`Waits` of its step are replaced as a whole, and the draft of the answer grows.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alembic.runtime.migration import MigrationContext

from runner.answer import Change, Direction, Draft, conclude_change
from runner.engine.baseline import Baseline
from runner.engine.plan_id import Parts
from runner.engine.snapshots import Snapshots
from runner.errors import LockTimeout
from runner.invocation import Invocation
from runner.postgres.blocker import Blocker
from runner.postgres.invalid_indexes import Before
from runner.script.offline import Rendered
from runner.script.step import Route, Step

RUN = "runner.run"
"""Key of the `Run` in Alembic's `config.attributes`, from which `env.py` takes it."""

INVOCATION = "runner.invocation"
"""Key in `config.attributes` of an `Invocation` that changes nothing."""

FindRoute = Callable[[tuple[str, ...], MigrationContext], Route]
"""Returns the route from the database's heads to the target that the caller named."""


@dataclass(frozen=True)
class Terms:
    """The fields of a payload that say who asks, what is confirmed and which call this repeats."""

    actor: str | None = None
    confirm: str | None = None
    idempotency_key: str | None = None
    plan: str | None = None
    payload_sha256: str | None = None


@dataclass(frozen=True)
class Rendering:
    """The SQL of the steps, rendered before Alembic's own run; empty unless a plan or a downgrade needs it."""

    steps: tuple[Rendered, ...] = ()
    revision_ids: tuple[str, ...] = ()
    """Of all revision files, whether they are steps or not."""


@dataclass(frozen=True)
class Resolution:
    """The caller's target, resolved once under the lock: an attempt that follows uses it instead of the payload."""

    target: str
    direction: Direction | None
    """None if there was nothing to do."""
    heads: tuple[str, ...]
    """The heads of the revision files, not the database's."""
    snapshots: Snapshots


@dataclass(frozen=True)
class Begun:
    """The state of a run from the moment it has its row in the ledger."""

    run_id: int
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """The existing tables that the steps create, by revision."""
    parts: Parts = field(default_factory=dict)
    """The parts of the caller's plan when the run began."""


@dataclass(frozen=True)
class Attempt:
    """One try of one step."""

    step: Step
    started: float = field(default_factory=time.monotonic)
    commits: tuple[str, ...] | None = None
    """The database's heads after the commit; None until the commit is about to be sent."""
    before: Before | None = None
    """What the autocommit block of the step's earliest try found; None for a transactional revision."""

    @property
    def duration_ms(self) -> float:
        """Return the milliseconds since the attempt began."""
        return round((time.monotonic() - self.started) * 1000, 1)


@dataclass(frozen=True)
class Waits:
    """How long the present step waited for locks, in this attempt and in those that were rolled back."""

    tries: int = 0
    """The attempts that did not get a lock before its time-out."""
    since: float | None = None
    """When the first of those began, on the monotonic clock."""
    blocker: Blocker | None = None
    """The session that was last seen to hold the lock."""
    waited_ms: float = 0.0
    """The time spent waiting for locks that were granted."""
    connection_losses: int = 0


@dataclass
class Run:
    """One run, over all its attempts."""

    invocation: Invocation
    draft: Draft
    terms: Terms
    conclude: Callable[[Draft], None] = conclude_change
    """Writes the answer's message after success; the older contract has its own."""
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set by SIGINT."""
    rendering: Rendering = Rendering()
    resolution: Resolution | None = None
    begun: Begun | None = None
    attempt: Attempt | None = None
    """None before the first step, and between two steps."""
    waits: Waits = Waits()
    settled: bool = False
    """Whether a stamp says that the version table is right as it leaves it, whatever the ledger says: a purge, or one
    without a step.
    """

    @property
    def change(self) -> Change:
        """Return how far the run has come."""
        assert self.draft.change is not None  # noqa: S101 - set once the database's heads are read
        return self.draft.change

    @property
    def resolved(self) -> Resolution:
        """Return the resolution, which must exist."""
        assert self.resolution is not None  # noqa: S101 - read only after the target is resolved
        return self.resolution

    @property
    def current_attempt(self) -> Attempt:
        """Return the attempt, which must exist."""
        assert self.attempt is not None  # noqa: S101 - read only between begin and commit of a step
        return self.attempt

    @property
    def is_first_half(self) -> bool:
        """Return whether this is a `redo` that is yet to revert its revision; the second half is an upgrade."""
        return self.draft.action == "redo" and self.resolved.direction == "downgrade"

    @property
    def run_id(self) -> int | None:
        """Return the run's id in the ledger, None before it has a row."""
        return None if self.begun is None else self.begun.run_id

    def begin_attempt(self, step: Step) -> None:
        """Begin a try of a step."""
        self.attempt = Attempt(step)
        self.draft.update(attempted=True)

    def end_attempt(self) -> None:
        """End the present try, whose step is committed, or which is rolled back and not repeated."""
        self.attempt = None
        self.draft.update(attempted=False)

    def lock_wait_ms(self) -> float:
        """Return how long the present step waited for locks, with the attempts that were rolled back."""
        # an attempt that ended by a time-out did nothing that lasted, so all its time counts as waiting
        earlier_s = self.current_attempt.started - self.waits.since if self.waits.since else 0.0
        return round(earlier_s * 1000 + self.waits.waited_ms, 1)

    def count_lock_timeout(
        self, blocker: Blocker | None, wanted: str = "a lock that has since been released"
    ) -> LockTimeout:
        """Count an attempt that did not get a lock in time, and return the error for it.

        `blocker` is the session that holds the lock; if it is not known, `wanted` is named.
        """
        waits, now = self.waits, time.monotonic()
        # the ledger's own statements may time out too, before any step began
        since = waits.since or (self.attempt.started if self.attempt else now)
        self.waits = Waits(waits.tries + 1, since, blocker or waits.blocker, waits.waited_ms, waits.connection_losses)
        name = self.attempt.step.revision if self.attempt else str(self.draft.action)
        held = self.waits.blocker
        if held is None:
            return LockTimeout(name, self.waits.tries, now - since, wanted)
        return LockTimeout(name, self.waits.tries, now - since, str(held), held.ending(self.invocation.settings))
