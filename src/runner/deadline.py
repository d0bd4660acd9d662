"""How long a run may still take."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """Name a moment on the monotonic clock, in seconds."""

    ends_at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Set the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Return the seconds left, never less than 0."""
        return max(0.0, self.ends_at - time.monotonic())

    @property
    def remaining_ms(self) -> int:
        """Return the whole milliseconds left, never less than 1: PostgreSQL takes 0 for ever."""
        return max(1, int(self.remaining_s * 1000))

    @property
    def passed_s(self) -> float:
        """Return the seconds since the deadline passed, 0 before it."""
        return max(0.0, time.monotonic() - self.ends_at)

    def earlier(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and `seconds` from now."""
        return Deadline(min(self.ends_at, time.monotonic() + seconds))

    def pauses(self, first_s: float, longest_s: float) -> Iterator[float]:
        """Sleep growing, jittered pauses and yield after each, until the deadline leaves no room for one.

        Yields the seconds slept. Jitter keeps runners that collided once from colliding again:
        https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        """
        pause = first_s
        while True:
            jittered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
            if jittered >= self.remaining_s:
                return
            time.sleep(jittered)
            yield jittered
            pause = min(pause * 2, longest_s)
